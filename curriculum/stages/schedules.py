"""Which stage a problem is at, and when its start point moves toward the beginning.

Stage 0 is full generation, the last. A schedule is four calls beside `next`: it observes outcomes, tells and takes
over its state, and sums itself up. Source of the threshold rule: arXiv 2402.01391, CCCS.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Int32, Int64

from stepcoder.curriculum.config import AdaBack, CurriculumConfig, Linear, OwnSchedule, Pope, Threshold
from stepcoder.curriculum.stages.progress import TOO_LONG, Progress, Row
from stepcoder.curriculum.stages.sampling import hashed
from stepcoder.own import own, trial

Move = Literal["stay", "rate", "cap", "back", "stale"]

# Keeps this random stream apart from others that are made from the same seed.
_STREAM = 0x3D


class Schedule(ABC):
    """A rule for the stages of `size` problems, which it knows by their indices.

    The caller writes a problem's highest stage into `progress.top` before it asks or tells anything of it.
    """

    def __init__(self, config: CurriculumConfig, seed: int, size: int) -> None:
        self.config = config
        self.seed = seed
        self.progress = Progress(size)

    @abstractmethod
    def next(self, indices: Int64[np.ndarray, " n"], tickets: Int64[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        """The stage at which the subtask of each ticket starts; a ticket is the number of a subtask, from 0 on."""

    def observe(self, index: int, stage: int, share: float) -> Move:
        """Take in the pass share of one subtask that was tried at `stage`.

        Tells whether the start point moved, and by what; "stale" when the outcome was dropped.
        """
        self.progress.observe(index, share, self.config.alpha)
        return "stay"

    def state(self) -> Iterator[tuple[int, Row]]:
        """(index, its numbers) of every problem met; the numbers are JSON-able."""
        return self.progress.rows()

    def load(self, rows: Iterable[tuple[int, Row]]) -> None:
        self.progress.load(rows)

    def metrics(self, ticket: int) -> dict[str, float]:
        """Means over the problems met that can be drawn, as the subtask `ticket` would find them; 0 without any."""
        tops, stages, rates = self._met(ticket)
        count = max(len(tops), 1)
        return {
            "stage_fraction": float(np.sum(stages / np.maximum(tops, 1)) / count),
            "full_generation_share": float(np.sum(stages == 0) / count),
            "pass_rate": float(np.sum(rates) / count),
        }

    def histogram(self, ticket: int) -> dict[int, int]:
        """Number of problems met at each stage, ascending, as the subtask `ticket` would find them."""
        return dict(sorted(Counter(self._met(ticket)[1].tolist()).items()))

    def _met(self, ticket: int) -> tuple[Any, Any, Any]:
        progress = self.progress
        met = np.flatnonzero(progress.top > TOO_LONG)
        return self._tops(met), self.next(met, np.full(len(met), ticket)), progress.rate[met]

    def _tops(self, indices: Int64[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        return np.maximum(self.progress.top[indices], 0).astype(np.int32)


class NoSchedule(Schedule):
    """Every subtask is full generation: plain PPO."""

    def next(self, indices: Int64[np.ndarray, " n"], tickets: Int64[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        return np.zeros(len(indices), np.int32)


class ThresholdSchedule(Schedule):
    """Moves a problem one stage down when its pass rate at the present stage is above rho, or at the visit cap.

    A move resets rate and visits. Only outcomes at the present stage count; later ones of a stage that was left are
    dropped. With `step_back` it moves one stage up when the first subtasks at a stage pass nothing; never twice from
    the same stage, so that every problem still reaches full generation by the cap.
    """

    def next(self, indices: Int64[np.ndarray, " n"], tickets: Int64[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        tops, present = self._tops(indices), self.progress.stage[indices]
        return np.where(present < 0, tops, np.minimum(present, tops))

    def observe(self, index: int, stage: int, share: float) -> Move:
        progress, c = self.progress, self.config.schedule
        assert isinstance(c, Threshold)
        top, present = max(int(progress.top[index]), 0), int(progress.stage[index])
        present = top if present < 0 else min(present, top)
        if stage != present:
            return "stale"
        progress.stage[index] = present
        progress.observe(index, share, self.config.alpha)
        if present > 0 and progress.rate[index] > c.rho:
            progress.move(index, present - 1)
            return "rate"
        if present > 0 and c.visit_cap is not None and progress.visits[index] >= c.visit_cap:
            progress.move(index, present - 1)
            return "cap"
        barren = c.step_back is not None and progress.visits[index] >= c.step_back and progress.rate[index] == 0
        if barren and present < min(top, int(progress.back[index])):
            progress.back[index] = present
            progress.move(index, present + 1)
            return "back"
        return "stay"


class LinearSchedule(Schedule):
    """Every problem passes its stages at an even pace and is at full generation after `subtasks` tickets."""

    def next(self, indices: Int64[np.ndarray, " n"], tickets: Int64[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        assert isinstance(self.config.schedule, Linear)
        tops, total = self._tops(indices), self.config.schedule.subtasks
        left = np.maximum(total - tickets, 0)
        return np.minimum(tops, (tops + 1) * left // total).astype(np.int32)


class MixedSchedule(Schedule):
    """Each subtask's stage is drawn evenly among the problem's stages, as R3 does (arXiv 2402.05808).

    A function of seed, ticket and problem, so that a resumed run draws the same.
    """

    def next(self, indices: Int64[np.ndarray, " n"], tickets: Int64[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        draws = hashed(_STREAM, self.seed, tickets, indices) >> np.uint64(32)
        stages = (draws * (self._tops(indices) + 1).astype(np.uint64)) >> np.uint64(32)
        return stages.astype(np.int32)


class BreadSchedule(Schedule):
    """A start point only where all own samples failed: BREAD's trigger (arXiv 2506.17211).

    After a subtask without a passing completion the problem starts one course nearer the end; after one with, at full
    generation. Outcomes of a stage that was left are dropped. BREAD looks for the shortest prefix at once, by halving
    the expert's solution of ten parts until the share of passes is in a range; here each try is a subtask of its own,
    one course longer, and one pass is enough.
    """

    def next(self, indices: Int64[np.ndarray, " n"], tickets: Int64[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        return np.minimum(np.maximum(self.progress.stage[indices], 0), self._tops(indices)).astype(np.int32)

    def observe(self, index: int, stage: int, share: float) -> Move:
        progress = self.progress
        top = max(int(progress.top[index]), 0)
        if stage != min(max(int(progress.stage[index]), 0), top):
            return "stale"
        wanted = 0 if share > 0 else min(stage + 1, top)
        if wanted == stage:
            progress.stage[index] = stage
            super().observe(index, stage, share)
            return "stay"
        progress.move(index, wanted)
        return "back" if wanted > stage else "rate"


class AdaBackSchedule(Schedule):
    """The stage is drawn evenly between two bounds, with courses for shares of a solution (AdaBack, arXiv 2506.18110).

    A subtask with too few passes raises the lower bound to its stage; any other lowers the upper bound to it and sets
    the lower one to 0. The upper bound never rises. The share `full` is full generation whatever the bounds. A function
    of seed, ticket and outcomes. AdaBack begins a problem with the mean bounds of all, here it begins with all courses.
    """

    def next(self, indices: Int64[np.ndarray, " n"], tickets: Int64[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        rule = self.config.schedule
        assert isinstance(rule, AdaBack)
        low, high = self._bounds(indices)
        draws = hashed(_STREAM, self.seed, tickets, indices)
        steps = ((draws >> np.uint64(32)) * (high - low + 1).astype(np.uint64)) >> np.uint64(32)
        full = (draws & np.uint64(0xFFFFFFFF)) < rule.full * 2**32
        return np.where(full, 0, low + steps.astype(np.int32)).astype(np.int32)

    def observe(self, index: int, stage: int, share: float) -> Move:
        rule, progress = self.config.schedule, self.progress
        assert isinstance(rule, AdaBack)
        super().observe(index, stage, share)
        low, high = (int(bound[0]) for bound in self._bounds(np.array([index])))
        well = share >= rule.tau
        bounds = (0, min(stage, high)) if well else (max(low, min(stage, high)), high)
        progress.back[index], progress.stage[index] = bounds
        return "stay" if bounds == (low, high) else "rate" if well else "back"

    def _bounds(self, indices: Int64[np.ndarray, " n"]) -> tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " n"]]:
        """Lower and upper; 0 and the highest stage of a problem of which no outcome is known."""
        tops, stage, back = self._tops(indices), self.progress.stage[indices], self.progress.back[indices]
        high = np.where(stage < 0, tops, np.minimum(stage, tops)).astype(np.int32)
        return np.where(stage < 0, 0, np.minimum(back, high)).astype(np.int32), high


class PopeSchedule(Schedule):
    """Guided and unguided subtasks mixed (POPE, arXiv 2601.18779): chance decides by seed, ticket and problem.

    Guided ones start at the problem's guide: the first course, moved one nearer the end after each guided subtask
    without a passing completion, until one passes; then it stays. POPE finds this shortest prefix before training, with
    the untrained policy, in the first quarter of the solution and for problems that it never passes; here the subtasks
    of the run find it, among all courses and for every problem.
    """

    def next(self, indices: Int64[np.ndarray, " n"], tickets: Int64[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        rule = self.config.schedule
        assert isinstance(rule, Pope)
        guide = np.minimum(np.maximum(self.progress.stage[indices], 1), self._tops(indices))
        draws = hashed(_STREAM, self.seed, tickets, indices) >> np.uint64(32)
        return np.where(draws < rule.guided * 2**32, guide, 0).astype(np.int32)

    def observe(self, index: int, stage: int, share: float) -> Move:
        progress = self.progress
        top, guide = max(int(progress.top[index]), 0), max(int(progress.stage[index]), 1)
        if 0 < stage == guide and share > 0:
            progress.back[index] = guide
        elif 0 < stage == guide < min(top, int(progress.back[index])):
            progress.stage[index] = guide + 1  # rate and visits are of full generation
            return "back"
        return super().observe(index, stage, share) if stage == 0 else "stay"


_SCHEDULES: dict[str, type[Schedule]] = {
    "threshold": ThresholdSchedule,
    "linear": LinearSchedule,
    "mixed": MixedSchedule,
    "bread": BreadSchedule,
    "adaback": AdaBackSchedule,
    "pope": PopeSchedule,
    "none": NoSchedule,
}


def make_schedule(config: CurriculumConfig, seed: int, size: int) -> Schedule:
    """ValueError where a user's own cannot be imported or is no `Schedule`."""
    rule = config.schedule
    if not isinstance(rule, OwnSchedule):
        return _SCHEDULES[rule.type](config, seed, size)
    kind: Any = own(rule.type, "the schedule")
    if not (isinstance(kind, type) and issubclass(kind, Schedule)):
        raise ValueError(f"the schedule {rule.type} is no subclass of {Schedule.__module__}.Schedule")
    return kind(config, seed, size, **rule.settings)


def check(config: CurriculumConfig) -> None:
    """ValueError where a user's own schedule cannot be used: it is tried on two problems with two courses each."""
    if not isinstance(config.schedule, OwnSchedule):
        return
    what = f"the schedule {config.schedule.type}"
    with trial(what):
        schedule = make_schedule(config, seed=0, size=2)
        schedule.progress.top[:] = 2
        stages = np.asarray(schedule.next(np.array([0, 1]), np.array([0, 1])))
        if stages.shape != (2,) or not all(stage in (0, 1, 2) for stage in stages.tolist()):
            raise ValueError(f"{what} gives {stages.tolist()} for the stages of two problems, not 0 to 2")
        move = schedule.observe(0, int(stages[0]), 1.0)
        if move not in get_args(Move):
            raise ValueError(f"{what} says {move!r} of an outcome, not one of {', '.join(get_args(Move))}")
        schedule.load(list(schedule.state()))
        schedule.metrics(1)
