"""Siblings of published layouts: other columns, other types, damaged parts. Each converts, or is refused by name."""

import base64
import contextlib
import datetime
import decimal
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from stepcoder.curriculum.data.files import line_of
from stepcoder.curriculum.data.readers import build, livecodebench, reader
from stepcoder.curriculum.data.readers.detect import detected
from stepcoder.curriculum.data.readers.livecodebench import Days, read_livecodebench
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse, Rejected
from stepcoder.curriculum.data.settle import Settler
from stepcoder.curriculum.problems.load import parse_line
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.suite import Case, Limits
from tests.tools.converted import from_rows
from tests.tools.entries import ASSERTS, ENTRIES, FUNCTION, LCB_CALL, PAIRED, PRINTS, TESTS, packed, spoilt

ODD: list[Any] = [
    None, 5, 0, -1, True, float("nan"), float("inf"), "", "x", "[1", "[]", "{}", '"x"', "\ud800", "\x00", "9" * 5000,
    10**5000, [], {}, [None], [5], [[]], [{}], ["x"], {"a": 1}, {"input": ["1"], "output": None}, {"inputs": [5]},
    [{"input": "1"}], [{"input": {}, "output": [], "type": {}}], [{"input": "1", "output": "2", "fn_name": ["f"]}],
    {"fn_name": ["f"], "inputs": [[1]], "outputs": [1]}, {"language": [[3]], "solution": [5]}, b"x", (1, 2),
    datetime.datetime(2025, 1, 1), decimal.Decimal("1.5"), json.loads("[" * 600 + "]" * 600),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "layout"), ENTRIES)
