# ruff: noqa: E501  (programs as one line each)
"""Executed lines in a report: per test and their union, what is left over, and what a program can do to them."""

from collections.abc import Iterator

import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.interpreters import examine, find
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Verdict
from stepcoder.executor.suite import Case, Suite
from tests.tools.interpreters import OTHERS

ONCE = Suite("stdin", (Case("", ""),))
ECHO = "    return x\n"
MONITORED = [name for name in ("own", *OTHERS) if examine(find(name))[1]]  # with sys.monitoring, to be tampered with


@pytest.fixture(scope="module", params=["own", *OTHERS])
def pool(request: pytest.FixtureRequest) -> Iterator[LocalPool]:
    python = None if request.param == "own" else find(request.param)
    with LocalPool(ExecutorConfig(workers=1, cpu_s=10, wall_s=30, memory_mib=256, python=python)) as pool:
        yield pool


def call(values: list[int], entry: str = "f") -> Suite:
    return Suite("call", tuple(Case([value], value) for value in values), entry)


def test_union_over_tests_that_run_in_several_processes(pool: LocalPool) -> None:
    source = "x = int(input())\nif x == 1:\n    import os; os._exit(1)\nelif x == 2:\n    a = 1\nelse:\n    b = 1\n"
    report = pool.run(source, Suite("stdin", (Case("1", ""), Case("2", ""), Case("1", ""))))
    assert report.executed_lines == (1, 2, 3, 4, 5)
    assert [t.verdict for t in report.tests] == [Verdict.RUNTIME_ERROR, Verdict.PASSED, Verdict.RUNTIME_ERROR]
    assert [t.executed_lines for t in report.tests] == [(1, 2, 3), (1, 2, 4, 5), (1, 2, 3)]


def test_each_test_of_a_process_has_its_own_lines(pool: LocalPool) -> None:
    source = "def f(x):\n    for i in range(3):\n        if i == x:\n            break\n    else:\n        g()\n" + ECHO
    source += "def g():\n    try:\n        raise KeyError\n    except KeyError:\n        pass\n"
    report = pool.run(source, call([1, 7, 1, 7, 0]))
    found, missed = (1, 2, 3, 4, 7, 8), (1, 2, 3, 6, 7, 8, 9, 10, 11, 12)
    assert [t.executed_lines for t in report.tests] == [found, missed, found, missed, found]
    assert report.executed_lines == tuple(range(1, 5)) + tuple(range(6, 13))


def test_nothing_is_left_from_the_program_before(pool: LocalPool) -> None:
    pool.run("a = 1\n" * 3000, ONCE)
    assert pool.run("\n\nb = 1\n", ONCE).executed_lines == (3,)


def test_more_constants_than_a_byte_counts(pool: LocalPool) -> None:
    """Long operands in the bytecode: probes that are switched off and on must find all of it."""
    body = "".join(f"    a{i} = {i + 1000}\n    if x == {i}: break\n" for i in range(400))
    source = f"def f(x):\n  while True:\n{body}  return x\n"
    report = pool.run(source, call([399, 399, 5]))
    assert report.passed, report
    assert report.tests[0].executed_lines == report.tests[1].executed_lines == tuple(range(1, 804))
    assert report.tests[2].executed_lines == (*range(1, 15), 803)


def test_a_program_longer_than_the_map_is_flagged(pool: LocalPool) -> None:
    longest = pool.run("a = 1\n" * 16_382, ONCE)
    assert (len(longest.executed_lines), longest.coverage_trusted) == (16_382, True)
    longer = pool.run("a = 1\n" * 17_000, ONCE)
    assert longer.passed
    assert (longer.executed_lines, longer.coverage_trusted) == (tuple(range(1, 16_384)), False)


def test_code_that_is_inspected_copied_and_hashed(pool: LocalPool) -> None:
    source = (
        "import types, inspect\ndef g(n):\n    a = n + 1\n    return a\ndef f(x):\n    h = types.FunctionType(g.__code__, {})\n"
        "    k = types.FunctionType(g.__code__.replace(co_name='k'), {})\n    d = {g.__code__: h(x), k.__code__: k(x)}\n"
        "    assert len(d) == 2 and g.__code__ == h.__code__ and inspect.signature(k) == inspect.signature(g)\n"
        "    assert g.__doc__ is None and f.__code__.co_firstlineno == 5\n"
    ) + ECHO
    report = pool.run(source, call([1, 2]))
    assert report.passed, report
    assert report.coverage_trusted
    assert [t.executed_lines for t in report.tests] == [tuple(range(1, 12))] * 2


def test_generators_and_threads_that_are_in_the_middle_when_a_line_is_first_hit(pool: LocalPool) -> None:
    source = (
        "import threading\ndef g():\n    a = yield 1\n    while a:\n        a = yield a\n    return\ndef f(x):\n"
        "    gs = [g() for _ in range(9)]\n    for i in gs: next(i)\n    s = [i.send(k) for k, i in enumerate(gs, 1)]\n"
        "    ts = [threading.Thread(target=list, args=(g(),)) for _ in range(8)]\n    for t in ts: t.start()\n"
        "    for t in ts: t.join()\n    return x if s == [1, 2, 3, 4, 5, 6, 7, 8, 9] else s\n"
    )
    report = pool.run(source, call([1, 2]))
    assert report.passed, report
    assert [t.executed_lines for t in report.tests] == [tuple(range(1, 15))] * 2


