"""Readers of data sets with tests in several shapes: siblings of the published layouts, and what each refuses."""

import base64
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from stepcoder.curriculum.data.readers import livecodebench, reader
from stepcoder.curriculum.data.readers.limits import limits
from stepcoder.curriculum.data.readers.livecodebench import private_tests
from stepcoder.curriculum.data.readers.outputs import asked_like
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse, Rejected
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.suite import Case, Compare, Limits
from tests.tools.converted import from_rows

TESTS = [{"input": "1\n", "output": "2\n"}, {"input": "2\n", "output": "4\n"}]
CASES = (Case("1\n", "2\n"), Case("2\n", "4\n"))


def read(kind: str, folder: Path, *rows: dict[str, Any]) -> list[Any]:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [entry.reason if isinstance(entry, Rejected) else entry for entry in reader(kind)(file)]


def one(kind: str, folder: Path, row: dict[str, Any]) -> Problem:
    (entry,) = read(kind, folder, row)
    assert isinstance(entry, Record), entry
    return entry.problem


# -- LiveCodeBench -----------------------------------------------------------------------------------------------------


def packed(value: Any, protocol: int = 4) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value, protocol))).decode()


class Runs:
    """Would run something where it is unpickled."""

    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize("protocol", range(6))
def test_private_tests_are_read_at_every_protocol(protocol: int) -> None:
    assert private_tests(packed(json.dumps(TESTS), protocol)) == TESTS
    long = json.dumps([TESTS[0] | {"input": "ä1 " * 100_000}])
    assert private_tests(packed(long, protocol)) == json.loads(long)
    assert private_tests(json.dumps(TESTS)) == TESTS


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (packed(Runs()), Reason.NOT_KEPT),
        (packed([json.dumps(TESTS)]), Reason.NOT_KEPT),
        (packed({"a": "[]"}), Reason.NOT_KEPT),
        (packed(7), Reason.NOT_KEPT),
        (packed("[1"), Reason.BAD_JSON),
        ("no base64", Reason.NOT_KEPT),
        (base64.b64encode(b"no zlib").decode(), Reason.NOT_KEPT),
        (base64.b64encode(zlib.compress(b"no pickle")).decode(), Reason.NOT_KEPT),
        (base64.b64encode(zlib.compress(pickle.dumps("[]" * 9))[:-6]).decode(), Reason.NOT_KEPT),
    ],
)
def test_private_tests_that_are_anything_else_are_refused(text: str, reason: Reason) -> None:
    with pytest.raises(Refuse) as caught:
        private_tests(text)
    assert caught.value.reason is reason


def test_private_tests_that_unpack_to_too_much_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(livecodebench, "MOST", 1 << 20)
    with pytest.raises(Refuse) as caught:
        private_tests(packed(json.dumps(["0" * (1 << 20)])))
    assert caught.value.reason is Reason.TOO_LARGE


def test_livecodebench_keeps_both_kinds_of_tests(tmp_path: Path) -> None:
    row = {"question_content": "Double.", "question_id": "a", "starter_code": "", "difficulty": "hard",
           "public_test_cases": json.dumps([TESTS[0] | {"testtype": "stdin"}]),
           "private_test_cases": packed(json.dumps([TESTS[1] | {"testtype": "stdin"}])), "metadata": "{}"}  # fmt: skip
    problem = one("livecodebench", tmp_path, row)
    assert (problem.id, problem.level, problem.solution) == ("livecodebench/a", "competition", "")
    assert problem.suite.cases == CASES and problem.suite.compare == Compare("lcb")
    call = {"input": '[1]\n"x"', "output": "[1]", "testtype": "functional"}
    row |= {"public_test_cases": json.dumps([call]), "private_test_cases": ""}
    free = one("livecodebench", tmp_path, row | {"metadata": '{"func_name": "f"}'})
    assert (free.suite.entry_point, free.suite.cases) == ("f", (Case([[1], "x"], [1]),))
    assert read("livecodebench", tmp_path, row) == [Reason.NO_ENTRY_POINT]


# -- others ------------------------------------------------------------------------------------------------------------

SYNTHETIC: dict[str, Any] = {
    "problem_id": "p", "task_type": "verifiable_code", "prompt": "Double.", "metadata": "{'difficulty': 'HARD'}",
    "gold_standard_solution": "Here:\n```python\nprint(2 * int(input()))\n```\nDone.",
    "verification_info": repr({"language": "python", "test_cases": [t | {"type": "stdin_stdout"} for t in TESTS]}),
}  # fmt: skip


