"""What is found out about one problem by running its solutions, and the mutants of the one that is kept.

`examine` is a generator that asks for programs to be run and is sent their reports, so that it knows nothing of pools
and its caller runs many problems at once. A Finding is plain data: all that refinement keeps of an entry.
"""

from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from stepcoder.curriculum.data.mutants import some_mutants
from stepcoder.curriculum.data.readers.record import Cause, Reason, Record, Rejected, cause
from stepcoder.curriculum.data.soundness import (
    Fault,
    Preference,
    executed_share,
    fault,
    plain,
    preferred,
    reason_of,
    uniform,
    unwrapped,
)
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.executor.report import Report
from stepcoder.executor.suite import Suite

NO_SOLUTION = -1
CHECKER_MUTANTS = 5  # of a solution, whose answers a checker has to judge
_MISSED = 200  # lines and survivors told of one problem


RunKind = Literal["solution", "mutant"]


@dataclass(frozen=True, slots=True)
class Run:
    """A program to be run. A mutant may be slow for ever, and its executed lines are of no use."""

    program: str
    suite: Suite
    kind: RunKind = "solution"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one entry of a data set. `reason` says why the problem is dropped, None that it is kept.

    Of a kept problem: `solution` is the number of its solution, -1 where it has none, `unwrapped` whether expected
    values came out of their lists, `lines` counts [lines with executed code, lines with any text], `missed` holds the
    lines that no test executes, `mutants` counts those that were judged, `survivors` holds [line, change] of those that
    passed all tests.
    """

    id: str
    level: str
    where: str
    reason: Cause | None = None
    detail: str = ""
    solution: int = 0
    unwrapped: bool = False
    tests: int = 0
    lines: tuple[int, int] = (0, 0)
    missed: tuple[int, ...] = ()
    mutants: int = 0
    survivors: tuple[tuple[int, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Finding":
        """The inverse of as_json. TypeError or ValueError for anything else."""
        found = cls(**data)
        return replace(
            found,
            reason=None if found.reason is None else cause(found.reason),
            lines=(found.lines[0], found.lines[1]),
            missed=tuple(found.missed),
            survivors=tuple((line, change) for line, change in found.survivors),
        )


Examination = Generator[list[Run], list[Report], Finding]


def examine(
    entry: Record | Rejected,
    where: str,
    preference: Preference,
    most_mutants: int,
) -> Examination:
    """Tries the solutions in the preferred order until one passes; then a few of its mutants. Never sent an empty list.

    A problem whose sandbox failed is NOT_JUDGED; a mutant whose sandbox failed does not count.
    """
    if isinstance(entry, Rejected):
        return Finding("", "", entry.where, entry.reason, entry.detail)
    problem, solutions = uniform(entry.problem), list(map(plain, entry.solutions))
    nothing = Finding(problem.id, problem.level, where)
    if entry.pending is not None:
        return replace(nothing, reason=Reason.NO_ANSWERS)
    found = fault(problem)
    if found is not None:
        return replace(nothing, reason=found.reason, detail=found.detail)
    if not any(map(str.strip, solutions)):
        return replace(nothing, reason=Reason.NO_SOLUTION, solution=NO_SOLUTION, tests=len(problem.suite.cases))
    failure: Fault | None = None
    order = preferred(solutions, preference)
    for number in order:
        for suite in _forms(problem.suite):
            (report,) = yield [Run(solutions[number], suite)]
            if not report.verdict.judged:
                return replace(nothing, reason=Reason.NOT_JUDGED, detail=report.error or "")
            if report.passed:
                kept = replace(nothing, solution=number, unwrapped=suite is not problem.suite)
                return (yield from _kept(kept, solutions[number], suite, report, most_mutants))
            failure = failure or reason_of(report, solutions[number], suite)
    reason, detail = failure or Fault(Reason.NO_SOLUTION)
    others = f"; nor does any of the {len(order) - 1} other solutions pass" if len(order) > 1 else ""
    return replace(nothing, reason=reason, detail=detail + others)


def as_it_is(entry: Record | Rejected, where: str) -> Examination:
    """Runs the solution, where there is one, on the tests as they stand, and has a checker judge other answers, too."""
    if isinstance(entry, Rejected):
        return Finding("", "", entry.where, entry.reason, entry.detail)
    problem = entry.problem
    found = Finding(problem.id, problem.level, where, tests=len(problem.suite.cases))
    if (wrong := fault(problem)) is not None:
        return replace(found, reason=wrong.reason, detail=wrong.detail)
    if problem.solution.strip():
        (report,) = yield [Run(problem.solution, problem.suite)]
        if not report.verdict.judged:
            reason = Reason.CHECKER if _checker_failed(report) else Reason.NOT_JUDGED
            return replace(found, reason=reason, detail=report.error or "")
        if not report.passed:
            wrong = reason_of(report, problem.solution, problem.suite)
            return replace(found, reason=wrong.reason, detail=wrong.detail)
    else:
        found = replace(found, solution=NO_SOLUTION)
    return (yield from _checker_tried(found, problem)) if problem.suite.checker else found


def _checker_tried(found: Finding, problem: Problem) -> Examination:
    """A checker has to have a word for answers that are wrong, too, and one that takes no answer at all judges nothing.

    Asked about the answers of some mutants, which may be right, and of a program that answers nothing.
    """
    silent = Run(_silent(problem.suite), problem.suite, "mutant")
    made = some_mutants(problem.solution, CHECKER_MUTANTS)
    reports = yield [silent, *(Run(mutant.source, problem.suite, "mutant") for mutant in made)]
    if reports[0].passed:
        return replace(found, reason=Reason.CHECKER, detail="the checker accepts a program that answers nothing")
    texts = ["a program that answers nothing", *(f"line {mutant.line}, {mutant.change}" for mutant in made)]
    for text, report in zip(texts, reports, strict=True):
        if _checker_failed(report):
            return replace(found, reason=Reason.CHECKER, detail=f"{report.error} (of {text})")
    return found


def _checker_failed(report: Report) -> bool:
    return not report.verdict.judged and (report.error or "").startswith("the checker ")


def _silent(suite: Suite) -> str:
    """A program that runs to its end and answers nothing."""
    owner, _, method = (suite.entry_point or "").rpartition("().")
    if owner:
        return f"class {owner}:\n    def {method}(self, *given, **named): pass\n"
    return f"def {method}(*given, **named): pass\n" if method else ""


def refined(record: Record, finding: Finding) -> Problem:
    """The problem as it is kept."""
    problem = uniform(record.problem)
    suite = (unwrapped(problem.suite) if finding.unwrapped else None) or problem.suite
    solution = "" if finding.solution == NO_SOLUTION else plain(record.solutions[finding.solution])
    return replace(problem, solution=solution, suite=suite)


def _forms(suite: Suite) -> Iterator[Suite]:
    yield suite
    other = unwrapped(suite)
    if other is not None:
        yield other


def _kept(kept: Finding, solution: str, suite: Suite, report: Report, most_mutants: int) -> Examination:
    """What is said of a problem whose solution passes."""
    made = some_mutants(solution, most_mutants)
    reports = (yield [Run(mutant.source, suite, "mutant") for mutant in made]) if made else []
    judged = [(m, r) for m, r in zip(made, reports, strict=True) if r.verdict.judged]
    survivors = [mutant for mutant, report in judged if report.passed]
    lines = executed_share(solution, report.executed_lines)
    return replace(
        kept,
        tests=len(suite.cases),
        lines=(lines.executed, lines.total),
        missed=tuple(lines.missed[:_MISSED]),
        mutants=len(judged),
        survivors=tuple((mutant.line, mutant.change) for mutant in survivors[:_MISSED]),
    )
