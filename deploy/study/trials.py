"""How far the runs of a study are: read from their files alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stepcoder.deploy.run.listing import ended_by, held
from stepcoder.deploy.run.metrics import METRICS, read_metrics, tokens_generated
from stepcoder.deploy.run.provenance import recorded
from stepcoder.deploy.shown.summary import step_seconds
from stepcoder.deploy.study.plan import Trial

State = Literal["done", "running", "stopped", "not begun"]


@dataclass(frozen=True, slots=True)
class Progress:
    """`seconds` are those of its steps and evaluations. `cpu`: the processor that it began on."""

    state: State
    steps: int
    tokens: int
    seconds: float
    longest_step: float
    evaluation: float
    cpu: str | None


def progress(path: Path) -> Progress:
    """Of a run directory, or of one that is not there yet."""
    records = list(read_metrics(path / METRICS))
    steps = [record for record in records if "eval" not in record and record["step"]]
    evaluations = [float(record.get("seconds/eval", 0.0)) for record in records if "eval" in record]
    seconds = [step_seconds(record) for record in steps]
    first = next(iter(recorded(path)), {})
    return Progress(
        _state(path, bool(records)), len(steps), tokens_generated(steps), sum(seconds) + sum(evaluations),
        max(seconds, default=0.0), max(evaluations, default=0.0), first.get("cpu"),
    )  # fmt: skip


def _state(path: Path, begun: bool) -> State:
    if held(path):
        return "running"
    return "done" if done(path) else "stopped" if begun else "not begun"


def done(path: Path) -> bool:
    """Whether the run came to its end by itself: `stepcoder train` writes that last."""
    return ended_by(path) is not None


def minutes_left(budget: float, found: Progress) -> float:
    """What a run has left of its minutes: at least what one step and the evaluation at the end take, so that a run
    whose time was over when it was stopped can end."""
    closing = 2 * found.longest_step + 2 * found.evaluation + 60
    return max(budget - found.seconds / 60, closing / 60) if found.steps else budget


def foreign(trials: Iterable[Trial], processor: str) -> dict[int, str]:
    """Seeds that were begun on another kind of processor, with its name: they go on there, or nowhere."""
    found = dict[int, str]()
    for trial in trials:
        cpu = next(iter(recorded(trial.path)), {}).get("cpu")
        if cpu is not None and cpu != processor:
            found[trial.seed] = cpu
    return found
