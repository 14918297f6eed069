"""The numbers of a run: JSON lines for programs, and whatever `run.loggers` names for eyes.

One line a step, `{"step": 7, "reward/mean": ...}`; an evaluation is a line `{"step": 7, "eval": {"train": {...}}}` of
the state after that step. No step is counted twice: a resumed run first drops the lines of steps that it will do again.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from stepcoder.deploy.config.shared import LoggerName
from stepcoder.deploy.run.loggers import About, make
from stepcoder.files import write_whole

METRICS = "metrics.jsonl"
GROUPS = "groups.jsonl"


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a metrics file, in order. A last line that a kill cut short is left out."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if line.endswith("\n") and _is_ours(record):
                yield record


def _is_ours(record: Any) -> bool:
    """Whether a line is what a run writes: a step's number, and of evaluations what each split's were."""
    if not isinstance(record, dict) or type(record.get("step")) is not int:
        return False
    splits = record.get("eval", {})
    return isinstance(splits, dict) and all(isinstance(result, dict) for result in splits.values())


def scores(path: Path, name: str, over: int = 1) -> dict[int, float]:
    """Step -> the metric `name`, for the steps that have it.

    `eval/SPLIT/pass_rate` is an evaluation's; any other is the mean of the last `over` steps.
    """
    found: dict[int, float] = {}
    for record in read_metrics(path):
        value = dict(flat(record)).get(name)
        if value is not None and math.isfinite(value):
            found[int(record["step"])] = value
    if name.startswith("eval/"):
        return found
    return {
        step: math.fsum(recent) / len(recent)
        for step in found
        if (recent := [found[s] for s in range(step - over + 1, step + 1) if s in found])
    }


def tokens_generated(records: Iterable[Mapping[str, Any]], upto: int | None = None) -> int:
    """Tokens generated in training by the steps up to and including `upto`; all steps without it."""
    steps = (record for record in records if upto is None or record["step"] <= upto)
    return sum(int(record.get("tokens/generated", 0)) for record in steps)


def truncate(path: Path, step: int) -> int:
    """Keep the lines up to and including `step`; returns how many were dropped. Written aside, then renamed."""
    if not path.is_file():
        return 0
    with path.open(encoding="utf-8", errors="replace") as file:
        total = sum(1 for _ in file)
    kept = [record for record in read_metrics(path) if record["step"] <= step]
    write_whole(path, "".join(json.dumps(record) + "\n" for record in kept))
    return total - len(kept)


class MetricsWriter:
    """Appends to `<run>/metrics.jsonl` and `<run>/groups.jsonl`, and tells the loggers.

    `resumed_step` is the number of steps already done. `export` is given every number of a line, by its joined name.
    """

    def __init__(
        self,
        run: Path,
        resumed_step: int = 0,
        export: Callable[[Iterable[tuple[str, float]]], None] | None = None,
        loggers: Sequence[LoggerName] = ("tensorboard",),
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """`about`: fields of loggers.About that the run knows beside these."""
        run.mkdir(parents=True, exist_ok=True)
        self.path = run / METRICS
        self._export = export
        self.dropped = truncate(self.path, resumed_step)
        truncate(run / GROUPS, resumed_step)
        self._evaluated = {record["step"] for record in read_metrics(self.path) if "eval" in record}
        self._file = self.path.open("a", encoding="utf-8")
        self._groups = (run / GROUPS).open("a", encoding="utf-8")
        told = About(run, resumed_step=resumed_step, redone=bool(self.dropped), **(about or {}))
        self.loggers = make(loggers, told)

    def evaluated(self, step: int) -> bool:
        """Whether an evaluation of the state after `step` steps is on file."""
        return step in self._evaluated

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """One training step. Values are numbers; a dictionary (a histogram) stays one in the file."""
        self._append({"step": step, **metrics})

    def write_evaluation(self, step: int, result: Mapping[str, Any], times: Mapping[str, float] | None = None) -> None:
        """`result` maps a split's name to what `summary.evaluation` made of it; `times` have names in full."""
        self._append({"step": step, "eval": dict(result), **(times or {})})
        self._evaluated.add(step)

    def write_groups(self, step: int, groups: Mapping[str, Sequence[Any]]) -> None:
        """How each group of a step ended, column by column; see docs/view.md."""
        self._groups.write(json.dumps({"step": step, **groups}) + "\n")
        self._groups.flush()

    def _append(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(_finite(record)) + "\n")
        self._file.flush()
        numbers = {name: number for name, number in flat(record) if name != "step"}
        for logger in self.loggers:
            logger.write(record["step"], numbers)
        if self._export is not None:
            self._export(flat(record))

    def close(self) -> None:
        self._file.close()
        self._groups.close()
        for logger in self.loggers:
            logger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number in nested dictionaries under its joined name, but for the table of single problems."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            if name != "per_problem":
                yield from flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", float(value)


def _finite(value: Any) -> Any:
    """JSON has no NaN or infinity: such a number becomes its name as text. numpy scalars become plain numbers."""
    if isinstance(value, Mapping):
        return {str(name): _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if hasattr(value, "item") and not isinstance(value, int | float | str):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
