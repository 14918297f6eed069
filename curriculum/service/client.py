"""The curriculum actor as the driver sees it: it numbers the calls, so that one that Ray makes again counts once."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stepcoder.curriculum.subtask import Outcome, Subtask
from stepcoder.waiting import within


class CurriculumClient:
    """The only one that changes `actor`, and one call at a time: each is awaited before the next is made."""

    def __init__(self, actor: Any, origin: Path | None = None, deadline_s: float = 1800.0) -> None:
        """`origin`: the file that the actor is made from, if there is one. `deadline_s`: of a call (seconds), within
        which the actor may die and come back."""
        self.actor = actor
        self.origin = origin
        self._deadline_s = deadline_s
        self._calls = 0

    async def next(self, n: int) -> list[Subtask]:
        """The next `n` subtasks; the courses of those after them are worked out while the caller goes on."""
        self._calls += 1
        subtasks = await self._asked("next", n, self._calls)
        self.actor.prepare.remote(2 * n)
        return subtasks

    async def report(self, outcomes: Iterable[Outcome]) -> None:
        self._calls += 1
        await self._asked("report", list(outcomes), self._calls)

    async def load(self, state: dict[str, Any]) -> None:
        await self._asked("load", state)
        self._calls = 0

    async def state(self) -> dict[str, Any]:
        return await self._asked("state")

    async def subtask(self, ticket: int, problem_id: str, stage: int) -> Subtask:
        return await self._asked("subtask", ticket, problem_id, stage)

    async def metrics(self) -> dict[str, float]:
        return await self._asked("metrics")

    async def histogram(self) -> dict[int, int]:
        return await self._asked("histogram")

    async def _asked(self, method: str, *arguments: Any) -> Any:
        call = getattr(self.actor, method).remote(*arguments)
        return await within(self._deadline_s, f"the curriculum to answer `{method}`", call)

    def close(self) -> None:
        """End the actor for good."""
        import ray

        ray.kill(self.actor)
        if self.origin is not None:
            self.origin.unlink(missing_ok=True)
