# ruff: noqa: E501  (tables of examples, a row each)
"""Comparison rules, the split of a suite, and the codec: all pure."""

import json
import math
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcoder.executor.judging.compare import same_text, same_value
from stepcoder.executor.judging.plan import plan
from stepcoder.executor.sandbox.values import codec
from stepcoder.executor.sandbox.values.structures import BinaryTree, LinkedList
from stepcoder.executor.suite import Case, Compare, Suite

STRICT, APPS = Compare(), Compare("apps")

TEXTS = [  # expected, actual, strict, apps
    ("1\n", "1", True, True),
    ("1\n2\n", "1  \n2\n\n\n", True, True),
    ("1 2\n", "1   2\n", True, True),
    ("1\n2", "1\r\n2\r\n", True, True),
    ("1 2", "1\n2", False, False),
    ("1\n\n2", "1\n2", False, True),
    ("", "\n \n", True, True),
    ("1 2 3", "3 2 1", False, True),
    ("a\n \nb", "a\nb", False, False),
    ("a\n\nb", "a\nb", False, True),
    ("x 1.00001", "x 1.00002", False, False),
    ("3 1.00001", "3 1.00002", False, True),
    ("3 100000.5", "3 100000.6", True, False),
    ("100000.5", "100000.6", True, True),
    ("2\n1.0\n", "1.0\n2\n", False, True),
    ("inf\n1", "inf\n1.0", False, True),
    ("a b\na b", "a b", False, True),
    ("a b", "a\x0cb", True, False),
    ("1 2", "1 2 2", False, True),
    ("a\nb", "b\na", False, True),
    ("YES", "yes", False, False),
    ("0.5", "0.5000001", True, True),
    ("0.5", "0.51", False, False),
    ("0.50", ".5", True, True),
    ("1e-3", "0.001", True, True),
    ("1000000000.0", "1000000001.0", True, True),
    ("2", "2.0", False, True),
    ("1000000", "1000001", False, True),
    ("nan", "nan", False, True),
    ("inf", "inf", True, True),
    ("1.5 x", "1.5000000001 x", True, False),
    ("1_0.0", "10.0", False, True),
    ("٣.0", "3.0", False, True),
    ("12", "12abc", False, False),
    ("12\n13", "12", False, False),
]


@pytest.mark.parametrize(("expected", "actual", "strict", "apps"), TEXTS)
def test_text(expected: str, actual: str, strict: bool, apps: bool) -> None:
    assert same_text(expected, actual, STRICT) is strict
    assert same_text(expected, actual, APPS) is apps


VALUES = [  # expected, actual, strict, apps
    (2, 2.0, True, True),
    ([1, [2]], (1, (2,)), True, True),
    (0.3, 0.1 + 0.2, True, False),
    (0.3, 0.31, False, False),
    (math.nan, math.nan, False, False),
    (math.inf, math.inf, True, True),
    (1, "1", False, False),
    (None, None, True, True),
    ([1, 2], [2, 1], False, False),
    ([1], 1, False, True),
    ([1, 2], {1, 2}, False, False),
    ({"1": 2}, {1: 2}, True, True),
    ({"a": 1.0}, {"a": 1.0000000001}, True, False),
    ([[1, 2]], [(1, 2)], True, True),
    ([[[1, 2]]], [(1, 2)], False, True),
    ([], None, False, False),
    (LinkedList((1, 2)), LinkedList((1, 2.0)), True, True),
    (LinkedList((1, 2)), [1, 2], False, False),
    ([1, 2], LinkedList((1, 2)), False, False),
    (LinkedList((1,)), BinaryTree((1,)), False, False),
    (BinaryTree((1, None, 2)), BinaryTree((1, 2)), False, False),
    (None, LinkedList((1,)), False, False),
    ({"a": 1}, {"a": 1, "b": 2}, False, False),
    ({"1": 6}, {1: "junk", "1": 6}, False, False),
    ({"1": 6}, {"1": 6, 1: 6}, False, False),
    ({"true": 6}, {True: "junk", "true": 6}, False, False),
    ({"1.0": 6}, {1.0: "junk", "1.0": 6}, False, False),
    ({"null": 6}, {None: "junk", "null": 6}, False, False),
    ([{"k": {"1": 6}}], [{"k": {1: "junk", "1": 6}}], False, False),
    ([1, 2], deque([1, 2]), True, False),
    ([0, 1], range(2), True, False),
    (2, Fraction(2), False, False),
    (2.0, Decimal(2), False, False),
    ({"a": 2}, Counter("aa"), True, True),
    ({1, 2}, {2, 1}, True, True),
    ("x", codec.Opaque("str"), False, False),
    (10**400, 1.5, False, False),
    (10**30, 1e30, False, False),
]


@pytest.mark.parametrize(("expected", "actual", "strict", "apps"), VALUES)
def test_value(expected: object, actual: object, strict: bool, apps: bool) -> None:
    assert same_value(expected, actual, STRICT) is strict
    assert same_value(expected, actual, APPS) is apps


