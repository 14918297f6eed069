"""Generation beside training against generation and training in turn, on a cluster that only waits.

    python -m benchmarks.pipeline                        # the simulated cluster, about 6 minutes
    python -m benchmarks.pipeline real                   # the real loop on the tiny model, about 5 minutes

The simulated cluster has 64 engines and takes 512 subtasks with 16 completions a step. Engines, learner and executors
are stand-ins that wait for as long as they would compute, since no machine at hand has 64 GPUs. They are balanced: at
full load each takes the same time for a step. A completion's length is drawn by its ticket and sample from a
log-normal whose 99th percentile is ten times its median, and cut at the longest. A token takes half as long in an empty
engine as in a full one. All else is the run's own: controller, stream, dispatcher, curriculum, Ray.

For each `max_staleness` a line tells seconds a step, the time without a request (engines) or work (learner, executors),
places of the engines that nothing was in, groups finished and not yet trained on (at the beginning and the end of what
was measured: a queue that grows would show), and the share of a core that the driver's process took.
"""

import argparse
import asyncio
import heapq
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist, mean
from typing import Any

import psutil
import ray

from benchmarks.simulated_policy import synthetic
from stepcoder.curriculum.service.actor import CurriculumActor
from stepcoder.curriculum.service.client import CurriculumClient
from stepcoder.curriculum.subtask import Outcome, Subtask
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.run.directory import RunDirectory
from stepcoder.deploy.run.metrics import read_metrics
from stepcoder.deploy.shown.progress import RunProgress
from stepcoder.deploy.shown.summary import step_seconds
from stepcoder.deploy.training.cluster import Services
from stepcoder.deploy.training.controller import Life
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
PROBLEMS = 2_000
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


