"""Engines, learner and executors that wait for as long as they would compute, and a clock that runs ahead meanwhile.

Used by `benchmarks/pipeline.py`, which says what is real beside them. The engines' stand-ins are held by hosts, which
are objects of this process or Ray actors.
"""

import asyncio
import heapq
import math
import random
import selectors
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, mean
from typing import Any

import psutil
import ray

from stepcoder.curriculum.subtask import Outcome, Subtask
from stepcoder.deploy.config.run import Config
from stepcoder.held import Held
from stepcoder.rollout.crew import Member
from stepcoder.rollout.dispatch import Dispatch
from stepcoder.rollout.engine import EngineStats
from stepcoder.rollout.load import Load
from stepcoder.rollout.room import Room
from stepcoder.rollout.service import RolloutService
from stepcoder.rollout.trajectory import GroupSummary

ENGINES, PLACES, SUBTASKS, GROUP = 64, 128, 512, 16
MEDIAN, TAIL, LONGEST = 100, 10.0, 12.0  # tokens; the 99th percentile and the longest, in medians
EMPTY = 0.5  # a token's time in an empty engine, by that in a full one
PUBLISHING = 0.02  # of the step's time at full load
PROGRAM_S = 0.3
HOSTS = 2  # processes that hold the engines' stand-ins


def length(ticket: int, sample: int) -> int:
    """Tokens of a completion."""
    sigma = math.log(TAIL) / NormalDist().inv_cdf(0.99)
    drawn = MEDIAN * math.exp(random.Random(f"{ticket}/{sample}").gauss(0, sigma))
    return max(1, round(min(drawn, MEDIAN * LONGEST)))


@dataclass(frozen=True, slots=True)
class Pace:
    """What takes how long (s). `token_s`: in a full engine; `learner_s`: a token of the learner."""

    token_s: float
    learner_s: float
    slots: int
    publish_s: float

    @classmethod
    def balanced(cls, step_s: float) -> "Pace":
        """Engines, learner and executors, each at full load, take `step_s` for a step."""
        completions = SUBTASKS * GROUP
        tokens = mean(length(-1, sample) for sample in range(20_000)) * completions
        return cls(
            token_s=step_s * ENGINES * PLACES / tokens,
            learner_s=step_s / tokens,
            slots=round(completions * PROGRAM_S / step_s),
            publish_s=PUBLISHING * step_s,
        )


def now() -> float:
    """Virtual where `time.monotonic` is."""
    return time.monotonic()


