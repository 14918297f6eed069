"""What a person sees while a run goes on: live bars in a terminal, one plain line a step elsewhere.

A line says what the numbers are (`passed 34 %`), not what they are called in the metrics file. What takes minutes says
how far it is: in the terminal as a bar with the time left, elsewhere as a line a minute.
"""

import time
from collections.abc import Mapping
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from stepcoder.terminal import Terminal
from stepcoder.words import duration

LINE_EVERY_S = 60.0


def step_line(metrics: Mapping[str, Any]) -> str:
    """The numbers of one step that tell whether it learns; those that are absent are left out."""
    parts = []
    for key, text in (
        ("sft/epoch", "epoch {:.2f}"),
        ("sft/loss", "loss {:.3f}"),
        ("sft/validation_loss", "held-out loss {:.3f}"),
        ("pass_rate", "passed {:4.0%}"),
        ("reward/mean", "reward {:+.2f}"),
        ("curriculum/stage_fraction", "start {:.2f} from full"),
        ("curriculum/full_generation_share", "full generation {:.0%}"),
        ("executed_share", "executed {:.0%}"),
        ("kl/reference", "KL {:.3f}"),
        ("tokens_per_s/generate", "{:.0f} tokens/s"),
    ):
        value = metrics.get(key)
        if isinstance(value, int | float):
            parts.append(text.format(value))
    return "  ".join(parts)


class RunProgress:
    """Shows steps `done` .. `total`, if there are steps. Context manager; its methods may be called in any order."""

    def __init__(
        self, total: int = 0, done: int = 0, console: Console | None = None, ends: float | None = None
    ) -> None:
        """`ends`: when the command's time is over, as a time of `time.monotonic()`."""
        self.console = console or Terminal(stderr=True, highlight=False)
        self.total = total
        self.done = done
        self.ends = ends
        self._started = time.monotonic()
        self._mark = self._started
        self._steps: list[tuple[float, int]] = []  # seconds and generated tokens of each
        self._tokens_left: int | None = None
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._bar = Bar(
                SpinnerColumn(),
                TextColumn("{task.fields[kind]}"),
                MofNCompleteColumn(),
                BarColumn(bar_width=24),
                TextColumn("{task.description}"),
                console=self.console,
            )
            if self.total:
                self._task = self._bar.add_task("starting", total=self.total, completed=self.done, kind="step")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def phase(self, name: str) -> None:
        """What is going on now, e.g. `generating`. Shown in a terminal only: it is no news of its own."""
        self._describe(name)

    def message(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def begin_steps(self, tokens_left: int | None = None) -> None:
        """Start the clock that the time left is reckoned by: everything before was set-up.

        `tokens_left`: after how many generated tokens the run ends, where it ends by them.
        """
        self._mark, self._tokens_left = time.monotonic(), tokens_left

    def step(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Step number `step` (1-based) is done."""
        now = time.monotonic()
        tokens = int(metrics.get("tokens/generated", 0))
        self._steps.append((now - self._mark, tokens))
        self._mark = now
        if self._tokens_left is not None:
            self._tokens_left = max(self._tokens_left - tokens, 0)
        self.done = step
        self.message(f"step {step:>{len(str(self.total))}}/{self.total}  {step_line(metrics)}  {self._pace()}")
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=step)

    def evaluation(self, step: int, splits: Mapping[str, Mapping[str, Any]]) -> None:
        """Pass rates at full generation of the state after `step` steps."""
        from stepcoder.deploy.shown.summary import interval, points

        shown = ", ".join(f"{name} {points(interval(result))}" for name, result in splits.items())
        self.message(f"evaluation after step {step}: {shown}")
        self._mark = time.monotonic()

    def count(self, kind: str, total: int) -> "Count":
        """Begin to count `total` completions; close it when they are there."""
        return Count(self, self._bar, kind, total)

    def _pace(self) -> str:
        recent = self._steps[-10:]
        seconds, tokens = (sum(column) for column in zip(*recent, strict=True))
        left = seconds / len(recent) * (self.total - self.done)
        if self._tokens_left is not None and tokens:
            left = min(left, seconds / tokens * self._tokens_left)
        if self.ends is not None:
            left = min(left, max(self.ends - time.monotonic(), 0.0))
        return f"{recent[-1][0]:.1f} s" + (f"  {duration(left)} left" if left else "")

    def _describe(self, text: str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=text)


class Count:
    """Completions of one piece of work as they end."""

    def __init__(self, progress: RunProgress, bar: Bar | None, kind: str, total: int) -> None:
        self.progress, self.kind, self.total = progress, kind, total
        self._bar = bar
        self._row = None if bar is None else bar.add_task("", total=total, kind=kind)
        self._started = self._last_line = time.monotonic()

    def see(self, done: int, tokens: int) -> None:
        """So many have ended, with so many tokens together; what was generated twice counts once."""
        done, now = min(done, self.total), time.monotonic()
        rest = pace(done, self.total, tokens, now - self._started)
        if self._bar is not None and self._row is not None:
            self._bar.update(self._row, completed=done, description=rest, refresh=True)
        elif now - self._last_line >= LINE_EVERY_S:
            self._last_line = now
            self.progress.message(", ".join(filter(None, (f"{self.kind} {done}/{self.total} completions", rest))))

    def close(self) -> None:
        if self._bar is not None and self._row is not None:
            self._bar.remove_task(self._row)


def pace(done: int, total: int, tokens: int, seconds: float) -> str:
    """Tokens a second, and the time that the rest takes at this pace; nothing before the first has ended."""
    if not done or not seconds:
        return ""
    return f"{tokens / seconds:.0f} tokens/s, {duration(seconds * (total - done) / done)} left"
