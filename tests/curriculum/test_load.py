"""Problem files: what is good is read whole, what is bad is refused with file, line, field and reason."""

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcoder.curriculum.problems.dump import problem_line
from stepcoder.curriculum.problems.line import schema_text
from stepcoder.curriculum.problems.load import SCHEMA_FILE, load_problems, parse_line
from stepcoder.errors import DataFileError
from stepcoder.executor.suite import Case, Compare, Limits, Suite

CALL: dict[str, Any] = {
    "id": "a/double",
    "source": "a",
    "level": "introductory",
    "statement": "Double n.",
    "starter_code": "def double(n):\n",
    "solution": "def double(n):\n    return 2 * n\n",
    "style": "call",
    "entry_point": "double",
    "tests": [{"input": [1], "output": 2}, {"input": [-3], "output": -6}],
}
STDIN = {key: value for key, value in CALL.items() if key != "entry_point"} | {
    "id": "a/echo",
    "style": "stdin",
    "solution": "print(input())\n",
    "tests": [{"input": "x\n", "output": "x\n"}],
}
ASSERT = STDIN | {"id": "a/assert", "style": "assert", "tests": [{"code": "assert double(2) == 4"}]}


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def refusal(path: str | Path) -> DataFileError:
    with pytest.raises(DataFileError) as caught:
        load_problems(path)
    return caught.value


def refused(tmp_path: Path, line: Any) -> DataFileError:
    """The refusal of a line that comes second, after a good one."""
    path = write(tmp_path / "bad.jsonl", CALL, line)
    error = refusal(path)
    assert (error.file, error.line) == (str(path), 2)
    return error


def test_three_styles_are_read_in_order(tmp_path: Path) -> None:
    call, stdin, assertion = load_problems(write(tmp_path / "good.jsonl", CALL, "", STDIN, ASSERT))
    assert (call.id, call.level, call.solution) == ("a/double", "introductory", CALL["solution"])
    assert call.suite == Suite("call", (Case([1], 2), Case([-3], -6)), "double")
    assert stdin.suite == Suite("stdin", (Case("x\n", "x\n"),))
    assert assertion.suite == Suite("assert", (Case("assert double(2) == 4"),))


def test_how_answers_are_compared(tmp_path: Path) -> None:
    more = {"tolerance": 1e-9, "unordered": "deep", "answer": {"argument": 0}, "limits": {"cpu_s": 2.5}}
    (problem,) = load_problems(write(tmp_path / "p.jsonl", CALL | {"compare": "tokens", "prelude": True} | more))
    suite = problem.suite
    assert suite.compare == Compare("tokens", 1e-9, "deep")
    assert (suite.answer, suite.prelude, suite.limits) == (0, True, Limits(2.5))
    assert parse_line(problem_line(problem).encode(), "f", 1) == problem
    check = STDIN | {"checker": "def check(input, output, expected):\n    return True\n"}
    (problem,) = load_problems(write(tmp_path / "c.jsonl", check))
    assert "return True" in problem.suite.checker and parse_line(problem_line(problem).encode(), "f", 1) == problem


@pytest.mark.parametrize(
    ("line", "compare", "prelude"),
    [
        (CALL, "strict", False),
        (CALL | {"source": "leetcode"}, "strict", True),
        (CALL | {"source": "LeetCode/42"}, "strict", True),
        (STDIN | {"source": "leetcode"}, "strict", False),
        (STDIN | {"source": "livecodebench"}, "lcb", True),
        (STDIN | {"source": "codecontests"}, "tokens", False),
        (STDIN | {"source": "codecontests", "compare": "strict", "prelude": True}, "strict", True),
        (CALL | {"entry_point": "Solution().f", "solution": ""}, "strict", True),
        (CALL | {"source": "leetcode", "prelude": False}, "strict", False),
    ],
)
def test_defaults_by_source(line: dict[str, Any], compare: str, prelude: bool) -> None:
    problem = parse_line(json.dumps(line).encode(), "f", 1)
    assert (problem.suite.compare.type, problem.suite.prelude) == (compare, prelude)
    assert parse_line(problem_line(problem).encode(), "f", 1) == problem


