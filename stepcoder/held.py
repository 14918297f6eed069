"""How many of something there are at a time, added up over time: requests in an engine, programs that are judged."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Held:
    """`together_s`: seconds of each, added up; over a span of time, divided by it, their mean number. `busy_s`: seconds
    in which there was at least one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._at = clock, clock()
        self._count = 0
        self._together_s = self._busy_s = 0.0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Around the time that one of them is there."""
        self._change(1)
        try:
            yield
        finally:
            self._change(-1)

    @property
    def together_s(self) -> float:
        self._change(0)
        return self._together_s

    @property
    def busy_s(self) -> float:
        self._change(0)
        return self._busy_s

    def _change(self, by: int) -> None:
        now = self._clock()
        self._together_s += self._count * (now - self._at)
        self._busy_s += (self._count > 0) * (now - self._at)
        self._count, self._at = self._count + by, now
