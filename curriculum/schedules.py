"""Which stage a problem is at, and when its start point moves toward the beginning.

`Progress` holds what is known of every problem; a `Schedule` reads a stage from it and decides on moves.
Stage 0 is full generation, the last: nothing moves there. Source of the threshold rule: arXiv 2402.01391, CCCS.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int32

from curriculum.config import CurriculumConfig

Move = Literal["stay", "rate", "cap", "stale"]

# Keeps this random stream apart from others that are made from the same seed.
_STREAM = 0x3D


@dataclass(slots=True, eq=False)
class Progress:
    """Per problem: present stage (-1: still at its first course), moving pass rate and subtasks at this stage."""

    size: int
    stage: Int32[np.ndarray, " N"] = field(init=False)
    rate: Float64[np.ndarray, " N"] = field(init=False)
    visits: Int32[np.ndarray, " N"] = field(init=False)

    def __post_init__(self) -> None:
        self.stage = np.full(self.size, -1, np.int32)
        self.rate = np.zeros(self.size, np.float64)
        self.visits = np.zeros(self.size, np.int32)

    def set(self, index: int, stage: int, rate: float, visits: int) -> None:
        self.stage[index] = stage
        self.rate[index] = rate
        self.visits[index] = visits

    def observe(self, index: int, share: float, alpha: float) -> None:
        """Add one subtask, `share` of whose completions passed: rate = (1 - alpha) * rate + alpha * share."""
        self.rate[index] = (1.0 - alpha) * self.rate[index] + alpha * share
        self.visits[index] += 1


class Schedule(ABC):
    """A rule for stages. `top` is a problem's highest stage, `ticket` the number of the subtask that is handed out."""

    def __init__(self, config: CurriculumConfig, seed: int) -> None:
        self.config = config
        self.seed = seed

    @abstractmethod
    def stage(self, progress: Progress, index: int, top: int, ticket: int) -> int:
        """The stage at which the next subtask of problem `index` starts."""

    def observe(self, progress: Progress, index: int, top: int, stage: int, share: float) -> Move:
        """Take in the pass share of one subtask that was tried at `stage`.

        Tells whether the start point moved, and by what; "stale" when the outcome was dropped.
        """
        progress.observe(index, share, self.config.alpha)
        return "stay"


class NoSchedule(Schedule):
    """Every subtask is full generation: plain PPO."""

    def stage(self, progress: Progress, index: int, top: int, ticket: int) -> int:
        return 0


class ThresholdSchedule(Schedule):
    """Moves a problem one stage down when its pass rate at the present stage is above rho, or at the visit cap.

    A move resets rate and visits. Only outcomes at the present stage count; later ones of a stage that was left are
    dropped. It never moves back up.
    """

    def stage(self, progress: Progress, index: int, top: int, ticket: int) -> int:
        present = int(progress.stage[index])
        return top if present < 0 else min(present, top)

    def observe(self, progress: Progress, index: int, top: int, stage: int, share: float) -> Move:
        present = self.stage(progress, index, top, 0)
        if stage != present:
            return "stale"
        progress.stage[index] = present
        progress.observe(index, share, self.config.alpha)
        if present == 0:
            return "stay"
        cap = self.config.visit_cap
        if progress.rate[index] > self.config.rho:
            move: Move = "rate"
        elif cap is not None and progress.visits[index] >= cap:
            move = "cap"
        else:
            return "stay"
        progress.set(index, present - 1, 0.0, 0)
        return move


class LinearSchedule(Schedule):
    """Every problem passes its stages at an even pace and is at full generation after `linear_subtasks` tickets."""

    def stage(self, progress: Progress, index: int, top: int, ticket: int) -> int:
        total = self.config.linear_subtasks
        left = max(total - ticket, 0)
        return min(top, (top + 1) * left // total)


class MixedSchedule(Schedule):
    """Each subtask's stage is drawn evenly among the problem's stages, as R3 does (arXiv 2402.05808).

    A function of seed, ticket and problem, so that a resumed run draws the same.
    """

    def stage(self, progress: Progress, index: int, top: int, ticket: int) -> int:
        return int(np.random.default_rng([_STREAM, self.seed, ticket, index]).integers(top + 1))


_SCHEDULES: dict[str, type[Schedule]] = {
    "threshold": ThresholdSchedule,
    "linear": LinearSchedule,
    "mixed": MixedSchedule,
    "none": NoSchedule,
}


def make_schedule(config: CurriculumConfig, seed: int) -> Schedule:
    return _SCHEDULES[config.schedule](config, seed)