def test_whatever_a_part_is_an_entry_converts_or_is_refused_and_nothing_ends(
    kind: str, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [ENTRIES[kind, layout], *spoilt(ENTRIES[kind, layout], ODD)]
    row = rows[0]
    for module in (build, livecodebench):
        monkeypatch.setattr(module, "entries", lambda *_: [("a file", row)])
    found: list[Any] = []
    for entry in rows:
        row = entry
        found += reader(kind)(Path("a file"))
    assert len(found) == len(rows) and isinstance(found[0], Record)
    settler = Settler(ExecutorConfig(workers=1))
    for entry in found:
        if isinstance(entry, Rejected):
            json.dumps([entry.reason.value, entry.where, entry.detail]).encode()
            continue
        if entry.pending is not None:
            with contextlib.suppress(Refuse):
                entry.pending.answered([1.5] * len(entry.pending.suite.cases))
        if entry.pending is None and not entry.wrapped:
            for settled in settler.settled([entry]):
                line = line_of(settled.problem) if isinstance(settled, Record) else None
                if isinstance(line, str):  # a run reads what a conversion writes
                    assert parse_line(line.encode(), "lines", 1).id == entry.problem.id


def reasons(found: list[Any]) -> list[Any]:
    return [entry.reason if isinstance(entry, Rejected) else None for entry in found]


def judged(problem: Any, *programs: str) -> list[bool]:
    with LocalPool(ExecutorConfig(workers=1)) as pool:
        return [pool.run(program, problem.suite).passed for program in programs]


def test_ids_that_are_null_zero_or_numbers_with_a_point(tmp_path: Path) -> None:
    rows = [ENTRIES["taco", "stdin"] | {"id": id} for id in (5, 2.0, 0, None, float("nan"), "")]
    found = from_rows(tmp_path, *rows)
    assert [problem.id for problem in found if not isinstance(problem, Rejected)] == [
        "taco/5", "taco/2", "taco/0", "taco/3", "taco/4",
    ]  # fmt: skip
    assert reasons(found)[5] is Reason.DUPLICATE_ID  # the row's number
    nameless = [ENTRIES["mbpp", "first"] | {"task_id": None}] * 2
    assert reasons(from_rows(tmp_path, *nameless)) == [None, None]
    assert reasons(from_rows(tmp_path, ENTRIES["mbpp", "first"] | {"task_id": [1]})) == [Reason.MISSING_FIELD]


def test_rows_for_verl_may_share_their_index(tmp_path: Path) -> None:
    found = from_rows(tmp_path, *[ENTRIES["verl", "stdin"]] * 2)
    assert [getattr(problem, "id", None) for problem in found] == ["verl/taco/train/1", "verl/taco/train/1/row-1"]


MODULE = "from solution import f\n\ndef test_a():\n    assert f(1) == 2\n"
UNITTEST = "import unittest\nclass A(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(f(1), 2)\n"
LONG = "assert f(\n    1\n) == 2\n# a remark\n"


@pytest.mark.parametrize("truth", [MODULE, MODULE.partition("\n")[2], UNITTEST, LONG])
def test_tests_of_pytest_in_a_ground_truth_are_run(tmp_path: Path, truth: str) -> None:
    row = ENTRIES["verl", "stdin"] | {"reward_model": {"ground_truth": truth}}
    (problem,) = from_rows(tmp_path, row)
    assert judged(problem, FUNCTION, "def f(x):\n    return 7\n") == [True, False]


def test_a_check_that_nothing_calls_is_no_test(tmp_path: Path) -> None:
    never = "def check(candidate):\n    assert candidate(1) == 2\n"
    row = ENTRIES["verl", "stdin"] | {"reward_model": {"ground_truth": never}}
    assert reasons(from_rows(tmp_path, row)) == [Reason.BAD_TEST]
    called = row | {"reward_model": {"ground_truth": f"{never}check(f)\n"}}
    (problem,) = from_rows(tmp_path, called)
    assert judged(problem, FUNCTION, "def f(x):\n    return 7\n") == [True, False]
    assert reasons(from_rows(tmp_path, ENTRIES["mbpp", "first"] | {"test_list": [never]})) == [Reason.BAD_TEST]


def test_asserts_of_verl(tmp_path: Path) -> None:
    def rows(truth: dict[str, Any]) -> list[Any]:
        return from_rows(tmp_path, ENTRIES["verl", "stdin"] | {"reward_model": {"ground_truth": json.dumps(truth)}})

    for beside in ({}, {"inputs": ["", ""], "outputs": [None, None]}):
        (problem,) = rows({"assert_case": ASSERTS} | beside)
        assert judged(problem, FUNCTION, "def f(x):\n    return 7\n") == [True, False]
    assert reasons(rows(PAIRED | {"assert_case": ASSERTS})) == [Reason.NOT_KEPT]
    assert reasons(rows(PAIRED | {"assert_case": None})) == [None]


def test_an_output_is_the_value_itself_where_the_input_is_a_list(tmp_path: Path) -> None:
    row, wrong = ENTRIES["primeintellect", "stdin"], "def f(x):\n    return 2 * int(x)\n"
    row = row | {"gold_standard_solution": "def f(x):\n    return str(2 * int(x))\n"}
    for output in ("2", ["2"]):
        tests = [{"type": "function_call", "fn_name": "f", "input": ["1"], "output": output}]
        (problem,) = from_rows(tmp_path, row | {"verification_info": {"language": "python", "test_cases": tests}})
        assert not isinstance(problem, Rejected), problem
        assert judged(problem, problem.solution, wrong) == [True, False]


def test_arguments_in_lines_are_read_where_a_function_is_called(tmp_path: Path) -> None:
    tests = {"fn_name": "f", "inputs": ['1\n"a"', '2\n"b"'], "outputs": ["[2]", "[4]"]}
    row = ENTRIES["nemotron", "stdin"] | {"verifier_metadata": {"unit_tests": tests}}
    (problem,) = from_rows(tmp_path, row)
    assert not isinstance(problem, Rejected)
    assert problem.suite.cases == (Case([1, "a"], [2]), Case([2, "b"], [4]))
    assert problem.suite.compare.type == "strict"  # the lists are not only around the values
    words = ENTRIES["nemotron", "stdin"] | {"verifier_metadata": {"unit_tests": tests | {"inputs": ["N = 3", "1"]}}}
    (refused,) = from_rows(tmp_path, words)
    assert isinstance(refused, Rejected) and refused.detail.endswith("(char 0), in 'N = 3'")
    blank = ENTRIES["nemotron", "stdin"] | {"verifier_metadata": {"unit_tests": tests | {"outputs": ["[2]", ""]}}}
    assert reasons(from_rows(tmp_path, blank)) == [Reason.MISSING_OUTPUT]


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ({"input": "1", "testtype": "functional"}, Reason.MISSING_OUTPUT),
        (LCB_CALL | {"output": " "}, Reason.MISSING_OUTPUT),
        (LCB_CALL | {"input": ""}, Reason.MISSING_INPUT),
        ({"output": "2", "testtype": "functional"}, Reason.MISSING_INPUT),
        (LCB_CALL | {"output": "null"}, None),
    ],
)
def test_a_call_without_input_or_output_is_refused(tmp_path: Path, test: dict[str, str], reason: Any) -> None:
    row = ENTRIES["livecodebench", "call"] | {"public_test_cases": json.dumps([test])}
    assert reasons(from_rows(tmp_path, row)) == [reason]


