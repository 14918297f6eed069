"""How often a model passes each problem from each of its start points: every stage is tried, nothing is trained."""

import asyncio
import logging
from collections.abc import Sequence

import ray

from stepcoder.curriculum.data.select import Rates
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.stages.courses import courses
from stepcoder.curriculum.subtask import Subtask
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.shown.counting import counted
from stepcoder.deploy.shown.progress import RunProgress
from stepcoder.deploy.training.cluster import fits, join_cluster
from stepcoder.deploy.training.evaluation import with_engines
from stepcoder.deploy.training.unjudged import parted, told, too_many
from stepcoder.errors import UserError
from stepcoder.rollout.service import RolloutService

log = logging.getLogger(__name__)


def probe(config: Config, ready: Ready, samples: int) -> dict[str, Rates]:
    """Problem -> stage -> (passed, written), for the training problems, sampled as in training.

    Stages whose prompt is too long are left out, and groups that the sandbox could not judge.
    """
    join_cluster(config)
    try:
        with RunProgress() as progress:
            progress.message("starting engines and executors (half a minute on a small machine)")

            async def work(rollout: RolloutService) -> dict[str, Rates]:
                return await _probe(rollout, config, ready, samples, progress)

            return asyncio.run(with_engines(config, ready, work))
    finally:
        ray.shutdown()


async def _probe(
    rollout: RolloutService, config: Config, ready: Ready, samples: int, progress: RunProgress
) -> dict[str, Rates]:
    subtasks = stages(config, ready.train, str(ready.model))
    async with counted(progress, "generating", len(subtasks) * samples, rollout):
        groups, lost = parted(await rollout.run(subtasks, None, samples))
    for group in lost:
        log.warning("%s", told(group))
    if stop := too_many(lost, len(groups), config.max_unjudged_share):
        raise UserError(stop)
    found: dict[str, dict[int, tuple[int, int]]] = {problem.id: {} for problem in ready.train}
    for outcome in (group.summary.outcome for group in groups):
        found[outcome.problem_id][outcome.stage] = (outcome.passed, outcome.total)
    return dict(found)


def stages(config: Config, problems: Sequence[Problem], model: str) -> list[Subtask]:
    """A subtask for each stage of each problem whose prompt fits."""
    c, prompt_fits = config.curriculum, fits(model, config)
    every = [
        (problem, course)
        for problem in problems
        for course in courses(problem, c.reading, c.conditionals, prompt_fits)
        if prompt_fits(problem, course.prefix)
    ]
    return [Subtask(number, problem, course.stage, course.prefix) for number, (problem, course) in enumerate(every)]
