# ruff: noqa: E501  (tables of examples, a row each)
"""Comparisons that a problem can ask for: tokens, lines, LiveCodeBench's rule, yes or no, tolerances, free order."""

import math
import time
from collections import deque
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepcoder.executor.judging.compare import same_text, same_value
from stepcoder.executor.judging.matching import can_be_paired
from stepcoder.executor.sandbox.values import codec
from stepcoder.executor.sandbox.values.codec import Opaque
from stepcoder.executor.suite import Compare

LONG = "7" * 5000
TOKENS = [  # expected, actual, same
    ("3.0000000\n", "3", True), ("3", "3.0", True), ("1000000", "1000000.0", True), ("5", "+5", True), ("0", "-0", True),
    ("hello\n", "\nhello\n", True), ("1 2 3\n", "1\n2\n3\n", True), ("a\rb\r", "a\nb\n", True), ("a\tb", "a\x0b\x0c b", True),
    ("1 2", "1\x1c2", True), ("1 2", "12", False), ("1 2", "1 2 3", False), ("1 2 3", "1 2", False), ("", " \n ", True),
    ("", "x", False), ("x", "", False), ("YES", "Yes", False), ("a b", "b a", False),
    ("0.1", "0.100001", True), ("0.1", "0.100002", False), ("1000000.5", "1000001.5", True), ("1000000.5", "1000002.5", False),
    ("10000000000000000000001", "10000000000000000000002", False), (LONG, LONG, True), (LONG, LONG[:-1] + "8", False),
    (LONG, LONG + ".0", True), ("1000000007", "1000000008.0", False), ("3", "3.0000000001", True), ("3", "2.9999999999", True),
    ("1e400", "2e500", False), ("1e400", "1e400", True), ("1e400", "1.00000001e400", True), ("1e400", "10e399", True),
    ("1e-400", "2e-400", True), ("1e999999999999999999999", "2e999999999999999999999", False), ("inf", "1e400", False),
    ("0011", "11", False), ("007", "7", False), ("-1.5", "1.5", False), ("1_0", "10", False), ("٣", "3", False), (".5", "0.5", True),
    ("5.", "5", True), ("1.5e3", "1500", True), ("nan", "nan", True), ("NaN", "nan", False),
    ("(0.5, 1.5)", "(0.5000000001, 1.5)", True), ("(0.5, 1.5)", "(0.5001, 1.5)", False), ("[1, 2]", "[1,2]", True),
    ("[1, 2]", "[1.0, 2.0]", True), ("[1, 2]", "(1, 2)", False), ("[1, 2]", "1 2", False), ("[[1, 2], [3]]", "[[1,2],[3]]", True),
    ("{0.5}", "{0.50}", True), ("1,2", "1,2.0", True), ("1,2", "1 2", False), ("[]", "[ ]", True), ("a,b", "a,b", True), ("a,b", "a, b", False),
    ("Point(0.5, 2)", "Point(0.5000000001, 2)", True), ("Point(0.5, 2)", "Print(0.5, 2)", False), ("['a', 1.5]", "['a', 1.50]", True),
    ("x=0.5", "x=0.50", False), ("1:2", "1:2", True), ("1/2", "1/2", True), ("1/2", "0.5", False),
]  # fmt: skip
YESNO = [
    ("YES\n", "Yes\n", True), ("yes", "YES", True), ("No\nYES", "NO yes", True), ("YES", "NO", False), ("YES\n1.0", "yes\n1", True),
    ("Alice", "ALICE", True), ("YES", "YE S", False),
]  # fmt: skip
LINES = [
    ("a b\nc\n", "a b  \n  c", True), ("a  b", "a b", False), ("1", "1.0", False), ("a\nb", "a b", False), ("a", "\na", False),
    ("a\n\nb", "a\nb", False), ("a\n", "a\n\n\n", True), ("a\r\nb", "a\nb", True),
]  # fmt: skip
LCB = [  # as lcb_runner/evaluation/testing_util.py answers
    ("3.0000000\n", "3", True), ("1 2\n3", "1 2.0\n3", True), ("1  2", "1 2", True), ("a  b", "a b", False), ("1\n2", "1 2", False),
    ("\n\n1\n", "1", True), ("1\n\n2", "1\n2", False), ("0.1", "0.1000000001", False), ("YES", "yes", False), ("nan", "nan", True),
    ("1 nan", "1.0 nan", False), ("1 snan", "1.0 snan", False), ("1 2", "1 2 3", False), ("1_0", "10", True), ("١", "1", True),
    ("1e3", "1000", True), ("inf 1", "Infinity 1.0", True), ("1 a", "1.0 a", False), ("1 2 ", " 1 2.0", True), ("", "", True), ("007", "7", True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "expected", "actual", "same"),
    [(k, *row) for k, t in (("tokens", TOKENS), ("yesno", YESNO), ("lines", LINES), ("lcb", LCB)) for row in t],
)
def test_text(kind: Any, expected: str, actual: str, same: bool) -> None:
    assert same_text(expected, actual, Compare(kind)) is same


