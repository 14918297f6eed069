"""Course tables worked out by hand, and the rules for cuts that are not usable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curriculum.config import Reading
from curriculum.courses import courses, stage_cuts
from curriculum.problem import Problem
from executor.suite import Case, Suite


def problem(solution: str, starter: str = "") -> Problem:
    suite = Suite("stdin", (Case("1\n", "1\n"),))
    return Problem("p", "test", "introductory", "Do it.", starter, solution, suite)


def with_conditionals(count: int) -> str:
    return "x = int(input())\n" + "".join(f"if x > {i}:\n    print({i})\n" for i in range(count))


# (E, 0-based cuts for stages n ... 1 as this project reads it, the same for n-1 ... 1 as the paper does)
BY_HAND = [
    (0, [], []),
    (1, [0], []),
    (2, [1, 0], [1]),
    (3, [2, 1], [2]),
    (4, [3, 1], [2]),
    (5, [4, 3, 1], [4, 2]),
    (9, [8, 5, 2], [6, 3]),
    (10, [9, 8, 5, 2], [9, 6, 3]),
    (17, [16, 15, 11, 7, 3], [16, 12, 8, 4]),
]


@pytest.mark.parametrize(("usable", "ours", "paper"), BY_HAND)
def test_cuts_by_hand(usable: int, ours: list[int], paper: list[int]) -> None:
    assert stage_cuts(usable, "ours") == ours
    assert stage_cuts(usable, "paper") == paper


@pytest.mark.parametrize(("usable", "ours", "paper"), BY_HAND)
def test_courses_of_a_real_program_follow_the_table(usable: int, ours: list[int], paper: list[int]) -> None:
    solution = with_conditionals(usable)
    table: list[tuple[Reading, list[int]]] = [("ours", ours), ("paper", paper)]
    for reading, cuts in table:
        found = courses(problem(solution), reading)
        assert [course.stage for course in found] == list(range(len(cuts), -1, -1))
        assert [course.line for course in found] == [2 + 2 * cut for cut in cuts] + [1]
        assert [course.prefix for course in found] == [
            "".join(solution.splitlines(keepends=True)[: 1 + 2 * cut]) for cut in cuts
        ] + [""]


@given(st.integers(1, 2000))
def test_cuts_exist_and_strictly_decrease(usable: int) -> None:
    n = next(n for n in range(1, 50) if n * n >= usable)
    counts: list[tuple[Reading, int]] = [("ours", n), ("paper", n - 1)]
    for reading, count in counts:
        cuts = stage_cuts(usable, reading)
        assert len(cuts) == count
        assert all(a > b for a, b in zip(cuts, cuts[1:], strict=False))
        assert all(0 <= cut < usable for cut in cuts)
    assert stage_cuts(usable, "ours")[0] == usable - 1


def test_a_conditional_on_the_first_line_is_full_generation() -> None:
    found = courses(problem("\n\nfor i in range(3):\n    if i:\n        print(i)\n"))
    assert [(c.stage, c.line) for c in found] == [(1, 4), (0, 1)]


def test_conditionals_that_share_a_line_are_one_cut() -> None:
    found = courses(problem("x = 1\ny = (1 if x else 2) + (3 if x else 4)\n"), kind="extended")
    assert [(c.stage, c.line) for c in found] == [(1, 2), (0, 1)]


def test_what_does_not_parse_has_full_generation_only() -> None:
    assert [c.stage for c in courses(problem("if x:\n    print 'old'\n"))] == [0]


SOLUTION = "def f(x):\n    if x:\n        return 1\n    for i in x:\n        pass\n    return 2\n"


@pytest.mark.parametrize(
    ("starter", "expected"),
    [
        ("", [4, 2, 1]),
        ("def f(x):", [4, 2, 1]),
        ("def f(x):   \n    pass\n", [4, 2, 1]),
        ("def f(x):\n    if x:\n", [4, 1]),
        ("def f(x):\n    if x:\n        return 1\n", [4, 1]),
        ("def f(x):\n    if x:\n        return 1\n    for i in x:\n", [1]),
        ("def g(x):\n", [4, 2, 1]),
    ],
)
def test_cuts_inside_the_starter_code_are_dropped(starter: str, expected: list[int]) -> None:
    assert [c.line for c in courses(problem(SOLUTION, starter))] == expected


def test_starter_code_after_a_helper_keeps_the_helpers_cuts() -> None:
    solution = "def helper(y):\n    if y:\n        return 1\n\n" + SOLUTION
    assert [c.line for c in courses(problem(solution, "def f(x):"))] == [8, 6, 1]  # E = 3: cuts 2, 1


def test_a_prefix_that_does_not_fit_falls_back_to_an_earlier_cut_and_at_last_to_none() -> None:
    program = problem(with_conditionals(4))  # cuts before lines 2, 4, 6, 8
    for allowed_lines, expected in (
        (7, [8, 4, 1]),
        (6, [6, 4, 1]),
        (5, [6, 4, 1]),
        (4, [4, 2, 1]),
        (1, [2, 1]),
        (0, [1]),
    ):
        found = courses(program, fits=lambda _, prefix, most=allowed_lines: prefix.count("\n") <= most)
        assert [course.line for course in found] == expected


def test_line_ends_are_kept_as_written() -> None:
    solution = "x = 'é'\r\n\tif_ = 1\r\n".replace("\t", "") + "if x:\r\n\tpass\r\n"
    (first, last) = courses(problem(solution))
    assert first.prefix == "x = 'é'\r\nif_ = 1\r\n"
    assert last.prefix == ""
