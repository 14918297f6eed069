# ruff: noqa: E501  (tables of examples, a row each)
"""Asserts as data: which are turned into a call and a check, what the check says, and what stays guarded."""

import math

import pytest

from stepcoder.executor.judging.asserts import Check, Unsupported, constant, question
from stepcoder.executor.judging.plan import plan
from stepcoder.executor.sandbox.values import codec
from stepcoder.executor.sandbox.values.codec import Opaque
from stepcoder.executor.sandbox.values.structures import BinaryTree, LinkedList
from stepcoder.executor.suite import Case, Suite

CONVERTED = [  # the assert, positional arguments, answers that pass, answers that fail
    ("assert f(1, [2]) == (3, 4)", [1, [2]], [(3, 4)], [[3, 4], (3,), None]),
    ("assert (3, 4) == f()", [], [(3, 4)], [[3, 4]]),
    ("assert f(1) == 0.3", [1], [0.3], [0.1 + 0.2]),
    ("assert f(-1) != 2", [-1], [3, None, Opaque("f")], [2, 2.0]),
    ("assert f('a')", ["a"], [1, [0], Opaque("Match")], [0, "", [], None]),
    ("assert not f(1)", [1], [0, "", None], [1, Opaque("f")]),
    ("assert f(1) is None", [1], [None], [0, False, Opaque("x")]),
    ("assert f(1) is not None", [1], [0, Opaque("x")], [None]),
    ("assert f(1) is True", [1], [True], [1, "True"]),
    ("assert f(1) in (1, 'a')", [1], [1, "a", 1.0], ["b", [], None]),
    ("assert f(1) not in [1]", [1], [2, None], [1]),
    ("assert 2 in f(1)", [1], [[1, 2], {2}, {2: 0}], [[], "abc", None]),
    ("assert 1 < f(1) <= 2", [1], [1.5, 2], [1, 3, "2"]),
    ("assert abs(f(2) - 0.5) < 1e-6", [2], [0.5, 0.5000001], [0.6, "0.5", math.nan, None]),
    ("import math\nassert math.isclose(f(2), 0.1, rel_tol=1e-3)", [2], [0.1, 0.10001], [0.2, "0.1"]),
    ("assert round(f(2), 2) == 0.33", [2], [1 / 3, 0.33], [0.34, None]),
    ("assert set(f(2)) == set([1, 2])", [2], [[2, 1, 1], (1, 2)], [[1], None, [[1], [2]]]),
    ("assert sorted(f(2)) == [1, 2]", [2], [[2, 1], {1, 2}], [[2, 1, 1], ["a", 1]]),
    ("assert len(f(2)) == 2", [2], ["ab", [1, 2]], ["a", 2]),
    ("assert tuple(f([1])) == tuple([1, 2])", [[1]], [[1, 2]], [[2, 1]]),
    ("assert str(f(2)) == '[1]'", [2], [[1]], ["1"]),
    ("assert int(f(5, 3)) == 35", [5, 3], [35, 35.9, "35"], [36, "x", "9" * 5000]),
    ("assert f(2)[0] == 1", [2], [[1, 5], {0: 1}], [[], [2], 1]),
    ("assert f(2)[-1] == 1", [2], [[5, 1]], [[]]),
    ("assert f(1) == 2 and 1 == 1", [1], [2], [3]),
    ("assert f(1) == 2 or False", [1], [2], [3]),
    ("assert f(1) + 1 == 3", [1], [2], ["2", 3]),
    ("assert sum(10, 15) == 6", [10, 15], [6], [25]),
    ("assert f(float('inf'), 1.0 / 4, 2 ** 10, -(3), [0] * 3, set()) == 1", [math.inf, 0.25, 1024, -3, [0] * 3, set()], [1], [2]),
    ("assert f({'a': (1, {2})}, 'x' + 'y', None) == 1, 'a message'", [{"a": (1, {2})}, "xy", None], [1], [2]),
    ("assert f(list_node([1, 2]), tree_node([1, None, 2])) == 1", [LinkedList((1, 2)), BinaryTree((1, None, 2))], [1], [2]),
    ("assert is_same_list(f(list_node([])), list_node([1]))", [None], [LinkedList((1,))], [None, [1], LinkedList((2,)), BinaryTree((1,))]),
    ("assert is_same_tree(f([]), tree_node([]))", [[]], [None], [BinaryTree((1,)), 0]),
]  # fmt: skip


