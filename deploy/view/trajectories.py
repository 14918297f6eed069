"""The trajectories of a run, a step's file at a time: of a file only the columns and row groups that are shown."""

import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stepcoder.deploy.run.trajectories import SCHEMA
from stepcoder.deploy.view.files import Files

FOLDER = "trajectories"
_NAME = re.compile(r"step-(\d{8})\.parquet")
_KEPT = 16  # files whose small columns stay in memory
_BRIEF = ("ticket", "sample", "problem_id", "stage", "verdict", "reward")
_FAULTS = (OSError, pa.ArrowException, ValueError, KeyError, TypeError)


@dataclass(frozen=True, slots=True)
class Brief:
    """A completion in a list; `row` is its place in the file."""

    row: int
    ticket: int
    sample: int
    problem: str
    stage: int
    verdict: str
    reward: float

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"


class Trajectories:
    """Files that cannot be read are named in `damage()`, and have no rows."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._briefs: OrderedDict[tuple[int, Any], list[Brief]] = OrderedDict()
        self._groups: dict[int, list[tuple[int, str, int, int, int, float]]] = {}
        self._damaged: dict[int, str] = {}
        self._lock = threading.Lock()

    def steps(self) -> list[int]:
        """Steps that have a file."""
        found = (_NAME.fullmatch(name) for name in self._files.names(FOLDER))
        return [int(match[1]) for match in found if match]

    def last(self) -> int | None:
        steps = self.steps()
        return steps[-1] if steps else None

    def damage(self) -> list[str]:
        return [f"{FOLDER}/step-{step:08d}.parquet is damaged: {why}" for step, why in sorted(self._damaged.items())]

    def briefs(self, step: int) -> list[Brief]:
        """The completions of a step, by group and sample; none where the file is missing or damaged."""
        stamp = self._files.stamp(_file(step))
        with self._lock:
            if (step, stamp) not in self._briefs:
                self._briefs[step, stamp] = self._read(step) if stamp else []
                while len(self._briefs) > _KEPT:
                    self._briefs.popitem(last=False)
            return self._briefs[step, stamp]

    def _read(self, step: int) -> list[Brief]:
        try:
            with self._files.open(_file(step)) as stream:
                table = pq.ParquetFile(stream, pre_buffer=True).read(columns=list(_BRIEF))
            columns = [table.column(name).to_pylist() for name in _BRIEF]
            rows = [Brief(n, int(t), int(s), str(p), int(g), str(v), float(r))
                    for n, (t, s, p, g, v, r) in enumerate(zip(*columns, strict=True))]  # fmt: skip
        except _FAULTS as error:
            self._damaged[step] = _told(error)
            return []
        self._damaged.pop(step, None)
        return sorted(rows, key=lambda row: (row.ticket, row.sample))

    def groups(self, step: int) -> list[tuple[int, str, int, int, int, float]]:
        """(ticket, problem, stage, passed, total, mean reward) of each group of a step; kept, as it does not change."""
        if step not in self._groups:
            together: dict[int, list[Brief]] = {}
            for row in self._read(step):
                together.setdefault(row.ticket, []).append(row)
            found = [(ticket, rows[0].problem, rows[0].stage, sum(r.passed for r in rows), len(rows),
                      sum(r.reward for r in rows) / len(rows)) for ticket, rows in together.items()]  # fmt: skip
            if step in self._damaged:
                return found
            self._groups[step] = found
        return self._groups[step]

    def one(self, step: int, ticket: int, sample: int) -> dict[str, Any] | None:
        """The columns of one completion; None where there is none. Those that its file lacks are not in it.

        A column of another type than the schema's counts as one that is not there.
        """
        brief = next((b for b in self.briefs(step) if (b.ticket, b.sample) == (ticket, sample)), None)
        if brief is None:
            return None
        place = brief.row
        told = {"problem_id": brief.problem, "stage": brief.stage, "verdict": brief.verdict, "reward": brief.reward}
        try:
            with self._files.open(_file(step)) as stream:
                file = pq.ParquetFile(stream)
                for group in range(file.num_row_groups):
                    rows = file.metadata.row_group(group).num_rows
                    if place < rows:
                        found = file.read_row_group(group, columns=_known(file.schema_arrow)).slice(place, 1)
                        return found.to_pylist()[0] | told
                    place -= rows
        except _FAULTS as error:
            self._damaged[step] = _told(error)
        return None


def _known(schema: pa.Schema) -> list[str]:
    own = {field.name: field.type for field in schema}
    return [field.name for field in SCHEMA if own.get(field.name) == field.type]


def _file(step: int) -> str:
    return f"{FOLDER}/step-{step:08d}.parquet"


def _told(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
