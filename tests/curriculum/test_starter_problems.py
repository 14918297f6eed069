"""The starter problems keep their promises, and the check that says so can say no."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from stepcoder.curriculum.problems.load import load_problems
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.stages.conditionals import conditionals
from stepcoder.curriculum.stages.courses import courses
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.suite import Case, Suite
from tests.tools.starter_problems import (
    LIMITS,
    SPLITS,
    mutant_faults,
    mutants,
    shape_faults,
    shown_tests,
    solution_faults,
)

LARGER = """\
def larger(a, b):
    if a > b:
        return a
    return b
"""


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool(LIMITS) as pool:
        yield pool


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Problem]]:
    return {name: load_problems(f"starter:{name}") for name in SPLITS}


def larger_problem(*cases: Case, solution: str = LARGER) -> Problem:
    suite = Suite("call", cases, "larger")
    statement = "Write `larger(a, b)`.\n\n`larger(1, 2) == 2`"
    starter_code = "def larger(a, b):\n"
    return Problem("starter/larger/larger", "starter", "introductory", statement, starter_code, solution, suite)


def test_the_files_have_the_promised_shape(splits: dict[str, list[Problem]]) -> None:
    assert shape_faults(splits) == []


def test_every_solution_passes(splits: dict[str, list[Problem]], pool: LocalPool) -> None:
    assert [fault for problems in splits.values() for fault in solution_faults(problems, pool)] == []


@pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_every_mutant_fails(every: int, splits: dict[str, list[Problem]], pool: LocalPool) -> None:
    assert [fault for problems in splits.values() for fault in mutant_faults(problems[::every], pool)] == []


def test_the_problems_of_the_study_are_training_problems_with_a_course(splits: dict[str, list[Problem]]) -> None:
    known = {problem.id: problem for problem in splits["train"]}
    chosen = load_problems("starter:study")
    assert len(chosen) >= 20
    for problem in chosen:
        assert problem == known[problem.id] and problem.level != "competition" and len(courses(problem)) > 1


def test_levels_styles_and_splits_are_balanced(splits: dict[str, list[Problem]]) -> None:
    problems = [problem for split in splits.values() for problem in split]
    levels = Counter(problem.level for problem in problems)
    assert len(problems) >= 160
    assert levels["introductory"] >= 100 and levels["interview"] >= 40 and levels["competition"] >= 20
    assert 0.15 <= sum(problem.suite.style == "stdin" for problem in problems) / len(problems) <= 0.35
    for level, count in levels.items():
        held_out = sum(problem.level == level for problem in splits["heldout"])
        assert 0.2 <= held_out / count <= 0.4, level


def test_conditionals_are_spread_from_none_to_twelve(splits: dict[str, list[Problem]]) -> None:
    counts = {len(conditionals(problem.solution)) for split in splits.values() for problem in split}
    assert counts >= {0, 1, 2, 3, 4, 5, 6, 7, 8, 12}
    assert max(counts) == 12


def test_introductory_statements_are_short(splits: dict[str, list[Problem]]) -> None:
    for problem in (problem for split in splits.values() for problem in split if problem.level == "introductory"):
        assert len(problem.statement.split()) <= 70, problem.id
        assert len(problem.solution.splitlines()) <= 10, problem.id


def test_mutants_of_a_chain_and_a_boolean_operator() -> None:
    sources = {mutant.source for mutant in mutants("x = 0 <= a < 9 and b\n")}
    assert sources == {
        "x = not 0 <= a < 9 and b\n",
        "x = 0 <= a < 9 and (not b)\n",
        "x = 0 < a < 9 and b\n",
        "x = 0 <= a <= 9 and b\n",
    }


def test_mutants_of_if_and_while() -> None:
    sources = {mutant.source for mutant in mutants("while n > 0:\n    if n == 5:\n        break\n")}
    assert sources == {
        "while n <= 0:\n    if n == 5:\n        break\n",
        "while n >= 0:\n    if n == 5:\n        break\n",
        "while n > 0:\n    if n != 5:\n        break\n",
    }


def test_a_mutant_that_no_test_can_notice_is_reported(pool: LocalPool) -> None:
    problem = larger_problem(Case([1, 2], 2), Case([2, 1], 2), Case([3, 3], 3))
    assert mutant_faults([problem], pool) == [
        "starter/larger/larger: no test notices the mutant with line 2: a > b became a >= b"
    ]


def test_a_wrong_solution_is_reported(pool: LocalPool) -> None:
    problem = larger_problem(Case([1, 2], 2), solution="def larger(a, b):\n    return a\n")
    faults = solution_faults([problem], pool)
    assert len(faults) == 1 and "does not pass: wrong_answer" in faults[0]


def test_a_mutant_without_end_counts_as_failing(pool: LocalPool) -> None:
    source = "def larger(a, b):\n    while a != b:\n        a += 1\n    return a\n"
    problem = larger_problem(Case([1, 2], 2), Case([2, 2], 2), solution=source)
    assert solution_faults([problem], pool) == mutant_faults([problem], pool) == []


def test_shape_faults_name_what_is_wrong() -> None:
    cases = tuple(Case([1, number], number) for number in range(2, 10))
    good = larger_problem(*cases)
    other = replace(good, id="starter/other/other")
    assert shape_faults({"train": [good], "heldout": [other]}) == []
    assert shape_faults({"train": [good], "heldout": [good]}) == [
        "starter/larger/larger: id used twice",
        "family larger is in more than one split",
    ]
    repeated = replace(good, suite=replace(good.suite, cases=cases[:7] + cases[:1]))
    assert "different tests" in shape_faults({"train": [repeated], "heldout": [other]})[0]
    secretive = replace(good, statement="Write `larger(a, b)`.")
    assert "shows 0 tests" in shape_faults({"train": [secretive], "heldout": [other]})[0]


def test_shown_tests_are_counted_in_both_styles(splits: dict[str, list[Problem]]) -> None:
    by_id = {problem.id: problem for problem in splits["train"]}
    assert shown_tests(by_id["starter/sign/sign"]) == 2
    assert shown_tests(by_id["starter/sign/print_sign"]) == 1