@pytest.mark.parametrize(
    ("tolerance", "actual", "same"),
    [(1e-9, "0.1000001", False), (1e-3, "0.1005", True), (0, "0.10", True), (0, "0.1000000001", False)],
)
def test_tolerance_of_a_problem(tolerance: float, actual: str, same: bool) -> None:
    assert same_text("0.1", actual, Compare("tokens", tolerance)) is same
    assert same_text("0.1", actual, Compare("strict", tolerance)) is same


def test_infinite_floats_are_not_equal_because_no_float_holds_them() -> None:
    assert not same_text("1e400", "2e500", Compare("strict")) and same_text("1e400", "1e400", Compare("strict"))


@pytest.mark.parametrize("kind", ["strict", "tokens", "lines", "lcb", "yesno", "apps"])
@pytest.mark.parametrize(
    "printed", ["(" * (1 << 22), "1," * (1 << 21), "1 " * (1 << 21), "\n" * (1 << 22), "9" * (1 << 22), "a" * (1 << 22)]
)
def test_a_flood_costs_little(kind: Any, printed: str) -> None:
    start = time.process_time()
    for expected in ("1\n", "1 2\n3\n", "(1, 2)"):
        assert not same_text(expected, printed, Compare(kind)) or kind == "apps"
    assert time.process_time() - start < 20  # not a measurement: a quadratic cost would take hours


ITEMS = Opaque("generator", frozenset(), {"items": [1, 2]})
VALUES = [  # expected, actual, how, same
    ([1, 2], (1, 2), Compare(), True), ([1, 2], range(1, 3), Compare(), True), ([1, 2], deque([1, 2]), Compare(), True),
    ([1, 2], {1: 0, 2: 0}.keys(), Compare(), True), ([1, 2], {0: 1, 1: 2}.values(), Compare(), True), ([[1, 2]], {1: 2}.items(), Compare(), True),
    ([1, 2], ITEMS, Compare(), True), ([[1, 2]], [ITEMS], Compare(), True), ([2, 1], ITEMS, Compare(), False), (12, ITEMS, Compare(), False),
    ({"a": [1, 2]}, {"a": ITEMS}, Compare(), True), ([1, 2], {1, 2}, Compare(), False), ([1, 2], b"\x01\x02", Compare(), False), ("12", ["1", "2"], Compare(), False),
    ([1, 2], [0.9999999999999999, 2.0000000000000004], Compare(), False), ([1, 2], [0.9999999999999999, 2.0000000000000004], Compare(tolerance=1e-6), True),
    (0.1, 0.100001, Compare(tolerance=1e-6), True), (100, 101, Compare(tolerance=0.01), True), (100, 102, Compare(tolerance=0.01), False),
    (1, True, Compare(tolerance=0.5), True), (0, True, Compare(tolerance=1 - 1e-9), False), (10**400, 10**400 + 1, Compare(tolerance=1e-6), False), (10**400, 10**400, Compare(tolerance=1e-6), True),
    (1.0, "1.0", Compare(tolerance=1e-6), False), (1.0, None, Compare(tolerance=1e-6), False), (float("inf"), 10**400, Compare(tolerance=1e-6), False),
    ([1, 2, 3], [3, 1, 2], Compare(unordered=True), True), ([1, 2, 2], [2, 1, 1], Compare(unordered=True), False), ([1, 2], [1, 2, 3], Compare(unordered=True), False),
    ([[1, 2], [3]], [[3], [1, 2]], Compare(unordered=True), True), ([[1, 2], [3]], [[3], [2, 1]], Compare(unordered=True), False), ([[1, 2], [3]], [[3], [2, 1]], Compare(unordered="deep"), True),
    ([2, 1], {1, 2}, Compare(unordered=True), True), ([2, 2], {2}, Compare(unordered=True), False), ([2, 1], frozenset({1, 2}), Compare(), False), ([[1, 2], [3]], [{1, 2}, {3}], Compare(unordered=True), False),
    ([[3], [2, 1]], [{1, 2}, {3}], Compare(unordered="deep"), True), ([[3], [2, 1]], {frozenset({1, 2}), frozenset({3})}, Compare(unordered="deep"), True), ([[3], [2, 1]], {(3,), (2, 1)}, Compare(unordered=True), True),
    ([0.5, "a", None, [1]], [None, [1], "a", 0.5000000001], Compare(unordered=True), True), ([1, 1.0, True], [True, 1, 1.0], Compare(unordered=True), True),
    ([{"a": [2, 1]}, 3], [3, {"a": [1, 2]}], Compare(unordered="deep"), True), (["b", "a"], ITEMS, Compare(unordered=True), False), ([2, 1], ITEMS, Compare(unordered=True), True),
    ([1.0, 1.5], [1.5, 2.0], Compare(tolerance=0.25, unordered=True), False), ([1.0, 1.5], [1.5, 2.0], Compare(tolerance=0.5, unordered=True), True),
    ([[1.0], [1.5]], [[1.5], [2.0]], Compare(tolerance=0.5, unordered=True), True), ([[1.0], [1.5]], [[1.5], [2.1]], Compare(tolerance=0.3, unordered=True), False),
    ([[1.0, 5.0], [1.5, 5.0], [2.0, 5.0]], [[1.9, 5.0], [2.4, 5.0], [1.4, 5.0]], Compare(tolerance=0.3, unordered=True), True), ([10, 20], [21, 11], Compare(tolerance=0.1, unordered=True), True),
    ([[0.0], [1e-6]], [[1e-6], [2e-6]], Compare(unordered=True), True), ([True, 0.5], [0.5, 1], Compare(tolerance=0.6, unordered=True), True),
    ("YES", "yes", Compare("yesno"), True), (["No"], ["NO"], Compare("yesno"), True), ("YES", "yes", Compare("tokens"), False),
    ([1], (1,), Compare("lcb"), True), ([[1]], [(1,)], Compare("lcb"), False), (1, 1.0, Compare("lcb"), True), (0.1, 0.1000000001, Compare("lcb"), False), ([1], ITEMS, Compare("lcb"), False),
    ([1], [Opaque("E", frozenset({"=="}))], Compare("lcb"), False), ([1], [Opaque("E", frozenset({"=="}))], Compare(unordered=True), False),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "actual", "how", "same"), VALUES)
