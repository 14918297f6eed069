# ruff: noqa: E501  (tables of programs, a row each)
"""Programs that try to forge, read, escape, outlast or exhaust; each through the real pool at the best level."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from executor.config import ExecutorConfig
from executor.pool import LocalPool
from executor.report import Verdict
from executor.suite import Case, Suite

PASSED, WRONG, RUNTIME = Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR
TIMEOUT, MEMORY, OUTPUT, COMPILE = Verdict.TIMEOUT, Verdict.MEMORY_LIMIT, Verdict.OUTPUT_LIMIT, Verdict.COMPILE_ERROR


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    config = ExecutorConfig(workers=2, cpu_s=0.6, wall_s=3.0, compile_s=5.0, memory_mib=256, output_kib=64)
    with LocalPool(config) as pool:
        assert pool.level < 4
        yield pool


def stdin(*pairs: tuple[str, str]) -> Suite:
    return Suite("stdin", tuple(Case(given, wanted) for given, wanted in pairs))


def call(entry: str, *pairs: tuple[list, object]) -> Suite:
    return Suite("call", tuple(Case(given, wanted) for given, wanted in pairs), entry)


ECHO = stdin(("7\n", "7\n"))
TWICE = call("f", ([3], 6))

EQUAL = """
class E({base}):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return hash(6)
    def __bool__(self): return True
    def __repr__(self): return "6"
    def __float__(self): return 6.0
    def __int__(self): return 6
    def __index__(self): return 6
    def __reduce__(self): return (eval, ("__import__('os').abort()",))
