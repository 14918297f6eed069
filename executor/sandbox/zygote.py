"""The warm fork server: one lean, single-threaded interpreter that confines itself once and forks a process a program.

Started as `python -s -S -P -B -X utf8 -c BOOT OPTIONS` by pool.fork_server. It forks the compiler, then says hello (or
why not) over its socket, and then for each job: fork, watch the clocks, reap, tell how the process ended.
It never looks into a job: bytes go in, the program's process decodes them.
"""

import errno
import fcntl
import gc
import importlib
import json
import marshal
import os
import resource
import signal
import socket
import struct
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

from stepcoder.executor.sandbox import board, compiler
from stepcoder.executor.sandbox.confinement import confine, library, syscalls
from stepcoder.executor.sandbox.coverage import monitoring
from stepcoder.executor.sandbox.harness import Harness, Streams, open_streams
from stepcoder.executor.sandbox.offered.surroundings import Surroundings
from stepcoder.executor.sandbox.protocol import BEGUN, END, ENDED, FORK_FAILED, JOB
from stepcoder.executor.sandbox.sharing.state import Snapshot

PRELOAD = """
    __future__ abc array ast atexit bisect cmath collections collections.abc contextlib copy ctypes dataclasses datetime
    decimal enum fractions functools heapq io itertools json keyword linecache math numbers operator queue random re
    statistics string struct textwrap threading time traceback types typing warnings weakref
""".split()
_WARM_PROGRAM = """
import sys
class A(dict):
    @staticmethod
    def f(x, *y, z=1, **k):
        for i in range(len(x)):
            if x[i] > 0 and not y:
                return [a + 1 for a in x if a]
            elif x == "b":
                x[i] += 1
            else:
                print(f"{x}", end="")
        while True:
            try:
                a, b = map(int, input().split())
            except ValueError as e:
                break
        with open(x) as g:
            return sorted(g, key=lambda q: (q, -1))
"""
_MIB = 1 << 20
_ZEROS = bytes(1 << 16)
_LARGE = 1 << 18
_CHILD_ENDS = (signal.SIGCHLD,)


@dataclass(frozen=True, slots=True)
class Options:
    """What the parent decided: the descriptors it passed and the limits of every program."""

    level: int
    control: int
    compiler: int
    trouble: int  # a pipe: what kept a process from getting to its program
    coverage: int
    coverage_bytes: int
    board: int
    streams: Streams
    limits: confine.Limits
    site_packages: bool

    @classmethod
    def parse(cls, text: str) -> "Options":
        data = json.loads(text)
        streams, limits = Streams(**data.pop("streams")), confine.Limits(**data.pop("limits"))
        return cls(streams=streams, limits=limits, **data)


