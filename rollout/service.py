"""The rollout workers as the controller sees them: subtasks in, summaries and references to trajectories out."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError, RayTaskError

from stepcoder.curriculum.config import PromptConfig
from stepcoder.curriculum.subtask import Subtask
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.actors import ExecutorPool
from stepcoder.rollout.config import RolloutConfig
from stepcoder.rollout.engine import Sampling
from stepcoder.rollout.engines import engine_environment
from stepcoder.rollout.trajectory import GroupSummary, Unjudged
from stepcoder.rollout.worker import RolloutWorker

log = logging.getLogger(__name__)

MAX_CONCURRENCY = 4096
ATTEMPTS = 3
CLOSE_S = 5.0


class Finished(NamedTuple):
    """Completions that have ended and their tokens, over all engines, since they started."""

    completions: int
    tokens: int


@dataclass(frozen=True, slots=True)
class IssuedGroup:
    """One finished subtask: small numbers, and where its trajectories are (a Ray reference)."""

    summary: GroupSummary
    trajectories: Any


class RolloutService:
    """`config.engines` workers on one pool of executors. A subtask goes to the worker with the fewest under way."""

    def __init__(
        self,
        model: str,
        config: RolloutConfig,
        prompt: PromptConfig,
        executor: ExecutorConfig,
        *,
        seed: int,
        device: str,
        gpu_share: float,
        backend: str,
        options: Callable[[int], dict[str, Any]] = lambda index: {},
        traces_solutions: bool = False,
    ) -> None:
        """`options` are those of each engine's actor, such as where it is placed; `traces_solutions`: the workers'."""
        self.config = config
        self.backend = backend
        self.executor = ExecutorPool(executor)
        actor = ray.remote(RolloutWorker)
        self.workers: list[Any] = [
            actor.options(
                name=f"rollout-{index}",
                num_cpus=0,
                num_gpus=gpu_share * config.tensor_parallel,
                max_concurrency=MAX_CONCURRENCY,
                runtime_env={"env_vars": engine_environment(config, device, backend)},
                **options(index),
            ).remote(
                model,
                config,
                prompt,
                self.executor,
                executor.reward,
                seed,
                device=device,
                backend=backend,
                traces_solutions=traces_solutions,
            )  # fmt: skip
            for index in range(config.engines)
        ]
        self._under_way = [0] * config.engines

    async def ready(self) -> None:
        await asyncio.gather(*(worker.ready.remote() for worker in self.workers))

    async def finished(self) -> Finished:
        stats = await asyncio.gather(*(worker.stats.remote() for worker in self.workers))
        return Finished(sum(s.completions for s in stats), sum(s.generated_tokens for s in stats))

    async def run(
        self, subtasks: Sequence[Subtask], sampling: Sampling | None = None, group_size: int | None = None
    ) -> list[IssuedGroup | Unjudged]:
        """All groups, in the order of the subtasks, whatever order they finish in."""
        return list(await asyncio.gather(*(self._run(subtask, sampling, group_size) for subtask in subtasks)))

    async def _run(self, subtask: Subtask, sampling: Sampling | None, group_size: int | None) -> IssuedGroup | Unjudged:
        for attempt in range(1, ATTEMPTS + 1):
            index = min(range(len(self.workers)), key=lambda i: (self._under_way[i], i))
            self._under_way[index] += 1
            try:
                call = self.workers[index].run_apart.options(num_returns=2)
                summary, trajectories = call.remote(subtask, sampling, group_size)
                found = await summary
                return found if isinstance(found, Unjudged) else IssuedGroup(found, trajectories)
            except RayTaskError as error:
                if attempt == ATTEMPTS:
                    raise
                log.warning(
                    "subtask %d failed on rollout-%d and is issued again: %s", subtask.ticket, index, error.cause
                )
            finally:
                self._under_way[index] -= 1
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """End the engines' processes, then their actors."""
        closing = [asyncio.ensure_future(_answer(worker.close.remote())) for worker in self.workers]
        await asyncio.wait(closing, timeout=CLOSE_S)  # a worker may still be starting, or be dead
        for worker in self.workers:
            ray.kill(worker)


async def _answer(ref: Any) -> None:
    """Waits for a call whose failure does not matter."""
    try:
        await ref
    except RayError:
        pass
