"""Readers of data sets: each format as its authors publish it, and every reason for a refusal."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from stepcoder.curriculum.data.readers import reader
from stepcoder.curriculum.data.readers.checks import split_check
from stepcoder.curriculum.data.readers.record import Reason, Record, Rejected
from stepcoder.curriculum.problems.dump import problem_line
from stepcoder.errors import DataFileError
from stepcoder.executor.sandbox.values.structures import BinaryTree, LinkedList
from stepcoder.executor.suite import Case, Suite

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

APPS: dict[str, Any] = {
    "problem_id": 7,
    "question": "Double it.",
    "solutions": json.dumps(
        ["print(2 * int(input()))", "n = int(input())\nprint(n + n)", " ", "print(2 * int(input()))"]
    ),
    "input_output": json.dumps({"inputs": ["1\n", ["2", "3"]], "outputs": ["2\n", ["4", "6"]]}),
    "difficulty": "interview",
    "starter_code": "",
}
PLUS: dict[str, Any] = {
    "prompt": "Double it.",
    "canonical_solution": "import sys\ndef solve():\n    print(2 * int(input()))\n",
    "starter_code": "",
    "inputs": ["1\n", "2\n"],
    "outputs": ["2\n", "4\n"],
}
MBPP: dict[str, Any] = {
    "task_id": 5,
    "text": "Write a function.",
    "code": "def f(a):\r\n    return a",
    "test_setup_code": "",
    "test_list": ["assert f([1, 2]) == [1, 2]", "assert f(x) == 2"],
}
HUMANEVAL: dict[str, Any] = {
    "task_id": "HumanEval/3",
    "prompt": 'def f(a):\n    """ Return a. """\n',
    "entry_point": "f",
    "canonical_solution": "    return a\n",
    "test": "M = 3\ndef check(candidate):\n    assert candidate(1) == 1, 'no'\n    assert True, 'a remark'\n"
    "    for i in range(M):\n        assert candidate(i) == i\n    assert not candidate(0)\n",
}
LEETCODE: dict[str, Any] = {
    "task_id": "two",
    "prompt": "from typing import *\n",
    "completion": "class Solution:\n    def f(self, head, k):\n        return head\n",
    "entry_point": "Solution().f",
    "test": "def check(candidate):\n"
    "    assert is_same_list(candidate(head = list_node([1, 2]), k = 1), list_node([2]))\n"
    "    assert candidate(head = list_node([]), k = -1) == None\n"
    "    assert candidate(root = tree_node([1,None,2]), k = 2) == [[1], 'a']\n",
    "query": "Do it.\nPlease complete the following python code precisely:\n"
    "```python\nclass Solution:\n    def f(self):\n```",
    "meta": {"difficulty": "Hard"},
}
CONTEST: dict[str, Any] = {
    "id": "12_c_name_7",
    "statement": "Double it.",
    "solution": "print(2 * int(input()))",
    "inputs": ["1"],
    "outputs": ["2"],
}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def read(kind: str, path: Path) -> list[Record | Rejected]:
    return list(reader(kind)(path))


def one(kind: str, tmp_path: Path, row: dict[str, Any]) -> Record:
    (record,) = read(kind, write(tmp_path / "rows.jsonl", row))
    assert isinstance(record, Record), record
    return record


def reasons(found: list[Record | Rejected]) -> list[Reason | None]:
    return [entry.reason if isinstance(entry, Rejected) else None for entry in found]


def test_apps_rows(tmp_path: Path) -> None:
    record = one("apps", tmp_path, APPS)
    problem = record.problem
    assert (problem.id, problem.level, problem.statement) == ("apps/7", "interview", "Double it.")
    assert record.solutions == ("print(2 * int(input()))", "n = int(input())\nprint(n + n)")
    assert problem.solution == record.solutions[0]
    assert problem.suite.cases == (Case("1\n", "2\n"), Case("2\n3", "4\n6"))


@pytest.mark.parametrize("text", ["", "[]", '["\\n"]'])
def test_apps_without_a_solution(tmp_path: Path, text: str) -> None:
    record = one("apps", tmp_path, APPS | {"solutions": text})
    assert (record.solutions, record.problem.solution) == ((), "")


def test_apps_calls(tmp_path: Path) -> None:
    tests = {"fn_name": "f", "inputs": [[{"1": 2}, 3], ["a"]], "outputs": [{"4": 5}, [{"b": 6}]]}
    row = APPS | {"input_output": json.dumps(tests), "starter_code": "class Solution:\n    def f(self, x):\n"}
    suite = one("apps", tmp_path, row).problem.suite
    assert (suite.style, suite.entry_point) == ("call", "Solution().f")
    assert suite.cases == (Case([{1: 2}, 3], {4: 5}), Case(["a"], [{"b": 6}]))
    written = tests | {"inputs": ['{"1": 2}\n3', '"a"'], "outputs": ['{"4": 5}', '[{"b": 6}]']}
    found = one("apps", tmp_path, row | {"input_output": json.dumps(written)}).problem.suite.cases
    assert found == (Case([{"1": 2}, 3], {"4": 5}), Case(["a"], [{"b": 6}]))  # as LiveCodeBench reads them
    assert one("apps", tmp_path, row | {"starter_code": ""}).problem.suite.entry_point == "f"


def test_apps_folders(tmp_path: Path) -> None:
    for name in ("train/0002", "train/0001", "test/0001", "test/0003"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "question.txt").write_text(f"Question {name}")
        (folder / "solutions.json").write_text(APPS["solutions"])
        (folder / "input_output.json").write_text(APPS["input_output"])
        (folder / "metadata.json").write_text('{"difficulty": "competition"}')
    (tmp_path / "test/0003/solutions.json").write_bytes(b'["caf\xe9"]')
    (tmp_path / "train/0002/input_output.json").unlink()
    first, third, second, fourth = read("apps", tmp_path)
    assert isinstance(first, Record) and isinstance(second, Record)
    assert (first.problem.id, second.problem.id) == ("apps/test/0001", "apps/train/0001")
    assert second.problem.statement == "Question train/0001" and second.problem.level == "competition"
    assert reasons([third, fourth]) == [Reason.NON_UTF8, Reason.NO_TESTS]
    assert isinstance(third, Rejected) and (third.where, third.detail) == (
        str(tmp_path / "test/0003"),
        "solutions.json",
    )


APPS_FAULTS: list[tuple[dict[str, Any], Reason]] = [
    ({"solutions": "[1"}, Reason.BAD_JSON),
    ({"input_output": ""}, Reason.NO_TESTS),
    ({"input_output": '{"inputs": [], "outputs": []}'}, Reason.NO_TESTS),
    ({"input_output": '{"inputs": ["1"], "outputs": []}'}, Reason.MISSING_OUTPUT),
    ({"input_output": '{"inputs": ["1"], "outputs": [null]}'}, Reason.MISSING_OUTPUT),
    ({"input_output": '{"inputs": ["1"]}'}, Reason.MISSING_OUTPUT),
    ({"input_output": '{"inputs": ["1", "2"], "outputs": ["1"]}'}, Reason.COUNT_MISMATCH),
    ({"input_output": '{"inputs": [1], "outputs": ["1"]}'}, Reason.BAD_TEST),
    ({"input_output": '{"fn_name": "f", "inputs": [1], "outputs": ["1"]}'}, Reason.BAD_TEST),
    ({"input_output": '{"fn_name": "f", "inputs": [[1]], "outputs": [[NaN]]}'}, Reason.BAD_TEST),
    ({"input_output": '{"fn_name": "f", "inputs": [[{"1": 2, "01": 3}]], "outputs": [1]}'}, Reason.NOT_KEPT),
    ({"input_output": '{"fn_name": "f", "inputs": [[1]], "outputs": [[{"1": 2, " 1": 3}]]}'}, Reason.NOT_KEPT),
    ({"input_output": '{"fn_name": "", "inputs": [[1]], "outputs": [[1]]}'}, Reason.NO_ENTRY_POINT),
    ({"question": " "}, Reason.NO_STATEMENT),
    ({"question": 5}, Reason.MISSING_FIELD),
    ({"difficulty": "hard"}, Reason.MISSING_FIELD),
    ({"problem_id": 1}, Reason.DUPLICATE_ID),
]


@pytest.mark.parametrize(("change", "reason"), APPS_FAULTS)
def test_faults_of_apps_rows(tmp_path: Path, change: dict[str, Any], reason: Reason) -> None:
    path = write(tmp_path / "rows.jsonl", APPS | {"problem_id": 1}, APPS | change, APPS | {"problem_id": 9})
    found = read("apps", path)
    assert reasons(found) == [None, reason, None]
    assert isinstance(found[1], Rejected) and found[1].where == f"{path}, line 2"


def test_apps_plus(tmp_path: Path) -> None:
    big = "1" + "0" * 5000
    call = PLUS | {
        "starter_code": "def twice(n):\n",
        "inputs": [[1], [2]],
        "outputs": [2, [4]],
        "difficulty": "introductory",
    }
    call["canonical_solution"] = "def helper(): pass\ndef twice(n): return 2 * n"
    rows = [PLUS, call, PLUS | {"inputs": None}, PLUS | {"canonical_solution": None}, PLUS | {"outputs": ["2\n"]}]
    later = {
        "id": "x",
        "question": "Q",
        "solutions": ["print(input())"],
        "input_output": json.dumps({"inputs": ["1"], "outputs": ["1"]}),
    }
    text = json.dumps([*rows, later], indent=1).replace("[\n    4\n   ]", big)
    path = tmp_path / "v1.json"
    path.write_text(text)
    wrapped, called, no_tests, unsolved, unequal, other = read("apps_plus", path)
    assert isinstance(wrapped, Record) and isinstance(called, Record) and isinstance(other, Record)
    assert isinstance(unsolved, Record) and (unsolved.solutions, unsolved.problem.solution) == ((), "")
    assert (wrapped.problem.id, wrapped.problem.suite.style, wrapped.problem.suite.entry_point) == (
        "apps_plus/0",
        "stdin",
        "solve",
    )
    assert (called.problem.suite.entry_point, called.problem.level) == ("twice", "introductory")
    assert called.problem.suite.cases == (Case([1], 2), Case([2], 10**5000))
    assert (other.problem.id, other.problem.suite.entry_point) == ("apps_plus/x", None)
    assert reasons([no_tests, unequal]) == [Reason.NO_TESTS, Reason.COUNT_MISMATCH]


@pytest.mark.parametrize(
    ("solution", "name"),
    [
        ("def main():\n    print(1)", "main"),
        ("import sys\nX = 1\n'text'\ndef a(n): return n\ndef b(): print(a(1))", "b"),
        ("def main():\n    print(1)\nmain()", None),
        ("def main():\n    print(1)\nif __name__ == '__main__':\n    main()", None),
        ("print(1)", None),
        ("def main(n):\n    print(n)", None),
        ("def main(*n):\n    print(n)", None),
        ("print 1", None),
    ],
)
def test_wrappers_are_recognised(tmp_path: Path, solution: str, name: str | None) -> None:
    assert one("apps_plus", tmp_path, PLUS | {"canonical_solution": solution}).problem.suite.entry_point == name


def test_mbpp(tmp_path: Path) -> None:
    problem = one("mbpp", tmp_path, MBPP).problem
    assert problem.statement == "Write a function.\n\nIt is called like this: `f([1, 2])`"
    assert problem.solution == "def f(a):\n    return a"
    assert problem.suite == Suite("assert", (Case("assert f([1, 2]) == [1, 2]"), Case("assert f(x) == 2")))
    setup = one("mbpp", tmp_path, MBPP | {"test_setup_code": "x = f(2)\r\n"}).problem
    assert setup.suite.cases[1] == Case("x = f(2)\nassert f(x) == 2")
    harder = one("mbpp", tmp_path, MBPP | {"challenge_test_list": ["assert f(x) == 2", "assert f(0) == 0"]}).problem
    assert [case.input for case in harder.suite.cases] == [*MBPP["test_list"], "assert f(0) == 0"]
    for wrong in ("assert f(0) == 0", [3]):
        broken = MBPP | {"challenge_test_list": wrong}
        assert reasons(read("mbpp", write(tmp_path / "b.jsonl", broken))) == [Reason.NO_TESTS]
    sanitized = {key: value for key, value in MBPP.items() if key not in ("text", "test_setup_code")}
    path = tmp_path / "sanitized.json"
    path.write_text(
        json.dumps([sanitized | {"prompt": "P.", "test_imports": ["import math"]}, MBPP | {"test_list": []}])
    )
    record, rejected = read("mbpp", path)
    assert isinstance(record, Record) and record.problem.suite.setup == "import math\n"
    assert reasons([rejected]) == [Reason.NO_TESTS]


def test_humaneval(tmp_path: Path) -> None:
    problem = one("humaneval", tmp_path, HUMANEVAL).problem
    assert (problem.id, problem.statement) == ("humaneval/3", "Return a.")
    assert problem.solution == HUMANEVAL["prompt"] + "    return a\n" and problem.starter_code == HUMANEVAL["prompt"]
    first, second, third = (case.input for case in problem.suite.cases)
    assert (first, second) == ("assert f(1) == 1, 'no'", "assert not f(0)")
    assert "for i in range(M)" in third and "M = 3" in third and third.endswith("check(f)") and "'no'" not in third
    for test in ("def other(candidate): pass", "def check(candidate):", ""):
        path = write(tmp_path / "bad.jsonl", HUMANEVAL | {"test": test})
        assert reasons(read("humaneval", path)) == [Reason.NO_TESTS]


def test_leetcode(tmp_path: Path) -> None:
    problem = one("leetcode", tmp_path, LEETCODE).problem
    assert (problem.level, problem.statement) == ("competition", "Do it.")
    assert problem.starter_code == "class Solution:\n    def f(self):\n"
    assert problem.suite == Suite(
        "call",
        (
            Case([], LinkedList((2,)), {"head": LinkedList((1, 2)), "k": 1}),
            Case([], None, {"head": None, "k": -1}),
            Case([], [[1], "a"], {"root": BinaryTree((1, None, 2)), "k": 2}),
        ),
        "Solution().f",
        "from typing import *\n",
        prelude=True,
    )
    other = LEETCODE | {"test": "def check(candidate):\n    assert sorted(candidate(1)) == [1]\n"}
    assert one("leetcode", tmp_path, other).problem.suite.cases == (Case("assert sorted(Solution().f(1)) == [1]"),)


def test_codecontests(tmp_path: Path) -> None:
    problem = one("codecontests", tmp_path, CONTEST).problem
    assert (problem.id, problem.level) == ("codecontests/12_c_name_7", "interview")
    assert problem.suite.cases == (Case("1", "2"),)
    tests = {"input": ["1\n"], "output": ["2\n"]}
    columns = {
        "name": "p00001",
        "description": "Double it.",
        "difficulty": 1,
        "solutions": {"language": [2, 3, 3], "solution": ["int main", "print(1)", "print(2)"]},
        "public_tests": tests,
        "private_tests": {"input": [], "output": []},
        "generated_tests": tests,
    }
    record = one("codecontests", tmp_path, columns)
    assert (record.problem.level, record.solutions) == ("introductory", ("print(1)", "print(2)"))
    assert record.problem.suite.cases == (Case("1\n", "2\n"),) * 2


def test_native_leaves_bad_lines_out(tmp_path: Path) -> None:
    good = problem_line(one("codecontests", tmp_path, CONTEST).problem)
    path = tmp_path / "native.jsonl"
    rows = [
        good,
        good,
        '{"id": "a"}',
        "[",
        good.replace('"tests": [', '"tests": [{"input": "1"}, ').replace("12_c", "13"),
    ]
    path.write_text("\n".join(rows) + "\n")
    found = read("native", path)
    assert reasons(found) == [None, Reason.DUPLICATE_ID, Reason.MISSING_FIELD, Reason.BAD_JSON, Reason.MISSING_OUTPUT]


def test_a_check_with_nothing_but_remarks_has_no_tests() -> None:
    assert split_check("def check(candidate):\n    assert True\n    print(1)\n", "f") == []


def test_a_bad_byte_or_a_broken_line_costs_one_entry(tmp_path: Path) -> None:
    rows = [json.dumps(PLUS | {"id": n}).encode() for n in range(4)]
    rows[1:3] = rows[1].replace(b"Double", b"Doubl\xe9"), rows[2][:-9]
    lines, array = tmp_path / "rows.jsonl", tmp_path / "rows.json"
    lines.write_bytes(b"\n\n".join(rows))
    array.write_bytes(b"[" + b",\n".join(rows) + b"]")
    assert reasons(read("apps_plus", lines)) == [None, Reason.NON_UTF8, Reason.BAD_JSON, None]
    assert reasons(read("apps_plus", array)) == [None, Reason.NON_UTF8, Reason.BAD_JSON]  # the end of it is lost
    array.write_bytes(b"[" + rows[0] + b", 5, " + rows[3])
    assert reasons(read("apps_plus", array)) == [None, Reason.BAD_JSON, None, Reason.BAD_JSON]  # no end


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(json.dumps(PLUS).encode())[:-20])
    for path, message in ((cut, "cannot be read"), (tmp_path / "none", "no such file"), (tmp_path, "cannot be read")):
        with pytest.raises(DataFileError, match=message):
            read("mbpp", path)
    assert read("mbpp", write(tmp_path / "empty.jsonl")) == [] == read("mbpp", write(tmp_path / "e.json", "[]"))


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no data sets at {DATA}")
@pytest.mark.parametrize(
    ("kind", "file", "count"),
    [
        ("apps", "apps_samples", 5),
        ("mbpp", "mbpp.jsonl.gz", 974),
        ("humaneval", "HumanEval.jsonl.gz", 164),
        ("leetcode", "leetcode-v0.2.0-train.jsonl.gz", 1890),
        ("codecontests", "codecontests.jsonl.gz", 144),
    ],
)
def test_real_data_sets_are_read_whole_and_survive_the_native_format(
    tmp_path: Path, kind: str, file: str, count: int
) -> None:
    found = [entry for entry in read(kind, DATA / file) if isinstance(entry, Record)]
    assert len(found) == count
    path = tmp_path / "native.jsonl"
    path.write_text("".join(problem_line(entry.problem) + "\n" for entry in found), encoding="utf-8")
    assert [e.problem if isinstance(e, Record) else e for e in read("native", path)] == [e.problem for e in found]
