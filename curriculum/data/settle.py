"""What a conversion settles, mostly by running solutions: expected outputs that a data set leaves to its reference
solution, and whether expected values are in lists of their own. For other entries nothing runs.

Invariant: what passes is what the native format can hold and a run would load.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse, Rejected
from stepcoder.curriculum.data.soundness import fault, plain, reason_of, uniform, unwrapped
from stepcoder.curriculum.problems.faults import arity_fault
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.errors import UserError
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging.plan import plan
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Verdict
from stepcoder.executor.sandbox.values import codec
from stepcoder.executor.suite import Suite

LINE_ENDS, LISTS, ANSWERS = "line ends and byte order marks", "expected values in lists", "outputs by the solution"
_ANSWER_CHARS = 1 << 24  # of one expected value, written down


class Settler:
    """Context manager. `repaired` counts problems by what was changed in them, to be told to a person."""

    def __init__(self, config: ExecutorConfig) -> None:
        self._config = config.model_copy(update={"coverage": False, "stdout_chars": _ANSWER_CHARS})
        self._pool: LocalPool | None = None
        self.repaired: Counter[str] = Counter()

    def __enter__(self) -> "Settler":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.close()

    def settled(self, entries: Iterable[Record | Rejected]) -> Iterator[Record | Rejected]:
        """The entries in order. UserError where something has to run and no isolation can be had."""
        for entry in entries:
            try:
                yield entry if isinstance(entry, Rejected) else _sound(self._settle(self._repair(entry)))
            except RecursionError:
                yield Rejected(Reason.TOO_LARGE, _id(entry), "a value is nested too deeply")
            except Refuse as refusal:
                yield Rejected(refusal.reason, _id(entry), refusal.detail)

    def _repair(self, record: Record) -> Record:
        made = uniform(record.problem)
        if _marked(record.problem):
            self.repaired[LINE_ENDS] += 1
        return replace(record, problem=made, solutions=tuple(map(plain, record.solutions)))

    def _settle(self, record: Record) -> Record:
        if record.pending is not None:
            self.repaired[ANSWERS] += 1
            answers = self._answers(record.solutions[0], record.pending.suite)
            return _judged(record, record.pending.answered(answers))
        if record.wrapped and (other := unwrapped(record.problem.suite)) is not None:
            return self._unwrapped(record, other)
        return record

    def _unwrapped(self, record: Record, other: Suite) -> Record:
        """The form of expected values with which a solution passes; as they are where none does.

        Without a solution either form is accepted, as APPS's harness does.
        """
        if not record.solutions:
            compare = replace(record.problem.suite.compare, type="apps")
            return _judged(record, replace(record.problem.suite, compare=compare))
        for solution in record.solutions:
            if self._run(solution, record.problem.suite).passed:
                return record
            if self._run(solution, other).passed:
                self.repaired[LISTS] += 1
                return _judged(record, other)
        return record

    def _answers(self, solution: str, suite: Suite) -> list[Any]:
        """What the calls of a suite return. Refuse for a call that does not, or for what has no data form."""
        report = self._run(solution, suite)
        found = []
        for number, test in enumerate(report.tests, 1):
            if test.verdict not in (Verdict.PASSED, Verdict.WRONG_ANSWER):
                alone = replace(report, verdict=test.verdict, error=test.error, error_line=test.error_line)
                reason, detail = reason_of(alone, solution, suite)
                raise Refuse(reason, f"the reference solution gives no expected output: {detail}")
            if len(test.answer) >= _ANSWER_CHARS:
                raise Refuse(Reason.TOO_LARGE, f"test {number}: the reference solution returns too much")
            found.append(None if test.passed else codec.decode(json.loads(test.answer)))
        if not found:
            reason, detail = reason_of(report, solution, suite)
            raise Refuse(reason, detail)
        return found

    def _run(self, program: str, suite: Suite) -> Any:
        if self._pool is None:
            try:
                self._pool = LocalPool(self._config)
            except UserError as error:
                raise UserError(f"a solution of this data set has to be run: {error}") from None
        report = self._pool.run(program, suite)
        if not report.verdict.judged:
            raise Refuse(Reason.NOT_JUDGED, report.error or "")
        return report


def _id(entry: Record | Rejected) -> str:
    return entry.problem.id if isinstance(entry, Record) else ""


def _sound(record: Record) -> Record:
    """With the first solution that takes what the tests give. Refuse for what a run would refuse to load."""
    problem, suite = record.problem, record.problem.suite
    if found := fault(problem):
        raise Refuse(found.reason, found.detail)
    if suite.style != "call" or not record.solutions:
        return record
    wrong = [arity_fault(solution, str(suite.entry_point), suite.cases) for solution in record.solutions]
    if None not in wrong:
        place, reason = wrong[0] or ("", "")
        raise Refuse(Reason.BAD_TEST, f"{place}: {reason}")
    return replace(record, problem=replace(problem, solution=record.solutions[wrong.index(None)]))


def _judged(record: Record, suite: Suite) -> Record:
    try:
        plan(suite)
    except ValueError as error:
        raise Refuse(Reason.BAD_TEST, str(error)) from error
    return replace(record, problem=replace(record.problem, suite=suite), pending=None, wrapped=False)


def _marked(problem: Problem) -> bool:
    """Whether a text has what `uniform` takes out of it."""
    cases = [text for case in problem.suite.cases for text in (case.input, case.output) if isinstance(text, str)]
    texts = (problem.statement, problem.starter_code, problem.solution, problem.suite.setup, *cases)
    return any("\r" in text or text.startswith("\ufeff") for text in texts)
