"""Executed lines of programs that die, against a trace that writes a marker before each line runs.

The trace is `sys.settrace` in a fresh interpreter of the same version, which dies in the same way outside the sandbox.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.interpreters import find
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Report, Verdict
from stepcoder.executor.suite import Case, Suite
from tests.tools.interpreters import OTHERS
from tests.tools.patience import HANG_S

ONCE = Suite("stdin", (Case("", ""),))
MEMORY = 256 << 20
TRACE = """
import os, sys, threading
code = compile(open(sys.argv[1]).read(), "<program>", "exec")
marks, seen = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT), set()
def trace(frame, event, argument):
    if frame.f_code.co_filename != "<program>":
        return None
    if event == "line" and frame.f_lineno not in seen:
        seen.add(frame.f_lineno)
        os.write(marks, b"%d " % frame.f_lineno)
    return trace
threading.settrace(trace)
sys.settrace(trace)
exec(code, {"__name__": "__main__"})
"""
# The body of a function that does not return: it ends by itself, or hangs on its last line.
ENDS = {
    "SIGKILL": "import os\nos.kill(os.getpid(), 9)",
    "SIGTERM": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    "SIGSEGV": "import ctypes\nctypes.string_at(0)",
    "_exit": "import os\nos._exit(3)",
    "_exit as if all were well": "import os\nos._exit(0)",
    "abort": "import os\nos.abort()",
    "sys.exit": "import sys\nsys.exit(4)",
    "exception": "a = {}\na['b']",
    "end of input": "a = 1\na = input()",
    "too much memory at once": "a = 1\na = bytearray(10**11)",
    "too much memory in the end": "a = []\nwhile 1:\n    a.append(bytearray(1 << 22))",
    "recursion": "def r(k):\n    if k:\n        return r(k) + 1\nr(n)",
    "stack of C calls": "import sys\nsys.setrecursionlimit(10**9)\nclass A:\n    def __getattr__(self, name):\n"
    "        return getattr(self, name + 'x')\n    def unused(self):\n        return 1\nA().a",
    "timer": "import signal, time\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\ntime.sleep(60)",
    "in a thread": "import os, threading\ndef end():\n    os._exit(5)\nt = threading.Thread(target=end)\n"
    "t.start(); t.join()",
    "in a finally": "import os\ntry:\n    a = 1\nfinally:\n    os._exit(6)",
    "in a class body": "import os\nclass A:\n    a = 1\n    os._exit(7)\n    b = 1",
}
HANGS = {
    "busy": "a = 1\nwhile 1:\n    pass",
    "one long C call": "import itertools\nsum(itertools.repeat(1))",
    "sleep": "import time\ntime.sleep(60)",
    "deadlock": "import threading\nl = threading.Lock()\nl.acquire()\nl.acquire()",
    "catches everything": "while 1:\n    try:\n        raise SystemExit\n    except BaseException:\n        continue",
}


def program(body: str) -> tuple[str, int]:
    """(a program that calls a function with `body`, the line of the body's end)."""
    lines = body.splitlines()
    text = "".join(f"    {line}\n" for line in lines)
    source = f"x = 1\ndef f(n):\n    if n > 2:\n        return 0\n{text}    y = 1\ndef g():\n    pass\nf(1)\nz = 1\n"
    return source, 4 + len(lines)


def by_trace(source: str, folder: Path, python: Path, hangs_at: int | None) -> set[int]:
    """Lines that ran until the program died; one that hangs is killed once the marker shows where."""
    (folder / "program.py").write_text(source)
    marks = folder / "marks"
    command = [python, "-I", "-c", TRACE, folder / "program.py", marks]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    ) as process:
        deadline = time.monotonic() + HANG_S
        while process.poll() is None:
            assert time.monotonic() < deadline, "the traced program neither died nor hung where it should"
            if hangs_at is not None and str(hangs_at) in _read(marks).split():
                process.kill()
            time.sleep(0.01)
    return {int(line) for line in _read(marks).split()}


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.fixture(scope="module", params=["own", *OTHERS])
def python(request: pytest.FixtureRequest) -> Path:
    if request.param == "own":
        return Path(sys.executable)
    found = find(request.param)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def pool(python: Path) -> Iterator[LocalPool]:
    config = ExecutorConfig(workers=1, cpu_s=1, wall_s=2, memory_mib=MEMORY >> 20, python=python)
    with LocalPool(config) as pool:
        yield pool


@pytest.mark.parametrize("way", ENDS)
def test_a_program_that_ends_itself(pool: LocalPool, python: Path, way: str, tmp_path: Path) -> None:
    source, _ = program(ENDS[way])
    report = pool.run(source, ONCE)
    assert report.verdict is not Verdict.PASSED or "as if" in way
    assert set(report.executed_lines) == by_trace(source, tmp_path, python, None)
    assert report.coverage_trusted


@pytest.fixture(scope="module")
def killed(python: Path) -> dict[str, Report]:
    """What is said of each program that hangs; all at once, since each takes its whole limit."""
    config = ExecutorConfig(workers=len(HANGS), cpu_s=1, wall_s=600, idle_s=3, memory_mib=MEMORY >> 20, python=python)
    with LocalPool(config) as pool:
        reports = pool.map((program(body)[0], ONCE) for body in HANGS.values())
        return dict(zip(HANGS, reports, strict=True))


@pytest.mark.parametrize("way", HANGS)
def test_a_program_that_is_killed(killed: dict[str, Report], python: Path, way: str, tmp_path: Path) -> None:
    (source, end), report = program(HANGS[way]), killed[way]
    assert report.verdict is Verdict.TIMEOUT
    assert set(report.executed_lines) == by_trace(source, tmp_path, python, end)
    assert report.coverage_trusted


def test_a_test_that_did_not_run_has_no_lines(pool: LocalPool) -> None:
    source = "def f(x):\n    while x == 2: pass\n    return x\n"
    report = pool.run(source, Suite("call", tuple(Case([x], x) for x in (1, 2, 3)), "f"))
    assert [t.executed_lines for t in report.tests] == [(1, 2, 3), (1, 2), ()]


def test_each_test_has_its_own_lines_also_after_a_death(pool: LocalPool) -> None:
    source = (
        "import os\ndef f(x):\n    if x == 1:\n        os._exit(1)\n    if x == 2:\n        os.kill(os.getpid(), 9)\n"
        "    if x == 3:\n        return 3\n    return x\n"
    )
    suite = Suite("call", tuple(Case([x], x) for x in (4, 1, 3, 2, 3, 5)), "f")
    report = pool.run(source, suite)
    start = (1, 2, 3)
    assert [t.executed_lines for t in report.tests] == [
        (*start, 5, 7, 9),
        (*start, 4),
        (*start, 5, 7, 8),
        (*start, 5, 6),
        (*start, 5, 7, 8),
        (*start, 5, 7, 9),
    ]
    assert report.executed_lines == (1, 2, 3, 4, 5, 6, 7, 8, 9)
