"""Things of the host that no program may see or touch: files, listeners, a process; and what a program may leave."""

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# No program contains these words as a whole, so finding one means that it was read.
SECRET = "the-" + "expected-" + "output"
LITTER = "left-by-a-" + "program"
_PROCESS = "import signal, sys\nprint('up', flush=True)\nsigs = signal.sigwait(range(1, 32))"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the programs are told of the host, so that a failure to reach it means something."""

    parent: int
    process: int
    files: tuple[str, ...]
    public: tuple[str, ...]
    fifo: str
    port: int
    unix_socket: str
    abstract_socket: str


class Canaries:
    """`facts` for the programs, and `touched` for the test."""

    def __init__(self, folders: list[Path], stack: contextlib.ExitStack) -> None:
        self._files = [folder / "answer.txt" for folder in folders]
        for file in self._files:
            file.write_text(SECRET)
            file.chmod(0o600)
        folders[0].chmod(0o755)
        public, fifo = folders[0] / "public.txt", folders[0] / "fifo"
        public.write_text(SECRET)
        public.chmod(0o644)
        os.mkfifo(fifo)
        fifo.chmod(0o644)
        self._files.append(public)
        self._fifo = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        stack.callback(os.close, self._fifo)
        os.write(self._fifo, SECRET.encode())
        self._states = [self._state(file) for file in self._files]
        self._listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0)))]
        unix, abstract = str(folders[0] / "socket"), f"\0{LITTER}-{os.getpid()}"
        for address in (unix, abstract):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(address)
            listener.listen()
            self._listeners.append(listener)
        for listener in self._listeners:
            listener.setblocking(False)
        self._process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-S", "-c", _PROCESS, SECRET],
                env={"SECRET": SECRET},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(self._process.kill)
        assert self._process.stdout is not None and self._process.stdout.readline() == "up\n"
        self.facts = Facts(
            parent=os.getpid(),
            process=self._process.pid,
            files=tuple(map(str, self._files)),
            public=(str(public),),
            fifo=str(fifo),
            port=self._listeners[0].getsockname()[1],
            unix_socket=unix,
            abstract_socket=abstract,
        )

    @staticmethod
    def _state(file: Path) -> tuple[int, int, int, str]:
        status = file.stat()
        return status.st_mtime_ns, status.st_ctime_ns, status.st_size, file.read_text()

    def touched(self) -> list[str]:
        """What is no longer as it was; a signal ends the process, whichever it is."""
        found = [str(f) for f, state in zip(self._files, self._states, strict=True) if self._state(f) != state]
        for listener in self._listeners:
            with contextlib.suppress(BlockingIOError):
                listener.accept()
                found.append(f"listener {listener.getsockname()!r}")
        if int.from_bytes(fcntl.ioctl(self._fifo, termios.FIONREAD, bytes(4)), sys.byteorder) != len(SECRET):
            found.append("pipe")
        if self._process.poll() is not None:
            found.append(f"process, ended with {self._process.returncode}")
        return found + litter()


@contextlib.contextmanager
def canaries() -> Iterator[Canaries]:
    """Files in the temporary directory, in the home directory and in shared memory, readable by their owner only."""
    with contextlib.ExitStack() as stack:
        places = [Path(tempfile.gettempdir()), Path.home(), Path("/dev/shm")]
        folders = [
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="canary-", dir=place)))
            for place in places
            if os.access(place, os.W_OK)
        ]
        yield Canaries(folders, stack)


def litter() -> list[str]:
    """Files that a program of the table managed to make."""
    places = [Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path.home(), Path.cwd(), Path("/")]
    return [
        str(place / name)
        for place in places
        if os.access(place, os.R_OK)
        for name in os.listdir(place)
        if LITTER in name
    ]
