# ruff: noqa: E501  (tables of programs, a row each)
"""Checkers that a problem brings: verdicts of theirs, helpers, failures that are no verdict, and hostile answers."""

from collections.abc import Iterator

import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging.plan import plan
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Verdict
from stepcoder.executor.suite import Case, Suite

PASSED, WRONG, RUNTIME, INFRA = Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR, Verdict.INFRA_ERROR


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool(ExecutorConfig(workers=1, cpu_s=1.0, memory_mib=256)) as pool:
        yield pool


def stdin(checker: str, *cases: Case) -> Suite:
    return Suite("stdin", cases or (Case("2 5\n", "2\n"), Case("1 1\n", "3\n")), checker=checker)


NOT_THE_SUM = (
    "def check(input, output, expected):\n    a, b = map(int, input.split())\n    return int(output) != a + b\n"
)
FACTORS = """
def check(input, output, expected):
    n, answer = int(input), Reader(output)
    factors = answer.integers(answer.integer(1, 60), 2, n)
    answer.end()
    return math.prod(factors) == n, f"{factors} do not make {n}"
"""
PERMUTED = "def check(input, output, expected):\n    return sorted(output) == sorted(expected), 'no permutation'\n"
SIX = (Case("6\n", ""), Case("8\n", ""))
LISTS = Suite("call", (Case([[3, 1]], [1, 3]), Case([[2, 1]], [1, 2], {})), "f", checker=PERMUTED)

