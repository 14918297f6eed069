"""The service itself: workers that die at any step, sandboxes that cannot start, suites that cannot judge."""

import contextlib
import os
import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging.reward import reward
from stepcoder.executor.pool import fork_server
from stepcoder.executor.pool.isolation import check
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Report, Verdict
from stepcoder.executor.suite import Case, Suite
from tests.executor.hostile.base import ECHO2, TWICE2
from tests.executor.hostile.processes import kill, processes, servers
from tests.executor.hostile.programs import innocent

CONFIG = ExecutorConfig(workers=2, cpu_s=0.5, wall_s=20.0, compile_s=5.0, memory_mib=128, output_kib=64, result_kib=64)

# What a program can do to its descriptors, and when. `fds`: all that it can reach beyond its three streams.
_BREAKS = {
    "closes all": "[os.close(fd) for fd in fds]",
    "closes the pipes": "[os.close(fd) for fd in fds if stat.S_ISFIFO(os.fstat(fd).st_mode)]",
    "swaps them": "[os.dup2(0, fd) for fd in fds]",
    "empties them": "[os.set_blocking(fd, False) for fd in fds]; [got(lambda: os.read(fd, 1 << 20)) for fd in fds]",
    "half a header": "say(b'\\x05\\x00')",
    "half a frame": "say(struct.pack('<I', 99) + b'{')",
    "an empty frame": "say(struct.pack('<I', 0))",
    "an endless frame": "say(b'\\xff' * 4)",
    "no JSON": "say(struct.pack('<I', 3) + b'\\xff{}')",
    "a list": "say(struct.pack('<I', 2) + b'[]')",
    "another test": "say(struct.pack('<I', 21) + b'{\"t\": 7, \"done\":true }')",
    "a failure of the sandbox": "say(struct.pack('<I', 13) + b'{\"infra\": \"\"}')",
    "a compile error": "say(struct.pack('<I', 28) + b'{\"c\": \"error\", \"error\": null}')",
    "dies": "os._exit(0)",
    "is killed": "os.kill(os.getpid(), 9)",
    "raises": "raise SystemExit",
}  # fmt: skip
_PRELUDE = """
import os, stat, struct, atexit
def got(action):
    try: return action()
    except OSError: return None
fds = [fd for fd in range(3, 1024) if got(lambda: os.fstat(fd))]
def say(data):
    for fd in fds: got(lambda: os.write(fd, data))
def strike():
    {strike}
"""
_STEPS = {
    "at import": "strike()\ndef f(x): return 2 * x",
    "in the call": "def f(x):\n    strike()\n    return 2 * x",
    "in the second call": "def f(x):\n    if x == 4: strike()\n    return 2 * x",
    "after the call": "class A:\n    def __del__(s): strike()\na = A()\ndef f(x): return 2 * x",
    "from a thread": "import threading\nthreading.Thread(target=strike, daemon=True).start()\ndef f(x): return 2 * x",
}


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_program_that_breaks_its_descriptors_harms_only_itself(level: int) -> None:
    """Each break at each step, twice over: right programs between them pass and no fork server had to be replaced."""
    if check(CONFIG, level) is not None:
        pytest.skip(f"level {level} cannot be had here")
    rows = [
        (s, b, _PRELUDE.format(strike=strike) + code) for s, code in _STEPS.items() for b, strike in _BREAKS.items()
    ]
    with LocalPool(CONFIG.model_copy(update={"level": level})) as pool:
        right = innocent()
        list(pool.map(right * 4))
        started = processes()
        verdicts: list[list[Verdict]] = []
        for _ in range(2):
            reports = list(pool.map(p for i, row in enumerate(rows) for p in ((row[2], TWICE2), right[i % 2])))
            assert all(report.passed for report in reports[1::2])
            verdicts.append([report.verdict for report in reports[::2]])
        assert processes() == started
    assert all(Verdict.INFRA_ERROR not in verdict for verdict in verdicts)
    # With a thread, or an empty pipe that does not block, the program races with its own harness.
    steady = [n for n, row in enumerate(rows) if row[0] != "from a thread" and row[1] != "empties them"]
    assert [verdicts[0][n] for n in steady] == [verdicts[1][n] for n in steady]


def test_a_program_sees_the_same_descriptors_however_many_its_parent_has() -> None:
    program = (
        "import os\ndef there(fd):\n    try: return bool(os.fstat(fd))\n    except OSError: return False\n"
        "print([fd for fd in range(512) if there(fd)])"
    )
    seen = []
    for held in (0, 80):
        files = [os.open(os.devnull, os.O_RDONLY) for _ in range(held)]
        try:
            with LocalPool(CONFIG.model_copy(update={"workers": 1})) as pool:
                seen.append(pool.run(program, ECHO2).tests[0].stdout)
        finally:
            for fd in files:
                os.close(fd)
    assert seen[0] == seen[1] and "[0, 1, 2, 3" in seen[0]


