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
from stepcoder.executor.pool.actors import ExecutorPool, Site
from stepcoder.paths import Located
from stepcoder.rollout.config import HeartbeatConfig, RolloutConfig
from stepcoder.rollout.crew import Crew, Losses, Member, is_loss
from stepcoder.rollout.dispatch import Dispatch
from stepcoder.rollout.engine import Part, Sampling
from stepcoder.rollout.engines import engine_environment
from stepcoder.rollout.load import Load, together
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
    """`config.engines` workers on one pool of executors. Subtasks wait here until a worker has room for one, and go to
    another where that one is lost: their completions are the same then, and count once."""

    def __init__(
        self,
        model: str | Located,
        config: RolloutConfig,
        prompt: PromptConfig,
        executor: ExecutorConfig,
        losses: Losses,
        *,
        seed: int,
        device: str,
        gpu_share: float,
        backend: str,
        heartbeat: HeartbeatConfig,
        deadline_s: float,
        sites: Sequence[Site] = (),
        options: Callable[[int], dict[str, Any]] = lambda index: {},
        environment: Callable[[int], dict[str, str]] = lambda index: {},
        traces_solutions: bool = False,
    ) -> None:
        """`options` are those of each engine's actor, such as where it is placed, `environment` its own variables;
        `deadline_s` is its to load. `sites`: where executors run. `traces_solutions`: the workers'."""
        self.config = config
        self.backend = backend
        self.asleep = False
        self.executor = ExecutorPool(executor, sites)
        actor = ray.remote(RolloutWorker)

        def start(index: int) -> Any:
            return actor.options(
                name=f"rollout-{index}",
                num_cpus=0,
                num_gpus=gpu_share * config.tensor_parallel,
                max_concurrency=MAX_CONCURRENCY,
                runtime_env={"env_vars": engine_environment(config, device, backend) | environment(index)},
                **options(index),
            ).remote(
                model, config, prompt, self.executor, executor.reward, seed, device=device, backend=backend,
                heartbeat=heartbeat, traces_solutions=traces_solutions,
            )  # fmt: skip

        self.crew = Crew(start, config.engines, heartbeat, losses, deadline_s)
        self._dispatch = Dispatch(self.crew.usable, config.max_num_seqs, self._room)
        self.crew.told = self._dispatch.serve
        self._finished: dict[Member, Finished] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Of all actors."""
        executors = (f"executor-{number}" for number in range(len(self.executor.actors)))
        return (*(member.name for member in self.crew.members), *executors)

    async def ready(self) -> None:
        await self.crew.ready()

    async def finished(self) -> Finished:
        await asyncio.gather(*(self._count(member) for member in self.crew.up()))
        return Finished(*(sum(column) for column in zip(Finished(0, 0), *self._finished.values(), strict=True)))

    async def _count(self, member: Member) -> None:
        try:
            stats = await member.actor.stats.remote()
        except RayError:  # it is lost; what it had finished is known
            return
        self._finished[member] = Finished(stats.completions, stats.generated_tokens)

    async def load(self) -> Load:
        """What engines and executors have done so far."""
        loads = await asyncio.gather(*(_load(member) for member in self.crew.up()))
        slots, waiting = sum(self.executor.workers), self._dispatch.waiting
        return together([*loads, Load(executing_s=await self.executor.busy_s(), slots=slots, waiting=waiting)])

    async def write(self, subtask: Subtask) -> IssuedGroup | Unjudged:
        """A group of training completions."""
        return await self._run(subtask, None, None)

    async def sleep(self) -> None:
        """Every engine frees the memory of its GPUs, and its weights with it."""
        self.asleep = True
        members = self.crew.up()
        self.crew.given(members, None)
        await asyncio.gather(*(member.actor.sleep.remote() for member in members))

    async def wake(self, part: Part) -> None:
        """Memory for the weights, which have to be sent then, and last for the cache."""
        await asyncio.gather(*(member.actor.wake.remote(part) for member in self.crew.up()))
        self.asleep = part == "weights"

    async def run(
        self, subtasks: Sequence[Subtask], sampling: Sampling | None = None, group_size: int | None = None
    ) -> list[IssuedGroup | Unjudged]:
        """All groups, in the order of the subtasks, whatever order they finish in."""
        return list(await asyncio.gather(*(self._run(subtask, sampling, group_size) for subtask in subtasks)))

    async def _run(self, subtask: Subtask, sampling: Sampling | None, group_size: int | None) -> IssuedGroup | Unjudged:
        failures, completions = 0, group_size or self.config.group_size
        while True:
            member = await self._dispatch.place(subtask.ticket, completions)
            try:
                return await _issue(member, subtask, sampling, group_size)
            except RayError as error:
                if is_loss(error):
                    self.crew.lose(member, error)
                    continue
                failures += 1
                if failures == ATTEMPTS or not isinstance(error, RayTaskError):
                    raise
                log.warning("subtask %d failed on %s and is issued again: %s", subtask.ticket, member.name, error.cause)
            finally:
                self._dispatch.came_back(member, completions)

    async def _room(self, member: Member, sent: int) -> int:
        try:
            return await member.actor.room.remote(sent)
        except RayError as error:
            if not is_loss(error):
                raise
            self.crew.lose(member, error)
            return sent

    async def close(self) -> None:
        await self.crew.close(CLOSE_S)


async def _load(member: Member) -> Load:
    try:
        return await member.actor.load.remote()
    except RayError:  # it is lost, and what it has done with it
        return Load()


async def _issue(
    member: Member, subtask: Subtask, sampling: Sampling | None, group_size: int | None
) -> IssuedGroup | Unjudged:
    """One call. Who gives up waiting for it ends it."""
    call = member.actor.run_apart.options(num_returns=2)
    summary, trajectories = call.remote(subtask, sampling, group_size)
    try:
        found = await summary
    except asyncio.CancelledError:
        ray.cancel(summary)
        raise
    return found if isinstance(found, Unjudged) else IssuedGroup(found, trajectories)