def test_primeintellect(tmp_path: Path) -> None:
    problem = one("primeintellect", tmp_path, SYNTHETIC)
    assert (problem.level, problem.solution.strip()) == ("competition", "print(2 * int(input()))")
    assert problem.suite.cases == CASES
    mixed = [
        TESTS[0] | {"type": "stdin_stdout"},
        {"type": "function_call", "fn_name": "f", "input": "[1]", "output": "1"},
    ]
    changes: list[tuple[dict[str, Any], Reason]] = [
        ({"task_type": "math"}, Reason.NOT_CODE),
        ({"task_type": "code_output_prediction"}, Reason.NOT_CODE),
        ({"verification_info": json.dumps({"language": "rust", "test_cases": TESTS})}, Reason.LANGUAGE),
        ({"verification_info": json.dumps({"test_cases": mixed})}, Reason.NOT_KEPT),
        ({"verification_info": json.dumps({"test_cases": [TESTS[0] | {"type": "visual"}]})}, Reason.NOT_KEPT),
        ({"verification_info": json.dumps({"test_cases": []})}, Reason.NO_TESTS),
        ({"verification_info": "{'test_cases': __import__('os')}"}, Reason.BAD_JSON),
        ({"gold_standard_solution": "```go\npackage main\n```"}, Reason.LANGUAGE),
    ]
    for change, reason in changes:
        assert read("primeintellect", tmp_path, SYNTHETIC | change) == [reason]


def test_a_test_names_its_function_in_its_metadata(tmp_path: Path) -> None:
    test = {"input": "[1]", "output": "[2]", "testtype": "functional", "metadata": {"func_name": "f"}}
    row = {"problem": "Double.", "tests": json.dumps([test]), "solutions": [], "starter_code": "", "metadata": "{}"}
    suite = one("deepcoder", tmp_path, row).suite
    assert (suite.entry_point, suite.cases) == ("f", (Case([[1]], [2]),))
    test = test | {"metadata": json.dumps({"func_name": "f"})}
    assert one("deepcoder", tmp_path, row | {"tests": json.dumps([test])}).suite == suite
    nameless = row | {"tests": json.dumps([test | {"metadata": {"func_name": None}}])}
    assert read("deepcoder", tmp_path, nameless) == [Reason.NO_ENTRY_POINT]


def test_verl(tmp_path: Path) -> None:
    row: dict[str, Any] = {"data_source": "x", "prompt": [{"role": "user", "content": "Double."}], "ability": "code"}

    def truth(value: Any) -> dict[str, Any]:
        text = value if isinstance(value, str) else json.dumps(value)
        return row | {"reward_model": {"ground_truth": text, "style": "rule"}}

    assert one("verl", tmp_path, truth({"inputs": ["1\n", "2\n"], "outputs": ["2\n", "4\n"]})).suite.cases == CASES
    asserts = ["assert f(1) == 2", "assert f(2) == 4"]
    for value in (asserts, "\n".join(asserts)):
        suite = one("verl", tmp_path, truth(value)).suite
        assert (suite.style, suite.cases) == ("assert", tuple(map(Case, asserts)))
    whole = "x = f(1)\nassert x == 2"
    assert one("verl", tmp_path, truth(whole)).suite.cases == (Case(whole),)
    assert read("verl", tmp_path, truth({"functional": "def check(): ..."})) == [Reason.NOT_KEPT]
    assert read("verl", tmp_path, truth("42")) == [Reason.NO_TESTS]
    assert read("verl", tmp_path, truth("no tests here")) == [Reason.BAD_JSON]


def test_rstar_coder_and_nemotron(tmp_path: Path) -> None:
    row = {"question_id": "q", "question": "Double.", "starter_code": "", "inputs": json.dumps(["1\n", "2\n"]),
           "outputs": json.dumps(["2\n", "4\n"]), "func_name": None, "class_name": None}  # fmt: skip
    assert one("rstar_coder", tmp_path, row).suite.cases == CASES
    call = row | {"inputs": [[1], [2]], "outputs": [2, 4], "func_name": "f", "class_name": "Tool"}
    suite = one("rstar_coder", tmp_path, call).suite
    assert (suite.entry_point, suite.cases) == ("Tool().f", (Case([1], 2), Case([2], 4)))
    asked = {"input": [{"role": "system", "content": "s"}, {"role": "user", "content": "Double."}]}
    tests = {"unit_tests": {"inputs": ["1\n", "2\n"], "outputs": ["2\n", "4\n"]}}
    problem = one("nemotron", tmp_path, {"responses_create_params": asked, "verifier_metadata": tests, "hash_id": "h"})
    assert (problem.id, problem.statement, problem.suite.cases) == ("nemotron/h", "Double.", CASES)


