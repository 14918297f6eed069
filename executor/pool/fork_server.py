"""The parent's end of a warm fork server and its compiler: starts them, hands over programs, reads what they left.

Everything a program can write to is a file in memory that this process made; nothing received is ever unpickled or
unmarshalled. Both die with the thread that started them.
"""

import contextlib
import fcntl
import json
import marshal
import math
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepcoder.executor.config import ExecutorConfig, ProgramConfig
from stepcoder.executor.judging.plan import Plan
from stepcoder.executor.sandbox import board
from stepcoder.executor.sandbox.protocol import END, ENDED, JOB, REQUEST
from stepcoder.paths import IMPORT_ROOT

MAP_BYTES = 16_384  # of coverage: one more than the lines of a program that can be recorded
_NO_CELLS = bytes(MAP_BYTES)
_START_S, _COMPILE_S, _ANSWER_S, _LOOK_S = 30.0, 5.0, 30.0, 1.0
_LARGEST_REPLY = 8 << 20
_F_ADD_SEALS, _SEAL, _SHRINK, _GROW = 1033, 1, 2, 4
_TAKING = threading.Lock()
_FLAGS = ("-s", "-S", "-P", "-B", "-X", "utf8")
# What the library does in every forked process, such as drawing a new seed, would only be undone for a program.
# Deep recursion needs a large stack, and the kernel lays memory out for it only at exec: it starts over once.
_BOOT = """
import os, resource, sys
soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
stack = {stack} if hard == resource.RLIM_INFINITY else min({stack}, hard)
if soft != stack:
    resource.setrlimit(resource.RLIMIT_STACK, (stack, stack))
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
sys.path.append({root!r})  # behind the library: other packages may lie beside this one
register, os.register_at_fork = os.register_at_fork, lambda **hooks: None
from stepcoder.executor.sandbox.start import main
sys.path.pop()
os.register_at_fork = register
main(sys.argv[1])
"""
# One arena keeps memory countable.
_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "LC_ALL": "C.UTF-8",
    "LD_BIND_NOW": "1",
    "TZ": "UTC",
}


class InfraError(RuntimeError):
    """The sandbox failed, which says nothing about the program that it was running."""


@dataclass(frozen=True, slots=True)
class End:
    """How a process ended: exit code (negative for a signal), peak resident MiB, whether the clock killed it."""

    code: int
    cpu_s: float
    begun: bool  # the program itself, which had been compiled
    before_s: float  # CPU seconds until then
    peak_mib: float
    late: bool
    wall_s: float
    lost_s: float  # wall-clock seconds in which the fork server itself got no processor


@dataclass(frozen=True, slots=True)
class Compiled:
    """`kind`: COMPILED, ORDINARY, REFUSED or APART. `about`: the lines that can be recorded; {error, line} if REFUSED.

    `code`: empty where there is none.
    """

    kind: bytes
    about: Any
    code: bytes


