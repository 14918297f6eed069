"""Which engine writes the next subtask. Subtasks wait here, in the order of their tickets; engines take them.

An engine has room while fewer completions are under way in it than it samples at once; of those with room the one with
the fewest gets the subtask, whole: the completions of a prompt share its place in the prefix cache. What has ended is
known from groups that came back. Where an engine is full by that, it is asked: it answers as soon as it has room, so
that an engine with one long completion left of each group is not taken to be full.

    dispatch = Dispatch(engines=2, places=128, ask=lambda engine, sent: workers[engine].room.remote(sent))
    engine = await dispatch.place(ticket, 16)
    ...                                              # the engine writes them
    dispatch.came_back(engine, 16)
"""

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Engine:
    """Completions, since it started: sent to it, of groups that came back, ended by what it said last."""

    sent: int = 0
    back: int = 0
    ended: int = 0
    asked: "asyncio.Task[None] | None" = None
    lost: Exception | None = None

    @property
    def under_way(self) -> int:
        return self.sent - max(self.back, self.ended)


class Dispatch:
    """`ask(engine, sent)`: how many of the `sent` completions have ended, once fewer than `places` have not."""

    def __init__(self, engines: int, places: int, ask: Callable[[int, int], Awaitable[int]]) -> None:
        self._engines = [_Engine() for _ in range(engines)]
        self._places, self._ask = places, ask
        self._waiting: list[tuple[int, int, int, asyncio.Future[int]]] = []  # a heap: ticket, number, completions
        self._numbers = itertools.count()

    @property
    def waiting(self) -> int:
        """Subtasks that no engine has taken yet."""
        return sum(not future.done() for *_, future in self._waiting)

    async def place(self, ticket: int, completions: int) -> int:
        """The engine that takes the subtask. Raises what was heard of the last engine, where all are gone."""
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (ticket, next(self._numbers), completions, future))
        self._serve()
        try:
            return await future
        except asyncio.CancelledError:
            if not future.cancelled():  # placed, and given up before it was heard of
                self.came_back(future.result(), completions)
            raise

    def came_back(self, engine: int, completions: int) -> None:
        """A group ended, whatever became of it."""
        self._engines[engine].back += completions
        self._serve()

    def replaced(self, engine: int) -> None:
        """A new engine, empty, is in this one's place."""
        self._engines[engine] = _Engine()
        self._serve()

    def _serve(self) -> None:
        """Give engines with room what waits."""
        while self._waiting:
            _, _, completions, future = self._waiting[0]
            if not future.done():  # else who waited was given up
                there = [n for n, engine in enumerate(self._engines) if engine.lost is None]
                if not there:
                    future.set_exception(next(e.lost for e in self._engines if e.lost is not None))
                    continue
                least = min(there, key=lambda n: self._engines[n].under_way)
                if self._engines[least].under_way >= self._places:
                    self._ask_all(there)
                    return
                self._engines[least].sent += completions
                future.set_result(least)
            heapq.heappop(self._waiting)

    def _ask_all(self, numbers: list[int]) -> None:
        for number in numbers:
            engine = self._engines[number]
            if engine.asked is None:
                engine.asked = asyncio.ensure_future(self._ask_one(number, engine))

    async def _ask_one(self, number: int, engine: _Engine) -> None:
        try:
            engine.ended = max(engine.ended, await self._ask(number, engine.sent))
        except Exception as error:  # who waits for its groups hears it too
            engine.lost = error
        engine.asked = None
        self._serve()
