"""Problems on which a curriculum can help a given model: hard in full, within reach from the last course.

What a model passes at each stage is measured elsewhere; this decides what is kept, and what a prefix unlocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stepcoder.curriculum.problems.problem import Problem

Rates = Mapping[int, tuple[int, int]]  # stage -> (passed, written); 0 is full generation


@dataclass(frozen=True, slots=True)
class Bounds:
    """Shares of passing completions: at most `full` in full, at least `last` from the course nearest the end."""

    full: float = 0.05
    last: float = 0.2


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage over the problems that have it. `lost` of these are never solved in full, `unlocked` of the lost ones
    are solved from here."""

    stage: int
    problems: int
    passed: int
    written: int
    lost: int
    unlocked: int


def keeps(rates: Rates, bounds: Bounds) -> bool:
    """Whether a problem is kept; one without courses, or one that could not be judged at both ends, is not."""
    last = max(rates, default=0)
    return last > 0 and 0 in rates and share(rates[0]) <= bounds.full and share(rates[last]) >= bounds.last


def selected(problems: Sequence[Problem], rates: Mapping[str, Rates], bounds: Bounds) -> list[Problem]:
    return [problem for problem in problems if keeps(rates.get(problem.id, {}), bounds)]


def stage_rows(rates: Mapping[str, Rates]) -> list[StageRow]:
    """From full generation to the course nearest the end. Stages are counted from the beginning of the solution."""
    rows = []
    for stage in sorted({stage for own in rates.values() for stage in own}):
        here = [own for own in rates.values() if stage in own]
        lost = [own for own in here if 0 in own and own[0][0] == 0]
        rows.append(
            StageRow(
                stage, len(here), sum(own[stage][0] for own in here), sum(own[stage][1] for own in here), len(lost),
                sum(own[stage][0] > 0 for own in lost),
            )
        )  # fmt: skip
    return rows


def share(count: tuple[int, int]) -> float:
    passed, written = count
    return passed / written
