"""A file that brings a dead curriculum back: a snapshot, then every call that changed it since, one a line.

    {"call": 40, "state": {...}}                                                    the snapshot, after 40 calls
    {"call": 41, "next": 8}                                                         8 subtasks were drawn
    {"call": 42, "report": [[ticket, problem_id, stage, passed, total], ...]}       outcomes were reported

A line is in the file before its call is answered. What a kill leaves of an unfinished line is cut off when the file is
opened: nobody has had its answer. A new snapshot replaces the whole file at once. Written to the operating system,
not forced to disk: it outlives the process, not the machine, whose end is the run's checkpoint's business.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stepcoder.files import write_whole

Record = dict[str, Any]


class Journal:
    """The open file. Iterating gives the records that were in it when it was opened, the snapshot first."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("ab", buffering=0)
        os.truncate(path, _whole_lines(path))

    def __iter__(self) -> Iterator[Record]:
        """Raises ValueError for a line that is whole and yet no record."""
        with self.path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise ValueError(
                        f"{self.path}, line {number}: damaged ({error}); start from a checkpoint"
                    ) from error

    def append(self, record: Record) -> None:
        line = memoryview(json.dumps(record).encode() + b"\n")
        while line:
            line = line[self._file.write(line) :]

    def restart(self, snapshot: Record) -> None:
        """Begin anew with a snapshot, which takes the place of all records so far."""
        write_whole(self.path, json.dumps(snapshot) + "\n", durable=False)
        self._file.close()
        self._file = self.path.open("ab", buffering=0)

    def close(self) -> None:
        self._file.close()


def _whole_lines(path: Path) -> int:
    """Bytes up to the last line end."""
    whole = 0
    with path.open("rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                whole = stream.tell()
    return whole
