"""What is found out about one problem by running its solutions, and the mutants of the one that is kept.

`examine` is a generator that asks for programs to be run and is sent their reports, so that it knows nothing of pools
and its caller runs many problems at once. A Finding is plain data: all that refinement keeps of an entry.
"""

from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from curriculum.mutants import some_mutants
from curriculum.problem import Problem
from curriculum.readers.record import Reason, Record, Rejected
from curriculum.refine import Preference, executed_share, fault, plain, preferred, reason_of, uniform, unwrapped
from executor.report import Report, Verdict
from executor.suite import Suite

_MISSED = 200  # lines and survivors told of one problem


@dataclass(frozen=True, slots=True)
class Run:
    """A program to be run. `mutant`: it may be slow for ever, and its executed lines are of no use."""

    program: str
    suite: Suite
    mutant: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """Of one entry of a data set. `reason` is None where the problem can be kept, and the rest is about that.

    `solution`: number of the one that is kept; `unwrapped`: whether expected values came out of their lists;
    `lines`: [with executed code, with any text]; `missed`: numbers of the others; `mutants`: how many were judged;
    `survivors`: [line, change] of those that passed.
    """

    id: str
    level: str
    where: str
    reason: Reason | None = None
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
            reason=None if found.reason is None else Reason(found.reason),
            lines=(found.lines[0], found.lines[1]),
            missed=tuple(found.missed),
            survivors=tuple((line, change) for line, change in found.survivors),
        )


Examination = Generator[list[Run], list[Report], Finding]


def examine(entry: Record | Rejected, where: str, preference: Preference, most_mutants: int) -> Examination:
    """Tries the solutions in the preferred order until one passes; then a few of its mutants. Never sent an empty list.

    A problem whose sandbox failed is NOT_JUDGED; a mutant whose sandbox failed does not count.
    """
    if isinstance(entry, Rejected):
        return Finding("", "", entry.where, entry.reason, entry.detail)
    problem, solutions = uniform(entry.problem), [plain(solution) for solution in entry.solutions]
    nothing = Finding(problem.id, problem.level, where)
    found = fault(problem, solutions)
    if found is not None:
        return replace(nothing, reason=found[0], detail=found[1])
    failure: tuple[Reason, str] | None = None
    order = preferred(solutions, preference)
    for number in order:
        for suite in _forms(problem.suite):
            (report,) = yield [Run(solutions[number], suite)]
            if report.verdict is Verdict.INFRA_ERROR:
                return replace(nothing, reason=Reason.NOT_JUDGED, detail=report.error or "")
            if report.passed:
                kept = _kept(nothing, solutions[number], suite, report)
                kept = replace(kept, solution=number, unwrapped=suite is not problem.suite)
                return (yield from _mutated(kept, solutions[number], suite, most_mutants))
            failure = failure or reason_of(report, solutions[number], suite)
    reason, detail = failure or (Reason.NO_SOLUTION, "")
    others = f"; nor does any of the {len(order) - 1} other solutions pass" if len(order) > 1 else ""
    return replace(nothing, reason=reason, detail=detail + others)


def refined(record: Record, finding: Finding) -> Problem:
    """The problem as it is kept."""
    problem = uniform(record.problem)
    suite = unwrapped(problem.suite) if finding.unwrapped else None
    return replace(problem, solution=plain(record.solutions[finding.solution]), suite=suite or problem.suite)


def _forms(suite: Suite) -> Iterator[Suite]:
    yield suite
    other = unwrapped(suite)
    if other is not None:
        yield other


def _kept(nothing: Finding, solution: str, suite: Suite, report: Report) -> Finding:
    executed, total, missed = executed_share(solution, report.executed_lines)
    return replace(nothing, tests=len(suite.cases), lines=(executed, total), missed=tuple(missed[:_MISSED]))


def _mutated(kept: Finding, solution: str, suite: Suite, most: int) -> Examination:
    changed = some_mutants(solution, most)
    if not changed:
        return kept
    reports = yield [Run(mutant.source, suite, mutant=True) for mutant in changed]
    judged = [(m, r) for m, r in zip(changed, reports, strict=True) if r.verdict is not Verdict.INFRA_ERROR]
    survivors = tuple((mutant.line, mutant.change) for mutant, report in judged if report.passed)
    return replace(kept, mutants=len(judged), survivors=survivors[:_MISSED])