def f(x): return E()
"""

CALLS: list[tuple[str, str, Suite, Verdict]] = [
    ("right", "def f(x): return 2 * x", TWICE, PASSED),
    ("equal object", EQUAL.format(base="object"), TWICE, WRONG),
    ("equal int", EQUAL.format(base="int"), TWICE, WRONG),
    ("equal str", EQUAL.format(base="str"), TWICE, WRONG),
    ("equal list", EQUAL.format(base="list"), TWICE, WRONG),
    ("equal float", EQUAL.format(base="float"), TWICE, WRONG),
    ("nan", "def f(x): return float('nan')", call("f", ([1], 1.5)), WRONG),
    ("exit at import", "import sys\nsys.exit(0)\ndef f(x): return 2 * x", TWICE, RUNTIME),
    ("exit in the call", "import sys\ndef f(x): sys.exit(0)", TWICE, RUNTIME),
    ("os._exit in the call", "import os\ndef f(x): os._exit(0)", TWICE, RUNTIME),
    ("base exception", "class B(BaseException): pass\ndef f(x): raise B", TWICE, RUNTIME),
    ("poses as done", "def f(x): raise SystemExit(None)", TWICE, RUNTIME),
    (
        "stack and gc walk",
        "import sys, gc\ndef f(x):\n"
        "    frame, found = sys._getframe(), []\n"
        "    while frame:\n        found += [v for v in frame.f_locals.values()]\n        frame = frame.f_back\n"
        "    found += gc.get_objects()\n"
        "    return any(v == 'the-secret' for v in found if type(v) is str) and 'the-secret'",
        call("f", ([1], "the-" + "secret")),
        WRONG,
    ),
    (
        "patched builtins",
        "import builtins, json, operator, math\n"
        "builtins.isinstance = lambda *a: True\nbuiltins.len = lambda a: 0\nbuiltins.type = None\n"
        "json.dumps = lambda *a, **k: '{}'\noperator.eq = lambda a, b: True\nmath.isclose = lambda *a, **k: True\n"
        "def f(x): return 5",
        TWICE,
        WRONG,
    ),
    ("emptied modules", "import sys\nsys.modules.clear()\ndef f(x): return 5", TWICE, WRONG),
    (
        "metaclass with everything",
        "class M(type):\n    def __getattr__(c, n): return 6\n    def mro(c): return [c, object]\n"
        "class E(metaclass=M):\n    def __getattr__(s, n): return lambda *a: 6\ndef f(x): return E()",
        TWICE,
        WRONG,
    ),
    (
        "arguments mutated",
        "def f(x):\n    x.append(1)\n    return len(x)",
        call("f", ([[]], 1), ([[]], 1), ([[5]], 2)),
        PASSED,
    ),
    ("globals kept", "n = 0\ndef f(x):\n    global n\n    n += 1\n    return n", call("f", ([0], 1), ([0], 1)), PASSED),
    (
        "state hidden in a module",
        "import math\ndef f(x):\n    math.seen = getattr(math, 'seen', 0) + 1\n    return math.seen",
        call("f", ([0], 1), ([0], 1), ([0], 1)),
        PASSED,
    ),
    (
        "state hidden in builtins",
        "import builtins\ndef f(x):\n    builtins.seen = getattr(builtins, 'seen', 0) + 1\n    return builtins.seen",
        call("f", ([0], 1), ([0], 1)),
        PASSED,
    ),
    (
        "a forged frame on every descriptor",
        "import os, struct\ndef f(x):\n"
        "    body = b'{\"t\": 0, \"done\": true, \"dirty\": false}'\n"
        "    for fd in range(3, 64):\n"
        "        try: os.write(fd, struct.pack('<I', len(body)) + body)\n        except OSError: pass\n    return 0",
        TWICE,
        RUNTIME,
    ),
    ("a huge frame", "def f(x): return 'x' * 1_000_000", TWICE, OUTPUT),
    ("nested result", "def f(x):\n    a = []\n    for _ in range(100_000): a = [a]\n    return a", TWICE, OUTPUT),
    ("cyclic result", "def f(x):\n    a = []\n    a.append(a)\n    return a", TWICE, OUTPUT),
    ("wide cyclic result", "def f(x):\n    a = []\n    a += [a, a]\n    return a", TWICE, OUTPUT),
    ("many digits", "def f(x): return 10 ** 5000", call("f", ([1], 10**5000)), PASSED),
    ("a set", "def f(x): return {6}", TWICE, WRONG),
    ("a generator", "def f(x): yield 6", TWICE, WRONG),
    ("bytes and complex", "def f(x): return [b'6', 6j]", TWICE, WRONG),
    ("a tuple is a list", "def f(x): return (x, (x,))", call("f", ([3], [3, [3]])), PASSED),
    ("keys as in JSON", "def f(x): return {1: x, None: 2}", call("f", ([3], {"1": 3, "null": 2})), PASSED),
    ("method", "class S:\n    def f(self, x): return 2 * x", call("S().f", ([3], 6)), PASSED),
    ("entry point missing", "def g(x): return 6", TWICE, RUNTIME),
    ("wrong arity", "def f(): return 6", TWICE, RUNTIME),
    ("class instead of a function", "class f:\n    def __init__(s, x): pass", TWICE, WRONG),
    ("async def", "async def f(x): return 6", TWICE, WRONG),
    ("no main block in call style", "def f(x): return 6\nif __name__ == '__main__': raise OSError", TWICE, PASSED),
    ("dataclass with future annotations",
     "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n"
     "def f(x): return P(x).x * 2", TWICE, PASSED),
    ("fork bomb", "import os\ndef f(x):\n    while True: os.fork()", TWICE, RUNTIME),
    ("subprocess", "import subprocess\ndef f(x): return subprocess.run(['true'])", TWICE, RUNTIME),
    (
        "thread bomb",
        "import threading, time\ndef f(x):\n    threading.stack_size(65536)\n"
        "    while True: threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
        TWICE,
        RUNTIME,
    ),
    ("socket", "import socket\ndef f(x): socket.socket()", TWICE, RUNTIME),
    ("datagram pair", "import socket\ndef f(x): socket.socketpair(1, 2)", TWICE, RUNTIME),
    ("asyncio", "import asyncio\nasync def g(x):\n    await asyncio.sleep(0)\n    return 2 * x\n"
     "def f(x): return asyncio.run(g(x))", TWICE, PASSED),
    ("write a file", "def f(x): open('/tmp/x', 'w')", TWICE, RUNTIME),
    ("memory file", "import os\ndef f(x): os.memfd_create('x')", TWICE, RUNTIME),
    ("kill everyone", "import os\ndef f(x): os.kill(-1, 9)", TWICE, RUNTIME),
    ("kill the parent", "import os\ndef f(x): os.kill(os.getppid(), 9)", TWICE, RUNTIME),
    (
        "raw system calls",
        "import ctypes\ndef f(x):\n    c = ctypes.CDLL(None, use_errno=True)\n"
        # ptrace mount bpf io_uring_setup perf_event_open keyctl unshare userfaultfd process_vm_readv pidfd_getfd execve
        "    calls = [101, 165, 321, 425, 298, 250, 272, 323, 310, 438, 59]\n"
        "    return [c.syscall(n, 0, 0, 0, 0, 0) == -1 and ctypes.get_errno() == 1 for n in calls]",
        call("f", ([3], [True] * 11)),
        PASSED,
    ),
    ("null dereference", "import ctypes\ndef f(x): ctypes.string_at(0)", TWICE, RUNTIME),
    ("abort", "import os\ndef f(x): os.abort()", TWICE, RUNTIME),
    ("deep recursion", "import sys\nsys.setrecursionlimit(10**9)\ndef f(x):\n    a = [0] * 9999\n    return f(x + 1)",
     TWICE, MEMORY),
    ("recursion to 50,000", "import sys\nsys.setrecursionlimit(10**6)\ndef f(x): return x and 2 + f(x - 1)",
     call("f", ([50_000], 100_000)), PASSED),
    ("one huge allocation", "def f(x): return bytearray(10**12)", TWICE, MEMORY),
    ("steady growth", "def f(x):\n    a = []\n    while True: a.append(bytearray(10**6))", TWICE, MEMORY),
    ("all descriptors", "import os\ndef f(x):\n    while True: os.dup(0)", TWICE, RUNTIME),
    ("busy loop", "def f(x):\n    while True: pass", TWICE, TIMEOUT),
    ("one C call", "def f(x): return int('9' * 10**7 or 0) if __import__('sys').set_int_max_str_digits(0) is None else 0",
     TWICE, TIMEOUT),
    ("endless regex", "import re\ndef f(x): re.match('(a*)*b', 'a' * 40)", TWICE, TIMEOUT),
    (
        "swallows everything",
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except Exception: pass\n"
        "def f(x):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass",
        TWICE,
        TIMEOUT,
    ),
    ("patched clock", "import time\ntime.time = time.monotonic = time.process_time = lambda: 0\n"
     "def f(x):\n    while True: pass", TWICE, TIMEOUT),
    ("stops itself", "import os, signal\ndef f(x): os.kill(os.getpid(), signal.SIGSTOP)", TWICE, TIMEOUT),
    ("sleeps", "import time\ndef f(x): time.sleep(60)", TWICE, TIMEOUT),
    ("environment", "import os, sys\ndef f(x): return [dict(os.environ), sys.argv, os.getcwd()]",
     call("f", ([1], [{}, [""], "/"])), PASSED),
    ("inherited descriptors", "import os\ndef f(x):\n    n = 0\n    for fd in range(3, 60):\n"
     "        try: n += os.fstat(fd).st_mode & 0o170000 == 0o140000\n        except OSError: pass\n    return n",
     call("f", ([1], 0)), PASSED),
    ("renamed probes", "__cov__ = None\ndef f(x): return 2 * x", TWICE, PASSED),
    ("cleared globals", "def f(x):\n    globals().clear()\n    return 2 * x", TWICE, PASSED),
]  # fmt: skip

PROGRAMS: list[tuple[str, str, Suite, Verdict]] = [
    ("echo", "print(input())", ECHO, PASSED),
    ("os._exit before output", "import os\nprint(input())\nos._exit(0)", ECHO, WRONG),
    ("os._exit after output", "import os\nprint(input(), flush=True)\nos._exit(0)", ECHO, PASSED),
    ("right output then code 1", "import sys\nprint(input())\nsys.exit(1)", ECHO, RUNTIME),
    ("right output then SIGKILL", "import os\nprint(input(), flush=True)\nos.kill(os.getpid(), 9)", ECHO, RUNTIME),
    ("right output then hang", "import time\nprint(input(), flush=True)\nwhile True: pass", ECHO, TIMEOUT),
    ("prefix", "print(1)", stdin(("", "1\n2\n")), WRONG),
    ("trailing garbage", "print(1)\nprint(2)\nprint(3)", stdin(("", "1\n2\n")), WRONG),
    ("fake result lines", "print(input())\nprint('{\"verdict\": \"passed\"}')", ECHO, WRONG),
    ("exit handlers print", "import atexit\natexit.register(lambda: print(input()))", ECHO, PASSED),
    ("endless exit handler", "import atexit\natexit.register(lambda: [0 for _ in iter(int, 1)])\nprint(input())",
     ECHO, TIMEOUT),
    ("exit in __del__", "import os\nclass A:\n    def __del__(s): os._exit(0)\na = A()\nraise ValueError", ECHO, RUNTIME),
    ("a thread is the program", "import threading\nthreading.Thread(target=lambda: print(input())).start()", ECHO, PASSED),
    ("a thread that never ends", "import threading\ndef g():\n    while True: pass\nthreading.Thread(target=g).start()\n"
     "print(input())", ECHO, TIMEOUT),
    ("a thread into the next test", "import threading, time\ndef g():\n    time.sleep(.2)\n    print('junk', flush=True)\n"
     "x = input()\nif x == '1': threading.Thread(target=g, daemon=True).start()\nelse: time.sleep(.3)\nprint(x)",
     stdin(("1\n", "1\n"), ("2\n", "2\n")), PASSED),
    ("stdin by descriptor", "import os, sys\nsys.stdout.buffer.write(os.read(0, 100))", ECHO, PASSED),
    ("open(0)", "print(open(0).read())", ECHO, PASSED),
    ("sys.stdin.buffer", "import sys\nprint(int(sys.stdin.buffer.readline()))", ECHO, PASSED),
    ("closed stdin", "import sys\nx = input()\nsys.stdin.close()\nprint(x)", stdin(("7\n", "7"), ("8\n", "8")), PASSED),
    ("closed descriptors", "import os\nx = input()\nprint(x, flush=True)\nos.closerange(0, 3)",
     stdin(("7\n", "7"), ("8\n", "8")), PASSED),
    ("unflushed own stream", "out = open(1, 'w')\nout.write(input())", stdin(("7\n", "7"), ("8\n", "8")), PASSED),
    ("exit() and quit()", "print(input())\nexit()", ECHO, PASSED),
    ("end of input", "input()\ninput()", ECHO, RUNTIME),
    ("more than a pipe on both streams", "import sys\nfor _ in range(1000):\n    print('x' * 50)\n"
     "    print('y' * 50, file=sys.stderr)", stdin(("", ("x" * 50 + "\n") * 1000)), PASSED),
    ("large input never read", "print(1)", stdin(("x" * 2_000_000, "1")), PASSED),
    ("endless output", "while True: print('x' * 1000)", ECHO, OUTPUT),
    ("endless line on stderr", "import sys\nwhile True: sys.stderr.write('x')", ECHO, OUTPUT),
    ("sparse output", "import os\nos.lseek(1, 10**12, 0)\nos.write(1, b'x')", ECHO, RUNTIME),
    ("NUL and escape codes", "print('\\0\\x1b[31m')", stdin(("", "\0\x1b[31m")), PASSED),
    ("invalid UTF-8", "import sys\nsys.stdout.buffer.write(b'\\xff\\xfe')", ECHO, WRONG),
    ("lone surrogate", "print('\\ud800')", ECHO, RUNTIME),
    ("CRLF", "print('a\\r\\nb\\r')", stdin(("", "a\nb\n")), PASSED),
    ("random, hashes and time zone are fixed", "import random, time\nprint(hash('a') == hash('a'), time.tzname[0])\n"
     "print(random.random() == random.Random(0).random())", stdin(("", "True UTC\nTrue")), PASSED),
    ("syntax error", "def f(:\n  pass", ECHO, COMPILE),
    ("Python 2", "print 1", ECHO, COMPILE),
    ("null byte", "x = 1\0", ECHO, COMPILE),
    ("bad coding line in a text", "# coding: nonsense\nprint(input())", ECHO, PASSED),
    ("lone surrogate in the source", "x = '\ud800'", ECHO, COMPILE),
    ("100,000 brackets", "(" * 100_000 + ")" * 100_000, ECHO, COMPILE),
    ("empty", "", ECHO, WRONG),
    ("long sum", "print(" + " + ".join(["1"] * 20_000) + ")", stdin(("", "20000")), PASSED),
    ("huge constant", "x = 10 ** 10 ** 10", ECHO, TIMEOUT),
    ("missing package", "import numpy_nowhere", ECHO, RUNTIME),
    ("late import", "import xml.dom.minidom, sqlite3\nprint(input())", ECHO, PASSED),
    ("raises MemoryError", "raise MemoryError", ECHO, MEMORY),
    ("pickles its class", "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))).__name__)",
     stdin(("", "A")), PASSED),
]  # fmt: skip


@pytest.mark.parametrize(("program", "suite", "verdict"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS])
def test_call(pool: LocalPool, program: str, suite: Suite, verdict: Verdict) -> None:
    report = pool.run(program, suite)
    assert report.verdict is verdict, report


@pytest.mark.parametrize(("program", "suite", "verdict"), [c[1:] for c in PROGRAMS], ids=[c[0] for c in PROGRAMS])
def test_stdin(pool: LocalPool, program: str, suite: Suite, verdict: Verdict) -> None:
    report = pool.run(program, suite)
    assert report.verdict is verdict, report


def test_signals_are_named(pool: LocalPool) -> None:
    assert pool.run("import os\nos.abort()", ECHO).error == "killed by SIGABRT"
    assert pool.run("import ctypes\nctypes.string_at(0)", ECHO).error == "killed by SIGSEGV"


def test_an_overflow_of_the_c_stack_costs_only_its_program(pool: LocalPool) -> None:
    """Whether the stack or the heap meets the memory limit first is the kernel's affair; both are an error."""
    report = pool.run("import sys\nsys.setrecursionlimit(10**9)\ndef f(x): return max([x + 1], key=f)", TWICE)
    assert report.verdict in (RUNTIME, MEMORY), report
    assert pool.run("def f(x): return 2 * x", TWICE).passed


