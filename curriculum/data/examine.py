"""What is found out about one problem by running its solutions, and the mutants of the one that is kept.

`examine` is a generator that asks for programs to be run and is sent their reports, so that it knows nothing of pools
and its caller runs many problems at once. A Finding is plain data: all that refinement keeps of an entry.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from stepcoder.curriculum.data.added_tests import added_tests
from stepcoder.curriculum.data.mutants import Mutant, some_mutants
from stepcoder.curriculum.data.readers.record import Cause, Reason, Record, Rejected, cause
from stepcoder.curriculum.data.refine import (
    Preference,
    executed_share,
    fault,
    plain,
    preferred,
    reason_of,
    uniform,
    unwrapped,
)
from stepcoder.curriculum.data.run import Run
from stepcoder.curriculum.problems.dump import test_data
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.problems.values import from_json
from stepcoder.executor.report import Report
from stepcoder.executor.suite import Case, Suite

_MISSED = 200  # lines and survivors told of one problem


@dataclass(frozen=True, slots=True)
class Finding:
    """Of one entry of a data set. `reason` is None where the problem can be kept, and the rest is about that.

    `solution`: number of the one that is kept; `unwrapped`: whether expected values came out of their lists;
    `lines`: [with executed code, with any text]; `missed`: numbers of the others; `mutants`: how many were judged;
    `survivors`: [line, change] of those that passed. `added`: tests in the native format that belong behind the others;
    `tests`, `lines`, `missed` and `survivors` are those of all tests, `gained` the numbers of lines and mutants that
    only the added ones execute and catch.
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
    added: tuple[dict[str, Any], ...] = ()
    gained: tuple[int, int] = (0, 0)

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
            added=tuple(found.added),
            gained=(found.gained[0], found.gained[1]),
        )


Examination = Generator[list[Run], list[Report], Finding]


def examine(
    entry: Record | Rejected, where: str, preference: Preference, most_mutants: int, most_added: int = 0
) -> Examination:
    """Tries the solutions in the preferred order until one passes; then a few of its mutants; then looks for tests to
    add. Never sent an empty list.

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
            if not report.verdict.judged:
                return replace(nothing, reason=Reason.NOT_JUDGED, detail=report.error or "")
            if report.passed:
                kept = replace(nothing, solution=number, unwrapped=suite is not problem.suite)
                others = [solutions[n] for n in order if n != number]
                return (yield from _kept(kept, solutions[number], others, suite, report, most_mutants, most_added))
            failure = failure or reason_of(report, solutions[number], suite)
    reason, detail = failure or (Reason.NO_SOLUTION, "")
    others = f"; nor does any of the {len(order) - 1} other solutions pass" if len(order) > 1 else ""
    return replace(nothing, reason=reason, detail=detail + others)


def refined(record: Record, finding: Finding) -> Problem:
    """The problem as it is kept."""
    problem = uniform(record.problem)
    suite = (unwrapped(problem.suite) if finding.unwrapped else None) or problem.suite
    added = tuple(_case(test) for test in finding.added)
    suite = replace(suite, cases=(*suite.cases, *added)) if added else suite
    return replace(problem, solution=plain(record.solutions[finding.solution]), suite=suite)


def _case(test: dict[str, Any]) -> Case:
    """The inverse of curriculum.problems.dump.test_data."""
    return Case(test["code"]) if "code" in test else Case(**{name: from_json(value) for name, value in test.items()})


def _forms(suite: Suite) -> Iterator[Suite]:
    yield suite
    other = unwrapped(suite)
    if other is not None:
        yield other


def _kept(
    kept: Finding,
    solution: str,
    others: Sequence[str],
    suite: Suite,
    report: Report,
    most_mutants: int,
    most_added: int,
) -> Examination:
    """What is said of a problem whose solution passes."""
    made = some_mutants(solution, most_mutants)
    reports = (yield [Run(mutant.source, suite, "mutant") for mutant in made]) if made else []
    judged = [(m, r) for m, r in zip(made, reports, strict=True) if r.verdict.judged]
    survivors: tuple[Mutant, ...] = tuple(mutant for mutant, report in judged if report.passed)
    executed, total, missed = executed_share(solution, report.executed_lines)
    if most_added:
        name = f"{kept.id}/{kept.solution}"
        added = yield from added_tests(name, solution, others, suite, report, survivors, set(missed), most_added)
        before, caught = executed, len(survivors) - len(added.survivors)
        executed, total, missed = executed_share(solution, added.report.executed_lines)
        tests = tuple(test_data(case, suite.style) for case in added.cases)
        suite, survivors = replace(suite, cases=(*suite.cases, *added.cases)), added.survivors
        kept = replace(kept, added=tests, gained=(executed - before, caught))
    return replace(
        kept,
        tests=len(suite.cases),
        lines=(executed, total),
        missed=tuple(missed[:_MISSED]),
        mutants=len(judged),
        survivors=tuple((mutant.line, mutant.change) for mutant in survivors[:_MISSED]),
    )