@pytest.mark.skipif(check(CONFIG, 1) is not None, reason="level 1 cannot be had here: see 'stepcoder doctor'")
def test_a_fork_server_whose_parent_ends_too_early_to_take_it_along_ends_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel ends it with its parent only where the parent lives when this is asked for."""
    load = "from stepcoder.executor.sandbox.start import main\n"
    late = (
        "import time\nfrom stepcoder.executor.sandbox.confinement import confine\nask = confine.die_with_parent\n"
        "confine.die_with_parent = lambda: (time.sleep(0.5), ask())\nos.waitpid = lambda *_: os._exit(1)\n"
    )
    assert load in fork_server._BOOT
    monkeypatch.setattr(fork_server, "_BOOT", fork_server._BOOT.replace(load, load + late))
    with pytest.raises(fork_server.InfraError, match="did not answer at level 1"):
        fork_server.ForkServer(CONFIG, 1).close()


def test_fork_servers_killed_at_any_moment_cost_nobody_a_verdict() -> None:
    """Random moments hit every step of the protocol: waiting, forking, compiling, testing, reaping, starting."""
    work = [
        *innocent(),
        ("print(input())", ECHO2),
        ("print(1)", ECHO2),
        ("import os\nos.abort()", ECHO2),
        ("def f(", ECHO2),
    ]
    expected = [Verdict.PASSED] * 3 + [Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR, Verdict.COMPILE_ERROR]
    choice, stop, kills, before = random.Random(0), threading.Event(), 0, processes()

    def killer() -> None:
        nonlocal kills
        while kills < 40 and not stop.is_set():  # fewer than a program has tries, however slow the machine is
            time.sleep(choice.uniform(0.0, 0.25))
            if targets := sorted(servers(pool.level) - before, key=lambda p: p.pid):
                kill(choice.choice(targets))
                kills += 1

    with LocalPool(CONFIG.model_copy(update={"infra_retries": 100})) as pool:
        thread = threading.Thread(target=killer)
        thread.start()
        try:
            rounds = []
            while kills < 40:
                rounds.append([r.verdict for r in pool.map(work * 4)])
        finally:
            stop.set()
            thread.join()
        assert [r.verdict for r in pool.map(work)] == expected
    for verdicts in rounds:
        assert verdicts == expected * 4
    assert processes() == before


@contextlib.contextmanager
def soft_limit(kind: int, value: int) -> Iterator[None]:
    """Of this process and of what it starts meanwhile."""
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


@pytest.fixture
def pool() -> Iterator[LocalPool]:
    with LocalPool(CONFIG.model_copy(update={"workers": 1, "infra_retries": 1})) as pool:
        yield pool


def no_verdict(report: Report) -> None:
    assert report.verdict is Verdict.INFRA_ERROR and report.error and not report.passed
    for kind in ("stepcoder", "binary", "ratio"):
        with pytest.raises(ValueError, match="no reward for infra_error"):
            reward(report, kind)


def test_a_machine_without_descriptors_gives_no_verdict(pool: LocalPool) -> None:
    """Nor does a failed start keep any: other parts of this process may open and close some, but not one each time."""
    program, suite = innocent()[0]
    counts = []
    for _ in range(8):
        assert pool.run(program, suite).passed
        counts.append(len(os.listdir("/proc/self/fd")))
        for process in processes():
            kill(process)
        with soft_limit(resource.RLIMIT_NOFILE, 3):
            report = pool.run(program, suite)
        no_verdict(report)
    assert pool.run(program, suite).passed
    assert counts[-1] - counts[0] < len(counts) - 1, counts


def test_a_machine_without_processes_gives_no_verdict(pool: LocalPool) -> None:
    """The fork server starts and cannot fork, or does not even start."""
    program, suite = innocent()[0]
    with soft_limit(resource.RLIMIT_NPROC, 0):
        report = pool.run(program, suite)
    no_verdict(report)
    assert pool.run(program, suite).passed


@contextlib.contextmanager
def memory_group(mib: int) -> Iterator[Path]:
    """A memory control group of its own, of either version; skips the test where none can be made."""
    places = {Path("/sys/fs/cgroup/memory"): "memory.limit_in_bytes", Path("/sys/fs/cgroup"): "memory.max"}
    for place, limit in places.items():
        group = place / f"stepcoder-test-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text(str(mib << 20))
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            continue
        try:
            yield group
        finally:
            for _ in range(100):  # busy until the kernel has done with the last process in it
                with contextlib.suppress(OSError):
                    group.rmdir()
                    break
                time.sleep(0.05)
        return
    pytest.skip("no memory control group can be made here: run as root where /sys/fs/cgroup can be written to")


def test_a_machine_without_memory_gives_no_verdict(pool: LocalPool) -> None:
    """A control group stands for the machine: its limit is far below the program's own."""
    program, suite = innocent()[0]
    greedy = "x = []\nwhile True: x.append(bytearray(10**6))", suite
    assert pool.run(program, suite).passed and pool.run(*greedy).verdict is Verdict.MEMORY_LIMIT
    stop = threading.Event()
    with memory_group(mib=64) as group:

        def confine() -> None:
            while not stop.is_set():
                for server in servers(pool.level):
                    with contextlib.suppress(OSError):
                        (group / "cgroup.procs").write_text(str(server.pid))
                time.sleep(0.005)

        thread = threading.Thread(target=confine)
        thread.start()
        try:
            time.sleep(0.1)
            report = pool.run(*greedy)
        finally:
            stop.set()
            thread.join()
            for server in servers(pool.level):
                kill(server)
                psutil.wait_procs([server], 5)
    no_verdict(report)
    assert "memory" in (report.error or "")
    assert pool.run(*greedy).verdict is Verdict.MEMORY_LIMIT


