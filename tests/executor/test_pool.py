"""The local pool: levels, order, restarts, limits on the host's side, and what is left when it dies."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from stepcoder.errors import UserError
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.isolation import check, choose, probe
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Report, Verdict
from stepcoder.executor.sandbox.confinement import seccomp
from stepcoder.executor.sandbox.confinement.syscall_tables import TABLES
from stepcoder.executor.suite import Case, Suite
from tests.executor.hostile.processes import is_ours, processes
from tests.tools.patience import HANG_S, until

DOUBLE = "print(int(input()) * 2)\n"
SUITE = Suite("stdin", (Case("2", "4"), Case("3", "6")))
POOL_LOG = "stepcoder.executor.pool.local"
CONFIG = ExecutorConfig(workers=2, cpu_s=1.0, wall_s=60.0, memory_mib=256, output_kib=64, result_kib=64)


def descendants() -> set[int]:
    """Processes of the executor below this one."""
    return {process.pid for process in processes()}


def test_each_level_judges_alike() -> None:
    for level in (1, 2, 3, 4):
        if level < 4 and check(CONFIG, level) is not None:
            continue  # this machine cannot; `probe` says why
        with LocalPool(CONFIG.model_copy(update={"level": level, "workers": 1, "cpu_s": 0.3})) as pool:
            assert pool.level == level
            assert pool.run(DOUBLE, SUITE).passed
            assert pool.run("print(5)", SUITE).verdict is Verdict.WRONG_ANSWER
            assert pool.run("import os; os.abort()", SUITE).error == "killed by SIGABRT"
            assert pool.run("while True: pass", SUITE).verdict is Verdict.TIMEOUT
            assert pool.run("import difflib, html.parser\nprint(int(input()) * 2)", SUITE).passed or level == 3


def test_probe_reports_a_level_with_reasons_for_the_better_ones() -> None:
    found = probe(CONFIG)
    assert set(found.reasons) == set(range(1, found.level))
    assert check(CONFIG, 4) is not None  # the attack does get out where nothing holds it


def test_an_interpreter_that_does_not_exist_is_refused_at_once() -> None:
    with pytest.raises(UserError, match="no isolation can be had"):
        choose(CONFIG.model_copy(update={"python": Path("/nowhere/python")}))
    with pytest.raises(UserError, match="level 1 cannot be had"):
        choose(CONFIG.model_copy(update={"python": Path("/nowhere/python"), "level": 1}))


def test_filters_exist_for_both_machines() -> None:
    for machine in TABLES:
        program = seccomp.build(1, machine=machine)
        assert len(program) % 8 == 0 and len(program) // 8 < 4096
        for forbidden in ("socket", "execve", "ptrace", "mount", "io_uring_setup", "memfd_create"):
            assert forbidden not in TABLES[machine]
    with pytest.raises(KeyError):
        seccomp.build(1, machine="riscv64")


def test_map_keeps_the_order_and_run_is_safe_from_many_threads() -> None:
    with LocalPool(CONFIG) as pool:
        programs = [f"print(int(input()) * {factor})" for factor in range(20)]
        reports = list(pool.map((program, SUITE) for program in programs))
        assert [r.passed for r in reports] == [factor == 2 for factor in range(20)]
        results: dict[int, Report] = {}

        def one(factor: int) -> None:
            results[factor] = pool.run(programs[factor], SUITE)

        threads = [threading.Thread(target=one, args=(factor,)) for factor in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {factor for factor, report in results.items() if report.passed} == {2}


def test_a_dead_fork_server_costs_nobody_a_verdict() -> None:
    with LocalPool(CONFIG.model_copy(update={"workers": 1})) as pool:
        assert pool.run(DOUBLE, SUITE).passed
        for _ in range(3):
            future = pool.submit("import time\ntime.sleep(0.3)\n" + DOUBLE, SUITE)
            time.sleep(0.1)
            for server in filter(is_ours, psutil.Process().children()):  # what runs below it dies with it
                server.kill()
            report = future.result(HANG_S)
            assert report.passed, report


def test_a_sandbox_that_keeps_failing_is_an_infra_error() -> None:
    with LocalPool(CONFIG.model_copy(update={"workers": 1, "infra_retries": 1})) as pool:
        stop = threading.Event()

        def killer() -> None:
            while not stop.is_set():
                for pid in descendants():
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        continue
                time.sleep(0.01)

        thread = threading.Thread(target=killer)
        thread.start()
        try:
            report = pool.run("import time\ntime.sleep(2)", SUITE)
        finally:
            stop.set()
            thread.join()
        assert report.verdict is Verdict.INFRA_ERROR and report.error
        assert pool.run(DOUBLE, SUITE).passed


def test_verdict_of_the_first_failing_test_and_every_outcome() -> None:
    program = "x = int(input())\nprint(x // (x - 3), end='')\n"
    suite = Suite("stdin", (Case("4", "4"), Case("3", "0"), Case("5", "9"), Case("6", "2")))
    with LocalPool(CONFIG) as pool:
        report = pool.run(program, suite)
    assert [t.verdict.value for t in report.tests] == ["passed", "runtime_error", "wrong_answer", "passed"]
    assert (report.verdict, report.error_line) == (Verdict.RUNTIME_ERROR, 2)
    assert report.error == "ZeroDivisionError: integer division or modulo by zero"
    assert [t.stdout for t in report.tests] == ["4", "", "2", "2"]
    assert report.cpu_s > 0 and report.peak_memory_mib > 1


def test_recursion_out_of_memory_is_that_wherever_the_last_byte_goes() -> None:
    """CPython 3.11 reports it otherwise where a frame, and not an object, is what finds no room."""
    recurse = "import sys\nsys.setrecursionlimit(10**9)\nballast = bytearray({})\n"
    recurse += "def f(x):\n    a = [0] * 9999\n    return f(x + 1)\nf(0)"
    with LocalPool(CONFIG.model_copy(update={"memory_mib": 64})) as pool:
        reports = list(pool.map((recurse.format((1 << 20) + 8192 * size), SUITE) for size in range(20)))
    assert {report.verdict for report in reports} == {Verdict.MEMORY_LIMIT}
    forged = "raise SystemError('error return without exception set', 1)"
    with LocalPool(CONFIG) as pool:
        assert pool.run("raise SystemError('something else')", SUITE).verdict is Verdict.RUNTIME_ERROR
        assert pool.run(forged, SUITE).verdict is Verdict.MEMORY_LIMIT  # as by `raise MemoryError`


def test_cpu_time_is_that_of_the_test() -> None:
    """Not of the tests before it: what the sandbox itself takes of a test is far below these times on any machine."""
    spin = "import time\nend = time.process_time() + float(input())\nwhile time.process_time() < end: pass"
    suite = Suite("stdin", (Case("0.5", ""), Case("0", ""), Case("0.5", "")))
    with LocalPool(CONFIG.model_copy(update={"cpu_s": 4.0})) as pool:
        first, second, third = (test.cpu_s for test in pool.run(spin, suite).tests)
    assert second < 0.5 <= min(first, third) and max(first, third) < 1.0


def test_tests_after_a_timeout_are_not_run() -> None:
    program = "x = int(input())\nwhile x == 1: pass\nprint(x)"
    suite = Suite("stdin", (Case("0", "0"), Case("1", "1"), Case("2", "2"), Case("1", "1")))
    with LocalPool(CONFIG.model_copy(update={"cpu_s": 0.2})) as pool:
        first = pool.run(program, suite)
    with LocalPool(CONFIG.model_copy(update={"cpu_s": 0.2, "max_timeouts": 2})) as pool:
        second = pool.run(program, suite)
    assert [t.verdict.value for t in first.tests] == ["passed", "timeout", "timeout", "timeout"]
    assert "not run" in (first.tests[2].error or "")
    assert [t.verdict.value for t in second.tests] == ["passed", "timeout", "passed", "timeout"]


def test_every_test_in_its_own_process_on_request() -> None:
    program = "import collections\nC = collections.Counter\nC.n = getattr(C, 'n', 0) + 1\nprint(C.n)"
    suite = Suite("stdin", (Case("", "1"), Case("", "1")))
    with LocalPool(CONFIG.model_copy(update={"isolate_tests": True})) as pool:
        assert pool.run(program, suite).passed


def test_asserts() -> None:
    suite = Suite("assert", (Case("assert f(2) == 4"), Case("import math\nassert math.isclose(f(1.5), 3)")))
    with LocalPool(CONFIG) as pool:
        assert pool.run("def f(x): return 2 * x", suite).passed
        wrong = pool.run("def f(x): return x", suite)
    assert [t.verdict.value for t in wrong.tests] == ["wrong_answer", "wrong_answer"]


def test_descriptors_processes_and_files_stay_flat() -> None:
    programs = [DOUBLE, "while True: print(10 ** 99)", "import os; os.abort()", "def f(", "import os; os.fork()"]
    files = set(os.listdir("/tmp")) | set(os.listdir("/dev/shm"))
    start = descendants()
    with LocalPool(CONFIG) as pool:
        held = []  # a fork server may be missing at one of the moments; other threads open and close a few files
        for _ in range(6):
            list(pool.map((program, SUITE) for program in programs * 4))
            held.append((len(os.listdir("/proc/self/fd")), len(descendants())))
        assert held[-1][0] <= max(descriptors for descriptors, _ in held[:3]) + 4, held
        assert held[-1][1] <= max(count for _, count in held[:3]), held
    assert descendants() == start
    new = (set(os.listdir("/tmp")) | set(os.listdir("/dev/shm"))) - files
    assert not {name for name in new if "sandbox" in name or "coverage" in name}


def test_no_process_outlives_a_killed_parent() -> None:
    program = (
        "import sys, threading\n"
        "from stepcoder.executor.config import ExecutorConfig\nfrom stepcoder.executor.pool.local import LocalPool\n"
        "from stepcoder.executor.suite import Case, Suite\n"
        "pool = LocalPool(ExecutorConfig(workers=2, cpu_s=60, wall_s=60))\n"
        "for _ in range(2): pool.submit('while True: pass', Suite('stdin', (Case('', ''),)))\n"
        "print('started', flush=True)\nthreading.Event().wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdout.readline() == "started\n"
    until(lambda: len(descendants() - {parent.pid}) >= 4, descendants)
    family = descendants() - {parent.pid}
    parent.kill()
    parent.wait()
    until(lambda: not any(map(alive, family)), lambda: family)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_closed_pool_takes_nothing() -> None:
    pool = LocalPool(CONFIG)
    pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        pool.run(DOUBLE, SUITE)


def test_all_tests_of_a_program_share_one_account_of_cpu_time() -> None:
    program = "def f(x):\n    for _ in range(10**7): pass\n    return x\n"
    suite = Suite("call", tuple(Case([n], n) for n in range(12)), "f")
    with LocalPool(ExecutorConfig(workers=1, program_cpu_s=0.6, max_timeouts=9)) as pool:
        report = pool.run(program, suite)
    verdicts = [test.verdict for test in report.tests]
    assert report.verdict is Verdict.TIMEOUT and len(verdicts) == 12
    assert verdicts[0] is Verdict.PASSED and set(verdicts[verdicts.index(Verdict.TIMEOUT) :]) == {Verdict.TIMEOUT}
    assert "not run" in (report.tests[-1].error or "") and report.cpu_s < 2


def test_the_nesting_of_results_is_a_setting() -> None:
    program = "def f(depth):\n    value = 1\n    for _ in range(depth): value = [value]\n    return value\n"
    suite = Suite("call", (Case([3], [[[1]]]), Case([4], [[[1]]])), "f")
    deeper = Suite("call", (Case([4], [[[[1]]]]),), "f")  # the expected answer is always within the limit
    with LocalPool(ExecutorConfig(workers=1, result_depth=3)) as pool:
        assert [t.verdict for t in pool.run(program, suite).tests] == [Verdict.PASSED, Verdict.OUTPUT_LIMIT]
        assert pool.run(program, deeper).passed


@pytest.mark.parametrize("site_packages", [True, False])
def test_installed_packages_are_seen_only_where_that_is_wanted(site_packages: bool) -> None:
    suite = Suite("call", (Case([[1, 2]], 3),), "f")
    with LocalPool(ExecutorConfig(workers=1, memory_mib=4096, site_packages=site_packages)) as pool:
        if pool.level == 3:
            pytest.skip("at level 3 a program may not be able to open any file")
        report = pool.run("import numpy\ndef f(x): return int(numpy.array(x).sum())\n", suite)
    assert report.passed is site_packages, report


def test_a_cancelled_program_costs_no_slot() -> None:
    program, suite = "def f(x): return x", Suite("call", (Case([1], 1),), "f")
    slow = "import time\ndef f(x):\n    time.sleep(0.3)\n    return x"
    with LocalPool(ExecutorConfig(workers=1)) as pool:
        futures = [pool.submit(slow if n == 0 else program, suite) for n in range(6)]
        cancelled = [future.cancel() for future in futures[2:4]]
        assert cancelled == [True, True]
        assert all(future.result(HANG_S).passed for future in futures[:2] + futures[4:])


def test_a_large_program_is_judged_like_a_small_one() -> None:
    """Over 64 KiB a program is compiled in its own process."""
    program = "def f(x):\n    return x if x == 0 else f(x - 1)\n"
    suite = Suite("call", (Case([900], 0), Case([60_000], 0)), "f")
    with LocalPool(ExecutorConfig(workers=1)) as pool:
        reports = [pool.run(program + "# " + "x" * size + "\n", suite) for size in (0, 1 << 17)]
        assert [[t.verdict for t in r.tests] for r in reports] == [[Verdict.PASSED, Verdict.RUNTIME_ERROR]] * 2
        assert reports[0].executed_lines == reports[1].executed_lines == (1, 2)
        nested = pool.run("g = " + "lambda: " * 1500 + "1\n" + program, suite)
        assert nested.tests[0].verdict is Verdict.PASSED, nested


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_programs_give_way_to_what_started_them(level: int) -> None:
    """Where memory runs out the kernel takes a program, not the trainer; where cores do, the trainer goes first."""
    if level < 4 and check(CONFIG, level) is not None:
        pytest.skip(f"level {level} cannot be had here")
    before, own = descendants(), os.getpriority(os.PRIO_PROCESS, 0)
    seen: dict[int, tuple[int, int]] = {}

    def all_give_way() -> bool:
        seen.clear()
        for pid in descendants() - before:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                score = int(Path(f"/proc/{pid}/oom_score_adj").read_text())
                seen[pid] = (score, os.getpriority(os.PRIO_PROCESS, pid))
        # the fork server, its compiler and the program; at level 1 also the process that waits for the fork server
        return len(seen) == (4 if level == 1 else 3) and all(
            score == 1000 and nice > own or nice == 19 for score, nice in seen.values()
        )

    with LocalPool(CONFIG.model_copy(update={"level": level, "workers": 1, "infra_retries": 0})) as pool:
        pool.submit("import time\ntime.sleep(10**6)", SUITE)
        until(all_give_way, lambda: seen)
        for pid in seen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_the_start_says_what_a_level_leaves_open(caplog: pytest.LogCaptureFixture) -> None:
    for level in (1, 2, 3):
        if check(CONFIG, level) is not None:
            continue
        caplog.clear()
        with caplog.at_level("INFO", POOL_LOG), LocalPool(CONFIG.model_copy(update={"level": level})):
            pass
        (line,) = [r.getMessage() for r in caplog.records if r.name == POOL_LOG]
        assert f"isolation level {level}" in line and ("names, sizes and dates of files" in line) is (level > 1)


@pytest.mark.parametrize("level", [1, *(pytest.param(level, marks=pytest.mark.exhaustive) for level in (2, 3))])
def test_no_descriptor_of_ours_has_the_number_that_another_is_given(level: int) -> None:
    """Whatever numbers the parent has left for those that it passes to its fork server."""
    config = CONFIG.model_copy(update={"open_files": 32})
    if check(config, level) is not None:
        pytest.skip(f"level {level} cannot be had here")
    taken: list[int] = []
    try:
        for _ in range(20):
            taken.append(os.dup(0))
            with LocalPool(config.model_copy(update={"level": level, "workers": 1})) as pool:
                assert pool.run(DOUBLE, SUITE).passed, taken
    finally:
        for fd in taken:
            os.close(fd)
