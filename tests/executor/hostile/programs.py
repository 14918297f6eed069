# ruff: noqa: E501  (a table of programs, a row each)
"""Hostile and odd programs, by the number of the threat that each stands for, with the verdict that it must get.

1-8 forging, 9 coverage, 10-12 state and markers, 13-14 half-right output, 15-18 reading, 19-26 time, 27-33 memory, processes and
disk, 34-38 output and values, 39-41 compiling, 42-48 the system. Three concern the service and have tests of their own:
49 a worker that dies, 50 a sandbox that cannot start, 51 suites that cannot judge.
"""

from stepcoder.executor.suite import Suite
from tests.executor.hostile.base import (
    APART,
    BOARD,
    LIBC,
    NATIVE,
    PASSED,
    RIGHT_CALL,
    RIGHT_STDIN,
    RUNTIME,
    SAME,
    TIMEOUT,
    TRY,
    TWICE,
    TWICE2,
    WRONG,
    Hostile,
    call,
    returns,
    stdin,
)
from tests.executor.hostile.canaries import LITTER, Facts
from tests.executor.hostile.forging import digging, forging, reading, state
from tests.executor.hostile.isolation import isolation
from tests.executor.hostile.limits import compiling, memory, output, time
from tests.executor.hostile.process import PLAIN, carried


def _system(facts: Facts) -> list[Hostile]:
    targets = [facts.parent, facts.process, -facts.parent, -facts.process, 1, 0, -1]
    return [
        Hostile(42, "every kind of socket", returns([]), "import socket\ndef f(x):\n    found = []\n    for family in range(46):\n        for kind in (1, 2, 3, 5):\n            try: found.append(socket.socket(family, kind).family)\n            except OSError: pass\n    return found", PASSED),
        Hostile(42, "datagram pair", TWICE, "import socket\ndef f(x): socket.socketpair(1, 2)", RUNTIME),
        Hostile(42, "a service of the host", returns([]), f"import socket\ndef f(x):\n    found = []\n    for address in (('127.0.0.1', {facts.port}), ('::1', {facts.port}), ('169.254.169.254', 80), ('1.1.1.1', 53)):\n        try: found.append(socket.create_connection(address, 1))\n        except OSError: pass\n    return found", PASSED),
        Hostile(42, "a socket file of the host", returns([]), f"import socket\ndef f(x):\n    found = []\n    for address in ({facts.unix_socket!r}, {facts.abstract_socket!r}):\n        try:\n            a, b = socket.socketpair()\n            a.connect(address)\n            found.append(address)\n        except OSError: pass\n    return found", PASSED),
        Hostile(42, "names", TWICE, "import socket\ndef f(x): return socket.getaddrinfo('localhost', 80)", RUNTIME),
        Hostile(43, "kills", returns([]), TRY + f"def f(x): return seen([lambda p=p, s=s: os.kill(p, s) or 1 for p in [os.getppid(), *{targets!r}] for s in (0, 9, 15, 19)])", PASSED),
        Hostile(43, "other ways to send a signal", returns([]), LIBC + f"import platform\ndef f(x):\n    numbers = {{'x86_64': [62, 200, 129, 424, 297], 'aarch64': [129, 130, 138, 424, 240]}}[platform.machine()]\n    tgkill = {{'x86_64': 234, 'aarch64': 131}}[platform.machine()]\n    found = [(n, p) for n in numbers for p in [os.getppid(), *{targets!r}] if libc.syscall(n, p, 9, 0, 0) == 0]\n    return found + [p for p in [os.getppid(), *{targets[:2]!r}] if libc.syscall(tgkill, p, p, 9) == 0]", PASSED),
        Hostile(43, "signals by descriptor owner", returns([]), TRY + f"import fcntl\ndef f(x):\n    r, w = os.pipe()\n    return seen([lambda p=p: fcntl.fcntl(r, fcntl.F_SETOWN, p) or 1 for p in {targets[:4]!r}] + [lambda: fcntl.fcntl(r, fcntl.F_SETSIG, 9) or 1])", PASSED),
        Hostile(44, "raw system calls", returns([]), LIBC + "import platform\ndef f(x):\n    numbers = {\n        # ptrace mount bpf io_uring_setup perf_event_open keyctl unshare userfaultfd process_vm_readv pidfd_getfd execve execveat memfd_create\n        'x86_64': [101, 165, 321, 425, 298, 250, 272, 323, 310, 438, 59, 322, 319, 157, 317, 304, 303, 437, 155, 161, 175, 246, 169],\n        'aarch64': [117, 40, 280, 425, 241, 219, 97, 282, 270, 438, 221, 281, 279, 167, 277, 265, 264, 437, 41, 51, 105, 104, 142],\n    }[platform.machine()]\n    return [n for n in numbers if not (libc.syscall(n, 0, 0, 0, 0, 0) == -1 and ctypes.get_errno() == 1)]", PASSED),
        Hostile(44, "another numbering of system calls", returns([]), LIBC + "import platform\ndef f(x):\n    x32 = 0x40000000\n    numbers = [41, 57, 59, 2, 62, 39, 513, 520] if platform.machine() == 'x86_64' else []\n    return [n for n in numbers if libc.syscall(x32 | n, 0, 0, 0, 0, 0) != -1]", PASSED),
        Hostile(44, "a system call of another machine", TWICE, NATIVE + "def f(x):\n    if platform.machine() == 'x86_64':\n        native(b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3')  # mov eax, getpid; int 0x80; ret\n    signal.raise_signal(signal.SIGSYS)", RUNTIME),
        Hostile(44, "namespaces and capabilities", returns([]), LIBC + "def f(x): return [f for f in (0x10000000, 0x20000, 0x40000000, 0x10000000 | 0x20000) if libc.unshare(f) == 0] + [u for u in (0, 1000) if libc.setuid(u) == 0 or libc.setresuid(u, u, u) == 0]", PASSED),
        Hostile(45, "null dereference", TWICE, "import ctypes\ndef f(x): ctypes.string_at(0)", RUNTIME),
        Hostile(45, "abort", TWICE, "import os\ndef f(x): os.abort()", RUNTIME),
        Hostile(45, "illegal instruction", TWICE, NATIVE + "def f(x):\n    if platform.machine() == 'x86_64': native(b'\\x0f\\x0b')\n    signal.raise_signal(signal.SIGILL)", RUNTIME),
        Hostile(45, "bad bytecode", TWICE, "def g(): return 1\ng.__code__ = g.__code__.replace(co_code=bytes([100, 255] * 8), co_consts=(), co_stacksize=0)\ndef f(x):\n    g()\n    raise OSError", RUNTIME),
        Hostile(46, "priority", TWICE, "import os\ndef f(x): os.nice(-5)", RUNTIME),
        Hostile(46, "affinity and scheduling", returns([]), TRY + "def f(x): return seen([lambda: os.sched_setaffinity(0, {0}) or 1, lambda: os.setpriority(0, 0, -20) or 1, lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50)) or 1])", PASSED),
        Hostile(47, "poisoned temporary directory", TWICE, f"import tempfile\ndef f(x): open(tempfile.gettempdir() + '/{LITTER}', 'w')", RUNTIME),
        Hostile(47, "poisoned byte code", TWICE, "import importlib.util, string\ndef f(x): open(importlib.util.cache_from_source(string.__file__), 'wb').write(b'')", RUNTIME),
        Hostile(47, "poisoned standard library", TWICE, "import string\ndef f(x):\n    with open(string.__file__, 'a') as file: file.write('raise OSError')", RUNTIME),
        Hostile(47, "poisoned modules in memory", TWICE2, "import math, string, random\nold = math.floor(1.5)\nmath.floor = string.ascii_letters = random.random = None\ndef f(x): return 2 * x if old == 1 else 0", PASSED),
        Hostile(48, "seeds, time zone, locale", stdin(("", "UTC True True")), "import random, time, locale\nprint(time.tzname[0], random.random() == random.Random(0).random(), locale.localeconv()['decimal_point'] == '.')", PASSED),
        Hostile(48, "hashes and the order of a set", SAME, "print(hash('a'), list({str(n) for n in range(50)}))", WRONG),
        Hostile(48, "who it is", returns([True, True]), "import os, platform\ndef f(x): return [os.getuid() != 0, os.getpid() == os.getpid()]", PASSED),
    ]  # fmt: skip