CASES = [  # program, suite, verdict, error
    ("another answer", "print(9)", stdin(NOT_THE_SUM), PASSED, None),
    ("a wrong answer", "a, b = map(int, input().split())\nprint(a + b)", stdin(NOT_THE_SUM), WRONG, None),
    ("the second is wrong", "print(2)", stdin(NOT_THE_SUM), WRONG, None),
    ("helpers", "n = int(input())\nprint(2, 2, n // 2)", stdin(FACTORS, *SIX), PASSED, None),
    ("helpers, not enough", "print(3, 2)", stdin(FACTORS, *SIX), WRONG, "ends too early"),
    ("helpers, too much", "print(1, 6, 7)", stdin(FACTORS, *SIX), WRONG, "goes on with '7'"),
    ("helpers, no number", "print('two')", stdin(FACTORS, *SIX), WRONG, "an integer was expected"),
    ("helpers, out of range", "print(1, 100)", stdin(FACTORS, *SIX), WRONG, "not between 2 and 6"),
    ("its text", "print(1, 5)", stdin(FACTORS, *SIX), WRONG, r"[5] do not make 6"),
    ("values", "def f(a): return a", LISTS, PASSED, None),
    ("values, wrong", "def f(a): return a[:1]", LISTS, WRONG, "no permutation"),
    ("an iterator", "def f(a): return tuple(a)", LISTS, PASSED, None),
    ("None is an answer", "def f(a): pass", Suite("call", (Case([1], 1),), "f", checker="def check(i, o, e): return o is not None"), WRONG, None),
    ("an argument", "def f(a): a.sort()", Suite("call", (Case([[2, 1]], None),), "f", answer=0, checker="def check(i, o, e): return o == sorted(i[0])"), PASSED, None),
    ("keywords", "def f(a, b): return a + b", Suite("call", (Case([1], None, {"b": 2}),), "f", checker="def check(i, o, e): return o == i[0] + i[-1]['b']"), PASSED, None),
    ("an error of the program", "1 / 0", stdin(NOT_THE_SUM), RUNTIME, "ZeroDivisionError"),
    ("a program that ends", "import os\nos.write(1, b'9')\nos._exit(0)", stdin(NOT_THE_SUM), PASSED, None),
    ("each in its process", "import ctypes\nprint(9)", stdin(NOT_THE_SUM), PASSED, None),
    ("a checker that raises", "print('x')", stdin(NOT_THE_SUM), INFRA, "the checker failed on test 1: ValueError"),
    ("a checker that says nothing", "print(1)", stdin("def check(input, output, expected): pass"), INFRA, "returned None for test 1"),
    ("a checker that returns an object", "print(1)", stdin("class B: pass\ndef check(i, o, e): return B()"), INFRA, "returned an object of the type B for test 1"),
    ("a checker that yields", "print(1)", stdin("def check(i, o, e): yield True"), INFRA, "returned an object of the type generator for test 1"),
    ("a checker that returns a long number", "print(1)", stdin("def check(i, o, e): return 10 ** 9999"), INFRA, "an object of the type int for test 1"),
    ("a checker with a very long text", "print(1)", stdin("def check(i, o, e): return False, 'x' * 10 ** 7"), INFRA, "result_kib"),
    ("a checker for later Pythons", "print(1)", stdin("from __future__ import annotations\nimport math\ndef check(i: Text, o: Text, e) -> Bool: return math.pi > 3"), PASSED, None),
    ("a checker with its own Reader", "print(1)", stdin("\ufeffclass Reader:\r\n    def __init__(self, text): self.holds = True\r\ndef check(i, o, e): return Reader(o).holds\r\n"), PASSED, None),
    ("a generator is a list", "def f(a): yield from a", Suite("call", (Case([[2, 1]], [1, 2]),), "f", checker="def check(i, o, e): return len(o) == 2 and isinstance(o, list)"), PASSED, None),
    ("generators in a list", "def f(a): return [iter(a)]", Suite("call", (Case([[2, 1]], [1, 2]),), "f", checker="def check(i, o, e): return o == [[2, 1]]"), PASSED, None),
    ("an object is a wrong answer", "class E:\n    def __eq__(s, o): return True\ndef f(a): return E()", Suite("call", (Case([[2, 1]], [1, 2]),), "f", checker="def check(i, o, e): return o == e"), WRONG, "an object of the class 'E'"),
    ("an object inside of a list", "def f(a): return [1, {2: object()}]", LISTS, WRONG, "an object of the class 'object'"),
    ("a checker that hangs", "print(1)", stdin("def check(i, o, e):\n    while True: pass"), INFRA, "took too long"),
    ("a checker that exits", "print(1)", stdin("import os\ndef check(i, o, e): os._exit(3)"), INFRA, "the checker ended"),
    ("a checker that breaks out", "print(1)", stdin("import socket\ndef check(i, o, e): socket.socket()"), INFRA, "PermissionError"),
    ("a program that raises its error", "class WrongAnswer(Exception): pass\ndef f(a): raise WrongAnswer", LISTS, RUNTIME, "WrongAnswer"),
    ("a program that looks for expected values", "import gc\nprint(9 if not any(isinstance(o, str) and o == '77777' for o in gc.get_objects()) else 0)", stdin("def check(i, o, e): return o == '9\\n'", Case("", "77777")), PASSED, None),
    ("a flood", "print('1 ' * (4 << 20))", stdin("def check(i, o, e): return len(o) > 4 << 20", Case("", "x"), Case("", "x"), Case("", "x")), PASSED, None),
    ("a module that is not there yet", "print(1)", stdin("import difflib\ndef check(i, o, e): return bool(difflib.SequenceMatcher(None, i, o))"), PASSED, None),
]  # fmt: skip


@pytest.mark.parametrize(("program", "suite", "verdict", "error"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_verdict(pool: LocalPool, program: str, suite: Suite, verdict: Verdict, error: str | None) -> None:
    report = pool.run(program, suite)
    assert report.verdict is verdict, report
    assert (error or "") in (report.error or ""), report.error


def test_executed_lines_are_those_of_the_program(pool: LocalPool) -> None:
    report = pool.run("a = 9\nif a < 0:\n    a = 0\nprint(a)\n", stdin(NOT_THE_SUM))
    assert report.executed_lines == (1, 2, 4) and [test.verdict for test in report.tests] == [PASSED, PASSED]


@pytest.mark.parametrize(
    ("checker", "error"),
    [
        ("def check(:", "does not compile"),
        ("def judge(a, b, c): pass", "no function check"),
        ("check = 1", "no function check"),
    ],
)
def test_a_checker_that_cannot_decide_is_refused(checker: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        plan(stdin(checker))
