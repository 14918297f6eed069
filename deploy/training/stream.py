"""The driver's half that generates: a stream of groups, out of which one step after the other is taken.

    stream = Stream(config, services, progress, stopping)
    generated = await stream.take(step, ahead)       # draws, sends, waits; later steps are written meanwhile

`max_staleness` is how far the stream runs ahead of training. With 0 nothing is under way while a step trains; the code
is the same, and `window.py` has the rules. Each subtask is a task here that ends with its group; which engine writes
it, and when, is decided in `rollout/dispatch.py`.
"""

import asyncio
import logging
import time
from collections.abc import Iterable

from stepcoder.curriculum.subtask import Subtask
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.shown.counting import counted
from stepcoder.deploy.shown.progress import RunProgress
from stepcoder.deploy.training.cluster import Services
from stepcoder.deploy.training.generated import Generated
from stepcoder.deploy.training.stopping import Stopping
from stepcoder.deploy.training.window import Window, Written
from stepcoder.waiting import within

log = logging.getLogger(__name__)


class Stream:
    """Lives in one event loop. `drawn`: subtasks that a checkpoint kept."""

    def __init__(
        self,
        config: Config,
        services: Services,
        progress: RunProgress,
        stopping: Stopping,
        drawn: Iterable[Subtask] = (),
    ) -> None:
        self.config, self.services, self.progress, self.stopping = config, services, progress, stopping
        self.window = Window(config.subtasks_per_step, config.max_staleness, config.refill_rounds, drawn)
        self._writing: set[asyncio.Task[Written]] = set()
        self._came: asyncio.Queue[asyncio.Task[Written]] = asyncio.Queue()
        self._taken_at = 0.0

    async def take(self, step: int, ahead: int) -> Generated:
        """The groups of a step. `ahead`: further steps whose groups are worth writing already."""
        window, begun = self.window, time.perf_counter()
        self._send_again(window.begin(step - 1))
        while not self._came.empty():
            self._put(self._came.get_nowait())
        await self._draw(ahead)
        await self._wait()
        while window.extend():
            await self._draw(ahead)
            await self._wait()
        written, last, self._taken_at = window.take(), self._taken_at, time.perf_counter()
        finished, unfinished = window.found, window.sent - window.found
        counts = {"queue/finished": finished, "queue/unfinished": unfinished, "groups/too_old": window.too_old}
        return Generated.of(written, last, begun, self._taken_at, counts)

    async def settled(self) -> None:
        """Until all that was sent is written."""
        if self._writing:
            await asyncio.wait(self._writing)

    async def close(self) -> None:
        """Nobody waits any more for what is being written."""
        writing = list(self._writing)
        for task in writing:
            task.cancel()
        await asyncio.gather(*writing, return_exceptions=True)

    async def _draw(self, ahead: int) -> None:
        """Not to be given up in the middle: what the curriculum has drawn has to be in the next checkpoint."""
        while missing := self.window.missing:
            self.window.add(await self.services.curriculum.next(min(missing, self.window.wanted)))
        self._send(self.window.to_send(ahead))

    async def _wait(self) -> None:
        """Until the step's groups are there, as far as the step goes by now."""
        if self.window.there:
            return
        completions = self.window.awaited * self.config.rollout.group_size
        async with counted(self.progress, "generating", completions, self.services.rollout):
            what = f"the engines to write and the executors to judge {completions} completions"
            await self.stopping.beside(within(self.config.ray.step_deadline_s, what, self._gather()))

    async def _gather(self) -> None:
        while not self.window.there:
            self._put(await self._came.get())

    def _put(self, task: "asyncio.Task[Written]") -> None:
        if not self.window.put(written := task.result()):
            self._send_again([written.subtask])

    def _send_again(self, subtasks: Iterable[Subtask]) -> None:
        for subtask in subtasks:
            log.warning("the group of subtask %d is too old, its engine missed an update: once more", subtask.ticket)
            self._send([subtask])

    def _send(self, subtasks: Iterable[Subtask]) -> None:
        for subtask in subtasks:
            task = asyncio.create_task(self._write(subtask))
            self._writing.add(task)
            task.add_done_callback(self._ended)

    async def _write(self, subtask: Subtask) -> Written:
        sent = time.perf_counter()
        group = await self.services.rollout.write(subtask)
        return Written(subtask, group, sent, time.perf_counter())

    def _ended(self, task: "asyncio.Task[Written]") -> None:
        self._writing.discard(task)
        if not task.cancelled():
            task.exception()  # raised by whoever takes it, and not logged where nobody does any more
            self._came.put_nowait(task)
