"""One piece of work beside the run at a time: a checkpoint is written while the next step is generated and trained."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Background:
    """At most one task. Its error is raised by whichever of `check`, `wait` and `start` comes next, or wait for it."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin `work` once the work before it is done."""
        try:
            await self.wait()
        except BaseException:
            work.close()
            raise
        self._task = asyncio.create_task(work)

    async def wait(self) -> None:
        """Until the work under way is done; at once if there is none."""
        if (task := self._task) is not None:
            try:
                await asyncio.shield(task)
            finally:
                if task.done() and self._task is task:  # another who waited may have begun the next already
                    self._task = None

    async def check(self) -> None:
        """Raise the error of work that has ended with one; does not wait."""
        if self._task is not None and self._task.done():
            await self.wait()

    async def settle(self) -> None:
        """Wait, when something else has already gone wrong: an error is logged."""
        try:
            await self.wait()
        except Exception as error:
            log.warning("what was being written is lost: %s", str(error).partition("\n")[0] or type(error).__name__)

    async def close(self) -> None:
        """Give up what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