def test_a_module_of_tests(tmp_path: Path) -> None:
    line = {"style": "pytest", "module": "def test_a():\n    assert f(1) == 1\n", "tests": [{"name": "test_a"}]}
    kept = {key: value for key, value in STDIN.items() if key not in line}
    (problem,) = load_problems(write(tmp_path / "p.jsonl", kept | line))
    assert problem.suite == Suite("pytest", (Case("test_a"),), module=str(line["module"]))
    assert parse_line(problem_line(problem).encode(), "f", 1) == problem


def test_judging_needs_tests_only() -> None:
    line = {"id": "a", "style": "call", "entry_point": "f", "tests": [{"input": [1], "output": 2}]}
    problem = parse_line(json.dumps(line).encode(), "f", 1, judging=True)
    assert (problem.statement, problem.solution, problem.level) == ("", "", "interview")


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1.8e308"])
def test_a_number_that_no_float_holds(number: str) -> None:
    line = json.dumps(CALL).replace("-6", number)
    with pytest.raises(DataFileError, match="larger than any float"):
        parse_line(line.encode(), "f", 1)


def test_gzip_reads_like_plain(tmp_path: Path) -> None:
    plain = write(tmp_path / "p.jsonl", CALL, STDIN)
    packed = tmp_path / "p.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert load_problems(packed) == load_problems(plain)


def test_starter_names_are_known() -> None:
    assert load_problems("starter:train")[0].source == "starter"
    error = refusal("starter:test")
    assert error.line is None and "heldout, study, train" in error.reason


def test_method_entry_point(tmp_path: Path) -> None:
    solution = "class Solution:\n    def double(self, n):\n        return 2 * n\n"
    method = CALL | {"entry_point": "Solution().double", "solution": solution}
    (problem,) = load_problems(write(tmp_path / "p.jsonl", method))
    assert problem.suite.entry_point == "Solution().double"


def test_solution_that_does_not_parse_is_not_refused(tmp_path: Path) -> None:
    (problem,) = load_problems(write(tmp_path / "p.jsonl", CALL | {"solution": "print 'python 2'\n"}))
    assert problem.solution == "print 'python 2'\n"


def test_none_is_an_expected_value(tmp_path: Path) -> None:
    (problem,) = load_problems(write(tmp_path / "p.jsonl", CALL | {"tests": [{"input": [1], "output": None}]}))
    assert problem.suite.cases == (Case([1], None),)


@given(st.integers(min_value=1, max_value=9), st.integers(min_value=4301, max_value=9000), st.booleans())
def test_integers_beyond_the_digit_limit(first: int, digits: int, negative: bool) -> None:
    text = "-" * negative + str(first) + "0" * (digits - 2) + "7"
    line = json.dumps(CALL).replace("-6", text)
    expected = (first * 10 ** (digits - 1) + 7) * (-1 if negative else 1)
    assert parse_line(line.encode(), "f", 1).suite.cases[1].output == expected


