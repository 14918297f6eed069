"""Outlives the driver by a few seconds and ends what Ray's own clean-up is slow to end.

A cluster that a run started for itself must be gone soon after the driver, even after `kill -9`. Ray's reaper and our
ties see to the rest, but Ray's agents go on for a minute. The guardian reads from a pipe that only the driver holds;
its end means that the driver is gone. It then kills those of the given processes that are still there.
"""

import subprocess
import sys
import time
from collections.abc import Iterable

import psutil

GRACE_S = 3.0


def watch_over(processes: Iterable[psutil.Process]) -> "subprocess.Popen[bytes]":
    """Start the guardian of these processes; it lives until this process ends (keep the result)."""
    pids = [str(process.pid) for process in processes]
    return subprocess.Popen(
        [sys.executable, __file__, *pids], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )


def main(pids: list[int]) -> None:
    charges = []
    for pid in pids:
        try:
            charges.append(psutil.Process(pid))  # knows the start time, so a reused number is never killed
        except psutil.NoSuchProcess:
            continue
    sys.stdin.buffer.read()
    deadline = time.monotonic() + GRACE_S
    while charges and time.monotonic() < deadline:
        charges = [process for process in charges if process.is_running()]
        time.sleep(0.2)
    for process in charges:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


if __name__ == "__main__":
    main([int(pid) for pid in sys.argv[1:]])
