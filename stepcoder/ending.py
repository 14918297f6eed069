"""Requests to end that come from outside: SIGTERM of a scheduler, SIGHUP of a terminal that is gone."""

import os
import select
import signal
from collections.abc import Callable
from types import FrameType

REQUESTS = (signal.SIGTERM, signal.SIGHUP)


def on_request(handler: Callable[[int, FrameType | None], object]) -> None:
    """`handler` for each that is not ignored, as nohup does with SIGHUP. Only in the main thread."""

    def told(signum: int, frame: FrameType | None) -> None:
        for stream in (1, 2) if signum == signal.SIGHUP else ():
            leave(stream)  # what is told on the way out must not fail for want of a terminal
        handler(signum, frame)

    for number in REQUESTS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, told)


def leave(descriptor: int) -> bool:
    """Whether nobody is at the other end of an output any more; it then leads nowhere."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    gone = any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    if gone:
        lead_nowhere(descriptor)
    return gone


def lead_nowhere(descriptor: int) -> None:
    """What is written to an output from now on is lost, and no error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
