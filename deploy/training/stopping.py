"""A request to end: SIGTERM from a stopped job, a scheduler, a spot machine that is taken back; a terminal that closes.

The run then ends with a checkpoint of the last step that is done, and goes on from there. A step that is being trained
is ended first; what is being written or evaluated is given up, since its subtasks are in the checkpoint. Where that
takes longer than the grace, or at a second request, the process unwinds at once, and the checkpoint before it counts.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import NoReturn, TypeVar

from stepcoder.ending import on_request

log = logging.getLogger(__name__)

T = TypeVar("T")


class StopRequested(Exception):
    """What was waited for has been given up, since the run is to end."""


class Stopping:
    """Whether the run is to end, and for how long it may go on until then: `grace_s` (seconds; 0 ends it at once)."""

    def __init__(self, grace_s: float = 0.0, goes_on: Callable[[], str] = str) -> None:
        """`goes_on` says what the same command does where the run ends at once."""
        self.grace_s = grace_s
        self._goes_on = goes_on
        self.signum: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None

    def install(self) -> "Stopping":
        """Take requests to end, and the process's timer once one has come. Only in the main thread."""
        on_request(self._request)
        return self

    def begin(self) -> None:
        """From now on, in this event loop, there is something to save: until then a request unwinds at once."""
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()

    def over(self) -> None:
        """What there was to save is saved, or lost: no deadline runs any more, and a request unwinds at once."""
        self._loop = self._wake = None
        if self.asked:
            signal.setitimer(signal.ITIMER_REAL, 0)

    @property
    def asked(self) -> bool:
        return self.signum is not None

    @property
    def exit_code(self) -> int:
        """Of a process that ended because of a signal, as shells have it; 0 where none came."""
        return 0 if self.signum is None else 128 + self.signum

    def check(self) -> None:
        """Raises StopRequested where the run is to end."""
        if self.asked:
            raise StopRequested

    async def beside(self, work: Awaitable[T]) -> T:
        """What `work` gives; raises StopRequested, with `work` cancelled, as soon as the run is to end."""
        if self._wake is None or self._loop is not asyncio.get_running_loop():  # of an earlier life
            return await work
        task, asked = asyncio.ensure_future(work), asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait([task, asked], return_when=asyncio.FIRST_COMPLETED)
            self.check()
            return task.result()
        finally:
            asked.cancel()
            task.cancel()
            await asyncio.gather(task, asked, return_exceptions=True)

    def _request(self, signum: int, frame: FrameType | None) -> None:
        loop, wake, name = self._loop, self._wake, signal.Signals(signum).name
        if loop is None or wake is None or loop.is_closed() or self.asked or self.grace_s <= 0:
            log.warning("asked to end by %s: at once; %s", name, self._goes_on())
            raise SystemExit(128 + signum)
        self.signum = signum
        log.warning("asked to end by %s: a checkpoint follows, within run.grace_s = %g s", name, self.grace_s)
        signal.signal(signal.SIGALRM, self._late)
        signal.setitimer(signal.ITIMER_REAL, self.grace_s)
        loop.call_soon_threadsafe(wake.set)

    def _late(self, signum: int, frame: FrameType | None) -> NoReturn:
        log.warning("run.grace_s = %g is over: the run ends without a further checkpoint", self.grace_s)
        raise SystemExit(self.exit_code)
