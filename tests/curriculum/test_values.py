"""The native format both ways: keyword arguments, lists and trees, setup, and values that JSON has no form for."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepcoder.curriculum.problems.dump import problem_line
from stepcoder.curriculum.problems.load import load_problems, parse_line
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.errors import DataFileError
from stepcoder.executor.case_json import from_json, to_json
from stepcoder.executor.sandbox.values.structures import BinaryTree, LinkedList
from stepcoder.executor.suite import Case, Suite

LINE: dict[str, Any] = {
    "id": "a/f",
    "source": "a",
    "level": "interview",
    "statement": "Reverse.",
    "starter_code": "",
    "solution": "class S:\n    def f(self, head, k=0, *, deep=False):\n        return head\n",
    "setup": "import math\n",
    "style": "call",
    "entry_point": "S().f",
    "tests": [{"input": [{"$list_node": [1, 2]}], "keywords": {"deep": True}, "output": {"$tree_node": [1, None, 2]}}],
}


def parsed(change: dict[str, Any]) -> Problem:
    return parse_line(json.dumps(LINE | change).encode(), "f", 1)


def refused(change: dict[str, Any]) -> DataFileError:
    with pytest.raises(DataFileError) as caught:
        parsed(change)
    return caught.value


def test_lists_trees_keywords_and_setup_are_read() -> None:
    suite = parsed({}).suite
    assert suite.setup == "import math\n"
    assert suite.cases == (Case([LinkedList((1, 2))], BinaryTree((1, None, 2)), {"deep": True}),)


@pytest.mark.parametrize(
    ("test", "field", "reason"),
    [
        ({"input": [{"$list": [1]}], "output": 1}, "tests.0.input", "unknown tag `$list`; known: $list_node"),
        ({"input": [{"$list_node": 1}], "output": 1}, "tests.0.input", "holds a list, not int"),
        ({"input": [1], "output": {"$tree_node": [None, 1]}}, "tests.0.output", "no node's child"),
        ({"input": [1], "output": {"$dict": [[[1], 2]]}}, "tests.0.output", "pairs of a plain key"),
        ({"input": [1], "keywords": {"dep": True}, "output": 1}, "tests.0.keywords.dep", "no such argument"),
        ({"input": [1], "keywords": {"head": 1}, "output": 1}, "tests.0.keywords.head", "no such argument there"),
        ({"input": [], "keywords": {"deep": True}, "output": 1}, "tests.0.input", "takes 1 to 2"),
        ({"input": [1], "keywords": [1], "output": 1}, "tests.0.keywords", "valid dictionary (got list)"),
    ],
)
def test_a_bad_value_is_refused_where_it_stands(test: dict[str, Any], field: str, reason: str) -> None:
    error = refused({"tests": [test]})
    assert error.field == field and reason in error.reason


def test_arguments_by_keyword_count() -> None:
    assert parsed({"tests": [{"input": [], "keywords": {"head": 1, "k": 2}, "output": 1}]}).suite.cases[0].input == []


def test_a_setup_that_does_not_parse_is_refused() -> None:
    assert refused({"setup": "import ("}).field == "setup"


def test_a_stdin_problem_may_name_its_wrapper() -> None:
    change = {"style": "stdin", "entry_point": "main", "tests": [{"input": "", "output": "1"}]}
    assert parsed(change).suite.entry_point == "main"
    assert refused(change | {"entry_point": "S().main"}).field == "entry_point"


PLAIN = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.just("$dict"), inner)
        | st.dictionaries(st.integers() | st.text(), inner)
        | st.lists(inner, min_size=1).map(lambda v: LinkedList(tuple(v)))
    ),
    max_leaves=20,
)


@settings(max_examples=60)
@given(st.lists(VALUES), VALUES)
def test_a_problem_survives_the_file(arguments: list[Any], output: Any) -> None:
    suite = Suite("call", (Case(arguments, output, {"k": output}),), "f", "x = 1\n")
    problem = Problem("a/é", "a", "interview", "ß", "", "f = max\n", suite)
    line = problem_line(problem)
    assert "\n" not in line and parse_line(line.encode(), "f", 1) == problem


def test_integers_of_any_length_and_texts_as_they_are(tmp_path: Path) -> None:
    case = Case([10**5000 + 1], -(10**6000))
    problem = Problem("a/b", "a", "interview", "größer", "", "f = max\n", Suite("call", (case,), "f"))
    path = tmp_path / "p.jsonl"
    path.write_text(problem_line(problem) + "\n", encoding="utf-8")
    assert "größer" in path.read_text(encoding="utf-8")
    assert load_problems(path) == [problem]


def test_what_has_no_form_is_refused() -> None:
    assert to_json((1, [BinaryTree((1,))])) == [1, [{"$tree_node": [1]}]]
    assert from_json({"$dict": [[1, {"a": []}]]}) == {1: {"a": []}}
    for value in (float("nan"), float("inf"), {1, 2}, b"x", {(1, 2): 3}):
        with pytest.raises(ValueError, match="no form for"):
            to_json([value])
    with pytest.raises(ValueError, match="surrogates"):
        problem_line(Problem("a", "a", "interview", "\ud800", "", "x", Suite("stdin", (Case("", ""),))))
