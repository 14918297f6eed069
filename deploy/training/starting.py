"""Start of a Ray of one's own: nothing is left of one that does not come up, and signals stay this process's."""

import contextlib
import signal
import time
from collections.abc import Iterator

import psutil
import ray
import ray._private.utils as utils

from stepcoder.executor.sandbox.confinement.syscalls import PR_SET_CHILD_SUBREAPER, prctl

GONE_S = 10.0  # until what was killed is gone


def own_cluster() -> list[psutil.Process]:
    """Ray's processes that this driver has just started."""
    return [p for p in psutil.Process().children(recursive=True) if p.is_running()]


@contextlib.contextmanager
def own_handlers() -> Iterator[None]:
    """Ray takes SIGTERM as it starts, and would end the process its own way: what this process does at one stays.

    Ray's core takes it too, below Python, for the moment until Ray is there.
    """
    handler = signal.getsignal(signal.SIGTERM)
    taking, utils.set_sigterm_handler = utils.set_sigterm_handler, lambda _: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = taking
        signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def whole_or_gone() -> Iterator[None]:
    """Of a cluster that does not come up nothing is left, whatever ended its start: processes whose parent ends before
    them become children of this one meanwhile."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    except BaseException:
        try:
            ray.shutdown()
        finally:
            _end()
        raise
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0)


def _end() -> None:
    deadline = time.monotonic() + GONE_S
    while (left := own_cluster()) and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=1.0)
