"""The curriculum as a Ray actor: the same calls, one at a time, in the order in which they arrive.

The caller decorates it, `ray.remote(CurriculumActor).options(name="curriculum").remote(...)`, and hands `load`
the checkpoint's state when the actor was started anew; from there on it goes on exactly.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from curriculum.config import CurriculumConfig
from curriculum.courses import Fits
from curriculum.curriculum import Curriculum
from curriculum.problem import Problem
from curriculum.subtask import Outcome, Subtask


class CurriculumActor:
    """Holds one `Curriculum`; its methods are documented there."""

    def __init__(
        self, problems: Sequence[Problem], config: CurriculumConfig, seed: int, fits: Fits | None = None
    ) -> None:
        self._curriculum = Curriculum(problems, config, seed, fits)

    def ready(self) -> int:
        """Number of problems; answers once the actor is up."""
        return len(self._curriculum)

    def next(self, n: int) -> list[Subtask]:
        return self._curriculum.next(n)

    def subtask(self, ticket: int, problem_id: str, stage: int) -> Subtask:
        return self._curriculum.subtask(ticket, problem_id, stage)

    def report(self, outcomes: Iterable[Outcome]) -> None:
        self._curriculum.report(outcomes)

    def state(self) -> dict[str, Any]:
        return self._curriculum.state()

    def load(self, state: dict[str, Any]) -> None:
        self._curriculum.load(state)

    def metrics(self) -> dict[str, float]:
        return self._curriculum.metrics()

    def histogram(self) -> dict[int, int]:
        return self._curriculum.histogram()
