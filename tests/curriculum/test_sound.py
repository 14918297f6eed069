# ruff: noqa: E501  (tables of programs, a row each)
"""One definition of a sound problem: what loading refuses, for training and for judging."""

import json
import sys
from typing import Any

import pytest

from stepcoder.curriculum.problems.load import parse_line
from stepcoder.errors import DataFileError

STDIN: dict[str, Any] = {"id": "a", "statement": "s", "style": "stdin", "tests": [{"input": "", "output": "1"}]}
CALL = STDIN | {"style": "call", "entry_point": "f", "tests": [{"input": [1], "output": 2}]}
ASSERT = STDIN | {"style": "assert", "tests": [{"code": "assert f(1) == 1"}]}
UNCALLED = "class T:\n    def a(self):\n        assert f(1) == 2\n"
OF_UNITTEST = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(f(1), 2)\n"
LOST = [
    "try:\n    assert f(1) == 2\nexcept AssertionError:\n    print('failed')",
    "try:\n    f(None)\n    assert False\nexcept (KeyError, Exception) as error:\n    print(error)",
    "def test_a():\n    assert f(1) == 2\ntry:\n    test_a()\nexcept:\n    pass\nelse:\n    print('ok')",
    "import contextlib\nwith contextlib.suppress(Exception):\n    assert f(1) == 2",
    f"{OF_UNITTEST}unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(T))",
    f"{OF_UNITTEST}unittest.main(exit=False)",
    "import threading\ndef check():\n    assert f(1) == 2\nthreading.Thread(target=check).start()",
    "def check():\n    try:\n        assert f(1) == 2\n    finally:\n        return\ncheck()",
]
TRUE = [
    "f(1) == 2 or True", "True or f(1)", "[f(1) == 2]", "{f(1): 2}", "lambda: f(1) == 2", "(f(n) == n for n in [1])",
    "not ()", "f'f: {f(1)}'", "(found := [f(1)])", "f(1) == 2 if False else True", "not (f(1) != 2 and False)",
]  # fmt: skip
UNREACHED = [
    "for n in []:\n    assert f(n) == 2",
    "def check():\n    return\n    assert f(1) == 2\ncheck()",
    "def check():\n    assert f(1) == 2\n    yield\ncheck()",
    "async def check():\n    assert f(1) == 2\ncheck()",
    "if f(1) and False:\n    assert f(1) == 2",
]
DEEP = json.loads("[" * 300 + "]" * 300)
DEEPER = json.loads("[" * 600 + "]" * 600)


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        (STDIN | {"tests": [{"input": "", "output": "1"}, {"input": "", "output": "nan\n"}]}, "tests.1.output", "NaN"),
        (CALL | {"tests": [{"input": [1], "output": DEEP}]}, "tests.0", "no program can return"),
        (CALL | {"tests": [{"input": [1], "output": DEEPER}]}, "tests", "nested too deeply"),
        (CALL | {"tests": [{"input": [1], "output": 1 << 200_000}]}, "tests.0", "no program can return"),
        (CALL | {"answer": {"argument": 1}}, "tests.0", "which the call does not have"),
        (ASSERT | {"tests": [{"code": "f(1)"}]}, "tests.0", "could not fail"),
        (ASSERT | {"tests": [{"code": "f(1)\nassert True, 'a remark'"}]}, "tests.0", "could not fail"),
        (ASSERT | {"tests": [{"code": "assert (f(1) == 2, 'a text')"}]}, "tests.0", "could not fail"),
        (ASSERT | {"tests": [{"code": "assert 1 == 1 and 'a' in 'ab'"}]}, "tests.0", "could not fail"),
        (ASSERT | {"tests": [{"code": "def test_a():\n    assert f(1) == 2"}]}, "tests.0", "nothing runs them"),
        (ASSERT | {"tests": [{"code": f"{UNCALLED}if __name__ == '__main__': T()"}]}, "tests.0", "nothing runs them"),
        (ASSERT | {"tests": [{"code": f"{UNCALLED}while False:\n    T().a()"}]}, "tests.0", "nothing runs them"),
        *((ASSERT | {"tests": [{"code": f"assert {code}"}]}, "tests.0", "asks anything") for code in TRUE),
        *((ASSERT | {"tests": [{"code": code}]}, "tests.0", "nothing runs them") for code in UNREACHED),
        *((ASSERT | {"tests": [{"code": code}]}, "tests.0", "takes what its asserts raise") for code in LOST),
        (STDIN | {"checker": "def judge(): pass"}, "checker", "no function check"),
        (STDIN | {"style": "pytest", "module": "x = 1", "tests": [{"name": "test_a"}]}, "tests.0", "has no test"),
    ],
)
def test_what_nothing_can_be_judged_by_is_refused(line: dict[str, Any], field: str, reason: str) -> None:
    digits = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    raw = json.dumps(line).encode()
    sys.set_int_max_str_digits(digits)
    for judging in (False, True):
        with pytest.raises(DataFileError) as refused:
            parse_line(raw, "f", 1, judging)
        assert refused.value.field == field and reason in refused.value.reason, refused.value


