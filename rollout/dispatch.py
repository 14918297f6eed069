"""Which engine writes the next subtask. Subtasks wait here, in the order of their tickets; engines take them.

An engine has room while fewer completions are under way in it than it samples at once; of those with room the one with
the fewest gets the subtask, whole: the completions of a prompt share its place in the prefix cache. What has ended is
known from groups that came back. Where an engine is full by that, it is asked: it answers as soon as it has room, so
that an engine with one long completion left of each group is not taken to be full.

    dispatch = Dispatch(engines=lambda: workers, places=128, ask=lambda worker, sent: worker.room.remote(sent))
    worker = await dispatch.place(ticket, 16)
    ...                                              # it writes them
    dispatch.came_back(worker, 16)
"""

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

E = TypeVar("E", bound=Hashable)


@dataclass(slots=True)
class _Load:
    """Completions, since the engine started: sent to it, of groups that came back, ended by what it said last."""

    sent: int = 0
    back: int = 0
    ended: int = 0
    asked: "asyncio.Task[None] | None" = None

    @property
    def under_way(self) -> int:
        return self.sent - max(self.back, self.ended)


class Dispatch(Generic[E]):
    """`engines()`: those that can write now; `serve` is to be called when they are others.

    `ask(engine, sent)`: how many of the `sent` completions have ended, once fewer than `places` have not.
    """

    def __init__(
        self, engines: Callable[[], Sequence[E]], places: int, ask: Callable[[E, int], Awaitable[int]]
    ) -> None:
        self._engines, self._places, self._ask = engines, places, ask
        self._loads: dict[E, _Load] = {}
        self._waiting: list[tuple[int, int, int, asyncio.Future[E]]] = []  # a heap: ticket, number, completions
        self._numbers = itertools.count()

    @property
    def waiting(self) -> int:
        """Subtasks that no engine has taken yet."""
        return sum(not future.done() for *_, future in self._waiting)

    async def place(self, ticket: int, completions: int) -> E:
        """The engine that takes the subtask. Raises what `engines` or `ask` raises meanwhile."""
        future: asyncio.Future[E] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (ticket, next(self._numbers), completions, future))
        self.serve()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:  # given up as it was placed
                self.came_back(future.result(), completions)
            raise

    def came_back(self, engine: E, completions: int) -> None:
        """A group ended, whatever became of it."""
        self._loads[engine].back += completions
        self.serve()

    def serve(self) -> None:
        """Give engines with room what waits."""
        while self._waiting:
            _, _, completions, future = self._waiting[0]
            if not future.done():  # else who waited was given up
                try:
                    there = self._engines()
                except Exception as error:
                    future.set_exception(error)
                    continue
                loads = [self._loads.setdefault(engine, _Load()) for engine in there]
                least = min(range(len(there)), key=lambda n: loads[n].under_way, default=None)
                if least is None or loads[least].under_way >= self._places:
                    self._ask_all(there)
                    return
                loads[least].sent += completions
                future.set_result(there[least])
            heapq.heappop(self._waiting)

    def _ask_all(self, engines: Sequence[E]) -> None:
        for engine in engines:
            load = self._loads[engine]
            if load.asked is None:
                load.asked = asyncio.ensure_future(self._ask_one(engine, load))

    async def _ask_one(self, engine: E, load: _Load) -> None:
        try:
            load.ended = max(load.ended, await self._ask(engine, load.sent))
        except Exception as error:  # a fault of ours: who waits first hears of it
            future = next((future for *_, future in sorted(self._waiting) if not future.done()), None)
            if future is not None:
                future.set_exception(error)
        load.asked = None
        self.serve()