def test_the_files_of_the_host_are_out_of_sight(pool: LocalPool, tmp_path: "os.PathLike[str]") -> None:
    canary = os.path.join(tmp_path, "answer.txt")
    with open(canary, "w") as file:
        file.write("secret")
    paths = [canary, "/etc/passwd", "/proc/self/environ", f"/proc/{os.getpid()}/environ", "/root", "/home", __file__]
    program = (
        "import os\n"
        "def f(paths):\n"
        "    seen = []\n"
        "    for p in paths:\n"
        "        try:\n"
        "            seen.append(len(os.listdir(p)) if os.path.isdir(p) else open(p).read(10))\n"
        "        except OSError: pass\n"
        "    return seen"
    )
    report = pool.run(program, call("f", ([paths], [])))
    assert report.passed or pool.level == 1 and report.verdict is WRONG, report
    if not report.passed:  # /root may exist as the way to the interpreter, and holds nothing else
        assert pool.run(program, call("f", ([[p for p in paths if p != "/root"]], []))).passed


def test_a_listener_on_the_host_is_out_of_reach(pool: LocalPool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        program = (
            "import socket\ndef f(port):\n    try: socket.create_connection(('127.0.0.1', port), 1)\n"
            "    except OSError: return 'blocked'\n    return 'through'"
        )
        assert pool.run(program, call("f", ([server.getsockname()[1]], "blocked"))).passed
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_process_of_the_host_survives(pool: LocalPool) -> None:
    with subprocess.Popen(["sleep", "30"]) as canary:
        pool.run(f"import os\nfor p in ({canary.pid}, -{canary.pid}, 0, -1):\n"
                 "    try: os.kill(p, 9)\n    except OSError: pass", ECHO)  # fmt: skip
        time.sleep(0.05)
        assert canary.poll() is None
        canary.send_signal(signal.SIGKILL)


def test_neighbours_are_unchanged_after_every_attack(pool: LocalPool) -> None:
    """Every attack between two right programs: both keep passing, and nothing is left behind."""
    quick = [c for c in CALLS + PROGRAMS if c[3] not in (TIMEOUT, MEMORY)]
    right = ("print(int(input()) * 2)", stdin(("2", "4"), ("3", "6")))
    pairs = [pair for _, program, suite, _ in quick for pair in ((program, suite), right)]
    reports = list(pool.map(pairs))
    assert [r.verdict for r in reports[1::2]] == [PASSED] * len(quick)
    assert [r.verdict for r in reports[::2]] == [c[3] for c in quick]
    assert all(r.executed_lines == (1,) for r in reports[1::2])