@pytest.mark.parametrize(
    "code",
    [
        f"{UNCALLED}T().a()",
        f"{UNCALLED}class U(T): pass\nU().a()",
        "def check(g):\n    def same(a, b):\n        if a != b: raise ValueError\n    same(g(1), 2)\ncheck(f)",
        "def test_a():\n    assert f(1) == 2\nfor name in list(globals()):\n    globals()[name]()",
        "if False:\n    pass\nelse:\n    assert f(1) == 2",
        "import unittest\nunittest.TestCase().assertEqual(f(1), 2)",
        "try:\n    assert f(1) == 2\nexcept AssertionError as error:\n    raise ValueError from error\nexcept Exception:\n    pass",
        "wrong = 0\ntry:\n    assert f(1) == 2\nexcept Exception:\n    wrong += 1\nassert not wrong",
        "import sys\ntry:\n    assert f(1) == 2\nexcept AssertionError:\n    sys.exit(1)",
        "try:\n    f(None)\n    assert False\nexcept TypeError:\n    pass",
        "def check():\n    try:\n        assert f(1) == 2\n    except AssertionError:\n        return False\n    return True\nassert check()",
        f"{OF_UNITTEST}T().test_a()",
        f"{OF_UNITTEST}T('test_a').debug()",
        f"{OF_UNITTEST}found = unittest.TestResult()\nunittest.makeSuite(T).run(found)\nassert found.wasSuccessful()",
        "assert sum([1, 2]) == 3",  # a program may define it
        "def check():\n    assert f(1) == 2\n    yield\nlist(check())",
        "def check():\n    if f(0):\n        return\n    assert f(1) == 2\ncheck()",
        "def check(asked):\n    assert f(asked) == 2\n    return\nfor n in [1]: check(n)",
        "import threading\ngot = []\nthreading.Thread(target=lambda: got.append(f(1))).start()\nassert got == [2]",
        "from numpy.testing import assert_array_equal\nassert_array_equal(f(1), 2)",
        "if f(1) != 2: exit(1)",
        "assert f(1) == 2 and [1]",
        "assert [*f(1)]",
        "assert {**f(1)}",
        "assert f(1) if f(2) else True",
        "try:\n    f(1)\nexcept ValueError:\n    pass\nelse:\n    assert not 1 == 1",
    ],
)
def test_code_that_asks_where_it_runs_is_a_test(code: str) -> None:
    assert parse_line(json.dumps(ASSERT | {"tests": [{"code": code}]}).encode(), "f", 1).id == "a"


def test_the_rule_of_all_problems_decides_whether_nan_can_be_met() -> None:
    raw = json.dumps(STDIN | {"tests": [{"input": "", "output": "nan"}]}).encode()
    assert parse_line(raw, "f", 1, judging=True, compare="tokens").id == "a"
    raw = json.dumps(json.loads(raw) | {"compare": "tokens"}).encode()
    with pytest.raises(DataFileError):
        parse_line(raw, "f", 1, judging=True, compare="strict")


def test_training_asks_for_more_than_judging() -> None:
    for change in ({"statement": ""}, {"tests": [{"input": "x", "output": " "}]}):
        raw = json.dumps(STDIN | change).encode()
        assert parse_line(raw, "f", 1, judging=True).id == "a"
        with pytest.raises(DataFileError):
            parse_line(raw, "f", 1)
