"""Pass rates at full generation: which problems, how they are generated, what is counted and kept.

The one place for it: a run evaluates here, `stepcoder eval` a checkpoint or any model, with engines alone.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.subtask import Subtask
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.config.shared import TRAIN, BaseConfig
from stepcoder.deploy.run.faults import Faults
from stepcoder.deploy.run.programs import write_programs
from stepcoder.deploy.shown.counting import counted
from stepcoder.deploy.shown.progress import RunProgress
from stepcoder.deploy.shown.summary import evaluation
from stepcoder.deploy.training.cluster import Engines, fits, gpus, join_cluster, reserved, start_rollout
from stepcoder.deploy.training.placement import placement
from stepcoder.deploy.training.unjudged import parted, told, too_many
from stepcoder.errors import UserError
from stepcoder.rollout.engine import Sampling
from stepcoder.rollout.service import IssuedGroup, RolloutService
from stepcoder.rollout.trajectory import Unjudged
from stepcoder.waiting import within

log = logging.getLogger(__name__)
_LISTED = 10  # problems

T = TypeVar("T")


def evaluate(config: BaseConfig, ready: Ready, programs: Path | None = None) -> dict[str, Any]:
    """Pass rates of `ready.model` at full generation, by set; starts engines and executors only.

    `programs`: a file for every program, as JSON lines (`deploy.run.programs`).
    """
    join_cluster(config)
    try:
        with RunProgress() as progress:
            progress.message("starting engines and executors (half a minute on a small machine)")
            return asyncio.run(evaluate_model(config, ready, progress, programs))
    finally:
        ray.shutdown()


async def evaluate_model(
    config: BaseConfig, ready: Ready, progress: RunProgress, programs: Path | None = None
) -> dict[str, Any]:
    """`evaluate` on a cluster that has been joined."""

    async def work(rollout: RolloutService) -> dict[str, Any]:
        return await evaluate_splits(rollout, config, ready, progress, programs)

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


@dataclass(frozen=True, slots=True)
class Asked:
    """One problem of a set, and the subtask that it is put as."""

    split: str
    subtask: Subtask

    @property
    def problem(self) -> Problem:
        return self.subtask.problem


async def evaluate_splits(
    rollout: RolloutService, config: BaseConfig, ready: Ready, progress: RunProgress, programs: Path | None = None
) -> dict[str, Any]:
    """Pass rates of the training problems and of each held-out set at full generation, no prefix given.

    The random numbers are the same at every call, so that two evaluations differ by the weights alone.
    """
    e, r, asked = config.eval, config.rollout, _asked(config, ready)
    sampled, subtasks = Sampling(e.temperature, e.top_p, 0, r.max_new_tokens, r.stop), [a.subtask for a in asked]
    ways = [(sampled, e.samples)]
    if e.greedy:
        ways.append((replace(sampled, temperature=0.0, top_p=1.0), 1))
    async with counted(progress, "evaluating", len(subtasks) * sum(count for _, count in ways), rollout):
        writing = asyncio.gather(*(rollout.run(subtasks, sampling, count) for sampling, count in ways))
        found = await within(config.ray.step_deadline_s, "the evaluation's completions", writing)
    judged = [_judged(groups, config.max_unjudged_share) for groups in found]
    if programs is not None:
        await _keep(programs, asked, judged)
    results: dict[str, Any] = {}
    for name in dict.fromkeys(a.split for a in asked):
        own = [a for a in asked if a.split == name]
        if result := _result(own, judged[0], e.ks):
            results[name] = result
        if e.greedy and result and (greedy := _result(own, judged[1], ())):
            results[name]["greedy"] = greedy
        if fails := results.get(name, {}).get("fails_hidden"):
            progress.message(f"{name}: {told_hidden(fails, results[name]['per_problem'])}")
    return results


def _asked(config: BaseConfig, ready: Ready) -> list[Asked]:
    """The problems of an evaluation whose prompt is short enough, each with the ticket that seeds its completions."""
    fit = fits(str(ready.model), config)
    splits = evaluated_splits(config, ready)
    asked = [(name, problem) for name, found in splits.items() for problem in found]
    too_long = {i: problem.id for i, (_, problem) in enumerate(asked) if not fit(problem, "")}
    if too_long:
        first = next(iter(too_long.values()))
        log.warning("%d problems have too long a prompt (%s ...): they are left out", len(too_long), first)
    kept = [item for i, item in enumerate(asked) if i not in too_long]
    return [Asked(name, Subtask(-1 - i, problem, 0, "")) for i, (name, problem) in enumerate(kept)]


def _judged(found: Sequence[IssuedGroup | Unjudged], most_lost: float) -> dict[int, IssuedGroup]:
    """Groups by ticket, without those that the sandbox could not judge. UserError for more than this share of them."""
    groups, lost = parted(found)
    for group in lost:
        log.warning("evaluation: %s", told(group))
    if stop := too_many(lost, len(groups), most_lost):
        raise UserError(f"the evaluation stops: {stop}")
    return {group.summary.outcome.ticket: group for group in groups}


def _result(own: Sequence[Asked], judged: Mapping[int, IssuedGroup], ks: Sequence[int]) -> dict[str, Any]:
    """What is kept of one set; empty where nothing of it was judged."""
    found = {a.problem.id: judged[a.subtask.ticket].summary for a in own if a.subtask.ticket in judged}
    if not found:
        return {}
    counts = {id: (summary.outcome.passed, summary.outcome.total) for id, summary in found.items()}
    result = evaluation(counts, {a.problem.id: a.problem.level for a in own}, ks)
    result["unjudged"] = len(own) - len(counts)
    if fails := {id: s.fails_hidden for id, s in found.items() if s.fails_hidden is not None}:
        result["fails_hidden"] = fails
    return result


async def _keep(file: Path, asked: Sequence[Asked], judged: Sequence[Mapping[int, IssuedGroup]]) -> None:
    """Every program into a file of this node, by a task, so that no token passes through the driver."""
    wanted = [(greedy, a) for greedy in range(len(judged)) for a in asked if a.subtask.ticket in judged[greedy]]
    heads = [{"set": a.split, "greedy": bool(greedy)} for greedy, a in wanted]
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    write = ray.remote(write_programs).options(name="write-programs", num_cpus=0, scheduling_strategy=here)
    await write.remote(str(file), heads, *(judged[greedy][a.subtask.ticket].trajectories for greedy, a in wanted))


def told_hidden(fails: Mapping[str, int], counts: Mapping[str, tuple[int, int]]) -> str:
    """How many completions pass the tests that give the reward and fail hidden ones, and of which problems."""
    worst = sorted((id for id, count in fails.items() if count), key=lambda id: (-fails[id], id))
    listed = f": {', '.join(f'{id} ({fails[id]})' for id in worst[:_LISTED])}" if worst else ""
    more = f" and {len(worst) - _LISTED:,} more problems" if len(worst) > _LISTED else ""
    whole = sum(counts[id][1] for id in fails)
    return f"{sum(fails.values()):,} of {whole:,} completions pass the tests shown and fail hidden ones{listed}{more}"


def evaluated_splits(config: BaseConfig, ready: Ready) -> dict[str, Sequence[Problem]]:
    """The problems of an evaluation by set."""
    return {TRAIN: spread(ready.train, config.eval.train_limit), **dict(ready.heldout)}


def evaluation_size(config: BaseConfig, ready: Ready) -> int:
    """Completions of an evaluation."""
    e = config.eval
    return sum(map(len, evaluated_splits(config, ready).values())) * (e.samples + e.greedy)


def spread(problems: Sequence[Problem], limit: int | None) -> Sequence[Problem]:
    """At most `limit` problems, evenly spaced over the file, the same each time."""
    if limit is None or limit >= len(problems):
        return problems
    return [problems[i] for i in np.linspace(0, len(problems) - 1, limit).round().astype(int)]
