"""Tests that are kept out of the reward, and those that a statement shows."""

import asyncio
from dataclasses import replace

import pytest

from stepcoder.curriculum.problems.dump import problem_line
from stepcoder.curriculum.problems.hidden import shown_tests, with_hidden
from stepcoder.curriculum.problems.load import parse_line
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.errors import DataFileError
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.suite import Case, Suite

STATEMENT = 'Double it.\n>>> f(1)\n2\nFor f("a b", [1, 2]) the answer is ["a b"].\nExample: 3 4\n  gives 7\n'


def problem(suite: Suite, **changes: object) -> Problem:
    return replace(Problem("p", "mine", "interview", STATEMENT, "", "", suite), **changes)  # pyright: ignore


def calls(count: int) -> Suite:
    return Suite("call", tuple(Case([n + 100], 2 * n + 200) for n in range(count)), "f")


@pytest.mark.parametrize(
    ("suite", "shown"),
    [
        (Suite("stdin", (Case("3  4\n", "7\n"), Case("3 5\n", "8\n"), Case("3 4\n", "8\n"))), {0}),
        (Suite("assert", (Case("assert f(1) == 2"), Case("assert f(5) == 10"), Case("x = f(9)\nassert x"))), {0}),
        (Suite("call", (Case(["a b", [1, 2]], ["a b"]), Case(["c"], 1)), "f"), {0}),
        (Suite("pytest", (Case("test_a"),), module="def test_a(): assert 1"), set()),
    ],
)
def test_what_a_statement_shows_is_known(suite: Suite, shown: set[int]) -> None:
    assert shown_tests(problem(suite)) == shown
    assert shown_tests(problem(suite, shown=(len(suite.cases) - 1,))) == shown | {len(suite.cases) - 1}


def test_a_share_of_the_tests_is_hidden_the_same_each_time_and_never_all() -> None:
    whole = problem(calls(10))
    for share, count in ((0.0, 0), (0.04, 0), (0.3, 3), (0.99, 9)):
        made = with_hidden(whole, share)
        assert made.hidden == count and made == with_hidden(whole, share)
        assert sorted(case.input[0] for case in made.suite.cases) == list(range(100, 110))
    assert with_hidden(problem(calls(1)), 0.9).hidden == 0
    fewer, more = with_hidden(whole, 0.2), with_hidden(whole, 0.5)
    hidden = [{case.input[0] for case in made.suite.cases[-made.hidden :]} for made in (fewer, more)]
    assert hidden[0] < hidden[1]
    shown = with_hidden(replace(whole, shown=tuple(range(8))), 0.2)
    assert {case.input[0] for case in shown.suite.cases[-2:]} == {108, 109} and len(shown.shown) == 8


def test_shown_tests_survive_the_native_format() -> None:
    made = problem(calls(3), shown=(0, 2))
    assert parse_line(problem_line(made).encode(), "f", 1).shown == (0, 2)
    with pytest.raises(DataFileError, match="there is no test 3"):
        parse_line(problem_line(replace(made, shown=(3,))).encode(), "f", 1)


def test_a_report_of_the_first_tests_alone() -> None:
    suite = Suite("call", (Case([1], 2), Case([2], 4), Case([3], 6)), "f")
    with LocalPool(ExecutorConfig(workers=1)) as pool:
        learnt = pool.run("def f(x):\n    if x == 3:\n        return 0\n    return 2 * x\n", suite)
        broken = pool.run("def f(x:\n", suite)
    part = learnt.of_first(2)
    assert (learnt.verdict, part.verdict, part.error) == ("wrong_answer", "passed", None)
    assert (learnt.executed_lines, part.executed_lines) == ((1, 2, 3, 4), (1, 2, 4))
    assert broken.of_first(2) == broken


def test_a_completion_says_whether_it_passes_the_hidden_tests() -> None:
    """The part of a rollout worker that needs no model: reports as the worker takes them apart."""
    made = with_hidden(problem(calls(4)), 0.5)
    shown, hidden = made.suite.cases[:2], made.suite.cases[2:]
    table = {case.input[0]: case.output for case in shown}
    program = f"def f(x):\n    return {table!r}.get(x)\n"

    async def reports() -> list[bool]:
        with LocalPool(ExecutorConfig(workers=1)) as pool:
            whole = await asyncio.wrap_future(pool.submit(program, made.suite))
        return [whole.passed, whole.of_first(len(shown)).passed]

    assert len(hidden) == 2 and asyncio.run(reports()) == [False, True]