CODEFORCES: dict[str, Any] = {
    "id": "1/A", "description": "Double.", "input_format": "n", "output_format": "2n", "note": "", "rating": 800,
    "interaction_format": None, "examples": TESTS[:1], "official_tests": TESTS, "input_mode": "stdio",
    "time_limit": 2.0, "memory_limit": 256.0, "generated_checker": None,
}  # fmt: skip
SCRIPT = """\
import sys

def main(given, expected, submitted):
    with open(submitted) as stream:
        print(1 if int(stream.read()) % 2 == 0 else 0)

if __name__ == "__main__":
    main(*sys.argv[1:])
"""


def test_open_r1_codeforces(tmp_path: Path) -> None:
    problem = one("open_r1_codeforces", tmp_path, CODEFORCES)
    assert (problem.level, problem.suite.cases, problem.suite.limits) == ("introductory", CASES, Limits(2.0, 256))
    assert problem.statement == "Double.\n\nInput\n\nn\n\nOutput\n\n2n\n\nExample\n\nInput\n1\n\nOutput\n2\n"
    assert read("open_r1_codeforces", tmp_path, CODEFORCES | {"input_mode": "file"}) == [Reason.FILE_IO]
    assert read("open_r1_codeforces", tmp_path, CODEFORCES | {"interaction_format": "ask"}) == [Reason.INTERACTIVE]
    assert read("open_r1_codeforces", tmp_path, CODEFORCES | {"generated_checker": "int main() {"}) == [Reason.CHECKER]
    checker = one("open_r1_codeforces", tmp_path, CODEFORCES | {"generated_checker": SCRIPT}).suite.checker
    names: dict[str, Any] = {}
    exec(checker, names)  # the test's own script
    assert [names["check"]("1", text, "2")[0] for text in ("6", "7")] == [True, False]


def test_codecontests_plus(tmp_path: Path) -> None:
    programs = [{"language": "cpp", "code": "int main() {}"}, {"language": "python3", "code": "print(2)"}]
    row = {"id": "1_A", "title": "D", "description": "Double.", "time_limit": 1500, "memory_limit": 256,
           "correct_submissions": programs, "test_cases": TESTS, "checker": ""}  # fmt: skip
    problem = one("codecontests", tmp_path, row)
    assert (problem.solution, problem.suite.cases, problem.suite.limits) == ("print(2)", CASES, Limits(1.5, 256))
    rcmp = (
        'const double EPS = 1.5E-6; setName("compare two sequences of doubles, max absolute or relative error = %.7lf")'
    )
    for checker, compare in [
        ('setName("compare sequences of tokens");', Compare("tokens", 0.0)),
        (rcmp, Compare("tokens", 1.5e-6)),
    ]:
        assert one("codecontests", tmp_path, row | {"checker": checker}).suite.compare == compare
    dcmp = 'const double EPS = 1E-6; setName("compare two doubles, maximal absolute or relative error = %.10f", EPS);'
    assert one("codecontests", tmp_path, row | {"checker": dcmp}).suite.compare == Compare("tokens", 1e-6)
    tokens = 'setName("compare sequences of tokens");'
    for own in ("int n = inf.readInt();", "auto m = matrix(inf, n);", "sort(a.begin(), a.end());", "multiset<int> a;"):
        assert read("codecontests", tmp_path, row | {"checker": f"{tokens} {own}"}) == [Reason.CHECKER]
    assert read("codecontests", tmp_path, row | {"checker": 'setName("a path");'}) == [Reason.CHECKER]
    for shape in ({"in": []}, "[1]", [["1", "2"]]):
        old = {"name": "x", "description": "D.", "solutions": programs, "private_tests": shape}
        assert read("codecontests", tmp_path, old) in ([Reason.NOT_KEPT], [Reason.NO_TESTS])


def test_kodcode(tmp_path: Path) -> None:
    module = (
        "import pytest\nimport unittest\nfrom solution import f\n\n"
        "@pytest.mark.parametrize('a, b', [(1, 2), (2, 4)])\ndef test_p(a, b):\n    assert f(a) == b\n\n"
        "class TestMore(unittest.TestCase):\n    def test_m(self):\n        self.assertEqual(f(5), 10)\n"
    )
    row = {"question_id": "k", "question": "Double.", "solution": "def f(a):\n    return 2 * a\n", "test": module}
    problem = one("kodcode", tmp_path, row | {"gpt_difficulty": "hard"})
    assert (problem.level, len(problem.suite.cases)) == ("competition", 3)
    with LocalPool(ExecutorConfig(workers=1)) as pool:
        wrong = ["{1: 2, 2: 4}.get(a)", "a + a - (a == 2)"]
        programs = [problem.solution, *(f"def f(a):\n    return {text}\n" for text in wrong)]
        assert [pool.run(program, problem.suite).passed for program in programs] == [True, False, False]
    for bad in ("x = 1", "def f(:", ""):
        assert read("kodcode", tmp_path, row | {"test": bad}) == [Reason.NOT_KEPT]