def test_a_trace_of_the_programs_own_changes_nothing(pool: LocalPool) -> None:
    """But for the lines of the trace function itself: nothing watches those from Python 3.12 on."""
    source = (
        "import sys\nseen = []\ndef trace(frame, event, argument):\n    seen.append(event)\n    return trace\n"
        "def f(x):\n    sys.settrace(trace)\n    g()\n    sys.settrace(None)\n    return x if 'line' in seen else 0\n"
        "def g():\n    a = 1\n    return a\n"
    )
    report = pool.run(source, call([1, 2]))
    assert report.passed, report
    assert [set(t.executed_lines) - {4, 5} for t in report.tests] == [{1, 2, 3, *range(6, 14)}] * 2


TAMPER = {
    "the tool is given up": "m.free_tool_id(4)",
    "its events are switched off": "m.set_local_events(4, f.__code__, 0)",
    "another callback": "m.register_callback(4, m.events.LINE, print)",
    "another tool in its place": "m.free_tool_id(4); m.use_tool_id(4, 'lines of mine')",
}


@pytest.mark.parametrize("pool", MONITORED, indirect=True)
def test_a_monitor_that_was_tampered_with_is_flagged_and_changes_no_verdict(pool: LocalPool) -> None:
    for way, change in TAMPER.items():
        source = f"import sys\nm = sys.monitoring\ndef f(x):\n    if x == 2: {change}\n    y = 1\n" + ECHO
        report = pool.run(source, call([1, 3]))
        assert report.passed and report.coverage_trusted, way
        report = pool.run(source, call([1, 2, 3]))
        assert report.passed and not report.coverage_trusted, (way, report)
        assert report.tests[2].executed_lines == (1, 2, 3, 4, 5, 6), way


FORGED = """
import ctypes, gc, sys
def f():
    return 1


for c in gc.get_objects():
    if type(c) is memoryview and c.nbytes == 16384: c[:9] = b'x' * 9
for c in sys._getframe().f_code.co_consts:
    if hasattr(c, 'mark'): [c.mark(i, 1) for i in range(1, 8)]
for c in gc.get_objects():
    if hasattr(c, '__closure__') and type(c).__name__ == 'function' and c.__name__ == 'record':
        [x.cell_contents.__setitem__(5, 1) for x in c.__closure__ if type(x.cell_contents) is memoryview]
"""


def test_a_written_map_is_flagged(pool: LocalPool) -> None:
    report = pool.run(FORGED, ONCE)
    assert report.passed, report
    assert not report.coverage_trusted


def test_no_lines_for_a_program_that_does_not_compile(pool: LocalPool) -> None:
    report = pool.run("a = 1\nb =\n", ONCE)
    assert (report.verdict, report.executed_lines, report.error_line) == (Verdict.COMPILE_ERROR, (), 2)


def test_the_error_line_is_that_of_the_program(pool: LocalPool) -> None:
    source = "def f(x):\n\n    return g(x)\ndef g(x):\n    return {}[x]\n"
    report = pool.run(source, call([1]))
    assert (report.error, report.error_line) == ("KeyError: 1", 5)


def test_no_lines_when_they_are_not_wanted() -> None:
    with LocalPool(ExecutorConfig(workers=1, coverage=False)) as pool:
        report = pool.run("a = 1\n", ONCE)
    assert report.passed
    assert (report.executed_lines, report.tests[0].executed_lines) == ((), ())


def test_no_comment_is_executed_in_a_program_that_compiles_itself(pool: LocalPool) -> None:
    """Its own process says what can be recorded: the parent leaves out what holds no code."""
    forging = (
        "import sys\n# a comment\n\nframe = sys._getframe()\n"
        "while not hasattr(frame.f_locals.get('self'), '_board'): frame = frame.f_back\n"
        "board, cells = frame.f_locals['self']._board, frame.f_locals['self']._cells\n"
        "board.start()\nboard.put({'recordable': list(range(1, len(cells)))})\ntext = '''\n# no comment\n'''\n"
        "  # indented\ncells[1:] = b'\\1' * (len(cells) - 1)\n"
    )
    report = pool.run(forging + "# filler\n" * 10_000, ONCE)
    assert not {2, 3, 12, 14, 15} & set(report.executed_lines), report.executed_lines[:20]
    assert {1, 4, 13} <= set(report.executed_lines) and not report.coverage_trusted


def test_lines_of_a_program_that_traces_itself(pool: LocalPool) -> None:
    source = (
        "import sys\nlines = []\ndef trace(frame, event, arg):\n    lines.append(frame.f_lineno)\n    return trace\n"
        "def f(x):\n    for _ in range(200):\n        y = x\n    if x == 2:\n        y = 0\n    return x\n"
        "def g(x):\n    sys.settrace(trace)\n    x = f(x)\n    sys.settrace(None)\n    return x\n"
    )
    report = pool.run(source, call([1, 1], "g"))
    assert report.passed and report.coverage_trusted
    inside = {4, 5}  # of the trace, where `sys.monitoring` does not look
    assert {*report.executed_lines} - inside == {1, 2, 3, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16}
