"""This project's side of benchmarks.peer: the controller's own services, one step after the other.

    python -m benchmarks.peer_ours WORK.json STEPS.json        (started by benchmarks.peer)

What the controller does in a step besides (the curriculum's call, metrics, the trajectories' file) is left out.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray

from benchmarks.peer_work import Step, Work, cpu_seconds, settings, write_steps
from stepcoder.curriculum.subtask import Subtask
from stepcoder.deploy.checks.preflight import Ready, preflight
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.run.faults import Faults
from stepcoder.deploy.training.cluster import Engines, Services, join_cluster, start_services
from stepcoder.rollout.service import IssuedGroup


async def run(work: Work, config: Config, ready: Ready) -> list[Step]:
    with tempfile.TemporaryDirectory() as folder:
        engines = Engines(Faults(0))
        services = await start_services(config, ready, Path(folder) / "journal", engines)
        try:
            await services.exchange.publish(0)
            steps = []
            for number, problems in enumerate(work.batches(ready.train, config.subtasks_per_step)):
                tickets = range(number * len(problems), (number + 1) * len(problems))
                subtasks = [Subtask(ticket, problem, 0, "") for ticket, problem in zip(tickets, problems, strict=True)]
                steps.append(await one_step(services, number + 1, subtasks))
            return steps[1:]
        finally:
            await services.close()
            await engines.close()


async def one_step(services: Services, number: int, subtasks: list[Subtask]) -> Step:
    """Generate and grade, train, send the weights. A program is graded while others are written: `reward` is the time
    in which no completion was under way any more."""
    before = await services.rollout.crew.members[0].actor.stats.remote()
    start, cpu = time.perf_counter(), cpu_seconds()
    groups = await services.rollout.run(subtasks)
    generated = time.perf_counter()
    metrics = await services.learner.step(number, [g.trajectories for g in groups], [g.summary.tokens for g in groups])
    trained = time.perf_counter()
    await services.exchange.publish(number)
    end, used = time.perf_counter(), cpu_seconds() - cpu
    after = await services.rollout.crew.members[0].actor.stats.remote()
    busy = after.busy_s - before.busy_s
    score, update = metrics["seconds/learner_score"], metrics["seconds/learner_update"]
    phases = {
        "generate": busy,
        "reward": generated - start - busy,
        "score": score,
        "train": update,
        "sync": end - trained,
        "other": trained - generated - score - update,
    }
    return Step(
        phases,
        end - start,
        used,
        after.prompt_tokens - before.prompt_tokens,
        after.generated_tokens - before.generated_tokens,
        mean_reward(groups),
        metrics["gap/logprob_abs_mean"],
    )


def mean_reward(groups: list[IssuedGroup]) -> float:
    total = sum(group.summary.outcome.total for group in groups)
    return sum(group.summary.reward_sum for group in groups) / total


def main(source: str, target: str) -> None:
    work = Work.read(Path(source))
    changes: dict[str, Any] = work.settings | {"model": work.model, "run.seed": work.seed}
    config = settings(changes)
    ready = preflight(config, writes=False)
    join_cluster(config)
    try:
        steps = asyncio.run(run(work, config, ready))
    finally:
        ray.shutdown()
    write_steps(Path(target), steps, {})


if __name__ == "__main__":
    main(*sys.argv[1:])
