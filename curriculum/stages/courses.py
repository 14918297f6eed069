"""The courses of a problem: how much of its solution is given at each stage, and where each prefix is cut.

A prefix ends just before the line on which a conditional starts, so it is whole lines of the
solution as written, line ends included. A *usable cut* is such a line with
- something before it that the prompt does not show (`curriculum.stages.shown`; otherwise it is full generation again),
- no starter code cut in two,
- a prompt that fits.
Conditionals that share a line are one cut. E below is the number of usable cuts, so the number
of stages follows from E alone and every prefix is longer than the next stage's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt

from stepcoder.curriculum.config import ConditionalKind, Reading
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.stages.conditionals import conditionals, line_starts
from stepcoder.curriculum.stages.shown import first_given_line

Fits = Callable[[Problem, str], bool]


@dataclass(frozen=True, slots=True)
class Course:
    """Stage 0 is full generation. `line` (1-based) is the first line of the solution that the policy writes."""

    stage: int
    line: int
    prefix: str


def stage_cuts(usable: int, reading: Reading) -> list[int]:
    """Index of the cut (0-based, among `usable`) for each stage with a prefix, highest stage first.

    With n = ceil(sqrt(E)) courses and stride ceil(E / n): `paper` cuts stages n-1 ... 1 at e[stride * c];
    `ours` cuts stages n ... 1 at e[min(stride * c, E) - 1], so that E = 1 has a stage with a prefix too.
    Source: arXiv 2402.01391, CCCS; the reading `ours` is this project's.
    """
    if usable == 0:
        return []
    n = isqrt(usable - 1) + 1
    stride = -(-usable // n)
    if reading == "paper":
        return [stride * c for c in range(n - 1, 0, -1)]
    return [min(stride * c, usable) - 1 for c in range(n, 0, -1)]


def courses(
    problem: Problem, reading: Reading = "ours", kind: ConditionalKind = "default", fits: Fits | None = None
) -> tuple[Course, ...]:
    """Courses nearest the end first, full generation last; it is always there, whether or not it fits.

    `fits(problem, prefix)` tells whether a prompt is short enough; the cuts it refuses at the end are dropped, so
    that the courses begin at the last cut that fits. A solution that does not parse has full generation only.
    """
    starts = line_starts(problem.solution)
    cuts = usable_cuts(problem, kind, starts)
    if fits is not None:
        while cuts and not fits(problem, problem.solution[: starts[cuts[-1] - 1]]):
            cuts.pop()
    chosen = stage_cuts(len(cuts), reading)
    given = [
        Course(len(chosen) - i, cuts[cut], problem.solution[: starts[cuts[cut] - 1]]) for i, cut in enumerate(chosen)
    ]
    return (*given, Course(0, 1, ""))


def usable_cuts(problem: Problem, kind: ConditionalKind, starts: list[int]) -> list[int]:
    """Lines (1-based, ascending) before which `problem.solution` may be cut; `starts` are the offsets of its lines."""
    lines = sorted({span.line for span in conditionals(problem.solution, kind)})
    given = first_given_line(problem) if lines else None
    if given is None:
        return []
    first, end = _starter_lines(problem, starts)
    return [line for line in lines if line > given and not first < line - 1 < end]


def _starter_lines(problem: Problem, starts: list[int]) -> tuple[int, int]:
    """Lines [first, end) of the solution (0-based) that repeat the starter code; (-1, -1) when it does not.

    A placeholder body (`pass`, `...`) and blank lines at the end of the starter code are no part of it; blank
    lines that follow it in the solution are.
    """
    starter = [line.rstrip() for line in problem.starter_code.splitlines()]
    while starter and starter[-1].strip() in ("", "pass", "..."):
        starter.pop()
    while starter and not starter[0]:
        starter.pop(0)
    if not starter:
        return -1, -1
    ends = [*starts[1:], len(problem.solution)]
    solution = [problem.solution[a:b].rstrip() for a, b in zip(starts, ends, strict=True)]
    for first in range(len(solution) - len(starter) + 1):
        if solution[first : first + len(starter)] == starter:
            end = first + len(starter)
            while end < len(solution) and not solution[end]:
                end += 1
            return first, end
    return -1, -1