@pytest.mark.parametrize("key", ["entry_point", "id", "statement", "style", "tests"])
def test_missing_key(tmp_path: Path, key: str) -> None:
    line = {name: value for name, value in CALL.items() if name != key} | ({} if key == "id" else {"id": "b"})
    error = refused(tmp_path, line)
    assert error.field == key and error.reason.startswith("missing")


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"tests": []}, "tests", "no tests"),
        ({"solutions": "x"}, "solutions", "unknown key, did you mean `solution`?"),
        ({"tests": [{"input": [1], "outputs": 2}]}, "tests.0.outputs", "unknown key, did you mean `output`?"),
        ({"tests": [{"input": [1]}]}, "tests.0.output", "missing"),
        ({"tests": [{"input": [1], "output": 2}, {"input": 1, "output": 2}]}, "tests.1.input", "valid list (got int)"),
        ({"tests": [{"input": [1, 2], "output": 2}]}, "tests.0.input", "2 arguments, but `double` of the solution"),
        ({"tests": [{"input": [], "output": 2}]}, "tests.0.input", "0 arguments"),
        ({"tests": {"input": [1], "output": 2}}, "tests", "valid list (got dict)"),
        ({"level": "introductry"}, "level", "did you mean `introductory`?"),
        ({"level": "hard"}, "level", "known: introductory, interview, competition"),
        ({"style": "calls"}, "style", "did you mean `call`?"),
        ({"style": None}, "style", "not one of"),
        ({"style": []}, "style", "not one of"),
        ({"style": "assert", "tests": ASSERT["tests"]}, "entry_point", "only call style and stdin"),
        ({"statement": 5}, "statement", "valid string (got int)"),
        ({"statement": ""}, "statement", "missing"),
        ({"compare": "token"}, "compare", "did you mean `tokens`?"),
        ({"tolerance": -1}, "tolerance", "greater than or equal to 0"),
        ({"tolerance": "1e-6"}, "tolerance", "valid number"),
        ({"limits": {"cpu": 1}}, "limits.cpu", "unknown key, did you mean `cpu_s`?"),
        ({"limits": {"cpu_s": 0}}, "limits.cpu_s", "greater than 0"),
        ({"answer": {"arg": 0}}, "answer.arg", "known: argument"),
        ({"module": "x = 1"}, "module", "only for problems in pytest style"),
        ({"checker": "def check(:"}, "checker", "does not parse"),
        ({"id": 7}, "id", "valid string (got int)"),
        ({"entry_point": "not a name"}, "entry_point", "match pattern"),
        ({"id": "a/double"}, "id", "duplicate id 'a/double', first used in line 1"),
    ],
)
def test_bad_value(tmp_path: Path, change: dict[str, Any], field: str, reason: str) -> None:
    error = refused(tmp_path, CALL | {"id": "b"} | change)
    assert error.field == field
    assert reason in error.reason


def test_stdin_input_that_is_a_list(tmp_path: Path) -> None:
    error = refused(tmp_path, STDIN | {"tests": [{"input": ["x"], "output": "x"}]})
    assert (error.field, "valid string (got list)" in error.reason) == ("tests.0.input", True)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": ', "not valid JSON"),
        ("[1]", "expected a JSON object, got list"),
        ("7", "expected a JSON object, got int"),
        ("[" * 100_000, "nested too deeply"),
        (json.dumps(CALL).replace("-6", "NaN"), "NaN is not JSON"),
        (json.dumps(CALL).replace('"source": "a"', '"source": "a", "source": "b"'), "given twice"),
    ],
)
def test_line_that_is_not_a_json_object(tmp_path: Path, line: str, reason: str) -> None:
    assert reason in refused(tmp_path, line).reason


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes(json.dumps(CALL).encode() + b"\n" + b'{"id": "caf\xe9"}\n')
    error = refusal(path)
    assert error.line == 2 and "0xe9 at column 12" in error.reason


def test_missing_empty_and_damaged_files(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.jsonl").reason == "no such file"
    assert refusal(write(tmp_path / "empty.jsonl", "")).reason == "the file holds no problem"
    assert refusal(tmp_path).reason == "is a folder; give a file of JSON lines"
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(json.dumps(CALL).encode())[:-20])
    assert "cannot be read" in refusal(cut).reason


def test_error_speaks_and_survives_pickling(tmp_path: Path) -> None:
    error = pickle.loads(pickle.dumps(refused(tmp_path, CALL | {"id": "b", "tests": []})))
    assert str(error) == f"{tmp_path}/bad.jsonl, line 2, field `tests`: no tests: a problem needs at least one"


def test_shipped_schema_is_the_models_schema() -> None:
    """After a change of the models, write `schema_text()` to curriculum/problem.schema.json."""
    assert SCHEMA_FILE.read_text() == schema_text()
