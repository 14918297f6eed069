"""How far a long piece of work is, for a person: a bar in a terminal, elsewhere a plain line now and then."""

import time
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from stepcoder.terminal import Terminal
from stepcoder.words import duration, plural, rate

PLAIN_LINE_S = 10.0


class WorkProgress:
    """Context manager. `done` counts results, also of an earlier run.

    `unit` names what is counted; a total of 0 is an unknown one.
    """

    def __init__(self, unit: str = "programs") -> None:
        self.console = Terminal(stderr=True, highlight=False)
        self.unit = unit
        self.done = self.total = self._before = 0
        self._started = self._told = time.monotonic()
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, done: int, total: int) -> None:
        """Starts the count; where one was going on, another one."""
        if self._bar is not None:
            self._bar.stop()
        self.done, self.total, self._before = done, total, done
        self._started = self._told = time.monotonic()
        if done:
            self.message(f"{done:,} of {plural(total, 'result is', 'results are')} there already: going on from them")
        if self.console.is_terminal:
            columns = (MofNCompleteColumn(), BarColumn(bar_width=32), TextColumn("{task.description}"))
            self._bar = Progress(*columns, TimeRemainingColumn(), TextColumn("left"), console=self.console)
            self._task = self._bar.add_task("", total=total or None, completed=done)
            self._bar.start()

    def advance(self) -> None:
        self.done += 1
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, description=f"{self._rate} {self.unit}/s")
        elif time.monotonic() - self._told >= PLAIN_LINE_S:
            self._told = time.monotonic()
            of, left = "", ""
            if self.total:
                of, left = f"/{self.total:,}", f"  {duration((self.total - self.done) * self.seconds / self.here)} left"
            self.message(f"{self.done:,}{of} {self.unit}  {self._rate} {self.unit}/s{left}")

    @property
    def here(self) -> int:
        """Programs judged by this run."""
        return self.done - self._before

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def _rate(self) -> str:
        return rate(self.here, self.seconds)

    def message(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)
