"""Generation beside training against generation and training in turn, on a cluster that only waits.

    python -m benchmarks.pipeline                        # the simulated cluster, two minutes
    python -m benchmarks.pipeline driver                 # over Ray, by the clock: what the driver takes of a core
    python -m benchmarks.pipeline real                   # the real loop on the tiny model

The simulated cluster has 64 engines and takes 512 subtasks with 16 completions a step. Engines, learner and executors
are stand-ins that wait for as long as they would compute, since no machine at hand has 64 GPUs. They are balanced: at
full load each takes the same time for a step. A completion's length is drawn by its ticket and sample from a
log-normal whose 99th percentile is ten times its median, and cut at the longest. A token takes half as long in an empty
engine as in a full one. All else is the run's own: controller, stream, dispatcher, curriculum. Time is virtual: it
passes when everybody waits, so that a busy machine changes nothing. Over Ray it is the clock's.

For each `max_staleness` a line tells seconds a step, the time without a request (engines) or work (learner, executors),
places of the engines that nothing was in, groups finished and not yet trained on (at the beginning and the end of what
was measured: a queue that grows would show), and the age of a token when it is trained on.
"""

import argparse
import asyncio
import logging
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import ray
from rich.console import Console

from benchmarks.simulated_cluster import (
    ENGINES,
    GROUP,
    HOSTS,
    PLACES,
    SUBTASKS,
    Enough,
    Host,
    Local,
    Pace,
    TimedLearner,
    TimedRollout,
    Virtual,
)
from benchmarks.simulated_policy import synthetic
from stepcoder.curriculum.service.actor import CurriculumActor
from stepcoder.curriculum.service.client import CurriculumClient
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.run.directory import RunDirectory
from stepcoder.deploy.run.metrics import read_metrics
from stepcoder.deploy.shown.progress import RunProgress
from stepcoder.deploy.shown.summary import step_seconds
from stepcoder.deploy.training.cluster import Services
from stepcoder.deploy.training.controller import Life

PROBLEMS = 2_000


@dataclass(frozen=True, slots=True)
class Seen:
    """Metrics of the steps that were measured; seconds a step; the driver's share of a core."""

    lines: list[dict[str, Any]]
    step_s: float
    driver: float

    def average(self, name: str) -> float:
        """By time: a step whose groups were there counts for less than one that was waited for."""
        weights = [step_seconds(line) for line in self.lines]
        return sum(line[name] * w for line, w in zip(self.lines, weights, strict=True)) / sum(weights)

    def row(self, staleness: int, strict_s: float) -> str:
        finished = [line["queue/finished"] for line in self.lines]
        return (
            f"{staleness:9} {self.step_s:7.1f} {strict_s / self.step_s:6.2f} {self.average('idle/engines'):8.1%} "
            f"{1 - self.average('queue/requests') / PLACES:8.1%} {self.average('idle/learner'):8.1%} "
            f"{self.average('idle/executors'):10.1%} {finished[0]:6.0f} ->{finished[-1]:5.0f} "
            f"{self.average('queue/judging'):8.0f} {self.average('staleness/mean'):9.2f}"
        )


def simulate(staleness: int, pace: Pace, first: int, last: int, folder: Path, over_ray: bool = False) -> Seen:
    """A run that is measured from the training of step `first` to that of step `last`."""
    config = Config.model_validate(
        {
            "subtasks_per_step": SUBTASKS, "max_staleness": staleness, "model": "none",
            "run": {"directory": str(folder), "steps": 1000, "checkpoint_every": 1000, "trajectories_every": 0},
            "eval": {"at_start": False, "at_end": False},
            "rollout": {"engines": ENGINES, "group_size": GROUP, "max_num_seqs": PLACES},
            "ray": {"step_deadline_s": 1e6},
        }
    )  # fmt: skip
    problems = tuple(synthetic(f"p{i:05}", i % 9) for i in range(PROBLEMS))
    marks: list[tuple[float, float]] = []

    def made(kind: Any, *arguments: Any) -> Any:
        if over_ray:
            return ray.remote(kind).options(num_cpus=0, max_concurrency=20_000).remote(*arguments)
        return Local(kind(*arguments))

    async def run() -> None:
        hosts = [made(Host, ENGINES // HOSTS, pace) for _ in range(HOSTS)]
        client: Any = CurriculumClient(Local(CurriculumActor(problems, config.curriculum, 0)))
        learner: Any = TimedLearner(pace, hosts, first, last)
        life = Life(config, place, Ready(folder, problems, ()), progress)
        life.services = Services(client, TimedRollout(config, hosts), learner, learner)
        with life.metrics, suppress(Enough):
            await life._train()
        marks.extend(learner.marks)

    with RunDirectory.open(config) as place, RunProgress(1000, console=Console(quiet=True)) as progress:
        with asyncio.Runner(loop_factory=None if over_ray else Virtual) as runner:
            runner.run(run())
        lines = [line for line in read_metrics(place.metrics_file) if first <= line["step"] < last]
    (begun, spent_before), (ended, spent) = marks
    return Seen(lines, (ended - begun) / (last - first), (spent - spent_before) / (ended - begun))


def simulated(options: argparse.Namespace) -> None:
    pace = Pace.balanced(options.step_s)
    print(
        f"{ENGINES} engines of {PLACES} places, {SUBTASKS} x {GROUP} completions, {pace.slots} slots; engines, "
        f"learner and executors at full load: {options.step_s:g} s a step each"
    )
    print("staleness  s/step  times  engines   places  learner  executors  finished      judging  mean age")
    print("                           idle    empty     idle       idle  groups        programs  (updates)")
    strict_s = 0.0
    with tempfile.TemporaryDirectory(prefix="stepcoder-pipeline-") as folder:
        for staleness in options.staleness:
            first, last = (2, 4) if staleness == 0 else (4, 4 + options.steps)
            found = simulate(staleness, pace, first, last, Path(folder) / str(staleness))
            strict_s = strict_s or found.step_s
            print(found.row(staleness, strict_s), flush=True)


def driver(options: argparse.Namespace) -> None:
    """By the clock, engines in processes of their own: what the driver's takes of a core."""
    pace, staleness = Pace.balanced(options.step_s), options.staleness[-1]
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="stepcoder-pipeline-") as folder:
        found = simulate(staleness, pace, 3, 3 + options.steps, Path(folder) / "run", over_ray=True)
    print(f"max_staleness {staleness}: {found.step_s:.1f} s a step, of which the driver's process computes "
          f"{found.driver * found.step_s:.2f} s: {found.driver:.1%} of a core")  # fmt: skip
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
    parser.add_argument("what", nargs="?", choices=["simulated", "driver", "real"], default="simulated")
    parser.add_argument("--staleness", type=int, nargs="+", help="(default: 0 1 2 4 8; driver: 8; real: 0 2)")
    parser.add_argument("--steps", type=int, default=9, help="that are measured (default: 9)")
    parser.add_argument("--step-s", type=float, help="of engines or learner at full load (default: 30; driver: 10)")
    options = parser.parse_args()
    ways = {
        "simulated": (simulated, [0, 1, 2, 4, 8], 30.0),
        "driver": (driver, [8], 10.0),
        "real": (real, [0, 2], 0.0),
    }
    way, staleness, step_s = ways[options.what]
    options.staleness, options.step_s = options.staleness or staleness, options.step_s or step_s
    way(options)


if __name__ == "__main__":
    main()