def test_an_interpreter_that_vanishes_gives_no_verdict(tmp_path: Path) -> None:
    python, program = tmp_path / "python", innocent()[0]
    python.symlink_to(os.path.realpath(sys.executable))
    before = processes()
    with LocalPool(CONFIG.model_copy(update={"workers": 1, "infra_retries": 1, "python": python})) as pool:
        assert pool.run(*program).passed
        python.unlink()
        for process in processes() - before:
            kill(process)
        no_verdict(pool.run(*program))
        python.symlink_to(os.path.realpath(sys.executable))
        assert pool.run(*program).passed


def test_suites_that_cannot_judge_are_refused_before_anything_runs(pool: LocalPool) -> None:
    refused = [
        (Suite("stdin", ()), "without tests"),
        (Suite("call", (), "f"), "without tests"),
        (Suite("call", (Case([1], 2),)), "entry point"),
        (Suite("call", (Case("1", 2),), "f"), "positional arguments"),
        (Suite("stdin", (Case("1", None),)), "text"),
        (Suite("stdin", (Case(["1"], "1"),)), "text"),
        (Suite("assert", (Case("f(1) == 2"),)), "no assert"),
        (Suite("assert", (Case("assert f(1) ="),)), "does not parse"),
        (Suite("assert", (Case(None),)), "Python code"),
    ]
    for suite, reason in refused:
        with pytest.raises(ValueError, match=reason):
            pool.submit("def f(x): return x", suite)


def test_fork_servers_that_start_at_once_keep_off_closed_standard_streams() -> None:
    """What one of them took of the standard numbers, it gives back while the other still opens its files."""
    code = """
import os, threading
from stepcoder.executor.pool.fork_server import standard_numbers_taken

def second():
    with standard_numbers_taken():
        inside.set()
        left.wait()
        opened.append(os.open(os.devnull, os.O_RDONLY))

os.close(0)
opened, inside, left = [], threading.Event(), threading.Event()
thread = threading.Thread(target=second)
with standard_numbers_taken():
    thread.start()
    inside.wait(0.5)
left.set()
thread.join()
assert opened[0] > 2, opened
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[2], check=True)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_standard_streams_change_no_verdict(closed: tuple[int, ...], tmp_path: Path) -> None:
    """What is opened next gets their numbers, which mean something else to the fork server."""
    said = tmp_path / "verdicts"
    code = (
        "import os, pathlib\n"
        f"for fd in {closed}: os.close(fd)\n"
        "from stepcoder.executor.config import ExecutorConfig\nfrom stepcoder.executor.pool.local import LocalPool\n"
        "from tests.executor.hostile.base import ECHO2, TWICE2\n"
        "from tests.executor.hostile.programs import innocent\n"
        "work = [*innocent(), ('print(input())', ECHO2), ('def f(x): print(x)', TWICE2), ('print(', ECHO2)]\n"
        "with LocalPool(ExecutorConfig(workers=2)) as pool:\n"
        "    verdicts = [report.verdict.value for report in pool.map(work)]\n"
        f"pathlib.Path({str(said)!r}).write_text(' '.join(verdicts))\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[2], check=True)
    assert said.read_text() == "passed passed passed wrong_answer compile_error"