@pytest.mark.parametrize(("code", "args", "right", "wrong"), CONVERTED)
def test_converted(code: str, args: list, right: list, wrong: list) -> None:
    asked = question(code)
    assert asked.args == args
    assert [asked.check.holds(answer) for answer in right] == [True] * len(right)
    assert [asked.check.holds(answer) for answer in wrong] == [False] * len(wrong)


def test_functions_methods_and_keywords() -> None:
    asked = question("assert Solution().twoSum(nums=[1, 2], target=-3) == [0]")
    assert (asked.function, asked.args, asked.keywords) == ("Solution().twoSum", [], {"nums": [1, 2], "target": -3})
    other = asked.check.equals()
    assert other is not None and constant(other) == [0]
    assert question("assert f(1) != 2").check.equals() is None
    assert question("assert is_same_list(f(1), list_node([2]))").check.equals() is not None


GUARDED = [
    "assert f(x) == 1",
    "x = 1\nassert f(x) == 1",
    "assert f(1) == g(1)",
    "assert f(f(1)) == 1",
    "assert f(1) is g",
    "assert f(1) is 257",
    "assert f(1).strip() == 'a'",
    "assert all(v > 0 for v in f(1))",
    "assert sorted(f(1), key=len) == []",
    "assert f(*[1]) == 1",
    "assert f(**{'a': 1}) == 1",
    "assert f(1)[g] == 1",
    "assert module.f(1) == 1",
    "assert f(Pair(1, 2)) == 1",
    "assert f(int) == 1",
    "assert (lambda: f(1))() == 1",
    "assert g == 1",
    "assert f(1) == 1\nassert f(2) == 2",
    "import os\nassert f(1) == 1",
    "assert f(2 ** 10 ** 9) == 1",
    "assert f('a' * 10 ** 9) == 1",
    "assert f(1) * 1000 == [g]",
    "assert f(1 / 0) == 1",
    "assert f(1) ** 1000 == 1",
    "for i in range(3):\n    assert f(i) == i",
]


@pytest.mark.parametrize("code", GUARDED)
def test_guarded(code: str) -> None:
    with pytest.raises(Unsupported):
        question(code)
    (case,) = plan(Suite("assert", (Case(code),))).cases
    assert case.kind == "code"
    assert case.wire is not None and case.wire["code"] == code and case.wire["seal"] == case.expected


def test_each_guarded_test_has_a_seal_of_its_own() -> None:
    suite = Suite("assert", (Case("assert f(x)"), Case("assert f(x)")))
    seals = {case.expected for _ in range(2) for case in plan(suite).cases}
    assert len(seals) == 4


def test_a_converted_assert_is_a_call_for_the_program() -> None:
    (case,) = plan(Suite("assert", (Case("assert f([1, (2, 3)], {4}, k=-1) == {1: 'a'}"),))).cases
    assert case.kind == "check" and isinstance(case.expected, Check) and case.wire is not None
    assert [codec.decode(a) for a in case.wire["args"]] == [[1, (2, 3)], {4}]
    assert case.wire == {"fn": "f", "args": case.wire["args"], "kwargs": {"k": -1}}


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("assert set(f(1)) == set()", [n * (2**61 - 1) for n in range(1, 40_000)]),
        ("assert sum(f(1)) == 0", [[1]] * 100_000),
        ("assert str(f(1)) == ''", 10**100_000),
        ("assert int(f(1)) == 1", "9" * 1_000_000),
        ("assert f(1) * 1000000 == ''", "a" * 1_000_000),
        ("assert f(1) % 7 == 9", "%1000000000d"),
    ],
    ids=["set", "sum", "str", "int", "times", "format"],
)
def test_a_check_does_little_work_for_a_hostile_answer(code: str, answer: object) -> None:
    check = question(code).check
    assert not check.holds(answer)  # each would take minutes or all memory
