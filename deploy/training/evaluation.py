"""Pass rates at full generation: which problems, how they are generated, what is counted."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import ray

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.subtask import Subtask
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.deploy.run.faults import Faults
from stepcoder.deploy.shown.counting import counted
from stepcoder.deploy.shown.progress import RunProgress
from stepcoder.deploy.shown.summary import evaluation
from stepcoder.deploy.training.cluster import Engines, fits, gpus, join_cluster, reserved, start_rollout
from stepcoder.deploy.training.placement import placement
from stepcoder.deploy.training.unjudged import parted, told, too_many
from stepcoder.errors import UserError
from stepcoder.rollout.engine import Sampling
from stepcoder.rollout.service import RolloutService
from stepcoder.waiting import within

log = logging.getLogger(__name__)
_LISTED = 10  # problems

T = TypeVar("T")


def evaluate(config: BaseConfig, ready: Ready) -> dict[str, Any]:
    """Pass rates of `ready.model` at full generation, by split; starts engines and executors only."""
    join_cluster(config)
    try:
        with RunProgress() as progress:
            progress.message("starting engines and executors (half a minute on a small machine)")
            return asyncio.run(evaluate_model(config, ready, progress))
    finally:
        ray.shutdown()


async def evaluate_model(config: BaseConfig, ready: Ready, progress: RunProgress) -> dict[str, Any]:
    """`evaluate` on a cluster that has been joined."""

    async def work(rollout: RolloutService) -> dict[str, Any]:
        return await evaluate_splits(rollout, config, ready, progress)

    return await with_engines(config, ready, work)


async def with_engines(config: BaseConfig, ready: Ready, work: Callable[[RolloutService], Awaitable[T]]) -> T:
    """What `work` gives with engines and executors, which are started and ended; on a cluster that has been joined."""
    place = placement(config, gpus(), "engines")
    faults = Faults(config.ray.restarts_per_hour)
    engines = Engines(faults, reservation=reserved(config, ready.model, place, "engines"))
    try:
        engines.rollout = start_rollout(config, ready, place, faults, engines.reservation)
        await within(config.ray.start_deadline_s, "the engines to load the model", engines.rollout.ready())
        return await work(engines.rollout)
    finally:
        await engines.close()


async def evaluate_splits(
    rollout: RolloutService, config: BaseConfig, ready: Ready, progress: RunProgress
) -> dict[str, Any]:
    """Pass rate of training and held-out problems at full generation, no prefix given.

    The random numbers are the same at every call, so that two evaluations differ by the weights alone.
    """
    e, prompt_fits = config.eval, fits(str(ready.model), config)
    sampling = Sampling(e.temperature, e.top_p, 0, config.rollout.max_new_tokens, config.rollout.stop)
    splits = evaluated_splits(config, ready)
    problems = [(name, problem) for name, found in splits.items() for problem in found]
    too_long = [p.id for _, p in problems if not prompt_fits(p, "")]
    if too_long:
        log.warning("%d problems have too long a prompt (%s ...): they are left out", len(too_long), too_long[0])
        problems = [(name, p) for name, p in problems if p.id not in set(too_long)]
    subtasks = [Subtask(-1 - i, problem, 0, "") for i, (_, problem) in enumerate(problems)]
    async with counted(progress, "evaluating", len(subtasks) * e.samples, rollout):
        writing = rollout.run(subtasks, sampling, e.samples)
        groups, lost = parted(await within(config.ray.step_deadline_s, "the evaluation's completions", writing))
    for group in lost:
        log.warning("evaluation: %s", told(group))
    if stop := too_many(lost, len(groups), config.max_unjudged_share):
        raise UserError(f"the evaluation stops: {stop}")
    outcomes = {g.summary.outcome.problem_id: g.summary.outcome for g in groups}
    fails_hidden = {g.summary.outcome.problem_id: g.summary.fails_hidden for g in groups}
    results = {}
    for name in splits:
        own = [p for split, p in problems if split == name]
        if counts := {p.id: (outcomes[p.id].passed, outcomes[p.id].total) for p in own if p.id in outcomes}:
            results[name] = evaluation(counts, {p.id: p.level for p in own}) | {"unjudged": len(own) - len(counts)}
            if fails := {p.id: n for p in own if (n := fails_hidden.get(p.id)) is not None}:
                results[name]["fails_hidden"] = fails
                progress.message(f"{name}: {told_hidden(fails, counts)}")
    return results


def told_hidden(fails: Mapping[str, int], counts: Mapping[str, tuple[int, int]]) -> str:
    """How many completions pass the tests that give the reward and fail hidden ones, and of which problems."""
    worst = sorted((id for id, count in fails.items() if count), key=lambda id: (-fails[id], id))
    listed = f": {', '.join(f'{id} ({fails[id]})' for id in worst[:_LISTED])}" if worst else ""
    more = f" and {len(worst) - _LISTED:,} more problems" if len(worst) > _LISTED else ""
    whole = sum(counts[id][1] for id in fails)
    return f"{sum(fails.values()):,} of {whole:,} completions pass the tests shown and fail hidden ones{listed}{more}"


def evaluated_splits(config: BaseConfig, ready: Ready) -> dict[str, Sequence[Problem]]:
    """The problems of an evaluation."""
    return {"train": spread(ready.train, config.eval.train_limit), "heldout": ready.heldout}


def evaluation_size(config: BaseConfig, ready: Ready) -> int:
    """Completions of an evaluation."""
    return sum(map(len, evaluated_splits(config, ready).values())) * config.eval.samples


def spread(problems: Sequence[Problem], limit: int | None) -> Sequence[Problem]:
    """At most `limit` problems, evenly spaced over the file, the same each time."""
    if limit is None or limit >= len(problems):
        return problems
    return [problems[i] for i in np.linspace(0, len(problems) - 1, limit).round().astype(int)]
