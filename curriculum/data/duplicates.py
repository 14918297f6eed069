"""Near-duplicates among problems that are kept: alike in words, and confirmed by running their solutions."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Self

from stepcoder.curriculum.data.near_duplicates import SimilarTexts, shingles
from stepcoder.curriculum.data.readers.mbpp import CALLED_LIKE_THIS
from stepcoder.curriculum.problems.load import parse_line
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.errors import UserError
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.suite import Case, Suite

STATEMENTS = 0.7  # Jaccard similarity from which two are looked at
SOLUTIONS = 0.9


def asked(problem: Problem) -> str:
    """The statement without what a reader added."""
    return problem.statement.split(CALLED_LIKE_THIS)[0]


class Duplicates:
    """Problems that ask for the same as an earlier one: alike in words, and each one's solution passes both tests.

    Words alone would drop sound problems: `inorder` and `postorder` differ in one word. One direction alone would drop
    a problem whose sequel or special case is another problem. Kept problems wait in a file that has no name.
    """

    def __init__(self, pool: LocalPool) -> None:
        self._pool = pool
        self._statements = SimilarTexts(STATEMENTS)
        self._solutions = SimilarTexts(SOLUTIONS)
        self._file = tempfile.TemporaryFile()
        self._places: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def earlier(self, problem: Problem, line: str) -> str | None:
        """Which kept problem it is a duplicate of, in words; else it is kept for later ones, as the line."""
        statement, solution = shingles(asked(problem)), shingles(problem.solution)
        alike: dict[int, str] = {}
        for number, share in self._statements.similar(statement):
            alike[number] = f"statements {share:.0%} alike"
        for number, share in self._solutions.similar(solution) if problem.solution.strip() else ():
            alike[number] = ", ".join(filter(None, (alike.get(number), f"solutions {share:.0%} alike")))
        for number, words in alike.items():
            kept = self._kept(number)
            if why := self._same(kept, problem):
                return f"of {kept.id} ({words}); {why}"
        self._statements.add(statement)
        self._solutions.add(solution)
        self._places.append(self._file.seek(0, os.SEEK_END))
        self._file.write(line.encode("utf-8") + b"\n")
        return None

    def _kept(self, number: int) -> Problem:
        self._file.seek(self._places[number])
        return parse_line(self._file.readline(), "kept problems", number + 1)

    def _same(self, kept: Problem, problem: Problem) -> str:
        """Why two problems ask for the same; no text where that is not known."""
        pairs = [(a, b) for a, b in ((kept, problem), (problem, kept)) if a.solution.strip()]
        if not pairs:
            return "their tests are the same" if kept.suite.cases == problem.suite.cases else ""
        if not all(self._passes(a, b) for a, b in pairs):
            return ""
        if len(pairs) == 2:
            return "each one's solution passes the other's tests"
        return "the solution of the one that has one passes the other's tests"

    def _passes(self, one: Problem, other: Problem) -> bool:
        """Whether the solution of one passes the tests of the other; it is called by its own name."""
        for suite in _callable(other.suite, one.suite):
            report = self._pool.run(one.solution, suite)
            if not report.verdict.judged:
                raise UserError(
                    f"the sandbox failed ({report.error}): see 'stepcoder doctor'; the same command goes on"
                )
            if report.passed:
                return True
        return False


def _callable(suite: Suite, like: Suite) -> Iterator[Suite]:
    """The suite for a program of another one: its name for what is called, then also its names for the arguments."""
    if suite.style != like.style:
        yield suite
        return
    suite = replace(suite, entry_point=like.entry_point)
    yield suite
    if any(case.keywords for case in suite.cases):
        cases = tuple(Case([*case.input, *case.keywords.values()], case.output) for case in suite.cases)
        yield replace(suite, cases=cases)