def _process() -> list[Hostile]:
    three = call("f", ([3], 6), ([10], 20), ([4], 8))
    double = stdin(("3\n", "6\n"), ("10\n", "20\n"))
    return [
        *(Hostile(11, f"left by a test: {name}", three, program, PASSED) for name, program in carried()),
        *(Hostile(36, f"plain: {name}", stdin(*p) if p else double, program, PASSED) for name, program, p in PLAIN),
        Hostile(
            21,
            "its own clock put back, compiled apart",
            call("f", ([3], 6)),
            APART
            + BOARD
            + "struct.pack_into('<I', board()._memory, 0, 0)\nimport time\ndef harness():\n    frame = sys._getframe()\n    while 'self' not in frame.f_locals or not hasattr(frame.f_locals['self'], '_board'): frame = frame.f_back\n    return frame.f_locals['self']\nh = harness()\ndef f(x):\n    start = time.process_time()\n    while time.process_time() - start < 0.8: pass\n    h._cpu = h._wall = lambda: 0.0\n    struct.pack_into('<I', board()._memory, 0, 1)\n    return 2 * x",
            TIMEOUT,
        ),
    ]


def programs(facts: Facts) -> tuple[Hostile, ...]:
    """The table, for a host with these canaries."""
    return (
        *_process(),
        *forging(), *digging(), *state(), *reading(facts), *time(), *memory(), *output(), *compiling(), *_system(facts),
        *isolation(facts),
    )  # fmt: skip


def innocent() -> tuple[tuple[str, Suite], ...]:
    """Right programs to run between the others."""
    return RIGHT_STDIN, RIGHT_CALL
