# ruff: noqa: E501  (tables of programs, a row each)
"""Scripts beside plain Python: which ends count as success, and what a program knows of itself."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Verdict
from stepcoder.executor.suite import Case, Suite

ENDS = [
    "sys.exit()", "sys.exit(None)", "sys.exit(0)", "sys.exit(False)", "sys.exit(1)", "sys.exit(True)", "sys.exit(-1)",
    "sys.exit(256)", "sys.exit(-256)", "sys.exit(257)", "sys.exit(2 ** 32)", "sys.exit(2 ** 32 + 1)", "sys.exit(2 ** 63)",
    "sys.exit(-2 ** 63)", "sys.exit(2 ** 64)", "sys.exit(0.0)", "sys.exit(0j)", "sys.exit('')", "sys.exit('0')", "sys.exit([])",
    "sys.exit(Fraction(0))", "sys.exit(Decimal(0))", "sys.exit(b'')", "raise SystemExit",
    "raise SystemExit(0, 0)", "raise Exit(1)", "raise Exits", "raise Fails", "sys.exit(Zero())", "sys.exit(One())", "sys.exit(Equal())",
    "sys.exit(Nothing())", "exit()", "exit(0.0)", "quit(256)", "os._exit(0)", "os._exit(256)", "os._exit(1)",
]  # fmt: skip
HEAD = """
import os, sys
from decimal import Decimal
from fractions import Fraction
class Zero(int):
    def __eq__(self, other): return False
    def __ne__(self, other): return True
class One(int):
    def __new__(cls): return int.__new__(cls, 1)
    def __eq__(self, other): return True
    def __and__(self, other): return 0
class Equal:
    def __eq__(self, other): return True
    def __int__(self): return 0
    __index__ = __int__
class Nothing:
    __class__ = property(lambda self: int)
    def __bool__(self): return False
class Exit(SystemExit):
    code = 0
class Exits(SystemExit):
    code = property(lambda self: False)
class Fails(SystemExit):
    @property
    def code(self): raise OSError
print(7, flush=True)
"""
KNOWS = [
    "print(bool(__file__) and 7)",
    "import os\nprint(7 if os.path.isabs(os.path.abspath(__file__)) else 0)",
    "import inspect\ndef f():\n    return 7  # seven\nprint(7 if inspect.getsource(f) == 'def f():\\n    return 7  # seven\\n' else 0)",
    "import inspect\nclass A:\n    x = 1\n\ndef g(): pass\nprint(7 if inspect.getsource(A) == 'class A:\\n    x = 1\\n' else 0)",
    "import inspect\nprint(inspect.getsourcelines(lambda: 0)[1] + 5)",
    "import inspect, sys\nprint(inspect.getsource(sys.modules[__name__]).count('inspect') + 4)",
    "import linecache\nprint(linecache.getline(__file__, 1).count('e') + 5)",
    "import sys\nprint(sys._getframe().f_code.co_filename == __file__ and 7)",
]


@pytest.fixture(scope="module", params=[True, False], ids=["coverage", "no coverage"])
def pool(request: pytest.FixtureRequest) -> Iterator[LocalPool]:
    with LocalPool(ExecutorConfig(workers=2, memory_mib=256, coverage=request.param)) as pool:
        yield pool


def plain(program: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """As a file of its own, whose end is the interpreter's."""
    path = folder / "program.py"
    path.write_text(program)
    return subprocess.run([sys.executable, str(path)], input=b"", capture_output=True, check=False)


def test_a_script_ends_well_when_the_interpreter_says_so(pool: LocalPool, tmp_path: Path) -> None:
    programs = [HEAD + end for end in ENDS]
    reports = pool.map((program, Suite("stdin", (Case("", "7\n"),))) for program in programs)
    different = {}
    for end, program, report in zip(ENDS, programs, reports, strict=True):
        code = plain(program, tmp_path).returncode
        if report.verdict is not (Verdict.RUNTIME_ERROR if code else Verdict.PASSED):
            different[end] = code, report.verdict.value
    assert not different


@pytest.mark.parametrize("program", KNOWS)
def test_a_program_knows_its_file_and_its_source(pool: LocalPool, tmp_path: Path, program: str) -> None:
    twice = Suite("stdin", (Case("", "7\n"), Case("", "7\n")))
    assert plain(program, tmp_path).stdout == b"7\n"
    report = pool.run(program, twice)
    assert report.passed, report
    assert pool.run(program + "\n" + "# filler\n" * 10_000, twice).passed  # compiled in its own process


LARGE = "x" * 99 + "\n"
DEEP: list = []
for _ in range(229):
    DEEP = [DEEP]


def test_no_limit_is_below_what_the_expected_answers_need() -> None:
    """And a program with smaller answers has the limits that were asked for, before and after."""
    small, flood = Suite("stdin", (Case("", "7\n"),)), "print('x' * 200_000)"
    rows = [
        (flood, small, Verdict.OUTPUT_LIMIT),
        (f"print({LARGE!r} * 20_000, end='')", Suite("stdin", (Case("", LARGE * 20_000),)), Verdict.PASSED),
        (f"print({LARGE!r} * 20_000, end='')", Suite("stdin", (Case("", LARGE * 20_001),)), Verdict.WRONG_ANSWER),
        ("while True: print('x' * 1000)", Suite("stdin", (Case("", LARGE * 20_000),)), Verdict.OUTPUT_LIMIT),
        (flood, small, Verdict.OUTPUT_LIMIT),
        ("def f(n): return ['x' * 99] * n", Suite("call", (Case([9_000], ["x" * 99] * 9_000),), "f"), Verdict.PASSED),
        ("def f(n): return list(range(n))", Suite("call", (Case([5_000], list(range(5_000))),), "f"), Verdict.PASSED),
        ("def f(n):\n    a = []\n    for _ in range(n): a = [a]\n    return a", Suite("call", (Case([229], DEEP),), "f"), Verdict.PASSED),
        ("def f(n): return list(range(n))", Suite("call", (Case([5_000], []),), "f"), Verdict.OUTPUT_LIMIT),
    ]  # fmt: skip
    config = ExecutorConfig(workers=1, memory_mib=256, output_kib=64, result_kib=64, result_depth=20, result_parts=1000)
    with LocalPool(config) as pool:
        assert [pool.run(program, suite).verdict for program, suite, _ in rows] == [verdict for *_, verdict in rows]


def test_what_a_test_costs_does_not_grow_with_their_number(pool: LocalPool) -> None:
    """What the collector goes through at the end of each."""
    counts = []
    for tests in (2, 40):
        suite = Suite("call", tuple(Case([[n, [n]]], -1) for n in range(tests)), "f")
        counts.append(pool.run("import gc\ndef f(x): return len(gc.get_objects())", suite).tests[0].answer)
    assert counts[0] == counts[1]
