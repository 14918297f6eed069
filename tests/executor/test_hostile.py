"""Every program of the table at every level that this machine has, in parallel with and between right programs."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.isolation import check
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Report, Verdict
from tests.executor.hostile.base import ECHO, SAME, Hostile, call
from tests.executor.hostile.canaries import canaries
from tests.executor.hostile.processes import processes
from tests.executor.hostile.programs import innocent, programs

# More slots than cores: some programs only wait for their limit.
CONFIG = ExecutorConfig(workers=4, cpu_s=0.5, wall_s=6.0, compile_s=5.0, memory_mib=128, output_kib=64, result_kib=64)
LEVELS = (1, 2, 3)
SERVICE = {49, 50, 51}  # tests/executor/test_hostile_service.py


@dataclass(frozen=True)
class Judged:
    """All reports at one level, and what was found around the pool afterwards."""

    level: int
    table: tuple[Hostile, ...]
    reports: tuple[Report, ...]
    neighbours: tuple[Report, ...]
    touched: list[str]
    descriptors: int
    left: set[psutil.Process]


_judged: dict[int, Judged] = {}


def judge(level: int) -> Judged:
    """The whole table once, a right program after each hostile one; kept for all tests of the module."""
    if level not in _judged:
        before, children = len(os.listdir("/proc/self/fd")), processes()
        with canaries() as canary:
            table, right = programs(canary.facts), innocent()
            pairs = [p for i, h in enumerate(table) for p in ((h.program, h.suite), right[i % 2])]
            with LocalPool(CONFIG.model_copy(update={"level": level})) as pool:
                reports = list(pool.map(pairs))
            touched = canary.touched()
        _judged[level] = Judged(
            level,
            table,
            tuple(reports[::2]),
            tuple(reports[1::2]),
            touched,
            len(os.listdir("/proc/self/fd")) - before,
            processes() - children,
        )
    return _judged[level]


@pytest.fixture(
    scope="module",
    params=[0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)],
    ids=["the best level", "the second level", "the third level"],
)
def judged(request: pytest.FixtureRequest) -> Judged:
    """Of those that this machine has, the strongest first: programs are run at that one."""
    reasons = {level: check(CONFIG, level) for level in LEVELS}
    had = [level for level in LEVELS if reasons[level] is None]
    if request.param >= len(had):
        pytest.skip(f"levels that cannot be had here: { {n: reason for n, reason in reasons.items() if reason} }")
    return judge(had[request.param])


def test_every_program_gets_its_verdict(judged: Judged) -> None:
    pairs = zip(judged.table, judged.reports, strict=True)
    different = {
        f"{h.threat} {h.name}": (h.verdict(judged.level).value, report.verdict.value, report.error)
        for h, report in pairs
        if report.verdict is not h.verdict(judged.level)
    }
    assert not different


def test_right_programs_between_them_pass(judged: Judged) -> None:
    expected_lines = [(1,), (1, 2, 3, 4)]
    for number, report in enumerate(judged.neighbours):
        before = judged.table[number].name
        assert report.verdict is Verdict.PASSED, (before, report)
        assert report.executed_lines == expected_lines[number % 2], before
        assert report.coverage_trusted and all(not test.error for test in report.tests), before


def test_nothing_of_the_host_was_touched_and_nothing_is_left(judged: Judged) -> None:
    assert not judged.touched
    assert not judged.left
    assert judged.descriptors <= 0


def test_reports_are_data_for_a_person(judged: Judged) -> None:
    """Whatever a program sent, a report can be written down and is bounded."""
    for hostile, report in zip(judged.table, judged.reports, strict=True):
        for test in (report, *report.tests):
            line = test.error_line
            assert line is None or 0 < line <= hostile.program.count("\n") + hostile.program.count("\x0c") + 1
            (test.error or "").encode()
            assert len(test.error or "") <= 1100
        for test in report.tests:
            test.stdout.encode()
            assert len(test.stdout) <= CONFIG.stdout_chars and test.cpu_s < 2.5 * CONFIG.cpu_s


def test_the_table_covers_every_threat() -> None:
    with canaries() as canary:
        table = programs(canary.facts)
    assert len(table) >= 165
    assert {h.threat for h in table} | SERVICE == set(range(1, 52))
    assert not [name for name, count in Counter((h.threat, h.name) for h in table).items() if count > 1]


@pytest.mark.slow
def test_levels_agree() -> None:
    """Where they may not, the table says so."""
    had = [level for level in LEVELS if check(CONFIG, level) is None]
    for level in had[1:]:
        first, other = judge(had[0]), judge(level)
        for hostile, a, b in zip(first.table, first.reports, other.reports, strict=True):
            if hostile.verdict(other.level) is hostile.expected:
                assert [t.verdict for t in a.tests] == [t.verdict for t in b.tests], (level, hostile.name)
            if hostile.suite is SAME:
                assert a.tests[0].stdout == b.tests[0].stdout


def test_without_isolation_the_harmless_are_judged_alike() -> None:
    """Level 4 gives no promise about the host: only programs that keep to themselves."""
    with canaries() as canary:
        harmless = [
            h for h in programs(canary.facts) if h.threat in (1, 3, 5, 10, 13, 14, 19, 37, 38, 39, 40) and not h.slow
        ]
    with LocalPool(CONFIG.model_copy(update={"level": 4})) as pool:
        reports = list(pool.map((h.program, h.suite) for h in harmless))
    wrong = {h.name: r.verdict.value for h, r in zip(harmless, reports, strict=True) if r.verdict is not h.expected}
    assert not wrong


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool(CONFIG) as pool:
        yield pool


def test_signals_are_named(pool: LocalPool) -> None:
    assert pool.run("import os\nos.abort()", ECHO).error == "killed by SIGABRT"
    assert pool.run("import ctypes\nctypes.string_at(0)", ECHO).error == "killed by SIGSEGV"


def test_an_overflow_of_the_c_stack_costs_only_its_program(pool: LocalPool) -> None:
    """Whether the stack or the heap meets the memory limit first is the kernel's affair; both are an error."""
    twice = call("f", ([3], 6))
    report = pool.run("import sys\nsys.setrecursionlimit(10**9)\ndef f(x): return max([x + 1], key=f)", twice)
    assert report.verdict in (Verdict.RUNTIME_ERROR, Verdict.MEMORY_LIMIT), report
    assert pool.run("def f(x): return 2 * x", twice).passed


