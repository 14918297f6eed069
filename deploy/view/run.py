"""One run as the pages see it: what its files say, checked value by value, and what is missing.

No file has to be there. A value of another kind than its place wants is left out, so that nobody below asks again.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from stepcoder.deploy.run.directory import CONFIG, EVENTS
from stepcoder.deploy.run.metrics import GROUPS, METRICS
from stepcoder.deploy.run.problems import PROBLEMS
from stepcoder.deploy.view.files import Files
from stepcoder.deploy.view.lines import Lines, Record
from stepcoder.deploy.view.problem_file import Known, ProblemFile
from stepcoder.deploy.view.trajectories import Trajectories

REPORT = "report.json"
_MOST_STEPS = 1 << 31


@dataclass(frozen=True, slots=True)
class Group:
    """How a subtask ended: of `total` completions `passed` did. `reward` is their mean."""

    step: int
    ticket: int
    problem: str
    stage: int
    passed: int
    total: int
    reward: float


class Run:
    """`name` is what pages and addresses call it, `place` its path or URI, `arm` its part in a study, if any."""

    def __init__(self, name: str, place: str, arm: str = "") -> None:
        self.name, self.place, self.arm = name, place, arm
        self.files = Files(place)
        self._metrics = Lines(self.files, METRICS)
        self._groups = Lines(self.files, GROUPS)
        self._events = Lines(self.files, EVENTS)
        self._problems = ProblemFile(self.files, PROBLEMS)
        self.trajectories = Trajectories(self.files)
        self._kept: dict[str, tuple[Any, Any, Any]] = {}

    # -- numbers -------------------------------------------------------------------------------------------------------

    def stamp(self) -> str:
        """Changes when the numbers do."""
        stamps = [self.files.stamp(name) for name in (METRICS, GROUPS, EVENTS, CONFIG)]
        return json.dumps([stamps, self.trajectories.last()])

    def metrics(self) -> list[Record]:
        return self._once("metrics", self._metrics.records(), lambda found: [r for r in found if _step(r) is not None])

    def steps(self) -> list[Record]:
        """The lines of training steps."""
        return [record for record in self.metrics() if "eval" not in record and record["step"] > 0]

    def evaluations(self) -> dict[str, list[tuple[int, Record]]]:
        """Split -> [(step, result)] by step, of results that have a pass rate."""
        found: dict[str, dict[int, Record]] = {}
        for record in self.metrics():
            splits = record.get("eval")
            for split, result in splits.items() if isinstance(splits, dict) else ():
                if isinstance(result, dict) and number(result.get("pass_rate")) is not None:
                    found.setdefault(str(split), {})[record["step"]] = result
        return {split: sorted(results.items()) for split, results in found.items()}

    def events(self) -> list[tuple[float, int, str]]:
        """(time, step, text) of restarts and the like."""
        found = [(number(e.get("time")), _step(e), e.get("text")) for e in self._events.records()]
        return [(when, step or 0, text) for when, step, text in found if when is not None and isinstance(text, str)]

    def groups(self) -> list[Group]:
        """Of every step, in order. Steps that groups.jsonl lacks are those of the trajectories, in earlier versions."""
        return self._once("groups", self._groups.records(), self._all_groups, self.trajectories.last())

    def _all_groups(self, records: list[Record]) -> list[Group]:
        found: dict[int, list[Group]] = {}
        for record in records:
            if (step := _step(record)) is not None:
                found[step] = list(_groups(step, record))
        if not records:
            for step in self.trajectories.steps():
                found[step] = [Group(step, *row) for row in self.trajectories.groups(step)]
        return [group for _, groups in sorted(found.items()) for group in groups]

    # -- files that are written once -----------------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """The resolved configuration by dotted keys; empty where it cannot be read."""
        return self._file(CONFIG, lambda data: _flat(yaml.load(data, Loader=_Loader)))

    def report(self) -> dict[str, Any]:
        return self._file(REPORT, json.loads)

    def known(self) -> dict[str, Known]:
        """What the run says of its problems, by id."""
        return self._problems.known()

    def statement(self, problem: str) -> tuple[str, str]:
        """A problem's statement and solution; empty where they are not known."""
        return self._problems.texts(problem)

    def _file(self, name: str, read: Callable[[bytes], Any]) -> dict[str, Any]:
        stamp = self.files.stamp(name)

        def fresh(_: Any) -> dict[str, Any]:
            try:
                found = read(self.files.tail(name, 0)) if stamp else {}
            except (OSError, ValueError, yaml.YAMLError, RecursionError):
                found = None
            return found if isinstance(found, dict) else {}

        return self._once(name, stamp, fresh)

    # -- what is not there ---------------------------------------------------------------------------------------------

    def missing(self) -> list[str]:
        """What a person should know is missing or damaged, a sentence each. Looks at what was read so far."""
        told = []
        for lines, lacks in ((self._metrics, "no numbers yet"), (self._groups, "")):
            lines.records()
            if not lines.there and lacks:
                told.append(f"{lines.name} is missing: {lacks}")
            if lines.damaged:
                told.append(f"{lines.name}: {lines.damaged} damaged lines are left out")
        if not self.config():
            told.append(f"{CONFIG} is missing or damaged: the settings are not known")
        if self.files.stamp(REPORT) is not None and not self.report():
            told.append(f"{REPORT} is damaged")
        if not self.trajectories.steps() and "sft.epochs" not in self.config():
            told.append("trajectories/ is empty: there are no programs to show (run.trajectories_every)")
        return [*told, *self._problems.damage, *self.trajectories.damage()]

    def _once(self, name: str, given: Any, make: Callable[[Any], Any], beside: Any = None) -> Any:
        """`make(given)`, anew only where what is given has changed."""
        key = (id(given) if isinstance(given, list) else given, beside)
        kept = self._kept.get(name)
        if kept is None or kept[0] != key:
            kept = self._kept[name] = (key, make(given), given)
        return kept[1]


class _Loader(yaml.SafeLoader):
    """Without aliases, by which a small file becomes a huge one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases are not used here")
        return super().compose_node(parent, index)


def number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _step(record: Record) -> int | None:
    step = record.get("step")
    return step if type(step) is int and 0 <= step < _MOST_STEPS else None


def _groups(step: int, record: Record) -> Iterator[Group]:
    columns = [record.get(name) for name in ("ticket", "problem", "stage", "passed", "total", "reward")]
    if not all(isinstance(column, list) for column in columns):
        return
    for ticket, problem, stage, passed, total, reward in zip(*columns, strict=False):  # type: ignore[arg-type]
        whole = all(type(n) is int and abs(n) < 1 << 62 for n in (ticket, stage, passed, total))
        if whole and isinstance(problem, str) and (mean := number(reward)) is not None and 0 <= passed <= total > 0:
            yield Group(step, ticket, problem, stage, passed, total, mean)


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key, whatever their keys are."""
    found: dict[str, Any] = {}
    for name, value in settings.items() if isinstance(settings, dict) else ():
        if isinstance(value, dict) and value:
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