def test_value(expected: Any, actual: Any, how: Compare, same: bool) -> None:
    assert same_value(expected, actual, how) is same


def test_free_order_of_many_items_is_quick() -> None:
    many = [[number, str(number)] for number in range(20_000)]
    assert same_value(many, many[::-1], Compare(unordered=True))
    assert not same_value(many, [*many[1:], [0, "1"]], Compare(unordered=True))


def test_iterators_are_read_where_that_is_asked_for() -> None:
    for value in (iter([1, 2]), map(int, "12"), (n for n in (1, 2)), zip([1], [2], strict=True), reversed([1])):
        assert isinstance(codec.decode(codec.encode(value, listed=True)), Opaque)
    assert codec.decode(codec.encode([iter("ab")], listed=True))[0].views == {"items": ["a", "b"]}
    assert codec.decode(codec.encode(iter("ab"))).views == {}
    with pytest.raises(codec.TooLarge):
        codec.encode(iter(int, 1), parts=1000, listed=True)


@pytest.mark.parametrize(("expected", "actual"), [([math.nan], [math.nan]), ([{1: 2}], [{"1": 2}])])
def test_what_differs_in_order_differs_out_of_order(expected: list[object], actual: list[object]) -> None:
    assert not same_value(expected, actual, Compare(unordered=True))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=6), st.booleans())
def test_a_free_order_agrees_with_trying_all(pairs: list[tuple[int, int]], nested: bool) -> None:
    """With a tolerance of 2.5 steps, whatever is equal exactly may be needed elsewhere."""
    one, two = (
        ([[n / 8] if nested else n / 8 for n in part] for part in zip(*pairs, strict=True)) if pairs else ([], [])
    )
    how = Compare(tolerance=0.3, unordered=True)
    tried = any(
        all(same_value(a, b, Compare(tolerance=0.3)) for a, b in zip(one, other, strict=True))
        for other in permutations(two)
    )
    assert same_value(one, two, how) is tried


def test_matching_of_many_items_is_quick() -> None:
    """Each of 500 agrees with its own and the next, but the last: one path through all of them."""
    size = 500
    chain = [[two in (one, one + 1) for two in range(size)] for one in range(size)]
    assert can_be_paired(chain[::-1])
    assert not can_be_paired([*chain[1:], chain[-1]])
    start = time.process_time()
    assert can_be_paired([[True] * size] * size)
    assert not can_be_paired([[place > 0 for place in range(size)]] * size)
    assert time.process_time() - start < 60  # not a measurement: a cubic cost would take hours