def test_days_of_a_table_and_folded_base64(tmp_path: Path) -> None:
    row = ENTRIES["livecodebench", "stdin"]
    private = "\n".join(row["private_test_cases"][n : n + 20] for n in range(0, len(row["private_test_cases"]), 20))
    days = [datetime.datetime(2025, 1, 1, 12), datetime.datetime(2025, 3, 1)]
    rows = [row | {"contest_date": day, "question_id": str(day), "private_test_cases": private} for day in days]
    file = tmp_path / "lcb.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    for until, count in ((datetime.date(2025, 1, 1), 1), (datetime.date(2025, 3, 1), 2)):
        found = list(read_livecodebench(file, Days(datetime.date(2025, 1, 1), until)))
        assert reasons(found) == [None] * count


def test_codecontests_o(tmp_path: Path) -> None:
    row = ENTRIES["codecontests", "o"]
    (problem,) = from_rows(tmp_path, row)
    assert not isinstance(problem, Rejected)
    assert (problem.id, problem.level) == ("codecontests/584_B. Double", "introductory")
    assert problem.suite.cases == tuple(Case(test["input"], test["output"]) for test in TESTS)
    checker = 'registerTestlibCmd(argc, argv); quitf(_wa, "no path");'
    assert reasons(from_rows(tmp_path, row | {"checker": checker})) == [Reason.CHECKER]
    odd = [{"input": {"stdin": "1", "args": "2"}, "output": {"stdout": "2"}}]
    assert reasons(from_rows(tmp_path, row | {"corner_cases": odd})) == [Reason.BAD_TEST]


def test_columns_of_copies(tmp_path: Path) -> None:
    ace = ENTRIES["acecode", "own"]
    second = {"id": "a", "question": ace["question"], "tests": ASSERTS}
    prime = ENTRIES["primeintellect", "stdin"]
    info = json.loads(prime["verification_info"])
    copied = {key: value for key, value in prime.items() if key != "prompt"} | {"problem": "Double."}
    copied |= {"verification_info": info, "metadata": {"difficulty": 7}}
    for kind, row in (("acecode", second), ("primeintellect", copied)):
        file = tmp_path / f"{kind}.parquet"
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), file)
        assert detected(file) == kind
        (record,) = reader(kind)(file)
        assert isinstance(record, Record) and len(record.problem.suite.cases) == 2
        assert record.problem.level == "introductory"


