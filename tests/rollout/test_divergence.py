"""Where a failing program's executed lines first differ from the reference solution's."""

import asyncio
from collections.abc import Iterator

import pytest

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Report, TestOutcome, Verdict
from stepcoder.executor.suite import Case, Suite
from stepcoder.rollout.solutions import SolutionTraces
from stepcoder.rollout.text.divergence import first_divergence

SOLUTION = """def sign(x):
    if x < 0:
        return -1
    if x == 0:
        return 0
    return 1
"""
SIGN = Problem("sign", "test", "introductory", "The sign.", "", SOLUTION,
               Suite("call", (Case([-5], -1), Case([0], 0), Case([7], 1)), "sign"))  # fmt: skip


@pytest.mark.parametrize(
    ("program", "executed", "line"),
    [
        # names, blanks and comments do not count; the reference executes lines 1, 2, 4 and 6 on the test
        ("def sign(value):\n    # which?\n    if value<0:\n        return -1\n    return 0\n", [1, 3, 5], 5),
        ("def sign(x):\n    if x < 0:\n        return -1\n    if x == 0:\n        return 0\n    return 2\n",
         [1, 2, 4, 6], 6),
        ("def sign(x):\n    if x > 0:\n        return 0\n", [1, 2, 3], 2),
        ("import math\ndef sign(x):\n    return 0\n", [1, 2, 3], 1),
        ("def sign(x):\n    if x < 0:\n        return -1\n", [1, 2], 2),  # it ends early: the last line that it ran
        ("def sign(x):\n    if x < 0:\n        return -1\n    if x == 0:\n        return 0\n    return 1\n    x\n",
         [1, 2, 4, 6, 7], 7),  # it goes on where the reference has ended
        ("def sign(x):\r    if x > 0:\r        return 0\r", [1, 2, 3], 2),
        ("def sign(x):\n    pass\n", [], None),
        ("def sign(x:\n", [1], None),
    ],
)  # fmt: skip
def test_the_first_line_that_differs(program: str, executed: list[int], line: int | None) -> None:
    assert first_divergence(program, executed, SOLUTION, [1, 2, 4, 6]) == line


def test_a_name_of_the_language_is_no_choice() -> None:
    assert first_divergence("x = min(1, 2)\n", [1], "y = max(1, 2)\n", [1]) == 1
    assert first_divergence("a.append(1)\na.pop()\n", [1, 2], "b.append(1)\nb.clear()\n", [1, 2]) == 2
    # the second name is the first once more
    assert first_divergence("a = 1\nb = a\n", [1, 2], "a = 1\nb = b\n", [1, 2]) == 2


class Counting:
    """The real executor, and how often it ran what."""

    def __init__(self, pool: LocalPool) -> None:
        self.pool, self.ran = pool, list[str]()

    async def run(self, program: str, suite: Suite) -> Report:
        self.ran.append(program)
        return self.pool.run(program, suite)


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool(ExecutorConfig(workers=1)) as found:
        yield found


def test_the_failing_test_decides_and_a_solution_runs_once(pool: LocalPool) -> None:
    executor = Counting(pool)
    traces = SolutionTraces(executor)

    def divergence(program: str, problem: Problem = SIGN) -> int | None:
        report = pool.run(program, problem.suite)
        return asyncio.get_event_loop().run_until_complete(traces.divergence(problem, program, report))

    asyncio.set_event_loop(loop := asyncio.new_event_loop())
    try:
        # wrong on 7: line 6; wrong on 0: line 4, though line 6 is wrong too; right: nothing
        assert divergence(SOLUTION.replace("return 1", "return 2")) == 6
        assert divergence(SOLUTION.replace("x == 0", "x == 1").replace("return 1", "return 2")) == 4
        assert divergence(SOLUTION) is None
        assert executor.ran == [SOLUTION]
        wrong = Problem("wrong", "test", "introductory", "", "", "def sign(x):\n    return 0\n", SIGN.suite)
        assert divergence("def sign(x):\n    return 5\n", wrong) is None  # a solution that does not pass
    finally:
        loop.close()


class Failing:
    """An executor whose sandbox fails, or that raises, before it answers."""

    def __init__(self, *answers: Report | Exception) -> None:
        self.answers = list(answers)

    async def run(self, program: str, suite: Suite) -> Report:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_solution_that_could_not_be_judged_is_asked_again() -> None:
    lost = Report(Verdict.INFRA_ERROR, error="no memory")
    whole = Report(Verdict.PASSED, tests=tuple(TestOutcome(Verdict.PASSED, executed_lines=(1, 2, 4, 6)) for _ in "abc"))
    traces = SolutionTraces(Failing(lost, RuntimeError("gone"), whole))
    wrong = Report(Verdict.WRONG_ANSWER, tests=(TestOutcome(Verdict.WRONG_ANSWER, executed_lines=(1, 2)),))
    program = "def sign(x):\n    return 0\n"

    async def asked() -> int | None:
        return await traces.divergence(SIGN, program, wrong)

    async def found() -> None:
        assert await asked() is None
        with pytest.raises(RuntimeError, match="gone"):
            await asked()
        assert [await asked(), await asked()] == [2, 2]

    asyncio.run(found())