def test_expected_outputs_are_not_in_what_the_child_gets() -> None:
    for suite in (
        Suite("stdin", (Case("1", "secret"),)),
        Suite("call", (Case([1], "secret"),), "f"),
        Suite("call", (Case([1], "secret", {"k": 2}),), "f"),
        Suite("assert", (Case("assert f(1) == 'secret'"), Case("assert 'secret' == f(1, k=[2])"))),
        Suite("assert", (Case("assert f(1) not in ('secret', 1)"), Case("assert abs(f(2) - len('secret')) < 1"))),
    ):
        made = plan(suite)
        assert b"secret" not in made.wire + made.inputs


DEEP: list = []
for _ in range(300):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        (Suite("stdin", ()), "without tests"),
        (Suite("call", (Case([1], 1),)), "entry point"),
        (Suite("call", (Case(1, 1),), "f"), "test 1: .*list"),
        (Suite("stdin", (Case("1", "1"), Case("1"))), "test 2: .*text"),
        (Suite("assert", (Case("assert ("),)), "does not parse"),
        (Suite("assert", (Case("x = 1"),)), "no assert"),
        (Suite("stdin", (Case("1", "1"),), setup="import ("), "setup does not compile"),
        (Suite("call", (Case([DEEP], 1),), "f"), "test 1: the arguments are too large"),
    ],
)
def test_a_suite_that_could_pass_unseen_is_refused(suite: Suite, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(suite)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
)
KEYS = st.integers() | st.text() | st.tuples(st.integers(), st.text())
DATA = st.recursive(
    SCALARS | st.sets(KEYS),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


@given(DATA)
def test_codec_keeps_values_and_types(value: object) -> None:
    back = codec.decode(json.loads(json.dumps(codec.encode(value))))
    assert back == value and repr(type(back)) == repr(type(value))


@given(DATA)
def test_what_is_equal_passes(value: object) -> None:
    assert same_value(value, codec.decode(codec.encode(value)), STRICT)


STANDARD = [
    range(5, 0, -2), deque([1, [2]], 3), deque(), Counter("aab"), OrderedDict([("b", 1), ("a", 2)]),
    defaultdict(list, {1: [2]}), frozenset({1, (2, 3)}), Fraction(-1, 3), Decimal("1.50"), Decimal("-Infinity"),
    date(2020, 2, 3), datetime(2020, 2, 3, 4, 5, 6, 7, timezone(timedelta(hours=2)), fold=1), time(1, 2, fold=1),
    timedelta(-1, 5, 7), UTC, bytearray(b"a"),
]  # fmt: skip


@pytest.mark.parametrize("value", STANDARD, ids=repr)
def test_codec_keeps_standard_types(value: object) -> None:
    back = codec.decode(json.loads(json.dumps(codec.encode([value]))))[0]
    assert back == value and repr(back) == repr(value) and type(back) is type(value)


@pytest.mark.parametrize("view", ["keys", "values", "items"])
def test_codec_keeps_views(view: str) -> None:
    value = getattr({"b": 1, "a": 2}, view)()
    back = codec.decode(json.loads(json.dumps(codec.encode(value))))
    assert list(back) == list(value) and repr(back) == repr(value)


@pytest.mark.parametrize("value", [range(10**7), Decimal("1e999999"), Decimal("1e-999999")], ids=repr)
def test_a_standard_value_that_would_grow_is_refused(value: object) -> None:
    with pytest.raises(codec.TooLarge):
        codec.encode(value)


@pytest.mark.parametrize(
    "parts",
    [["range", 0, 10**7], ["Decimal", "1e999999"], ["Decimal", "9" * 10**5], ["Fraction", 1, 0], ["Fraction", 1.5, 2], ["date", 0, 0, 0], ["dict"]],
    ids=repr,
)  # fmt: skip
def test_codec_refuses_parts_of_no_standard_value(parts: list) -> None:
    with pytest.raises(ValueError):
        codec.decode({"x": parts})


def test_keys_that_are_one_as_data_are_no_table() -> None:
    for data in ({"d": [["1", 5], ["1", 6]]}, {"s": [1, 1.0]}, {"x": ["Counter", [1, 2], [True, 3]]}):
        assert isinstance(codec.decode(data), codec.Opaque)


def test_a_table_of_chosen_keys_is_refused() -> None:
    collide = [codec.encode(number * (2**61 - 1)) for number in range(1, 3000)]
    with pytest.raises(ValueError, match="same hash"):
        codec.decode({"s": collide})
    with pytest.raises(ValueError, match="same hash"):
        codec.decode({"d": [[key, 1] for key in collide]})
    assert len(codec.decode({"s": list(range(3000))})) == 3000


@pytest.mark.parametrize("data", [{"x": 1}, {"t": 1, "s": 2}, {}, {"i": "zz"}, {"b": "0"}])
def test_codec_refuses_what_it_never_makes(data: object) -> None:
    with pytest.raises(ValueError):
        codec.decode(data)


@pytest.mark.parametrize("printed", ["\n" * 100_000, " \n" * 50_000, "\n" * 100_000 + "x", "\r" * 100_000])
def test_a_flood_of_blanks_costs_no_step_for_each(printed: str) -> None:
    """Counted in calls, which do not depend on the machine."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        same = same_text("6\n", printed, STRICT)
    finally:
        sys.setprofile(None)
    assert not same and calls < 1_000