class TimedEngine:
    """Samples `PLACES` completions at once; the others wait. All that are sampled advance together."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._places = asyncio.Semaphore(PLACES)
        self._running: list[tuple[float, int, asyncio.Future[None]]] = []  # where it ends, by tokens
        self._tokens, self._at, self._number = 0.0, time.monotonic(), 0  # tokens of one that runs from the beginning
        self._timer: asyncio.TimerHandle | None = None
        self._frozen = False
        self.busy, self.sampled = Held(), Held()

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
        now = time.monotonic()
        if not self._frozen and self._running:
            self._tokens += (now - self._at) / self._token_s()
        self._at = now

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
    """An actor with the stand-ins of several rollout workers and their share of the executors' slots."""

    def __init__(self, engines: int, pace: Pace) -> None:
        self._pace = pace
        self._engines = [TimedEngine(pace) for _ in range(engines)]
        self._rooms = [Room(PLACES) for _ in range(engines)]
        self._slots = asyncio.Semaphore(pace.slots // HOSTS)
        self._judging, self._executing = Held(), Held()
        self._version = 0
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
                    await asyncio.sleep(random.expovariate(1 / PROGRAM_S))
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
    """Waits for each token; freezes the engines while it sends weights. Marks the driver's time at two steps."""

    writes_beside = True

    def __init__(self, pace: Pace, hosts: Sequence[Any], first: int, last: int) -> None:
        self._pace, self._hosts = pace, hosts
        self._first, self._last = first, last
        self.marks: list[tuple[float, float]] = []  # seconds by the clock, and of processor time

    async def step(self, step: int, groups: Sequence[Any], tokens: Sequence[int]) -> dict[str, float]:
        if step in (self._first, self._last):
            spent = psutil.Process().cpu_times()
            self.marks.append((time.monotonic(), spent.user + spent.system))
        if step == self._last:
            raise Enough
        await asyncio.sleep(sum(tokens) * self._pace.learner_s)
        return {"updates/refused": 0.0, "updates/total": 1.0}

    async def publish(self, version: int) -> None:
        await asyncio.gather(*(host.update.remote(True, version) for host in self._hosts))
        await asyncio.sleep(self._pace.publish_s)
        await asyncio.gather(*(host.update.remote(False, version) for host in self._hosts))


@dataclass(frozen=True, slots=True)
class Seen:
    """Metrics of the steps that were measured; seconds a step; the driver's share of a core."""

    lines: list[dict[str, Any]]
    step_s: float
    driver: float

    def average(self, name: str) -> float:
        return mean(line[name] for line in self.lines)

    def row(self, staleness: int, strict_s: float) -> str:
        finished = [line["queue/finished"] for line in self.lines]
        return (
            f"{staleness:9} {self.step_s:7.2f} {strict_s / self.step_s:6.2f} {self.average('idle/engines'):8.1%} "
            f"{1 - self.average('queue/requests') / PLACES:8.1%} {self.average('idle/learner'):8.1%} "
            f"{self.average('idle/executors'):10.1%} {finished[0]:6.0f} ->{finished[-1]:5.0f} "
            f"{self.average('queue/judging'):8.0f} {self.driver:7.1%} {self.average('staleness/mean'):9.2f}"
        )


def simulate(staleness: int, pace: Pace, first: int, last: int, folder: Path) -> Seen:
    """A run that is measured from the training of step `first` to that of step `last`."""
    config = Config.model_validate(
        {
            "subtasks_per_step": SUBTASKS, "max_staleness": staleness, "model": "none",
            "run": {"directory": str(folder), "steps": 1000, "checkpoint_every": 1000, "trajectories_every": 0},
            "eval": {"at_start": False, "at_end": False},
            "rollout": {"engines": ENGINES, "group_size": GROUP, "max_num_seqs": PLACES},
            "executor": {"workers": pace.slots},
        }
    )  # fmt: skip
    problems = tuple(synthetic(f"p{i:05}", i % 9) for i in range(PROBLEMS))
    hosts = [ray.remote(Host).options(num_cpus=0, max_concurrency=20_000).remote(ENGINES // HOSTS, pace)
             for _ in range(HOSTS)]  # fmt: skip
    curriculum = ray.remote(CurriculumActor).options(num_cpus=0).remote(problems, config.curriculum, 0)
    learner = TimedLearner(pace, hosts, first, last)

    async def run(life: Life) -> None:
        client: Any = CurriculumClient(curriculum)
        life.services = Services(client, TimedRollout(config, hosts), learner, learner)  # type: ignore[arg-type]
        with life.metrics:
            await life._train()

    with RunDirectory.open(config) as place, RunProgress(1000) as progress:
        try:
            asyncio.run(run(Life(config, place, Ready(folder, problems, ()), progress)))
        except Enough:
            pass
        lines = [line for line in read_metrics(place.metrics_file) if first <= line["step"] < last]
    for actor in (*hosts, curriculum):
        ray.kill(actor)
    (begun, spent_before), (ended, spent) = learner.marks
    return Seen(lines, (ended - begun) / (last - first), (spent - spent_before) / (ended - begun))


def simulated(options: argparse.Namespace) -> None:
    pace = Pace.balanced(options.step_s)
    print(
        f"{ENGINES} engines of {PLACES} places, {SUBTASKS} x {GROUP} completions, {pace.slots} slots; engines, "
        f"learner and executors at full load: {options.step_s:g} s a step each"
    )
    print("staleness  s/step  times  engines   places  learner  executors  finished      judging  driver  mean age")
    print("                           idle    empty     idle       idle  groups        programs  of core  (updates)")
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    strict_s = 0.0
    with tempfile.TemporaryDirectory(prefix="stepcoder-pipeline-") as folder:
        for staleness in options.staleness:
            first = 2 if staleness == 0 else 3
            last = first + (2 if staleness == 0 else options.steps)
            found = simulate(staleness, pace, first, last, Path(folder) / str(staleness))
            strict_s = strict_s or found.step_s
            print(found.row(staleness, strict_s), flush=True)
    ray.shutdown()


def real(options: argparse.Namespace) -> None:
    """The tiny model on this machine, each way in turn: seconds of a step, the first two left out."""
    from tests.tools.loop import ROOT, write_config
    from tests.tools.tiny_model import build_tiny_model

    found: dict[int, float] = {}
    with tempfile.TemporaryDirectory(prefix="stepcoder-pipeline-") as aside:
        folder = Path(aside)
        model = build_tiny_model(folder / "model")
        for staleness in options.staleness:
            name = f"staleness-{staleness}"
            config = write_config(folder, model, name, max_staleness=staleness, subtasks_per_step=8,
                                  eval={"at_start": False, "at_end": False})  # fmt: skip
            settings = ["--run.steps", str(options.steps + 2), "--run.checkpoint_every", "1000",
                        "--rollout.max_new_tokens", "96", "--rollout.group_size", "8"]  # fmt: skip
            command = [sys.executable, "-m", "deploy.train", "--config", str(config), *settings]
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
            lines = [line for line in read_metrics(folder / name / "metrics.jsonl") if line["step"] > 2]
            found[staleness] = mean(step_seconds(line) for line in lines)
            rate = mean(line["tokens/generated"] for line in lines) / found[staleness]
            print(f"max_staleness {staleness}: {found[staleness]:.2f} s a step, {rate:.0f} tokens/s, mean age "
                  f"{mean(line['staleness/mean'] for line in lines):.2f} updates", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["simulated", "real"], default="simulated")
    parser.add_argument("--staleness", type=int, nargs="+", help="default: 0 2 8, or 0 2 of the real loop")
    parser.add_argument("--steps", type=int, default=10, help="steps that are measured, with staleness")
    parser.add_argument("--step-s", type=float, default=6.0, help="seconds of a step at full load, simulated")
    options = parser.parse_args()
    if options.what == "real":
        options.staleness = options.staleness or [0, 2]
        real(options)
    else:
        options.staleness = options.staleness or [0, 2, 8]
        simulated(options)


if __name__ == "__main__":
    main()
