"""How a command's time is spent: what its start took, and when a run with `run.max_minutes` takes its last step.

A command's time is counted from its start. Another step is taken while it, the checkpoint and the evaluation that come
before it, its own checkpoint and the final evaluation still fit: a step is as long as the longest of the last few, a
checkpoint and an evaluation as the last one. What has not been seen yet counts as nothing, but for the checkpoint; what
earlier commands of the run saw is in its metrics.
"""

import math
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import psutil

from stepcoder.errors import UserError
from stepcoder.words import duration

RECENT = 3
UNSEEN_CHECKPOINT_S = 15.0
CLOSING_S = 10.0  # services end, table and picture are made


class TimeLimit:
    """`minutes` None is no limit. `started` is a time of `time.monotonic()`; times below are seconds."""

    def __init__(self, minutes: float | None, started: float | None = None) -> None:
        self.minutes = minutes
        self.started = time.monotonic() if started is None else started
        self.steps: deque[float] = deque(maxlen=RECENT)
        self.taken = 0
        self.evaluation = 0.0
        self.checkpoint = UNSEEN_CHECKPOINT_S

    def remember(self, records: Iterable[Mapping[str, Any]], completions: int) -> None:
        """Take in the lines of a metrics file. `completions`: of an evaluation as it is configured now."""
        from stepcoder.deploy.shown.summary import step_seconds

        for record in records:
            if "eval" in record:
                then = sum(split["n_samples"] for split in record["eval"].values())
                if then and "seconds/eval" in record:
                    self.evaluation = record["seconds/eval"] / then * completions
            elif record["step"]:
                self.steps.append(step_seconds(record))

    def step(self, seconds: float) -> None:
        """This command took a step."""
        self.steps.append(seconds)
        self.taken += 1

    @property
    def ends(self) -> float | None:
        """When the time is over, as a time of `time.monotonic()`."""
        return None if self.minutes is None else self.started + 60 * self.minutes

    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def ending(self, evaluates: bool) -> float:
        """What follows the last step."""
        return self.checkpoint + (self.evaluation if evaluates else 0.0) + CLOSING_S

    def between(self, checkpoint: bool, evaluation: bool) -> float:
        """What comes between two steps."""
        return self.checkpoint * checkpoint + self.evaluation * evaluation

    def allows(self, steps: int, evaluates: bool, between: float = 0.0) -> bool:
        """Whether so many further steps, what comes between them, and the end, with or without an evaluation, fit."""
        return steps * max(self.steps, default=0.0) + between <= self.left(evaluates)

    def left(self, evaluates: bool) -> float:
        """What is left for steps."""
        return math.inf if self.ends is None else self.ends - time.monotonic() - self.ending(evaluates)

    def mostly_evaluates(self) -> bool:
        """Whether an evaluation before and one after the steps take half of the time or more."""
        return self.minutes is not None and 2 * self.evaluation >= 60 * self.minutes / 2

    def advice(self) -> str:
        """Where it mostly evaluates."""
        return (
            f"an evaluation takes {duration(self.evaluation)}: of run.max_minutes = {self.minutes:g} there are "
            f"{duration(self.left(True))} left for steps; more with a lower eval.samples or eval.train_limit"
        )

    def opens(self, evaluates: bool) -> bool:
        """Whether there is time for the first step of a life. A time in which a command can take none is refused with a
        UserError; what was evaluated is on file and not done again."""
        if self.allows(1, evaluates):
            return True
        if self.taken:  # services that had died have cost the rest of the time
            return False
        raise UserError(
            f"run.max_minutes = {self.minutes:g} leaves no time for a step: {duration(self.elapsed())} "
            f"have passed, the end takes {duration(self.ending(evaluates))} (the final evaluation "
            f"{duration(self.evaluation)}).\nRaise it, or lower eval.samples or eval.train_limit; "
            "the same command goes on from here."
        )


class StartTimes:
    """How long a command took to its first prompt, by phase (seconds), from the start of its process."""

    def __init__(self) -> None:
        self.begun = self._mark = process_start()
        self.phases: dict[str, float] = {}
        self._told = False

    def mark(self, phase: str) -> None:
        """`phase` has ended. Of services that are started a second time the first counts."""
        now = time.monotonic()
        self.phases.setdefault(phase, now - self._mark)
        self._mark = now

    def told(self) -> dict[str, float]:
        """The phases and their total as metrics, for an evaluation before the first step; nothing after that."""
        if self._told:
            return {}
        self.over()
        total = time.monotonic() - self.begun
        return {f"start_seconds/{name}": value for name, value in {**self.phases, "total": total}.items()}

    def over(self) -> None:
        """Steps begin: what is evaluated from now on, also by services that are started anew, comes after the start."""
        self._told = True


def process_start() -> float:
    """When this process was started, as a time of `time.monotonic()`."""
    return time.monotonic() - (time.time() - psutil.Process().create_time())
