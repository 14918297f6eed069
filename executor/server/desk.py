"""Between requests and the pool: a bounded queue, and clients that go away.

Invariant: a program is under way exactly as long as somebody waits for its report.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Ended, Report
from stepcoder.executor.server.metrics import Metrics
from stepcoder.executor.server.refusal import Refused
from stepcoder.executor.suite import Suite

Receive = Callable[[], Awaitable[Any]]


class Gone(Exception):
    """The client went away."""


class Desk:
    """Lives on one event loop. `most`: programs that may run or wait."""

    def __init__(self, pool: LocalPool, most: int, metrics: Metrics) -> None:
        self.pool, self._most, self._metrics = pool, most, metrics
        self.under_way = 0
        self._mean_s = 0.05  # of a program on a worker, a moving average
        metrics.workers.set(pool.config.workers)

    @property
    def room(self) -> bool:
        return self.under_way < self._most

    async def report(self, program: str, suite: Suite, receive: Receive, plain: bool = False) -> Report:
        """Refused with 429 when the queue is full, with 422 for a suite that cannot judge; Gone."""
        gone = asyncio.ensure_future(departure(receive))
        try:
            return await self.report_unless(program, suite, gone, plain)
        finally:
            gone.cancel()

    async def report_unless(self, program: str, suite: Suite, gone: "asyncio.Future[None]", plain: bool) -> Report:
        """As `report`, where another future says that the client went away."""
        self._check_room()
        future = self.pool.submit(program, suite, plain, later=True)
        waiter, start = asyncio.wrap_future(future), time.monotonic()
        self.under_way += 1
        try:
            await asyncio.wait((waiter, gone), return_when=asyncio.FIRST_COMPLETED)
            if not waiter.done():
                self._metrics.abandoned.inc()
                raise Gone
            report = waiter.result()
        except ValueError as error:
            raise Refused(422, str(error)) from None
        finally:
            self.under_way -= 1
            if not future.done():
                self.pool.abandon(future)
        ran = plain and report.verdict.ended is Ended.ANSWER  # nothing was expected of it
        self._count("ran" if ran else report.verdict.value, report.wall_s, time.monotonic() - start)
        return report

    def _check_room(self) -> None:
        if not self.room:
            seconds = math.ceil(self.under_way * self._mean_s / self.pool.config.workers)
            text = f"{self.under_way} programs run or wait: try again in {max(seconds, 1)} s"
            raise Refused(429, text, retry_after=str(min(max(seconds, 1), 60)))

    def _count(self, verdict: str, wall_s: float, seconds: float) -> None:
        self._metrics.programs.labels(verdict).inc()
        self._metrics.seconds.observe(seconds)
        self._mean_s += 0.05 * (wall_s - self._mean_s)


async def departure(receive: Receive) -> None:
    """Returns when the client is gone. The body has been read."""
    while (await receive())["type"] != "http.disconnect":
        pass
