"""The parent's end of a warm fork server: starts it, hands it jobs, kills its children.

Everything a child can write to is a pipe or a file in memory that this process made; nothing
received is ever unpickled. The zygote dies with the thread that started it.
"""

import fcntl
import json
import logging
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from executor.config import ExecutorConfig

log = logging.getLogger(__name__)

MAP_BYTES = 16_384  # of coverage: one more than the lines of a program that can be recorded
_START_S, _ANSWER_S = 30.0, 30.0
_F_ADD_SEALS, _SEAL, _SHRINK, _GROW = 1033, 1, 2, 4
_BOOT = "import sys; sys.path.insert(0, {root!r}); from executor.sandbox.zygote import main; main(sys.argv[1])"
# The seed of hashes is fixed so that a verdict does not depend on the order of a set; one arena keeps memory countable.
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "MALLOC_ARENA_MAX": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}


class InfraError(RuntimeError):
    """The sandbox failed, which says nothing about the program that it was running."""


class Zygote:
    """One fork server. Life cycle: construct (may raise InfraError), `submit` and `ended` in turn, `close`."""

    def __init__(self, config: ExecutorConfig, level: int) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owned: list[int] = []
        self._oom_kills = _oom_kills()
        try:
            self._start(config, level)
        except (OSError, subprocess.SubprocessError) as error:
            self.close()
            raise InfraError(f"the fork server did not start at level {level}: {error}") from error
        except InfraError:
            self.close()
            raise

    def _start(self, config: ExecutorConfig, level: int) -> None:
        self.coverage_fd = self._own(os.memfd_create("coverage", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        os.ftruncate(self.coverage_fd, MAP_BYTES)
        fcntl.fcntl(self.coverage_fd, _F_ADD_SEALS, _SEAL | _SHRINK | _GROW)
        self.map = mmap.mmap(self.coverage_fd, MAP_BYTES)
        self.stdin, self.stdout, self.stderr = (
            self._own(os.memfd_create(name, os.MFD_CLOEXEC)) for name in ("stdin", "stdout", "stderr")
        )
        self.result, result = (self._own(fd) for fd in os.pipe())
        go, self._go = (self._own(fd) for fd in os.pipe())
        os.set_blocking(self.result, False)
        self.control, control = socket.socketpair()
        self.control.settimeout(_ANSWER_S)
        python = str(config.python or sys.executable)
        streams = {"result": result, "go": go, "stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr}
        options = json.dumps(
            {
                "level": level,
                "control": control.fileno(),
                "coverage": self.coverage_fd,
                "coverage_bytes": MAP_BYTES,
                "streams": streams,
                "limits": _limits(config),
                "site_packages": config.site_packages,
            }
        )
        boot = _BOOT.format(root=str(Path(__file__).resolve().parent.parent))
        try:
            self._process = subprocess.Popen(
                [python, "-s", "-S", "-P", "-B", "-X", "utf8", "-c", boot, options],
                env=_ENVIRONMENT,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self.stderr,
                pass_fds=[control.fileno(), self.coverage_fd, *streams.values()],
                start_new_session=True,
            )
        finally:
            control.close()
            for fd in (result, go):
                self._owned.remove(fd)
                os.close(fd)
        self._hello(level)

    def _own(self, fd: int) -> int:
        self._owned.append(fd)
        return fd

    def _hello(self, level: int) -> None:
        self.control.settimeout(_START_S)
        try:
            hello = json.loads(self.receive())
        except InfraError as error:
            said = os.pread(self.stderr, 2000, 0).decode(errors="replace").strip()
            raise InfraError(f"the fork server did not answer at level {level}: {said or error}") from error
        if "error" in hello:
            raise InfraError(hello["error"])
        self.control.settimeout(_ANSWER_S)
        self.applied: tuple[str, ...] = tuple(hello["applied"])
        self.python: str = hello["python"]

    def submit(self, job: bytes) -> int:
        """Starts a program; returns its pidfd, which the caller closes."""
        try:
            self.control.sendall(struct.pack("<I", len(job)) + job)
            head, fds, _, _ = socket.recv_fds(self.control, 4, 1)
        except OSError as error:
            raise InfraError(f"the fork server stopped answering: {error}") from error
        if not head:
            raise InfraError("the fork server ended")
        body = self._exactly(struct.unpack("<I", head + self._exactly(4 - len(head)))[0])
        if body[:1] != b"S" or len(fds) != 1:
            for fd in fds:
                os.close(fd)
            raise InfraError(f"the fork server could not start a program: {body[1:].decode(errors='replace')}")
        return fds[0]

    def ended(self) -> tuple[int, float, float]:
        """(exit code, negative for a signal; CPU seconds; peak resident MiB) of the child, once it is reaped."""
        body = self.receive()
        if body[:1] != b"E":
            raise InfraError("the fork server answered out of turn")
        return struct.unpack("<idd", body[1:])

    def go(self) -> None:
        """Lets the child start its next test."""
        try:
            os.write(self._go, b"g")
        except BrokenPipeError as error:
            raise InfraError("the fork server ended") from error

    def receive(self) -> bytes:
        return self._exactly(struct.unpack("<I", self._exactly(4))[0])

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                chunk = self.control.recv(count - len(data))
            except OSError as error:
                raise InfraError(f"waited for the fork server: {error}") from error
            if not chunk:
                raise InfraError("the fork server ended")
            data += chunk
        return data

    def clear_coverage(self, lines: int) -> None:
        """Before each test; `lines` is that of the program."""
        size = min(lines + 1, MAP_BYTES)
        self.map[:size] = bytes(size)

    def coverage(self, lines: int) -> bytes:
        """A byte a line as they are now, from line 0, which does not exist: not zero where the line was executed."""
        return self.map[: min(lines + 1, MAP_BYTES)]

    def drain(self) -> None:
        """Throws away what a dead child left in the result pipe."""
        try:
            while os.read(self.result, 1 << 16):
                pass
        except BlockingIOError:
            pass

    def refuse_lack_of_memory(self) -> None:
        """InfraError where the kernel killed a process since the last look because memory ran out."""
        before, self._oom_kills = self._oom_kills, _oom_kills()
        if self._oom_kills > before:
            raise InfraError("the machine ran out of memory and the kernel killed a process: give it fewer workers")

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        for name in ("map", "control"):
            if hasattr(self, name):
                getattr(self, name).close()
        while self._owned:
            os.close(self._owned.pop())


class Child:
    """One running program: its frames, its CPU clock, and the end of it."""

    def __init__(self, zygote: Zygote, job: bytes, frame_bytes: int) -> None:
        self._zygote = zygote
        self._pidfd = zygote.submit(job)
        self._frame_bytes = frame_bytes
        self._buffer = bytearray()
        self._exit: tuple[int, float, float] | None = None
        self._clock = _cpu_clock(self._pidfd)
        self._cpu = 0.0
        self._poll = select.poll()
        self._poll.register(zygote.result, select.POLLIN)
        self._poll.register(zygote.control, select.POLLIN)

    def cpu(self) -> float:
        """CPU seconds so far; the last value known once the process is gone."""
        if self._clock is not None and self._exit is None:
            try:
                self._cpu = time.clock_gettime(self._clock)
            except OSError:
                self._clock = None
        return self._cpu

    def frame(self, cpu_s: float, wall_s: float) -> dict | str:
        """The next frame, or "timeout", "flood" (more bytes than a frame may have), "garbled", "exit"."""
        cpu_start, start = self.cpu(), time.monotonic()
        pause = min(cpu_s, wall_s)
        while True:
            frame = self._parse()
            if frame is not None:
                return frame
            ready = {fd for fd, _ in self._poll.poll(pause * 1000)}
            if self._zygote.result in ready:
                self._buffer += os.read(self._zygote.result, 1 << 18)
            elif self._zygote.control.fileno() in ready:
                self._exit = self._zygote.ended()
                if self._exit[0] == -signal.SIGKILL:
                    self._zygote.refuse_lack_of_memory()
                return "exit"
            cpu, wall = self.cpu() - cpu_start, time.monotonic() - start
            if cpu >= cpu_s or wall >= wall_s:
                return "timeout"
            pause = min(max(cpu_s - cpu, 0.005), max(wall_s - wall, 0.001))

    def _parse(self) -> dict | str | None:
        if len(self._buffer) < 4:
            return None
        size = struct.unpack_from("<I", self._buffer)[0]
        if size > self._frame_bytes:
            return "flood"
        if len(self._buffer) < 4 + size:
            return None
        body = bytes(self._buffer[4 : 4 + size])
        del self._buffer[: 4 + size]
        try:
            frame = json.loads(body)
        except (ValueError, RecursionError):
            return "garbled"
        return frame if isinstance(frame, dict) else "garbled"

    def end(self) -> tuple[int, float, float]:
        """Kills the program if it still runs, waits until it is reaped. Returns code, CPU seconds, peak MiB."""
        try:
            if self._exit is None:
                try:
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                except ProcessLookupError:
                    log.debug("the program had ended by itself")
                self._exit = self._zygote.ended()
        finally:
            if self._pidfd >= 0:
                os.close(self._pidfd)
                self._pidfd = -1
        self._zygote.drain()
        return self._exit


def _oom_kills() -> int:
    """Processes that the kernel has killed for want of memory, of the machine or of a control group; 0 if not told."""
    try:
        text = Path("/proc/vmstat").read_text()
    except OSError:
        return 0
    return int(dict(line.split() for line in text.splitlines()).get("oom_kill", 0))


def _cpu_clock(pidfd: int) -> int | None:
    """The clock id of the process's CPU time (clock_getcpuclockid); None when it is gone already."""
    with open(f"/proc/self/fdinfo/{pidfd}", "rb", buffering=0) as file:
        text = file.read(512)
    pid = int(text.split(b"Pid:", 1)[1].split(b"\n", 1)[0])
    return (~pid << 3) | 2 if pid > 0 else None


def _limits(config: ExecutorConfig) -> dict[str, int]:
    """As executor.sandbox.confine.Limits; the total of CPU time only backs up the deadline of each test."""
    return {
        "memory_mib": config.memory_mib,
        "output_bytes": config.output_kib << 10,
        "cpu_total_s": 3600,
        "open_files": config.open_files,
        "threads": config.threads,
        "stack_mib": config.stack_mib,
    }
