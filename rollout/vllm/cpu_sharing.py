"""Fewer threads while another program wants the cores.

Every operation of a decoding step ends with its slowest thread. Where a thread has to share its core, the others wait
for it at each of some thousand barriers a step, and the engine keeps a third of its speed. With one thread less it
leaves that core to the other program and keeps what the remaining threads do.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

CROWDED = 0.5  # threads that waited for a core, on average over a period, above which there are too many
PERIOD_S = 0.4  # of computing, over which that average is taken
RETRY_S = (1.0, 8.0)  # of computing until all threads are tried again: at first, and at most after doubling


class ThreadChooser:
    """How many of `most` threads compute in the next period. A pure function of the periods that it was told."""

    def __init__(self, most: int) -> None:
        self.threads = self._most = most
        self._retry_s, self._left_s = RETRY_S[0], 0.0

    def period(self, computed_s: float, waited_s: float) -> int:
        """`waited_s`: seconds that all threads together were ready to run without a core, of `computed_s`."""
        waiting = waited_s / computed_s
        if waiting > CROWDED and self.threads > 1:
            tried_again = self.threads == self._most and self._left_s < 0
            self._retry_s = min(2 * self._retry_s, RETRY_S[1]) if tried_again else RETRY_S[0]
            self.threads, self._left_s = max(1, self.threads - math.ceil(waiting - CROWDED)), self._retry_s
        elif self.threads < self._most:
            self._left_s -= computed_s
            if self._left_s < 0:
                self.threads = self._most
        else:
            self._left_s = 0.0
        return self.threads


def waited() -> float:
    """Seconds that the threads of this process were ready to run and had no core, since each began."""
    return 1e-9 * sum(map(_waited_ns, Path("/proc/self/task").iterdir()))


def _waited_ns(task: Path) -> int:
    try:
        return int((task / "schedstat").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
        return 0


class SharedCores:
    """Times the steps of this process and sets PyTorch's threads between them."""

    def __init__(self, most: int, waiting: Callable[[], float] = waited) -> None:
        self._chooser, self._waiting = ThreadChooser(most), waiting
        self._computed_s, self._waited_s = 0.0, waiting()

    @contextmanager
    def step(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._computed_s += time.monotonic() - began
        if self._computed_s < PERIOD_S:
            return
        before, now = self._chooser.threads, self._waiting()
        threads = self._chooser.period(self._computed_s, max(0.0, now - self._waited_s))
        self._computed_s, self._waited_s = 0.0, now
        if threads != before:
            torch._C.set_num_threads(threads)  # vLLM replaces torch.set_num_threads by a function that does nothing
