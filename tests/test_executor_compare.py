# ruff: noqa: E501  (tables of examples, a row each)
"""Comparison rules, the reward table, the split of a suite, and the codec: all pure."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.compare import same_text, same_value
from executor.plan import plan
from executor.report import Report, TestOutcome, Verdict
from executor.reward import reward
from executor.sandbox import codec
from executor.suite import Case, Suite

TEXTS = [  # expected, actual, strict, apps
    ("1\n", "1", True, True),
    ("1\n2\n", "1  \n2\n\n\n", True, True),
    ("1 2\n", "1   2\n", True, True),
    ("1\n2", "1\r\n2\r\n", True, True),
    ("1 2", "1\n2", False, False),
    ("1\n\n2", "1\n2", False, True),
    ("", "\n \n", True, True),
    ("1 2 3", "3 2 1", False, True),
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
    ("1.5 x", "1.5000000001 x", True, True),
    ("1_0.0", "10.0", False, True),
    ("٣.0", "3.0", False, True),
    ("12", "12abc", False, False),
    ("12\n13", "12", False, False),
]


@pytest.mark.parametrize(("expected", "actual", "strict", "apps"), TEXTS)
def test_text(expected: str, actual: str, strict: bool, apps: bool) -> None:
    assert same_text(expected, actual, "strict") is strict
    assert same_text(expected, actual, "apps") is apps


VALUES = [  # expected, actual, strict, apps
    (2, 2.0, True, True),
    ([1, [2]], (1, (2,)), True, True),
    (0.3, 0.1 + 0.2, True, True),
    (0.3, 0.31, False, False),
    (math.nan, math.nan, False, False),
    (math.inf, math.inf, True, True),
    (1, "1", False, False),
    (None, None, True, True),
    ([1, 2], [2, 1], False, False),
    ([1], 1, False, True),
    ([1, 2], {1, 2}, False, False),
    ({"1": 2}, {1: 2}, True, True),
    ({"a": 1.0}, {"a": 1.0000000001}, True, True),
    ({"a": 1}, {"a": 1, "b": 2}, False, False),
    ({1, 2}, {2, 1}, True, True),
    ("x", codec.Opaque("str"), False, False),
    (10**400, 1.5, False, False),
    (10**30, 1e30, False, False),
]


@pytest.mark.parametrize(("expected", "actual", "strict", "apps"), VALUES)
def test_value(expected: object, actual: object, strict: bool, apps: bool) -> None:
    assert same_value(expected, actual, "strict") is strict
    assert same_value(expected, actual, "apps") is apps


REWARDS = [
    (Verdict.PASSED, (1.0, 1.0)),
    (Verdict.WRONG_ANSWER, (-0.3, 0.0)),
    (Verdict.RUNTIME_ERROR, (-0.6, 0.0)),
    (Verdict.TIMEOUT, (-0.6, 0.0)),
    (Verdict.MEMORY_LIMIT, (-0.6, 0.0)),
    (Verdict.OUTPUT_LIMIT, (-0.6, 0.0)),
    (Verdict.COMPILE_ERROR, (-1.0, 0.0)),
]


@pytest.mark.parametrize(("verdict", "wanted"), REWARDS)
def test_reward(verdict: Verdict, wanted: tuple[float, float]) -> None:
    assert (reward(Report(verdict), "stepcoder"), reward(Report(verdict), "binary")) == wanted


def test_every_verdict_but_infra_error_has_a_reward() -> None:
    assert {verdict for verdict, _ in REWARDS} == set(Verdict) - {Verdict.INFRA_ERROR}
    for kind in ("stepcoder", "binary", "ratio"):
        with pytest.raises(ValueError, match="infra_error"):
            reward(Report(Verdict.INFRA_ERROR, error="disk full"), kind)
    with pytest.raises(ValueError, match="choose stepcoder"):
        reward(Report(Verdict.PASSED), "stepkoder")


def test_ratio() -> None:
    ok, bad, error = (TestOutcome(v) for v in (Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR))
    assert reward(Report(Verdict.PASSED, (ok, ok)), "ratio") == 1.0
    assert reward(Report(Verdict.WRONG_ANSWER, (bad, ok, bad, ok)), "ratio") == pytest.approx(0.35)
    assert reward(Report(Verdict.WRONG_ANSWER, (bad,)), "ratio") == -0.3
    assert reward(Report(Verdict.WRONG_ANSWER, (bad, ok, error)), "ratio") == -0.6
    assert reward(Report(Verdict.COMPILE_ERROR), "ratio") == -1.0


def test_expected_outputs_are_not_in_what_the_child_gets() -> None:
    for suite in (
        Suite("stdin", (Case("1", "secret"),)),
        Suite("call", (Case([1], "secret"),), "f"),
        Suite("assert", (Case("assert f(1) == 'secret'"), Case("assert 'secret' == f(1, k=[2])"))),
    ):
        assert "secret" not in plan(suite).wire


def test_an_assert_becomes_a_call_where_it_is_one() -> None:
    code = "assert f([1, (2, 3)], {4}, k=-1) == {1: 'a'}"
    (case,) = plan(Suite("assert", (Case(code),))).cases
    assert (case.kind, case.expected) == ("value", {1: "a"})
    assert case.wire is not None
    assert [codec.decode(a) for a in case.wire["args"]] == [[1, (2, 3)], {4}]
    assert case.wire["kwargs"] == {"k": -1}
    for other in ("assert f(1)", "assert f(x) == 1", "x = 1\nassert f(x) == 1", "assert f(1) == g(1)"):
        (case,) = plan(Suite("assert", (Case(other),))).cases
        assert case.kind == "code"


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        (Suite("stdin", ()), "without tests"),
        (Suite("call", (Case([1], 1),)), "entry point"),
        (Suite("call", (Case(1, 1),), "f"), "test 1: .*list"),
        (Suite("stdin", (Case("1", "1"), Case("1"))), "test 2: .*text"),
        (Suite("assert", (Case("assert ("),)), "does not parse"),
        (Suite("assert", (Case("x = 1"),)), "no assert"),
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
    assert same_value(value, codec.decode(codec.encode(value)), "strict")


@pytest.mark.parametrize("data", [{"x": 1}, {"t": 1, "s": 2}, {}, {"i": "zz"}, {"b": "0"}])
def test_codec_refuses_what_it_never_makes(data: object) -> None:
    with pytest.raises(ValueError):
        codec.decode(data)
