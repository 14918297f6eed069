"""How a study's commands are run: a launcher starts a command line of `stepcoder` and gives a handle.

A process of this machine does not outlive the study: it gets SIGTERM when the study ends, in whatever way, and writes a
checkpoint. Jobs of a cluster are in `jobs.py`.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from stepcoder.deploy.study.check import environment
from stepcoder.executor.sandbox.confinement.syscalls import PR_SET_PDEATHSIG, prctl
from stepcoder.paths import IMPORT_ROOT

STOP_S = 60.0  # beyond run.grace_s: services end


class Handle(Protocol):
    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        ...

    def stop(self) -> None:
        """What is to be done when the study ends before it."""
        ...


class Launcher(Protocol):
    at_once: int
    here: bool  # whether runs compute on this machine

    def start(self, name: str, line: Sequence[str], log: Path) -> Handle: ...


class Process:
    def __init__(self, line: Sequence[str], log: Path, grace_s: float) -> None:
        """`grace_s`: of its `run`, within which it writes a checkpoint."""
        self._grace_s = grace_s
        path = os.pathsep.join([str(IMPORT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stepcoder", *line], env=environment() | {"PYTHONPATH": path},
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, preexec_fn=_end_with_parent,
                process_group=0,  # Ctrl-C and a terminal that closes are the study's to tell it
            )  # fmt: skip

    def poll(self) -> int | None:
        return self._process.poll()

    def stop(self) -> None:
        """Let it write its checkpoint, unless it has ended; a second signal from a person ends it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(self._grace_s + STOP_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self._process.kill()
            self._process.wait()


def _end_with_parent() -> None:
    """In the child: SIGTERM when the study is killed, so that no run goes on unseen."""
    prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))


class Here:
    """One after the other, on this machine."""

    at_once = 1
    here = True

    def __init__(self, grace_s: float) -> None:
        """`grace_s`: the longest of the study's commands."""
        self._grace_s = grace_s

    def start(self, name: str, line: Sequence[str], log: Path) -> Handle:
        with log.open("a", encoding="utf-8") as output:
            output.write(f"$ stepcoder {' '.join(line)}\n")
        return Process(line, log, self._grace_s)
