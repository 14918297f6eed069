"""Ties a child process to its parent, so that no engine outlives the actor that owns it.

An engine's processes are spawned by the actor. When the actor is killed with a
signal it cannot handle, nobody tells them, and they would go on using a core.
Invariant: a tied process is gone within about a second of its parent.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time

from stepcoder.executor.sandbox.confinement import syscalls

_POLL_S = 0.5


def tie_to_parent() -> None:
    """End this process as soon as the process that started it has gone.

    A process spawned by multiprocessing knows its parent's id from its start, so that a parent that
    died before the call is noticed too; it also ends, on Linux and even when it is stopped, with the thread that
    spawned it. For any other process (a Ray worker) it is the present parent.
    """
    parent = multiprocessing.parent_process()
    if parent is not None and sys.platform == "linux":
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, int(signal.SIGKILL))
    parent_pid = os.getppid() if parent is None or parent.pid is None else parent.pid
    threading.Thread(target=_exit_without, args=(parent_pid,), name="lifeline", daemon=True).start()


def _exit_without(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_POLL_S)
    os._exit(1)  # no handlers: they would talk to processes that are gone