class TimedEngine:
    """Samples `PLACES` completions at once; the others wait. All that are sampled advance together."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._places = asyncio.Semaphore(PLACES)
        self._running: list[tuple[float, int, asyncio.Future[None]]] = []  # where it ends, by tokens
        self._tokens, self._at, self._number = 0.0, now(), 0  # tokens of one that runs from the beginning
        self._timer: asyncio.TimerHandle | None = None
        self._frozen = False
        self.busy, self.sampled = Held(now), Held(now)

    async def write(self, tokens: int) -> None:
        with self.busy.one():
            async with self._places:
                with self.sampled.one():
                    self._advance()
                    self._number += 1
                    ended = asyncio.get_running_loop().create_future()
                    heapq.heappush(self._running, (self._tokens + tokens, self._number, ended))
                    self._wake()
                    await ended

    def freeze(self, frozen: bool) -> None:
        self._advance()
        self._frozen = frozen
        self._wake()

    def _token_s(self) -> float:
        return self._pace.token_s * (EMPTY + (1 - EMPTY) * len(self._running) / PLACES)

    def _advance(self) -> None:
        before, self._at = self._at, now()
        if not self._frozen and self._running:
            self._tokens += (self._at - before) / self._token_s()

    def _wake(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._running and not self._frozen:
            left = (self._running[0][0] - self._tokens) * self._token_s()
            self._timer = asyncio.get_running_loop().call_later(max(left, 0.0), self._end)

    def _end(self) -> None:
        self._advance()
        while self._running and self._running[0][0] <= self._tokens + 1e-6:
            *_, ended = heapq.heappop(self._running)
            ended.set_result(None)
        self._wake()


class Host:
    """The stand-ins of several rollout workers and their share of the executors' slots."""

    def __init__(self, engines: int, pace: Pace) -> None:
        self._pace = pace
        self._engines = [TimedEngine(pace) for _ in range(engines)]
        self._rooms = [Room(PLACES) for _ in range(engines)]
        self._slots = asyncio.Semaphore(pace.slots // HOSTS)
        self._judging, self._executing = Held(now), Held(now)
        self._version, self._random = 0, random.Random(0)
        self._completions = self._tokens = 0

    async def room(self, engine: int, sent: int) -> int:
        return await self._rooms[engine].after(sent)

    async def run_apart(self, engine: int, subtask: Subtask, *_: Any) -> tuple[GroupSummary, None]:
        version = self._version
        with self._rooms[engine].group(GROUP) as ended:
            tokens = await asyncio.gather(*(self._sample(engine, subtask, n, ended) for n in range(GROUP)))
        passed = random.Random(subtask.ticket).randrange(GROUP + 1)
        outcome = Outcome(subtask.ticket, subtask.problem.id, subtask.stage, passed, GROUP)
        all_ = sum(tokens)
        return GroupSummary(outcome, "introductory", all_, all_, 0.0, 1.0, {}, version, None, version * all_), None

    async def _sample(self, engine: int, subtask: Subtask, sample: int, ended: Any) -> int:
        tokens = length(subtask.ticket, sample)
        await self._engines[engine].write(tokens)
        ended()
        self._completions, self._tokens = self._completions + 1, self._tokens + tokens
        with self._judging.one():
            async with self._slots:
                with self._executing.one():
                    await asyncio.sleep(self._random.expovariate(1 / PROGRAM_S))
        return tokens

    async def stats(self, engine: int) -> EngineStats:
        return EngineStats(self._completions if engine == 0 else 0, 0, self._tokens if engine == 0 else 0)

    async def load(self, engine: int) -> Load:
        """`requests_s` counts those that have a place. The executors' numbers are the first engine's."""
        own, first = self._engines[engine], engine == 0
        judging, executing = (held.together_s if first else 0.0 for held in (self._judging, self._executing))
        slots = self._pace.slots // HOSTS if first else 0
        return Load(own.busy.busy_s, own.sampled.together_s, judging, executing, engines=1, slots=slots)

    async def update(self, frozen: bool, version: int) -> None:
        for engine in self._engines:
            engine.freeze(frozen)
        self._version = version


class Local:
    """An object of this process as the handle of an actor."""

    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def __getattr__(self, name: str) -> "LocalMethod":
        return LocalMethod(getattr(self._thing, name))


@dataclass(frozen=True, slots=True)
class LocalMethod:
    method: Any
    num_returns: int = 1

    def options(self, num_returns: int) -> "LocalMethod":
        return LocalMethod(self.method, num_returns)

    def remote(self, *arguments: Any) -> Any:
        async def call() -> Any:
            found = self.method(*arguments)
            return await found if asyncio.iscoroutine(found) else found

        async def part(number: int) -> Any:
            return (await whole)[number]

        whole = asyncio.ensure_future(call())
        return whole if self.num_returns == 1 else [asyncio.ensure_future(part(n)) for n in range(self.num_returns)]


class Handle:
    """One of a host's workers, as the handle of an actor."""

    def __init__(self, host: Any, engine: int) -> None:
        self._host, self._engine = host, engine

    def __getattr__(self, name: str) -> "Method":
        return Method(getattr(self._host, name), self._engine)


@dataclass(frozen=True, slots=True)
class Method:
    method: Any
    engine: int

    def options(self, **options: Any) -> "Method":
        return Method(self.method.options(**options), self.engine)

    def remote(self, *arguments: Any) -> Any:
        return self.method.remote(self.engine, *arguments)


class NoExecutors:
    """Their stand-ins are the hosts'."""

    workers: tuple[int, ...] = ()

    async def busy_s(self) -> float:
        return 0.0


@dataclass(frozen=True, slots=True)
class TimedCrew:
    """None of its members is ever lost."""

    members: list[Member]

    def up(self) -> list[Member]:
        return self.members

    usable = up


class TimedRollout(RolloutService):
    """The real service on workers that wait."""

    def __init__(self, config: Config, hosts: Sequence[Any]) -> None:
        self.config = config.rollout
        members = [Member(n, Handle(hosts[n % HOSTS], n // HOSTS), version=0, up=True) for n in range(ENGINES)]
        self.crew = TimedCrew(members)  # type: ignore[assignment]
        self.executor = NoExecutors()  # type: ignore[assignment]
        self._dispatch = Dispatch(self.crew.usable, PLACES, self._room)
        self._finished = {}


class Enough(Exception):
    """What is to be measured has been."""


class TimedLearner:
    """Waits for each token; freezes the engines while it sends weights. Marks the time when it begins two steps."""

    writes_beside = True

    def __init__(self, pace: Pace, hosts: Sequence[Any], first: int, last: int) -> None:
        self._pace, self._hosts = pace, hosts
        self._first, self._last = first, last
        self.marks: list[tuple[float, float]] = []  # seconds, and those of processor time of this process

    async def step(self, step: int, groups: Sequence[Any], tokens: Sequence[int]) -> dict[str, float]:
        if step in (self._first, self._last):
            spent = psutil.Process().cpu_times()
            self.marks.append((now(), spent.user + spent.system))
        if step == self._last:
            raise Enough
        await asyncio.sleep(sum(tokens) * self._pace.learner_s)
        return {"updates/refused": 0.0, "updates/total": 1.0}

    async def publish(self, version: int) -> None:
        await asyncio.gather(*(host.update.remote(True, version) for host in self._hosts))
        await asyncio.sleep(self._pace.publish_s)
        await asyncio.gather(*(host.update.remote(False, version) for host in self._hosts))


class Virtual(asyncio.SelectorEventLoop):
    """A loop whose waits take no time; `time.monotonic` and `time.perf_counter` say how long they would have taken."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = selectors.DefaultSelector()
        super().__init__(selector)
        wait = selector.select

        def select(timeout: float | None = None) -> Any:
            self.now += timeout or 0.0
            return wait(0)

        selector.select = select  # type: ignore[method-assign]
        time.monotonic = time.perf_counter = lambda: self.now  # type: ignore[assignment]
        ray.cancel = lambda task: task.cancel()  # of a call that is a task here, where Ray would start a cluster

    def close(self) -> None:
        time.monotonic, time.perf_counter, ray.cancel = REAL
        super().close()


REAL = time.monotonic, time.perf_counter, ray.cancel
