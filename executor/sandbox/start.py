"""How a fork server starts: one lean, single-threaded interpreter confines itself once, and forks the compiler.

Started as `python -s -S -P -B -X utf8 -c BOOT OPTIONS` by pool.fork_server. It says hello (or why not) over its socket,
and then serves (sandbox.server).
"""

import gc
import importlib
import json
import marshal
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace

from stepcoder.executor.sandbox import board, compiler
from stepcoder.executor.sandbox.channel import send
from stepcoder.executor.sandbox.confinement import confine, library, syscalls
from stepcoder.executor.sandbox.coverage import monitoring
from stepcoder.executor.sandbox.harness import Harness
from stepcoder.executor.sandbox.offered.surroundings import Surroundings
from stepcoder.executor.sandbox.options import Options
from stepcoder.executor.sandbox.protocol import PROGRAM_FILE
from stepcoder.executor.sandbox.server import Server, pipe
from stepcoder.executor.sandbox.sharing.immortal import make_immortal
from stepcoder.executor.sandbox.sharing.packages import LISTED as PACKAGES
from stepcoder.executor.sandbox.sharing.state import SEED, Snapshot
from stepcoder.executor.sandbox.streams import open_streams

PRELOAD = """
    __future__ abc array ast atexit bisect cmath collections collections.abc contextlib copy ctypes dataclasses datetime
    decimal enum fractions functools heapq io itertools json keyword linecache math numbers operator queue random re
    statistics string struct textwrap threading time traceback types typing warnings weakref
""".split()
_MIB = 1 << 20


def main(argument: str) -> None:
    """The whole life of a fork server; returns when the parent closes the control socket."""
    options = Options.parse(argument)
    control = socket.socket(fileno=options.control)
    try:
        confine.give_way()
        control.detach()
        options = options.renumbered()
        control = socket.socket(fileno=options.control)
        requests = socket.socket(fileno=options.compiler)
        parent = None
        if options.level == 1:
            confine.detach_namespaces()
            parent = _continue_as_first_process(options)
        confine.die_with_parent()
        _preload(PRELOAD, options)
        null = _highest(os.open(os.devnull, os.O_RDWR), options.limits.open_files)
        if options.level == 3:
            library.install()
        cells = syscalls.map_shared(options.coverage, options.coverage_bytes)
        writer = board.Writer(options.board, options.limits.output_bytes, options.limits.result_bytes)
        os.close(options.coverage)
        os.close(options.board)
        own_bytes = _address_space()
        confinement = confine.confine_server(options.level, options.limits.threads, options.site_packages)
        confinement = replace(confinement, own_bytes=own_bytes)
        confine.die_with_parent()  # again: a change of user clears it
        if parent is not None:
            _end_without(parent)
        confine.limit_resources(options.limits, own_bytes)
        Surroundings(null, options.limits.memory_mib * _MIB // 4).install()
        snapshot = Snapshot()
        _warm(options, cells, writer, snapshot)
        compiler.start(requests, control, options, confinement)
    except Exception as error:
        send(control, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
        return
    hello = {"applied": confinement.applied, "python": sys.version.split()[0]}
    make_immortal()
    open_streams(options.streams)  # mortal: what a program leaves in one is written when it gives it up
    gc.collect()
    gc.freeze()
    send(control, json.dumps(hello).encode())
    Server(control, options, confinement, cells, writer, snapshot, pipe()).serve()


def _highest(fd: int, open_files: int) -> int:
    """The same file under the highest number that a program may have."""
    os.dup2(fd, open_files - 1, inheritable=False)
    os.close(fd)
    return open_files - 1


def _continue_as_first_process(options: Options) -> int:
    """Forks: the child is process 1 of the new namespace and goes on; this one only waits, and dies with the parent.

    The child gets one end of a pipe, of which this process alone has the other.
    """
    confine.die_with_parent()
    reader, writer = pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        return reader
    os.close(reader)
    for fd in options.passed():
        os.close(fd)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, status = os.waitpid(pid, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _end_without(parent: int) -> None:
    """Ends a process whose parent ended before the kernel was asked to end both."""
    try:
        gone = os.read(parent, 1) == b""
    except BlockingIOError:
        gone = False
    os.close(parent)
    if gone:
        os._exit(1)


def _preload(names: Sequence[str], options: Options) -> None:
    """Imports what programs use, adds the interactive names that `-S` leaves out, and hides this package."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # an interpreter built without an optional library
    site = importlib.import_module("site")
    if options.site_packages:
        site.main()  # finds a virtual environment's too
    parts = [name for name in PACKAGES if "." in name and name.partition(".")[0] in options.packages]
    for package in map(importlib.import_module, [*options.packages, *parts]):
        for name in getattr(package, "__all__", ()) if options.level == 3 else ():
            getattr(package, name, None)  # what is loaded late could not be, where no file can be opened
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(SEED)
    site.setquit()
    site.setcopyright()
    site.sethelper()
    for name in [n for n in sys.modules if n.split(".")[0] == "stepcoder"]:
        del sys.modules[name]
    sys.argv = [PROGRAM_FILE]
    os.environ.clear()
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _warm(options: Options, cells: memoryview, writer: board.Writer, snapshot: Snapshot) -> None:
    """Judges two programs, so that children inherit specialised code and grown arenas instead of copying pages."""
    programs = (
        ({"fn": "twice", "args": [[1, 2]]}, "def twice(x):\n    return x\n"),
        ({"stdin": (0, 0)}, "print(1)\n"),
    )
    lines = 0 if monitoring.AVAILABLE else 3  # a monitor would stay
    gc.freeze()  # each test ends with a collection
    for _ in range(10):
        for case, source in programs:
            code, table, _ = compiler.compile_program(source, lines)
            job = {
                "source": source,
                "code": compiler.packed(code, table),
                "lines": lines,
                "first": 0,
                "prelude": False,
                "alone": False,
                "output_bytes": options.limits.output_bytes,
                "suite": marshal.dumps({"setup": "", "nodes": False, "cases": [case] * 3}),
            }
            writer.start()
            Harness(job, options.streams, cells, writer, snapshot, _no_clock).run()
    writer.start()
    snapshot.restore()


def _no_clock() -> None:
    """Nobody watches."""


def _address_space() -> int:
    """This process's own address space in bytes; the limit of a program counts on top of it."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
