"""What each problem's reference solution executes, test by test, and where a failing program leaves it.

A solution runs once in a worker, and again only where the sandbox failed on it. Invariant: where it does not pass, or
its coverage cannot be trusted, nothing is said.
"""

import asyncio
from typing import Protocol

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.executor.report import Report
from stepcoder.executor.suite import Suite
from stepcoder.rollout.text.divergence import first_divergence

Lines = tuple[int, ...]


class Executor(Protocol):
    """What grades a program; `executor.pool.actors.ExecutorPool` in a run."""

    async def run(self, program: str, suite: Suite) -> Report: ...


class SolutionTraces:
    """Executed lines by problem and test, kept from the first time that they are asked for."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._found: dict[str, asyncio.Future[tuple[Lines, ...]]] = {}

    async def divergence(self, problem: Problem, program: str, report: Report) -> int | None:
        """The program's line of `rollout.text.divergence` on its first failing test; None where nothing can be said."""
        failed = next((i for i, test in enumerate(report.tests) if not test.passed), None)
        if failed is None or not report.coverage_trusted or not problem.solution.strip():
            return None
        tests = await self._lines(problem)
        if failed >= len(tests):
            return None
        return first_divergence(program, report.tests[failed].executed_lines, problem.solution, tests[failed])

    async def _lines(self, problem: Problem) -> tuple[Lines, ...]:
        """Of each test; empty where the solution cannot be gone by."""
        if problem.id not in self._found:
            self._found[problem.id] = asyncio.ensure_future(self._run(problem))
        return await asyncio.shield(self._found[problem.id])

    async def _run(self, problem: Problem) -> tuple[Lines, ...]:
        judged = False
        try:
            report = await self._executor.run(problem.solution, problem.suite)
            judged = report.verdict.judged
        finally:
            if not judged:
                del self._found[problem.id]
        trusted = report.passed and report.coverage_trusted
        return tuple(test.executed_lines for test in report.tests) if trusted else ()