def test_lists_that_are_written_down(tmp_path: Path) -> None:
    sanitized = ENTRIES["mbpp", "sanitized"]
    for change in ({"test_list": json.dumps(sanitized["test_list"])}, {"test_imports": "['import math']"}):
        (problem,) = from_rows(tmp_path, sanitized | change)
        assert judged(problem, FUNCTION, "def f(x):\n    return 2\n") == [True, False]
    assert reasons(from_rows(tmp_path, sanitized | {"test_imports": "import math"})) == [Reason.NO_TESTS]
    plus = ENTRIES["humaneval_plus", "own"]
    (problem,) = from_rows(tmp_path, plus | {"base_input": "[[1]]", "plus_input": "[[2]]", "atol": "1e-6"})
    assert judged(problem, FUNCTION, "def f(x):\n    return 2\n") == [True, False]
    assert reasons(from_rows(tmp_path, plus | {"atol": "much"})) == [Reason.BAD_JSON]
    assert reasons(from_rows(tmp_path, plus | {"atol": [1]})) == [Reason.BAD_TEST]
    for kind in ("apps", "taco"):
        (problem,) = from_rows(tmp_path, ENTRIES[kind, "stdin"] | {"solutions": PRINTS})
        assert not isinstance(problem, Rejected) and problem.solution == PRINTS


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("\ufeff" + json.dumps([PRINTS]), PRINTS),
        (json.dumps(PRINTS), PRINTS),
        ('"""Doubles."""\nprint(2 * int(input()))\n', '"""Doubles."""\nprint(2 * int(input()))\n'),
        ("null", ""),
        ("[print", Reason.BAD_JSON),
    ],
)
def test_solutions_as_one_text(tmp_path: Path, written: str, found: Any) -> None:
    for kind, layout, field in (
        ("apps", "stdin", "solutions"), ("taco", "stdin", "solutions"), ("codecontests", "flat", "solution"),
    ):  # fmt: skip
        (problem,) = from_rows(tmp_path, ENTRIES[kind, layout] | {field: written})
        assert (problem.reason if isinstance(problem, Rejected) else problem.solution) == found


def test_senseless_limits_are_none(tmp_path: Path) -> None:
    row = ENTRIES["taco", "stdin"] | {"time_limit": 10**400, "memory_limit": "9" * 400}
    (problem,) = from_rows(tmp_path, row)
    assert not isinstance(problem, Rejected) and problem.suite.limits == Limits()


def test_a_conversion_writes_nothing_that_a_run_would_refuse(tmp_path: Path) -> None:
    call, one = ENTRIES["apps", "call"], "def f():\n    return 2\n"
    assert reasons(from_rows(tmp_path, call | {"solutions": json.dumps([one])})) == [Reason.BAD_TEST]
    (problem,) = from_rows(tmp_path, call | {"solutions": json.dumps([one, FUNCTION])})
    assert not isinstance(problem, Rejected) and problem.solution == FUNCTION
    silent = ENTRIES["codecontests", "flat"] | {"outputs": ["", "\n"]}
    assert reasons(from_rows(tmp_path, silent)) == [Reason.MISSING_OUTPUT]


def test_private_tests_alone_are_enough(tmp_path: Path) -> None:
    row = ENTRIES["livecodebench", "stdin"] | {"public_test_cases": None, "private_test_cases": packed(TESTS)}
    (problem,) = from_rows(tmp_path, row)
    assert judged(problem, PRINTS, "print(2)") == [True, False]
    assert len(PAIRED["inputs"]) == len(problem.suite.cases)  # pyright: ignore[reportAttributeAccessIssue]


def test_objects_that_a_table_keeps_as_an_object_of_lists(tmp_path: Path) -> None:
    turned = {"input": [test["input"] for test in TESTS], "output": [test["output"] for test in TESTS]}
    chat = {"role": ["system", "user"], "content": ["Be good.", "Double."]}
    for key, change in [
        (("open_r1_codeforces", "own"), {"official_tests": turned, "examples": turned}),
        (("deepcoder", "listed"), {"tests": turned}),
        (("primeintellect", "stdin"), {"verification_info": {"language": "python", "test_cases": turned}}),
        (("livecodebench", "stdin"), {"public_test_cases": turned, "private_test_cases": None}),
        (("verl", "stdin"), {"prompt": chat}),
        (("verl", "stdin"), {"prompt": json.dumps([{"role": "user", "content": "Double."}])}),
    ]:
        (problem,) = from_rows(tmp_path, ENTRIES[key] | change)
        assert not isinstance(problem, Rejected), (key, problem)
        assert problem.statement.startswith("Double.") and len(problem.suite.cases) == 2
    bracket = ENTRIES["verl", "stdin"] | {"prompt": "[{x}] Double."}
    (problem,) = from_rows(tmp_path, bracket)
    assert not isinstance(problem, Rejected) and problem.statement == "[{x}] Double."