class ForkServer:
    """One fork server. Life cycle: construct (may raise InfraError), `compile` and `run` in turn, `close`."""

    def __init__(self, config: ExecutorConfig, level: int, packages: Sequence[str] = ()) -> None:
        """`packages`: modules of installed packages that are imported beforehand."""
        self._process: subprocess.Popen[bytes] | None = None
        self._owned: list[int] = []
        try:
            self._start(config, level, packages)
        except (OSError, subprocess.SubprocessError) as error:
            self.close()
            raise InfraError(f"the fork server did not start at level {level}: {error}") from error
        except InfraError:
            self.close()
            raise

    def _start(self, config: ExecutorConfig, level: int, packages: Sequence[str]) -> None:
        with standard_numbers_taken():
            self._start_process(config, level, packages)
        self._hello(level)

    def _start_process(self, config: ExecutorConfig, level: int, packages: Sequence[str]) -> None:
        self._oom_kills, self._looked = _oom_kills(), time.monotonic()
        self._output_bytes, result_bytes = config.output_kib << 10, config.result_kib << 10
        coverage, self.cells = self._shared("coverage", MAP_BYTES)
        board_fd, self.board = self._shared("board", board.size(self._output_bytes, result_bytes))
        self._inputs, self.stdin, self.stdout, self.stderr = (
            self._own(os.memfd_create(name, os.MFD_CLOEXEC)) for name in ("inputs", "stdin", "stdout", "stderr")
        )
        self._inputs_of: Plan | None = None
        inputs = self._own(os.open(f"/proc/self/fd/{self._inputs}", os.O_RDONLY | os.O_CLOEXEC))
        self._trouble, trouble = (self._own(fd) for fd in os.pipe())
        os.set_blocking(self._trouble, False)
        self._control, control = socket.socketpair()
        self._compiler, compiler_end = socket.socketpair()
        self._memory_mib, self._wall_s, self._compile_s = config.memory_mib, config.wall_s, config.compile_s
        python = str(config.python or sys.executable)
        streams = {"inputs": inputs, "stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr}
        passed = {
            "control": control.fileno(),
            "compiler": compiler_end.fileno(),
            "trouble": trouble,
            "coverage": coverage,
            "board": board_fd,
        }
        options = {
            **passed,
            "level": level,
            "coverage_bytes": MAP_BYTES,
            "streams": streams,
            "limits": _limits(config),
            "site_packages": config.site_packages or bool(packages),
            "packages": packages,
        }
        try:
            self._process = subprocess.Popen(
                [python, *_FLAGS, "-c", _boot(config), json.dumps(options)],
                env=_ENVIRONMENT | {"PYTHONHASHSEED": str(config.seed)},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self.stderr,
                pass_fds=[*passed.values(), *streams.values()],
                process_group=0,  # Ctrl-C is not for it; in another session its niceness might not count against ours
            )
        finally:
            control.close()
            compiler_end.close()
            for fd in (inputs, trouble):
                self._owned.remove(fd)
                os.close(fd)

    def _shared(self, name: str, size: int) -> tuple[int, mmap.mmap]:
        """A sealed piece of memory: its descriptor and this process's view."""
        fd = self._own(os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, _F_ADD_SEALS, _SEAL | _SHRINK | _GROW)
        return fd, mmap.mmap(fd, size)

    def _own(self, fd: int) -> int:
        self._owned.append(fd)
        return fd

    def _hello(self, level: int) -> None:
        self._control.settimeout(_START_S)
        try:
            hello = json.loads(_receive(self._control))
        except InfraError as error:
            said = os.pread(self.stderr, 2000, 0).decode(errors="replace").strip()
            raise InfraError(f"the fork server did not answer at level {level}: {said or error}") from error
        if "error" in hello:
            raise InfraError(hello["error"])
        self.applied: tuple[str, ...] = tuple(hello["applied"])
        self.python: str = hello["python"]

    def compile(self, source: bytes, lines: int, context: bytes, prelude: bool) -> Compiled:
        """`lines`: up to which coverage is wanted, 0 for none. `context`, `prelude`: judging.plan.Plan's.

        InfraError when the compiler died or takes too long.
        """
        self._compiler.settimeout(_COMPILE_S)
        _send(self._compiler, REQUEST.pack(lines, len(context), prelude) + context + source)
        reply = _receive(self._compiler)
        size = struct.unpack_from("<I", reply, 1)[0]
        return Compiled(reply[:1], json.loads(reply[5 : 5 + size]), reply[5 + size :])

    def run(self, plan: Plan, job: dict[str, Any], tests: int, cpu_s: float, limits: ProgramConfig) -> End:
        """Runs at most `tests` tests in one process, in at most `cpu_s` CPU seconds.

        `limits`: those of a test are of CPU time, and of memory where that is less than for other problems.

        What they left is then in `cells`, `board` and `stdout`.
        """
        self._look_at_memory()
        if plan is not self._inputs_of:
            self._place_inputs(plan)
        self.cells[:] = _NO_CELLS
        self.board.madvise(mmap.MADV_REMOVE)  # zeros: no program finds, or passes for its own, what another one left
        apart, start = job["code"] is None, time.monotonic()
        # The file and CPU limits of the process stand behind the verdicts, which are made from outputs and clocks.
        largest = max(self._output_bytes, plan.largest_input)
        backstop_s = math.ceil(min((tests + 1) * limits.cpu_s + self._compile_s, cpu_s + 1))
        self._control.settimeout((tests + 1) * self._wall_s + 2 * self._compile_s + _ANSWER_S)
        memory = limits.memory_mib << 20 if limits.memory_mib < self._memory_mib else 0
        head = JOB.pack(apart, job["alone"], tests, largest, cpu_s, backstop_s, limits.cpu_s, memory)
        _send(self._control, head + marshal.dumps(job))
        reply = _receive(self._control)
        if reply[:1] != ENDED:
            raise InfraError(f"the fork server could not start a program: {reply[1:].decode(errors='replace')}")
        code, cpu, begun, before, peak, late, lost = END.unpack(reply[1:])
        end = End(code, cpu, begun, before, peak, late, time.monotonic() - start, lost)
        if end.code and not board.count(self.board):
            self._raise_trouble()
        if end.code == -signal.SIGKILL and not end.late:
            self._refuse_lack_of_memory()
        return end

    def _look_at_memory(self) -> None:
        """Counts what the kernel has killed before a program runs, now and then."""
        if time.monotonic() > self._looked + _LOOK_S:
            self._oom_kills, self._looked = _oom_kills(), time.monotonic()

    def _refuse_lack_of_memory(self) -> None:
        """InfraError where the kernel killed a process since the last look because memory ran out."""
        before, self._looked = self._oom_kills, -_LOOK_S
        if _oom_kills() > before:
            raise InfraError("the machine ran out of memory and the kernel killed a process: give it fewer workers")

    def _place_inputs(self, plan: Plan) -> None:
        """Programs of one suite follow each other: its inputs are written once."""
        self._inputs_of = None
        os.ftruncate(self._inputs, 0)
        view, offset = memoryview(plan.inputs), 0
        while offset < len(view):
            offset += os.pwrite(self._inputs, view[offset:], offset)
        self._inputs_of = plan

    def _raise_trouble(self) -> None:
        """InfraError when the process did not get to its program."""
        try:
            said = os.read(self._trouble, 2000)
        except BlockingIOError:
            return
        raise InfraError(f"a program could not be confined: {said.decode(errors='replace')}")

    def kill(self) -> None:
        """From any thread. What waits for an answer gets an InfraError; `close` is still due."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        for name in ("cells", "board", "_control", "_compiler"):
            if hasattr(self, name):
                getattr(self, name).close()
        while self._owned:
            os.close(self._owned.pop())


@contextlib.contextmanager
def standard_numbers_taken() -> Iterator[None]:
    """No new descriptor is 0, 1 or 2, which the fork server gets streams for: a caller may have closed its own.

    One thread at a time: what another one has taken, it gives back while this one still counts on it.
    """
    with _TAKING:
        taken = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)]
        try:
            while taken[-1] <= 2:
                taken.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            yield
        finally:
            for fd in taken:
                os.close(fd)


def _send(channel: socket.socket, data: bytes) -> None:
    try:
        channel.sendall(struct.pack("<I", len(data)) + data)
    except OSError as error:
        raise InfraError(f"the fork server stopped answering: {error}") from error


def _receive(channel: socket.socket) -> bytes:
    size = struct.unpack("<I", _exactly(channel, 4))[0]
    if size > _LARGEST_REPLY:
        raise InfraError(f"the fork server answered with {size} bytes")
    return _exactly(channel, size)


def _exactly(channel: socket.socket, count: int) -> bytes:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        try:
            size = channel.recv_into(view)
        except OSError as error:
            raise InfraError(f"waited for the fork server: {error}") from error
        if not size:
            raise InfraError("the fork server ended")
        view = view[size:]
    return bytes(data)


def _boot(config: ExecutorConfig) -> str:
    return _BOOT.format(root=str(IMPORT_ROOT), stack=config.stack_mib << 20)


def _limits(config: ExecutorConfig) -> dict[str, float]:
    """As executor.sandbox.confinement.confine.Limits."""
    return {
        "memory_mib": config.memory_mib,
        "output_bytes": config.output_kib << 10,
        "result_bytes": config.result_kib << 10,
        "cpu_s": config.cpu_s,
        "wall_s": config.wall_s,
        "idle_s": config.idle_s,
        "compile_s": config.compile_s,
        "open_files": config.open_files,
        "threads": config.threads,
    }


def _oom_kills() -> int:
    """Processes that the kernel has killed for want of memory, of the machine or of a control group; 0 if not told."""
    try:
        text = Path("/proc/vmstat").read_text()
    except OSError:
        return 0
    return int(dict(line.split() for line in text.splitlines()).get("oom_kill", 0))
