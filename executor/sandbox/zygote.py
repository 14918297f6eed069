"""The warm fork server: one lean, single-threaded interpreter that confines itself once and forks a process a program.

Started as `python -s -S -P -B -X utf8 -c BOOT OPTIONS` by executor.zygote. Speaks over one socket:
it says hello (or why not), then for each job: fork, a frame with the child's pidfd, wait, a frame
with the exit status. It looks into a job never: bytes go in, the child decodes them.
"""

import errno
import fcntl
import gc
import importlib
import json
import os
import resource
import signal
import socket
import struct
import sys
import warnings
from dataclasses import dataclass
from typing import Any

from executor.sandbox import confine, coverage_map, monitoring, syscalls
from executor.sandbox.harness import Harness, Streams
from executor.sandbox.probes import Probes
from executor.sandbox.state import Snapshot

PRELOAD = """
    __future__ abc array ast atexit bisect calendar cmath collections collections.abc contextlib copy csv ctypes
    dataclasses datetime decimal enum fractions functools heapq io itertools json keyword locale math numbers
    operator pickle pprint queue random re secrets statistics string struct textwrap threading time traceback types
    typing unicodedata uuid zoneinfo encodings.idna encodings.latin_1 encodings.ascii encodings.utf_16 hashlib bz2
    zlib base64 binascii _strptime linecache warnings weakref graphlib ipaddress difflib fnmatch shlex tempfile
    pathlib
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
STARTED, ENDED, FORK_FAILED = b"S", b"E", b"F"


@dataclass(frozen=True, slots=True)
class Options:
    """What the parent decided: the descriptors it passed and the limits of every program."""

    level: int
    control: int
    coverage: int
    coverage_bytes: int
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
        if options.level == 1:
            confine.detach_namespaces()
            _continue_as_first_process(control)
        confine.die_with_parent()
        _preload()
        coverage = coverage_map.open_map(options.coverage, options.coverage_bytes)
        os.close(options.coverage)
        own_bytes = _address_space()
        confinement = confine.confine_zygote(options.level, options.limits.threads, options.site_packages)
        confine.die_with_parent()  # again: a change of user clears it
    except Exception as error:
        _send(control, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
        return
    hello = {"applied": confinement.applied, "python": sys.version.split()[0], "pid": os.getpid()}
    snapshot = Snapshot()
    _warm()
    gc.collect()
    gc.freeze()
    _send(control, json.dumps(hello).encode())
    _serve(control, options, coverage, confinement, snapshot, own_bytes)


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


def _continue_as_first_process(control: socket.socket) -> None:
    """Forks: the child is process 1 of the new namespace and goes on; this one only waits, and dies with the parent."""
    confine.die_with_parent()
    pid = os.fork()
    if pid == 0:
        return
    control.close()
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, status = os.waitpid(pid, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _preload() -> None:
    """Imports what programs use, adds the interactive names that `-S` leaves out, and hides this package."""
    for name in PRELOAD:
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # an interpreter built without an optional library
    site = importlib.import_module("site")
    site.setquit()
    site.setcopyright()
    site.sethelper()
    for name in [n for n in sys.modules if n.split(".")[0] == "executor"]:
        del sys.modules[name]
    sys.path.pop(0)
    sys.argv = [""]
    os.environ.clear()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    warnings.simplefilter("ignore")


def _warm() -> None:
    """Compiles a program once, so that children inherit specialised code and grown arenas instead of copying pages."""
    for _ in range(20):
        if monitoring.AVAILABLE:
            compile(_WARM_PROGRAM, "<warm>", "exec", dont_inherit=True)
        else:
            Probes(_WARM_PROGRAM, "<warm>", memoryview(bytearray(1000)))
        json.loads(json.dumps({"source": _WARM_PROGRAM}))


def _serve(
    control: socket.socket,
    options: Options,
    coverage: Any,
    confinement: confine.Confinement,
    snapshot: Snapshot,
    own_bytes: int,
) -> None:
    streams = options.streams
    while True:
        job = _receive(control)
        if job is None:
            return
        _reset(streams)
        try:
            pid = os.fork()
        except OSError as error:
            _wipe(job)
            _send(control, FORK_FAILED + str(error).encode())
            continue
        if pid == 0:
            control.close()
            _child(job, options, coverage, confinement, snapshot, own_bytes)
        pidfd = os.pidfd_open(pid)
        socket.send_fds(control, [_framed(STARTED)], [pidfd])
        os.close(pidfd)
        _, status, usage = os.wait4(pid, 0)
        _wipe(job)
        if confinement.private_pids:
            _sweep()
        code = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime
        _send(control, ENDED + struct.pack("<idd", code, cpu, usage.ru_maxrss / 1024))


def _child(
    job: bytearray,
    options: Options,
    coverage: Any,
    confinement: confine.Confinement,
    snapshot: Snapshot,
    own_bytes: int,
) -> None:
    """Never returns."""
    try:
        confine.confine_child(confinement, options.limits, own_bytes)
        Harness(json.loads(job), options.streams, coverage, snapshot).run()
    except BaseException as error:
        # Before a program's own code runs the parent takes this as ours; afterwards as the program's doing.
        message = json.dumps({"infra": f"{type(error).__name__}: {error}"}).encode()
        os.write(options.streams.result, _framed(message))
    finally:
        os._exit(1)


def _reset(streams: Streams) -> None:
    """Undoes what a dead program may have left on descriptors that the next one shares: flags and unread bytes."""
    for fd in (streams.result, streams.stdin, streams.stdout, streams.stderr):
        fcntl.fcntl(fd, fcntl.F_SETFL, 0)  # the access mode stays
    os.set_blocking(streams.go, False)
    try:
        while os.read(streams.go, 4096):
            pass
    except BlockingIOError:
        pass
    fcntl.fcntl(streams.go, fcntl.F_SETFL, 0)


def _sweep() -> None:
    """As process 1, ends and reaps whatever a program may have left behind."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        return
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


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