def test_coverage_that_a_program_writes_is_left_out(pool: LocalPool) -> None:
    forged = (
        "import builtins\nfor name in dir(builtins):\n    if 'cov' in name: getattr(builtins, name)[4] = 1\n\n"
        "print(input())"
    )
    report = pool.run(forged, ECHO)
    assert report.passed and 4 not in report.executed_lines


def test_a_program_finds_nothing_of_the_one_before(pool: LocalPool) -> None:
    """The fork server holds no job that it has handed on: its memory is what the next program inherits."""
    secret = "answer-of-" + "another-sample"
    scan = (
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.sbrk.restype = ctypes.c_void_p\n"
        "end = start = libc.sbrk(0)\n"
        "mine, (reader, writer) = os.urandom(2000), os.pipe()\n"
        "while libc.write(writer, ctypes.c_void_p(start - 1), 1) == 1:\n"  # EFAULT: the page before is not the heap's
        "    start -= os.read(reader, 1) and 4096\n"
        "heap = ctypes.string_at(start, end - start)\n"
        "found = heap.count(bytes(reversed(b'elpmas-rehtona-fo-rewsna')))\n"
        "print(found, mine in heap)"
    )
    for filler in (10, 1_000, 20_000):
        noisy = f"x = '{secret}'\n" + "# filler\n" * filler + f"y = '{secret}'\nprint(input())"
        for _ in range(CONFIG.workers * 2):
            assert pool.run(noisy, ECHO).passed
        report = pool.run(scan, SAME)
        assert report.tests[0].stdout == "0 True\n", report
