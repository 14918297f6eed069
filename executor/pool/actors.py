"""The pool over Ray: CPU actors on any node, each with a local pool of slots; a dead actor costs a re-run only.

`ExecutorPool` is a picklable value: it holds actor handles, and any asyncio actor or driver may call `run`. Each caller
sends an actor at most twice as many programs as it has slots; the rest wait in the caller (back-pressure). One that has
died gets none until it answers again. Ray is imported where it is used: a local pool does without it.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Report, Verdict
from stepcoder.executor.suite import Suite
from stepcoder.waiting import WaitedTooLong, within

log = logging.getLogger(__name__)

_RESTART_PAUSE_S = 0.5
_RESTART_S = 120.0
_TRACE = 0.001  # cores: Ray prefers a node for an actor only where that reserves something


@dataclass(frozen=True, slots=True)
class Site:
    """An actor: on a node (its id; None for any), and how many programs it runs at once."""

    node: str | None
    workers: int


class ExecutorWorker:
    """A local pool as an asynchronous Ray actor."""

    def __init__(self, config: ExecutorConfig) -> None:
        self._pool = LocalPool(config)

    async def run(self, program: str, suite: Suite) -> Report:
        return await asyncio.wrap_future(self._pool.submit(program, suite))

    async def level(self) -> int:
        """The isolation level found on this actor's node."""
        return self._pool.level

    async def busy_s(self) -> float:
        """Seconds that this actor's slots have spent on programs, added up."""
        return self._pool.busy_s

    async def pid(self) -> int:
        return os.getpid()


class ExecutorPool:
    """Programs over the actors `executor-0` ... ; made once by the driver, then passed on freely."""

    def __init__(self, config: ExecutorConfig, sites: Sequence[Site] = ()) -> None:
        """Starts the actors; Ray must be initialised. They hold no core: their work comes in short bursts."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.config = config
        sites = sites or [Site(None, config.workers)] * (config.actors or 1)
        self.workers = [site.workers for site in sites]
        make = ray.remote(ExecutorWorker)
        self.actors: list[Any] = [
            make.options(
                name=f"executor-{number}",
                num_cpus=0 if site.node is None else _TRACE,
                max_restarts=-1,
                max_task_retries=0,
                max_concurrency=max(1000, 4 * site.workers),
                scheduling_strategy=(
                    "SPREAD" if site.node is None else NodeAffinitySchedulingStrategy(site.node, soft=True)
                ),
            ).remote(config.model_copy(update={"workers": site.workers}))
            for number, site in enumerate(sites)
        ]
        self._reset()

    def _reset(self) -> None:
        self._in_flight = [0] * len(self.actors)
        self._gone: dict[int, asyncio.Task[None]] = {}  # actors that have died, and the wait for their restart
        self._room: asyncio.Condition | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config, "actors": self.actors, "workers": self.workers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    async def ready(self) -> list[int]:
        """Waits for every actor; the isolation level of each. Raises what an actor raised at its start."""
        return list(await asyncio.gather(*(self._level(actor) for actor in self.actors)))

    async def _level(self, actor: Any) -> int:
        from ray.exceptions import ActorUnavailableError

        while True:
            try:
                return await actor.level.remote()
            except ActorUnavailableError:  # between its death and its restart
                await asyncio.sleep(_RESTART_PAUSE_S)

    async def busy_s(self) -> float:
        """The same of all actors; one that is just being restarted counts as nothing."""
        from ray.exceptions import RayActorError

        async def one(actor: Any) -> float:
            try:
                return await actor.busy_s.remote()
            except RayActorError:
                return 0.0

        return sum(await asyncio.gather(*map(one, self.actors)))

    async def run(self, program: str, suite: Suite) -> Report:
        """The report of `program`; an `infra_error` only after the retries, on other actors where there are any.

        ValueError for a suite that cannot judge.
        """
        from ray.exceptions import RayActorError, RayTaskError

        error, avoid = "", -1
        for attempt in range(self.config.infra_retries + 1):
            if attempt:
                await asyncio.sleep(_RESTART_PAUSE_S * attempt)
            number = await self._take(avoid)
            try:
                report: Report = await self.actors[number].run.remote(program, suite)
            except RayActorError as failure:
                error = f"executor-{number} died: {failure}"
                log.warning("executor-%d died; its program runs again", number)
                if number not in self._gone:
                    self._gone[number] = asyncio.create_task(self._back(number))
            except RayTaskError as failure:
                cause = failure.as_instanceof_cause()
                raise cause from failure
            else:
                if report.verdict.judged:
                    return report
                error = report.error or "the sandbox failed"
            finally:
                await self._give(number)
            avoid = number
        return Report(Verdict.INFRA_ERROR, error=error)

    async def _back(self, number: int) -> None:
        """Nobody takes this actor until Ray has restarted it; one that does not come back is tried all the same."""
        from ray.exceptions import RayActorError

        with contextlib.suppress(WaitedTooLong, RayActorError):
            await within(_RESTART_S, f"executor-{number} to start again", self._level(self.actors[number]))
        room = self._condition()
        async with room:
            self._gone.pop(number, None)
            room.notify_all()

    async def _take(self, avoid: int) -> int:
        """The actor with the fewest of our programs a slot, not `avoid` if another has room; waits while none has that
        is there."""
        room = self._condition()
        async with room:
            while True:
                there = [n for n in range(len(self.actors)) if n not in self._gone]
                free = [n for n in there if self._in_flight[n] < 2 * self.workers[n]]
                others = [n for n in free if n != avoid] or free
                if others:
                    number = min(others, key=lambda n: self._in_flight[n] / self.workers[n])
                    self._in_flight[number] += 1
                    return number
                await room.wait()

    async def _give(self, number: int) -> None:
        room = self._condition()
        async with room:
            self._in_flight[number] -= 1
            room.notify()

    def _condition(self) -> asyncio.Condition:
        """One condition an event loop: a driver may use the pool from several loops, one after the other."""
        loop = asyncio.get_running_loop()
        if self._room is None or self._loop is not loop:
            self._reset()
            self._room, self._loop = asyncio.Condition(), loop
        return self._room

    def close(self) -> None:
        """Ends the actors; their zygotes die with them."""
        import ray

        for actor in self.actors:
            ray.kill(actor)
