"""What is known of every problem: a row of numbers in each of five arrays, 18 bytes a problem.

A problem is *met* when it has been drawn or an outcome of it came back; all others are at their first course with
nothing known, whatever their number of courses.
"""

import sys
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Bool, Float64, Int16, Int32

# Values of `top` below 0, where a problem has no stage but full generation, or none at all.
UNPARSABLE, TOO_LONG, NOT_MET = -1, -2, -3
# Value of `back` before any step back: above every stage.
_NEVER = 0x7FFF

Row = tuple[int, float, int, int, int]


class Progress:
    """Columns by problem index.

    stage: the present one, -1 as long as it is the first course; rate and visits: moving pass rate and subtasks at
    this stage; top: the highest stage; back: the lowest stage from which it stepped back. Under AdaBack `stage` and
    `back` are the upper and lower bound; under POPE `back` is the guide that has passed.
    """

    def __init__(self, size: int) -> None:
        self.stage: Int16[np.ndarray, " N"] = np.full(size, -1, np.int16)
        self.rate: Float64[np.ndarray, " N"] = np.zeros(size, np.float64)
        self.visits: Int32[np.ndarray, " N"] = np.zeros(size, np.int32)
        self.top: Int16[np.ndarray, " N"] = np.full(size, NOT_MET, np.int16)
        self.back: Int16[np.ndarray, " N"] = np.full(size, _NEVER, np.int16)

    def observe(self, index: int, share: float, alpha: float) -> None:
        """Add one subtask, `share` of whose completions passed: rate = (1 - alpha) * rate + alpha * share.

        It is 0 only where nothing has passed at this stage, though alpha = 1 forgets all but the newest subtask.
        """
        passed = self.rate[index] > 0 or share > 0
        rate = (1.0 - alpha) * self.rate[index] + alpha * share
        self.rate[index] = max(rate, sys.float_info.min) if passed else 0.0
        self.visits[index] += 1

    def move(self, index: int, stage: int) -> None:
        """Put a problem at a stage, with nothing known there yet."""
        self.stage[index], self.rate[index], self.visits[index] = stage, 0.0, 0

    def met(self) -> Bool[np.ndarray, " N"]:
        return self.top != NOT_MET

    def rows(self) -> Iterator[tuple[int, Row]]:
        """(index, its numbers) of every problem met."""
        known = np.flatnonzero(self.met())
        columns = (column[known].tolist() for column in (self.stage, self.rate, self.visits, self.top, self.back))
        return zip(known.tolist(), zip(*columns, strict=True), strict=True)

    def load(self, rows: Iterable[tuple[int, Row]]) -> None:
        """Take over what `rows()` told; every other problem becomes one not met."""
        self.__init__(len(self.stage))
        for index, row in rows:
            self.stage[index], self.rate[index], self.visits[index], self.top[index], self.back[index] = row
