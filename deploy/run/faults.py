"""What a run has lost and how long it took to go on: `<run>/faults.jsonl`, one line a loss that was made good.

Losses are budgeted by the hour, each engine's for itself: a run of a week may lose more than one of an hour, and a node
takes all its engines along at once. The file is never cut, other than the metrics of steps that are done again.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stepcoder.errors import UserError

FAULTS = "faults.jsonl"
HOUR_S = 3600.0
LEARNER, SERVICES = "learner", "services"


@dataclass(frozen=True, slots=True)
class Fault:
    """`who`: rollout-N (an engine), learner, or services (all of them). `seconds`: until its successor was in use."""

    who: str
    cause: str
    seconds: float
    when: float = 0.0

    @property
    def kind(self) -> str:
        return self.who.partition("-")[0]


def read_faults(file: Path) -> list[Fault]:
    """Those of a run, in order; a line that a kill cut short is left out."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        with contextlib.suppress(ValueError):
            found.append(Fault(**json.loads(line)))
    return found


class Faults:
    """`per_hour` losses of each are made good within any hour. Without a `file` nothing is written."""

    def __init__(self, per_hour: int, file: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_hour, self._file, self._clock = per_hour, file, clock
        self.mended: list[Fault] = read_faults(file) if file is not None else []
        self._said = len(self.mended)
        self._when: dict[str, list[float]] = {}
        self._open: dict[str, tuple[float, str]] = {}
        self.causes: list[str] = []

    def lost(self, who: str, cause: str) -> None:
        """Raises UserError where as many have been within the hour before it."""
        now = self._clock()
        recent = [when for when in self._when.get(who, []) if now - when < HOUR_S]
        self.causes.append(f"{who}: {cause}")
        if len(recent) >= self.per_hour:
            listed = "\n  ".join(self.causes)
            raise UserError(
                f"{who} was lost {len(recent) + 1} times within an hour, more than ray.restarts_per_hour = "
                f"{self.per_hour}. All that was lost:\n  {listed}\nRay's log files tell more. The same command goes on "
                "from the last checkpoint."
            )
        self._when[who] = [*recent, now]
        self._open.setdefault(who, (now, cause))  # a successor that is lost too belongs to the same

    def back(self, *found: str) -> None:
        """What was lost of these is in use again."""
        for who in self._open.keys() & {*found}:
            began, cause = self._open.pop(who)
            self.mended.append(Fault(who, cause, self._clock() - began, time.time()))
            if self._file is not None:
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(self.mended[-1])) + "\n")

    def metrics(self) -> dict[str, Any]:
        """Of the run so far; for the metrics file alone, why anything was replaced since this was last asked."""
        engines = sum(fault.kind == "rollout" for fault in self.mended)
        causes = {fault.who: fault.cause for fault in self.mended[self._said :]}
        self._said = len(self.mended)
        return {
            "faults/engines": float(engines),
            "faults/learner": float(len(self.mended) - engines),
            "faults/seconds": sum((fault.seconds for fault in self.mended), 0.0),
        } | ({"faults": causes} if causes else {})


def told(faults: Iterable[Fault]) -> dict[str, Any]:
    """By kind: how many, how long until each was made good (seconds), and why."""
    found: dict[str, Any] = {}
    for fault in faults:
        entry = found.setdefault(fault.kind, {"count": 0, "seconds": [], "causes": []})
        entry["count"] += 1
        entry["seconds"].append(round(fault.seconds, 1))
        entry["causes"].append(fault.cause)
    return found
