"""Engines that die and hang, under the real service and the real learner: replaced in place, nothing lost or twice."""

import asyncio
import os
import random
from collections.abc import Coroutine, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import ray

from stepcoder.curriculum.config import PromptConfig
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.subtask import Subtask
from stepcoder.deploy.run.faults import Faults
from stepcoder.deploy.training.exchange import Exchange
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.suite import Case, Suite
from stepcoder.learner.service import LearnerService
from stepcoder.rollout.config import HeartbeatConfig, RolloutConfig
from stepcoder.rollout.crew import Crew, Member
from stepcoder.rollout.names import free
from stepcoder.rollout.service import IssuedGroup, RolloutService
from tests.tools.learner import learner_config
from tests.tools.loop import engine_processes
from tests.tools.patience import HANG_S

PROBLEM = Problem("p", "test", "introductory", "Print 1.", "", "print(1)\n", Suite("stdin", (Case("", "1\n"),)))
SUBTASKS = [Subtask(ticket, PROBLEM, 0, "") for ticket in range(6)]
PROMPT = [14, 71, 52, 87, 117, 97]
ENGINES = 2


def config(kind: str) -> RolloutConfig:
    settings: dict[str, Any] = {"max_num_seqs": 16, "kv_cache_gib": 1} if kind == "vllm" else {}
    return RolloutConfig(
        engine=kind, engines=ENGINES, dtype="float32", max_model_len=512, cpu_threads=1, group_size=2,
        max_new_tokens=32, temperature=1.0, top_p=1.0, weights_deadline_s=HANG_S, **settings,
    )  # fmt: skip


def service(kind: str, model: Path, faults: Faults) -> RolloutService:
    heartbeat = HeartbeatConfig(every_s=0.5, silent_s=20.0, hung_s=HANG_S)
    return RolloutService(
        str(model), config(kind), PromptConfig(), ExecutorConfig(workers=1), faults, seed=7, device="cpu",
        gpu_share=0.0, backend="gloo", heartbeat=heartbeat, deadline_s=HANG_S,
    )  # fmt: skip


async def engine_of(member: Member) -> psutil.Process:
    pid = await member.actor.__ray_call__.remote(lambda _: os.getpid())
    (found,) = engine_processes(psutil.Process(pid).children(recursive=True))
    return found


async def replaced(service: RolloutService, lost: Member) -> None:
    while service.crew.members[lost.index] is lost or not service.crew.members[lost.index].usable:
        await asyncio.sleep(0.1)


def written(groups: Sequence[Any]) -> list[list[list[int]]]:
    assert all(isinstance(group, IssuedGroup) for group in groups)
    found = ray.get([group.trajectories for group in groups], timeout=HANG_S)
    return [[t.response_ids.tolist() for t in group] for group in found]


async def ended(scenario: Coroutine[Any, Any, None], rollout: RolloutService, learner: LearnerService) -> None:
    """The scenario, and nothing is left of its services."""
    try:
        await asyncio.wait_for(scenario, HANG_S)
    finally:
        await rollout.close()
        rollout.executor.close()
        learner.close()
        await free("learner-0", *rollout.names)


def test_a_crew_that_is_closed_while_it_starts_waits_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else asyncio says on the way out that a task was destroyed."""
    monkeypatch.setattr("stepcoder.rollout.crew.ray.kill", lambda _: None)

    async def life() -> None:
        never = SimpleNamespace(close=SimpleNamespace(remote=asyncio.Future))
        await Crew(lambda _: never, ENGINES, HeartbeatConfig(), Faults(1), HANG_S).close(0.01)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(life())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["transformers", pytest.param("vllm", marks=pytest.mark.exhaustive)])
def test_engines_that_die_and_hang_are_replaced_with_the_newest_weights(
    cluster: None, kind: str, models: list[str]
) -> None:
    faults = Faults(2)
    rollout = service(kind, Path(models[0]), faults)
    learner = LearnerService(models[1], learner_config(), seed=0, total_updates=9, temperature=1.0)

    async def scenario() -> None:
        await asyncio.gather(rollout.ready(), learner.build())
        crew, exchange = rollout.crew, Exchange(learner, rollout)
        await exchange.publish(1)
        straight = written(await rollout.run(SUBTASKS))

        # One dies in the middle of its completions; they are drawn again, and the others are as they were.
        first, second = crew.members
        running = asyncio.ensure_future(rollout.run(SUBTASKS))
        await asyncio.sleep(random.Random(0).random())
        (await engine_of(first)).kill()
        assert written(await running) == straight
        await replaced(rollout, first)
        assert crew.members[1] is second, "an engine that lived was replaced"

        # One is stopped, and is found so when it is to pause for new weights, long before the deadline of that; the
        # other takes the weights once more.
        third = crew.members[0]
        (await engine_of(third)).suspend()
        await exchange.publish(2)
        assert second.version == 2 and crew.members[1] is second
        await replaced(rollout, third)
        assert await asyncio.gather(*(m.actor.version.remote() for m in crew.members)) == [2, 2]

        # Another is stopped when learner and engines are to meet anew.
        (await engine_of(second)).suspend()
        await Exchange(learner, rollout).publish(3)
        await replaced(rollout, second)
        assert await asyncio.gather(*(m.actor.version.remote() for m in crew.members)) == [3, 3]
        one, other = await asyncio.gather(*(m.actor.greedy.remote(PROMPT, 20) for m in crew.members))
        assert one == other
        assert written(await rollout.run(SUBTASKS)) == straight  # the same weights under another name
        assert [fault.who for fault in faults.mended] == ["rollout-0", "rollout-0", "rollout-1"]
        for fault in faults.mended[1:]:
            assert "answered nothing" in fault.cause and "computes nothing" in fault.cause

        (await engine_of(crew.members[0])).kill()
        with pytest.raises(Exception, match="rollout-0 was lost 3 times within an hour"):  # one too many
            while True:
                await rollout.run(SUBTASKS)

    asyncio.run(ended(scenario(), rollout, learner))