def main(argument: str) -> None:
    """The whole life of a zygote; returns when the parent closes the control socket."""
    options = Options.parse(argument)
    control = socket.socket(fileno=options.control)
    try:
        _raise_stack(options.limits.stack_mib)
        confine.give_way()
        control.detach()
        options = _renumbered(options)
        control = socket.socket(fileno=options.control)
        if options.level == 1:
            confine.detach_namespaces()
            _continue_as_first_process(options)
        confine.die_with_parent()
        _preload(PRELOAD, options.site_packages)
        null = _highest(os.open(os.devnull, os.O_RDWR), options.limits.open_files)
        if options.level == 3:
            library.install()
        cells = syscalls.map_shared(options.coverage, options.coverage_bytes)
        writer = board.Writer(options.board, options.limits.output_bytes)
        os.close(options.coverage)
        os.close(options.board)
        own_bytes = _address_space()
        confinement = confine.confine_zygote(options.level, options.limits.threads, options.site_packages)
        confine.die_with_parent()  # again: a change of user clears it
        confine.limit_resources(options.limits, own_bytes)
        Surroundings(null, options.limits.memory_mib * _MIB // 4).install()
        snapshot = Snapshot()
        _warm(options, cells, writer, snapshot)
        _start_compiler(control, options, confinement)
    except Exception as error:
        _send(control, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
        return
    hello = {"applied": confinement.applied, "python": sys.version.split()[0]}
    gc.collect()
    gc.freeze()
    _send(control, json.dumps(hello).encode())
    _Server(control, options, confinement, cells, writer, snapshot, _pipe()).serve()


def _renumbered(options: Options) -> Options:
    """With every descriptor under the lowest number that is free: the parent's may be above a program's limit, or the
    one that another descriptor is given here, and they differ between fork servers."""
    streams = Streams(*map(_lowest, astuple(options.streams)))
    others = {name: _lowest(getattr(options, name)) for name in ("control", "compiler", "trouble", "coverage", "board")}
    return replace(options, streams=streams, **others)


def _lowest(fd: int) -> int:
    """The same file under the lowest number that is free."""
    new = os.dup(fd)
    os.close(max(fd, new))
    return min(fd, new)


def _highest(fd: int, open_files: int) -> int:
    """The same file under the highest number that a program may have."""
    os.dup2(fd, open_files - 1, inheritable=False)
    os.close(fd)
    return open_files - 1


def _raise_stack(mib: int) -> None:
    """Deep recursion needs a large stack, and the kernel lays memory out for it only at exec: start over once."""
    wanted = mib * _MIB
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft == wanted:
        return
    resource.setrlimit(resource.RLIMIT_STACK, (wanted, wanted))
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _continue_as_first_process(options: Options) -> None:
    """Forks: the child is process 1 of the new namespace and goes on; this one only waits, and dies with the parent."""
    confine.die_with_parent()
    pid = os.fork()
    if pid == 0:
        return
    passed = (options.control, options.compiler, options.trouble, options.coverage, options.board)
    for fd in (*passed, *astuple(options.streams)):
        os.close(fd)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, status = os.waitpid(pid, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _preload(names: Sequence[str], site_packages: bool) -> None:
    """Imports what programs use, adds the interactive names that `-S` leaves out, and hides this package."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # an interpreter built without an optional library
    site = importlib.import_module("site")
    if site_packages:
        site.main()  # finds a virtual environment's too
    site.setquit()
    site.setcopyright()
    site.sethelper()
    for name in [n for n in sys.modules if n.split(".")[0] == "stepcoder"]:
        del sys.modules[name]
    sys.argv = [""]
    os.environ.clear()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    warnings.simplefilter("ignore")


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
                "code": marshal.dumps((code, table)),
                "lines": lines,
                "first": 0,
                "alone": False,
                "output_bytes": options.limits.output_bytes,
                "suite": marshal.dumps({"setup": "", "nodes": False, "cases": [case] * 3}),
            }
            writer.start()
            Harness(job, options.streams, cells, writer, snapshot, _no_clock).run()
    writer.start()
    snapshot.restore()
    open_streams(options.streams)


def _no_clock() -> None:
    """Nobody watches."""


def _pipe() -> tuple[int, int]:
    """Its ends, which never block."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    return reader, writer


def _start_compiler(control: socket.socket, options: Options, confinement: confine.Confinement) -> None:
    requests = socket.socket(fileno=options.compiler)
    if os.fork():
        requests.close()
        return
    try:
        control.close()
        for fd in (options.trouble, *astuple(options.streams)):
            os.close(fd)
        confine.confine_child(confinement, 0, resource.RLIM_INFINITY)
        for _ in range(20):
            compiler.answer(compiler.REQUEST.pack(100, 0) + _WARM_PROGRAM.encode())
        gc.collect()
        gc.freeze()
        while (request := _receive(requests)) is not None:
            _send(requests, _compiled(bytes(request)))
            _let_go(request)
    finally:
        os._exit(1)


def _compiled(request: bytes) -> bytes:
    kind, about, code = compiler.answer(request)
    head = json.dumps(about).encode()
    return kind + struct.pack("<I", len(head)) + head + code


@dataclass(frozen=True, slots=True)
class _Server:
    """What a zygote has once it is confined."""

    control: socket.socket
    options: Options
    confinement: confine.Confinement
    cells: memoryview
    writer: board.Writer
    snapshot: Snapshot
    begun: tuple[int, int]  # a pipe on which a process says that its program begins, before it can be a program's word

    def serve(self) -> None:
        """One process a job, until the parent closes the socket."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _CHILD_ENDS)
        while (job := _receive(self.control)) is not None:
            _reset(self.options.streams)
            self._began()  # of a process that was killed before anyone looked
            try:
                pid = os.fork()
            except OSError as error:
                _wipe(job)
                _send(self.control, FORK_FAILED + str(error).encode())
                continue
            if pid == 0:
                self._child(job)
            _send(self.control, ENDED + self._watch(pid, job))
            _wipe(job)
            _let_go(job)

    def _watch(self, pid: int, job: bytearray) -> bytes:
        """Waits for the end of a program, and tells of it; kills it when one test takes too long.

        Clocks start when the process says that its program begins. Where an ordinary program goes from test to test
        they start anew when an answer is seen on the board, at most a tick late; no other can choose when it answers.
        Most programs end within the first tick; what runs until then copies pages from under the program, so it is
        little.
        """
        apart, alone, tests, _, program_s, _ = JOB.unpack_from(job)
        limits, answers, late, begun = self.options.limits, 0, False, None
        tick, cpu_start, wall_start = min(0.05, limits.cpu_s / 20), 0.0, time.monotonic()
        cpu_busy, wall_busy = 0.0, wall_start  # when it was last seen to do something
        while True:
            signal.sigtimedwait(_CHILD_ENDS, tick)  # may also be the compiler's
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if begun is None and (begun := self._began()) is not None:
                cpu_start, wall_start = begun
            if ended:
                total = usage.ru_utime + usage.ru_stime
                code, before = os.waitstatus_to_exitcode(status), begun[0] if begun else 0.0
                return END.pack(code, total, begun is not None, before, usage.ru_maxrss / 1024, late)
            cpu, wall = time.clock_gettime((~pid << 3) | 2), time.monotonic()  # clock_getcpuclockid
            compiling = apart and begun is None
            cpu_s = limits.compile_s if compiling else limits.cpu_s
            wall_s = limits.wall_s + limits.compile_s if compiling else limits.wall_s
            if not alone and answers < (answered := self.writer.answers()) <= tests:
                answers, cpu_start, wall_start = answered, cpu, wall
            if cpu > cpu_busy:
                cpu_busy, wall_busy = cpu, wall
            stalled = wall - wall_busy >= limits.idle_s
            if stalled or cpu - cpu_start >= cpu_s or wall - wall_start >= wall_s or cpu >= program_s:
                os.kill(pid, signal.SIGKILL)
                late = True

    def _began(self) -> tuple[float, float] | None:
        """CPU and monotonic seconds at which the program began, once."""
        try:
            cpu, wall = BEGUN.unpack(os.read(self.begun[0], BEGUN.size))
        except BlockingIOError:
            return None
        return cpu, wall

    def _begin(self) -> None:
        """Starts the program's clocks, in its process: for good, because the pipe is then closed to it."""
        os.write(self.begun[1], BEGUN.pack(time.process_time(), time.monotonic()))
        for fd in self.begun:
            os.close(fd)

    def _child(self, job: bytearray) -> None:
        """A program's process. Never returns."""
        options = self.options
        try:
            self.control.close()
            try:
                _, _, _, file_bytes, _, cpu_s = JOB.unpack_from(job)
                confine.confine_child(self.confinement, file_bytes, cpu_s)
            except BaseException as error:
                os.write(options.trouble, f"{type(error).__name__}: {error}"[:1000].encode(errors="replace"))
                raise
            os.close(options.trouble)  # from here on, what goes wrong is the program's doing
            data = marshal.loads(memoryview(job)[JOB.size :])
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _CHILD_ENDS)
            data["null"] = options.limits.open_files - 1
            Harness(data, options.streams, self.cells, self.writer, self.snapshot, self._begin).run()
            self.writer.finish()
            os._exit(0)
        finally:
            os._exit(1)


def _reset(streams: Streams) -> None:
    """Undoes what a dead program may have done to the files that the next one shares."""
    for fd in astuple(streams):
        os.lseek(fd, 0, os.SEEK_SET)
        fcntl.fcntl(fd, fcntl.F_SETFL, 0)  # the access mode stays
        if fd != streams.inputs:
            os.ftruncate(fd, 0)


def _address_space() -> int:
    """This process's own address space in bytes; the limit of a program counts on top of it."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _framed(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def _send(control: socket.socket, data: bytes) -> None:
    control.sendall(_framed(data))


def _receive(control: socket.socket) -> bytearray | None:
    """One frame, or None at the end of the stream."""
    head = _exactly(control, 4)
    if head is None:
        return None
    return _exactly(control, struct.unpack("<I", head)[0])


def _wipe(job: bytearray) -> None:
    """Memory given back keeps what was in it, and the next program inherits it."""
    for start in range(0, len(job), len(_ZEROS)):
        size = min(len(_ZEROS), len(job) - start)
        job[start : start + size] = _ZEROS[:size]


def _let_go(frame: bytearray) -> None:
    """Gives the memory of a large frame back to the kernel: each fork copies the page tables of all that is held."""
    large = len(frame) > _LARGE
    frame.clear()
    if large:
        syscalls.trim_heap()


def _exactly(control: socket.socket, count: int) -> bytearray | None:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        try:
            size = control.recv_into(view)
        except OSError as error:
            if error.errno == errno.ECONNRESET:
                return None
            raise
        if not size:
            return None
        view = view[size:]
    return data
