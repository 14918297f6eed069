"""Entries of a data set as a conversion settles them, and what the sandbox says of programs."""

import json
from pathlib import Path
from typing import Any

from stepcoder.curriculum.data.files import format_of, read
from stepcoder.curriculum.data.readers.record import Record, Rejected
from stepcoder.curriculum.data.settle import Settler
from stepcoder.curriculum.problems.dump import problem_line
from stepcoder.curriculum.problems.load import parse_line
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.executor.config import ExecutorConfig


def converted(path: Path, kind: str = "auto") -> list[Problem | Rejected]:
    """The problems as they are read again from the native format; in place of the others why they were refused."""
    with Settler(ExecutorConfig(workers=1)) as settler:
        entries = list(settler.settled(read(format_of(kind, path), path)))
    made: list[Problem | Rejected] = []
    for entry in entries:
        if isinstance(entry, Record):
            made.append(parse_line(problem_line(entry.problem).encode(), "lines", 1))
        else:
            made.append(entry)
    return made


def from_rows(folder: Path, *rows: dict[str, Any], kind: str = "auto") -> list[Problem | Rejected]:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return converted(file, kind)
