"""The curriculum actor as the driver sees it: it numbers the calls, so that one that Ray makes again counts once."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stepcoder.curriculum.subtask import Outcome, Subtask


class CurriculumClient:
    """The only one that changes `actor`, and one call at a time: each is awaited before the next is made."""

    def __init__(self, actor: Any, origin: Path | None = None) -> None:
        """`origin`: the file that the actor is made from, if there is one."""
        self.actor = actor
        self.origin = origin
        self._calls = 0

    async def next(self, n: int) -> list[Subtask]:
        """The next `n` subtasks; the courses of those after them are worked out while the caller goes on."""
        self._calls += 1
        subtasks = await self.actor.next.remote(n, self._calls)
        self.actor.prepare.remote(2 * n)
        return subtasks

    async def report(self, outcomes: Iterable[Outcome]) -> None:
        self._calls += 1
        await self.actor.report.remote(list(outcomes), self._calls)

    async def load(self, state: dict[str, Any]) -> None:
        await self.actor.load.remote(state)
        self._calls = 0

    async def state(self) -> dict[str, Any]:
        return await self.actor.state.remote()

    async def subtask(self, ticket: int, problem_id: str, stage: int) -> Subtask:
        return await self.actor.subtask.remote(ticket, problem_id, stage)

    async def metrics(self) -> dict[str, float]:
        return await self.actor.metrics.remote()

    async def histogram(self) -> dict[int, int]:
        return await self.actor.histogram.remote()

    def close(self) -> None:
        """End the actor for good."""
        import ray

        ray.kill(self.actor)
        if self.origin is not None:
            self.origin.unlink(missing_ok=True)
