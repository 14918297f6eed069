"""The warm fork server: a process a program, whose clocks it watches.

For each job: fork, watch the clocks, reap, tell how the process ended. It never looks into a job: bytes go in, the
program's process decodes them.
"""

import _signal  # pyright: ignore[reportMissingImports]
import fcntl
import marshal
import os
import signal
import socket
import time
from dataclasses import astuple, dataclass

from stepcoder.executor.sandbox import board
from stepcoder.executor.sandbox.channel import let_go, receive, send, wipe
from stepcoder.executor.sandbox.confinement import confine
from stepcoder.executor.sandbox.harness import Harness
from stepcoder.executor.sandbox.options import Options
from stepcoder.executor.sandbox.protocol import BEGUN, END, ENDED, FORK_FAILED, JOB
from stepcoder.executor.sandbox.sharing.state import Snapshot

_CHILD_ENDS = (signal.SIGCHLD,)


@dataclass(frozen=True, slots=True)
class Server:
    """What a fork server has once it is confined."""

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
        files = astuple(self.options.streams)
        while (job := receive(self.control)) is not None:
            _reset(files)
            try:
                pid = os.fork()
            except OSError as error:
                wipe(job)
                send(self.control, FORK_FAILED + str(error).encode())
                continue
            if pid == 0:
                self._child(job)
            send(self.control, ENDED + self._watch(pid, job))
            wipe(job)
            let_go(job)

    def _watch(self, pid: int, job: bytearray) -> bytes:
        """Waits for the end of a program, and tells of it; kills it when one test takes too long.

        Clocks start when the process says that its program begins. Where an ordinary program goes from test to test
        they start anew when an answer is seen on the board, at most a tick late; no other can choose when it answers.
        Time in which a busy machine lets nobody watch is not the program's.
        Most programs end within the first tick; what runs until then copies pages from under the program, so it is
        little.
        """
        apart, alone, tests, _, program_s, _, test_s, _ = JOB.unpack_from(job)
        limits, answers, late, begun = self.options.limits, 0, False, None
        tick, cpu_start, wall_start = min(0.05, test_s / 20), 0.0, time.monotonic()
        cpu_busy, wall_busy = 0.0, wall_start  # when it was last seen to do something
        looked, lost = wall_start, 0.0  # seconds in which this process got no processor, as then the program did not
        while True:
            signal.sigtimedwait(_CHILD_ENDS, tick)  # may also be the compiler's
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if begun is None and (begun := self._began()) is not None:
                cpu_start, wall_start = begun[0], begun[1] - lost
            now = time.monotonic()
            looked, lost = now, lost + max(0.0, now - looked - 2 * tick)
            if ended:
                total = usage.ru_utime + usage.ru_stime
                code, before = os.waitstatus_to_exitcode(status), begun[0] if begun else 0.0
                return END.pack(code, total, begun is not None, before, usage.ru_maxrss / 1024, late, lost)
            cpu, wall = time.clock_gettime((~pid << 3) | 2), now - lost  # clock_getcpuclockid
            compiling = apart and begun is None
            cpu_s = limits.compile_s if compiling else test_s
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
        """CPU and monotonic seconds at which the program began, once. Nothing stays in the pipe when it has ended."""
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
            os.close(options.control)
            try:
                _, _, _, file_bytes, _, cpu_s, _, memory_bytes = JOB.unpack_from(job)
                confine.confine_child(self.confinement, file_bytes, cpu_s, memory_bytes)
            except BaseException as error:
                os.write(options.trouble, f"{type(error).__name__}: {error}"[:1000].encode(errors="replace"))
                raise
            os.close(options.trouble)  # from here on, what goes wrong is the program's doing
            data = marshal.loads(memoryview(job)[JOB.size :])
            _signal.pthread_sigmask(signal.SIG_UNBLOCK, _CHILD_ENDS)  # without the enumeration of what was blocked
            data["null"] = options.limits.open_files - 1
            Harness(data, options.streams, self.cells, self.writer, self.snapshot, self._begin).run()
            self.writer.finish()
            os._exit(0)
        finally:
            os._exit(1)


def _reset(files: tuple[int, ...]) -> None:
    """Undoes what a dead program may have done to the files that the next one shares; inputs, the first, stay."""
    for fd in files:
        os.lseek(fd, 0, os.SEEK_SET)
        fcntl.fcntl(fd, fcntl.F_SETFL, 0)  # the access mode stays
    for fd in files[1:]:
        os.ftruncate(fd, 0)


def pipe() -> tuple[int, int]:
    """Its ends, which never block."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    return reader, writer
