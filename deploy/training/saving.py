"""Checkpoints of a run: captured between two steps, written while the next one goes on where a GPU computes."""

import asyncio
import time
from collections.abc import Sequence

from stepcoder.curriculum.subtask import Subtask
from stepcoder.deploy.run.background import Background
from stepcoder.deploy.run.checkpoint import CheckpointWriter, told
from stepcoder.deploy.run.directory import RunDirectory
from stepcoder.deploy.training.cluster import Services
from stepcoder.deploy.training.time_limit import TimeLimit
from stepcoder.waiting import within


class Saving(Background):
    """Writes one checkpoint at a time. It is complete only once `trajectories` are written: a run that goes on from it
    does not write those of its steps again."""

    def __init__(self, run: RunDirectory, limit: TimeLimit, trajectories: Background) -> None:
        super().__init__()
        self.run, self.limit, self.trajectories = run, limit, trajectories
        self.last = run.resumed_step
        """The step of the newest checkpoint, written or being written."""

    async def save(self, services: Services, step: int, ahead: Sequence[Subtask], refused: int) -> None:
        """Copy what the next step changes, then write it while the run goes on; without GPUs, write it at once."""
        await self.wait()
        self.last, begun = step, time.monotonic()
        deadline = self.run.config.ray.start_deadline_s
        await within(deadline, "the learner to copy its state", services.learner.capture())
        state = {
            "step": step,
            "curriculum": await services.curriculum.state(),
            "issued": [(s.ticket, s.problem.id, s.stage) for s in ahead],
            "refused": refused,
        }
        await self.start(self._write(services, step, state, begun))
        if not services.learner.writes_beside:
            await self.wait()

    async def _write(self, services: Services, step: int, state: dict[str, object], begun: float) -> None:
        """`begun`: when the checkpoint was begun, by the monotonic clock."""
        with told(self.run.path, step):
            async with CheckpointWriter(self.run.checkpoints, step, self.run.about()) as writer:
                writing = services.learner.write(str(writer.path))
                deadline = self.run.config.ray.start_deadline_s
                writer.expect(await within(deadline, f"the learner to write the checkpoint of step {step}", writing))
                writer.write_state(state)
                await self.trajectories.wait()
            await asyncio.to_thread(self.run.tidy)
            self.limit.checkpoint = time.monotonic() - begun
