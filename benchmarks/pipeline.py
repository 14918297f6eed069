"""Generation beside training against generation and training in turn, on a cluster that only waits.

    python -m benchmarks.pipeline                        # the simulated cluster, and `driver`; four minutes
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


def simulated(staleness: list[int], steps: int, step_s: float) -> None:
    pace = Pace.balanced(step_s)
    print(
        f"{ENGINES} engines of {PLACES} places, {SUBTASKS} x {GROUP} completions, {pace.slots} slots; engines, "
        f"learner and executors at full load: {step_s:g} s a step each"
    )
    print("staleness  s/step  times  engines   places  learner  executors  finished      judging  mean age")
    print("                           idle    empty     idle       idle  groups        programs  (steps)")
    strict_s = 0.0
    with tempfile.TemporaryDirectory(prefix="stepcoder-pipeline-") as folder:
        for each in staleness:
            first, last = (2, 4) if each == 0 else (4, 4 + steps)
            found = simulate(each, pace, first, last, Path(folder) / str(each))
            strict_s = strict_s or found.step_s
            print(found.row(each, strict_s), flush=True)


def driver(staleness: list[int], steps: int, step_s: float) -> None:
    """By the clock, engines in processes of their own: what the driver's takes of a core."""
    pace = Pace.balanced(step_s)
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="stepcoder-pipeline-") as folder:
        found = simulate(staleness[-1], pace, 3, 3 + steps, Path(folder) / "run", over_ray=True)
    print(
        f"max_staleness {staleness[-1]}, over Ray: {found.step_s:.1f} s a step, of which the driver's process "
        f"computes {found.driver * found.step_s:.2f} s: {found.driver:.1%} of a core"
    )
    ray.shutdown()


def real(staleness: list[int], steps: int, _: float) -> None:
    """The tiny model on this machine, each way in turn: seconds of a step, the first two left out."""
    from tests.tools.loop import ROOT, write_config
    from tests.tools.tiny_model import build_tiny_model

    with tempfile.TemporaryDirectory(prefix="stepcoder-pipeline-") as aside:
        folder = Path(aside)
        model = build_tiny_model(folder / "model")
        for each in staleness:
            name = f"staleness-{each}"
            config = write_config(folder, model, name, max_staleness=each, subtasks_per_step=8,
                                  eval={"at_start": False, "at_end": False})  # fmt: skip
            settings = ["--run.steps", str(steps + 2), "--run.checkpoint_every", "1000",
                        "--rollout.max_new_tokens", "96", "--rollout.group_size", "8"]  # fmt: skip
            command = [sys.executable, "-m", "deploy.train", "--config", str(config), *settings]
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
            lines = [line for line in read_metrics(folder / name / "metrics.jsonl") if line["step"] > 2]
            seconds = mean(step_seconds(line) for line in lines)
            rate = mean(line["tokens/generated"] for line in lines) / seconds
            print(f"max_staleness {each}: {seconds:.2f} s a step, {rate:.0f} tokens/s, mean age "
                  f"{mean(line['staleness/mean'] for line in lines):.2f} updates", flush=True)  # fmt: skip


# What is run, for which max_staleness, how many steps are measured, seconds of a step at full load
WAYS = {
    "simulated": (simulated, [0, 1, 2, 4, 8], 9, 30.0),
    "driver": (driver, [8], 3, 10.0),
    "real": (real, [0, 2], 9, 0.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=list(WAYS), help="(default: simulated, then driver)")
    parser.add_argument("--staleness", type=int, nargs="+", help="(default: 0 1 2 4 8; driver: 8; real: 0 2)")
    parser.add_argument("--steps", type=int, help="that are measured (default: 9; driver: 3)")
    parser.add_argument("--step-s", type=float, help="of engines or learner at full load (default: 30; driver: 10)")
    options = parser.parse_args()
    for name in [options.what] if options.what else ["simulated", "driver"]:
        way, staleness, steps, step_s = WAYS[name]
        way(options.staleness or staleness, options.steps or steps, options.step_s or step_s)


if __name__ == "__main__":
    main()