@pytest.mark.parametrize(
    ("time", "memory", "found"),
    [
        ("1.0 seconds", "256.0 megabytes", Limits(1.0, 256)),
        ("500 milliseconds", "1 gigabyte", Limits(0.5, 1024)),
        ({"seconds": 2, "nanos": 500_000_000}, None, Limits(2.5, None)),
        ({"seconds": 0, "nanos": 0}, 0, Limits()),
        ("soon", "much", Limits()),
        (float("inf"), -1, Limits()),
        (3, "1024 kilobytes", Limits(3.0, 16)),
    ],
)
def test_limits(time: Any, memory: Any, found: Limits) -> None:
    assert limits(time, memory) == found


# -- EvalPlus ----------------------------------------------------------------------------------------------------------


def test_arguments_have_the_types_of_the_assert() -> None:
    asked = asked_like("assert f([(1, 2)], {3}, 1j, {'a': (1,)}) == 1", "f")
    assert asked is not None
    given = [[[5, 6], [7, 8]], [1, 2], "(2+3j)", {"a": [1], "b": [2]}]
    assert asked.typed(given) == [[(5, 6), (7, 8)], {1, 2}, 2 + 3j, {"a": (1,), "b": (2,)}]


def test_outputs_come_from_the_reference_solution(tmp_path: Path) -> None:
    row = {"task_id": "HumanEval/900", "prompt": "def f(x):\n    '''Do.'''\n", "entry_point": "f", "atol": 0,
           "base_input": [[1]], "plus_input": [[2], [3]], "contract": "", "test": ""}  # fmt: skip

    def made(body: str, **change: Any) -> Problem | Rejected:
        (found,) = from_rows(tmp_path, row | {"canonical_solution": f"    {body}\n"} | change)
        return found

    bodies = [
        "return [(x,), float('inf')], {'inf': -float('inf')}",
        "return float('inf') * x",
        "return [float('inf'), x]",
        "return (x, [x])",
        "return x / 3",
        "return [x / 3, 1]",
        "return {x, 1}",
        "return None",
        "return x > 1",
    ]
    with LocalPool(ExecutorConfig(workers=1)) as pool:
        for body in bodies:
            problem = made(body)
            assert isinstance(problem, Problem), problem
            assert len(problem.suite.cases) == 3
            passed = [pool.run(f"def f(x):\n    {b}\n", problem.suite).passed for b in (body, "return 7", "return x")]
            assert passed == [True, False, False], body
        near = made("return [x / 3]")
        assert isinstance(near, Problem)
        assert pool.run("def f(x):\n    return [x / 3 + 1e-8]\n", near.suite).passed
        assert not pool.run("def f(x):\n    return [x / 3 + 1e-3]\n", near.suite).passed
    for body, reason in [
        ("return 1 // (x - 2)", "runtime_error"),
        ("return object()", "bad_test"),
        ("while True: pass", "timeout"),
        ("return float('nan')", "bad_test"),
    ]:
        refused = made(body)
        assert isinstance(refused, Rejected) and refused.reason == reason, refused
    refused = made("return 1", entry_point="find_zero")
    assert isinstance(refused, Rejected) and refused.reason is Reason.NOT_KEPT


# -- memory ------------------------------------------------------------------------------------------------------------


def test_only_named_columns_of_a_table_are_read_and_memory_does_not_grow_with_it(tmp_path: Path) -> None:
    """Peak of the memory of Arrow, for one row group of which a few rows are unpacked at a time."""
    from stepcoder.curriculum.data.readers.tables import rows

    schema = pyarrow.schema([("kept", pyarrow.string()), ("other", pyarrow.string())])
    peaks = []
    for count in (3000, 12000):
        file = tmp_path / f"{count}.parquet"
        texts = [f"{number:08}" * 1000 for number in range(count)]
        table = pyarrow.table({"kept": texts, "other": texts}, schema)
        pyarrow.parquet.write_table(table, file, row_group_size=count, use_dictionary=False)
        del table, texts
        before, peak = pyarrow.total_allocated_bytes(), 0
        for number, row in enumerate(rows(file, {"kept", "absent"})):
            assert row == {"kept": f"{number:08}" * 1000}
            peak = max(peak, pyarrow.total_allocated_bytes() - before)
        assert number == count - 1
        peaks.append(peak)
    assert peaks[1] < 1.5 * peaks[0] < 12000 * 8000, peaks