@pytest.mark.parametrize(
    ("solutions", "found"),
    [
        ({"language": ["PYTHON", "CPP", "PYTHON3"], "solution": ["print 1", "int", PRINTS]}, (PRINTS,)),
        ({"language": [], "solution": []}, ()),
        ({"language": [3, 3], "solution": [PRINTS]}, Reason.COUNT_MISMATCH),
    ],
)
def test_languages_of_solutions(tmp_path: Path, solutions: dict[str, Any], found: Any) -> None:
    row = ENTRIES["codecontests", "first"] | {"solutions": solutions}
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row))
    (entry,) = reader("codecontests")(file)
    assert (entry.solutions if isinstance(entry, Record) else entry.reason) == found


def test_fences_names_and_levels_in_other_spellings(tmp_path: Path) -> None:
    answer = f"Here:\r\n```Python3\r\n{PRINTS.strip()}\r\n```\r\nDone."
    (problem,) = from_rows(tmp_path, ENTRIES["primeintellect", "stdin"] | {"gold_standard_solution": answer})
    assert not isinstance(problem, Rejected) and problem.solution == PRINTS
    nameless = ENTRIES["taco", "stdin"] | {"input_output": json.dumps(PAIRED | {"fn_name": ""})}
    (problem,) = from_rows(tmp_path, nameless | {"difficulty": "Medium-Hard"})
    assert not isinstance(problem, Rejected) and (problem.suite.style, problem.level) == ("stdin", "interview")


def test_a_folder_of_apps_with_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    for name, place in (("1", "solutions.json"), ("2", "solutions"), ("3", "question.txt")):
        (tmp_path / name / place).mkdir(parents=True)
        for file, text in (("question.txt", "Double."), ("input_output.json", json.dumps(PAIRED))):
            if file != place:
                (tmp_path / name / file).write_text(text)
        (tmp_path / name / "metadata.json").write_text('{"difficulty": "interview"}')
    assert reasons(list(reader("apps")(tmp_path))) == [Reason.MISSING_FIELD, None, Reason.MISSING_FIELD]


def test_structures_that_are_written_down_twice(tmp_path: Path) -> None:
    for key, change in [
        (("apps", "stdin"), {"input_output": json.dumps(json.dumps(PAIRED))}),
        (("verl", "stdin"), {"reward_model": {"ground_truth": json.dumps(json.dumps(PAIRED))}}),
        (("verl", "stdin"), {"reward_model": {"ground_truth": json.dumps("\n".join(ASSERTS))}}),
        (("nemotron", "stdin"), {"verifier_metadata": json.dumps(json.dumps({"unit_tests": PAIRED}))}),
    ]:
        (problem,) = from_rows(tmp_path, ENTRIES[key] | change)
        assert not isinstance(problem, Rejected), (key, problem)
        assert len(problem.suite.cases) == 2
    texts = {"fn_name": "f", "inputs": [["a"], ["b"]], "outputs": ['"[1]"', '"[2]"']}  # values that look like lists
    (problem,) = from_rows(tmp_path, ENTRIES["apps", "call"] | {"input_output": json.dumps(texts)})
    assert not isinstance(problem, Rejected) and problem.suite.cases[0].output == '"[1]"'


@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress])
def test_private_tests_that_are_no_pickle(tmp_path: Path, pack: Any) -> None:
    private = base64.b64encode(pack(json.dumps(TESTS).encode())).decode()
    (problem,) = from_rows(tmp_path, ENTRIES["livecodebench", "stdin"] | {"private_test_cases": private})
    assert not isinstance(problem, Rejected) and len(problem.suite.cases) == 3


def test_of_several_answers_those_in_python_are_kept(tmp_path: Path) -> None:
    row, other = ENTRIES["deepcoder", "listed"], "```cpp\nint main() {}\n```"
    (problem,) = from_rows(tmp_path, row | {"solutions": [other, *row["solutions"]]})
    assert not isinstance(problem, Rejected) and problem.solution == PRINTS
    assert reasons(from_rows(tmp_path, row | {"solutions": [other]})) == [Reason.LANGUAGE]


def test_metadata_as_a_text(tmp_path: Path) -> None:
    row = {key: value for key, value in ENTRIES["leetcode", "own"].items() if key != "difficulty"}
    (problem,) = from_rows(tmp_path, row | {"meta": json.dumps({"difficulty": "Easy"})}, kind="leetcode")
    assert not isinstance(problem, Rejected) and problem.level == "introductory"
