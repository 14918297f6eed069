"""The files of `stepcoder grade`: samples, read line by line, and results that survive an interruption.

A sample file is read twice: once to check every line, once to grade it; no program outlives its turn. Results go to
`OUT.partial`, a line at a time and in the order of the samples; at the end the file takes the name `OUT`. So `OUT` is
complete or absent. `OUT.inputs.json` says which inputs the results belong to.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

from stepcoder.errors import DataFileError, UserError, nearest
from stepcoder.files import publish, write_json
from stepcoder.jsonl import numbered_lines, parse_object

GRADE_KEYS = ("problem_id", "verdict")
LONGEST_LINE = 64 << 20  # bytes of one sample; keeps memory bounded whatever the file holds


@dataclass(frozen=True, slots=True)
class Sample:
    """A program to be judged. `id` is the user's own name for it and goes into the result."""

    problem_id: str
    program: str
    id: str | int | None = None


def read_samples(file: Path, known: Collection[str], digest: "hashlib._Hash") -> Iterator[Sample]:
    """The samples of a file of JSON lines in order, also compressed; blank lines are skipped, unknown keys ignored.

    DataFileError at the first line that cannot be used. `digest` is fed every byte that was read.
    """
    if file.exists() and not file.is_file():
        raise UserError(f"{file}: not a regular file; samples are read twice, so give a file and no pipe")
    for number, raw in numbered_lines(file, LONGEST_LINE):
        digest.update(raw)
        if raw.strip():
            yield _sample(raw, known, str(file), number)


def _sample(raw: bytes, known: Collection[str], file: str, number: int) -> Sample:
    def refuse(reason: str, field: str) -> NoReturn:
        raise DataFileError(file, number, field, reason)

    data = parse_object(raw, file, number, plain_numbers=True)
    for field in ("problem_id", "program"):
        if field not in data:
            close = nearest(field, list(data))
            refuse("missing" + (f"; is `{close[0]}` meant?" if close else ""), field)
        if not isinstance(data[field], str):
            refuse(f"expected text, got {type(data[field]).__name__}", field)
    if type(data.get("id")) not in (str, int, type(None)):
        refuse(f"expected text or an integer, got {type(data['id']).__name__}", "id")
    if data["problem_id"] not in known:
        close = nearest(data["problem_id"], list(known))
        hint = f", did you mean {close[0]!r}?" if close else ""
        refuse(f"no problem {data['problem_id']!r} in the problem file{hint}", "problem_id")
    return Sample(data["problem_id"], data["program"], data.get("id"))


class ResultFile:
    """The results of one long job. Life cycle: `finished` or `with`: `earlier()` to its end, `write` ..., `finish`.

    `inputs` is what the results depend on, as JSON data. Entering locks the file, so that only one process writes.
    `keys` are those that every result has: a line without them is damaged.
    """

    def __init__(self, out: Path, inputs: dict[str, Any], keys: Collection[str] = GRADE_KEYS) -> None:
        self._keys = keys
        self.out = out
        self.partial = out.with_name(f"{out.name}.partial")
        self.inputs_file = out.with_name(f"{out.name}.inputs.json")
        self._inputs = inputs
        self._fd = -1
        self._size = 0

    def discard(self) -> None:
        """Removes earlier results and what they belong to; UserError while another process writes them."""
        try:
            if self.partial.exists():
                self._open()
                os.close(self._fd)
            for file in (self.inputs_file, self.out, self.partial):
                file.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"cannot remove earlier results: {error}") from None

    def finished(self) -> bool:
        """Whether all results are there already. UserError where results of other inputs are in the way."""
        present = next((file for file in (self.partial, self.out) if file.exists()), None)
        if present is None:
            return False
        advice = "give another output file, or --force to begin anew and lose it"
        try:
            recorded = json.loads(self.inputs_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{present} exists and was not written by this command: {advice}") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{self.inputs_file} cannot be read ({error}): {advice}") from None
        if recorded != self._inputs:
            changes = "; ".join(_differences(recorded, self._inputs))
            raise UserError(f"{present} holds results of other inputs ({changes}): {advice}")
        return present == self.out

    def __enter__(self) -> Self:
        try:
            if not self.partial.exists():
                write_json(self.inputs_file, self._inputs)
            self._open()
        except OSError as error:
            raise UserError(f"cannot write results: {error}") from None
        return self

    def _open(self) -> None:
        self._fd = os.open(self.partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise UserError(f"{self.partial}: another process is writing this file") from None

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def earlier(self) -> Iterator[dict[str, Any]]:
        """Results of an interrupted run, in order. What follows the first damaged line is cut off."""
        with self.partial.open("rb") as file:
            for line in file:
                record = _record(line, self._keys)
                if record is None:
                    break
                self._size += len(line)
                yield record
        os.ftruncate(self._fd, self._size)
        os.lseek(self._fd, self._size, os.SEEK_SET)

    def write(self, record: dict[str, Any]) -> None:
        """Appends one result, whole or not at all; UserError where it cannot be written."""
        line = memoryview(json.dumps(record).encode("ascii") + b"\n")
        rest = line
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            os.ftruncate(self._fd, self._size)
            raise UserError(
                f"{self.partial}: {error.strerror}. All results until here are kept; put that right and run the same "
                "command again to go on"
            ) from None
        self._size += len(line)

    def finish(self) -> None:
        """Gives the file its final name, once its content is on the disk."""
        try:
            os.fsync(self._fd)
            publish(self.partial, self.out)
        except OSError as error:
            raise UserError(f"{self.out}: {error.strerror}; the results are in {self.partial}") from None


def read_results(file: Path, keys: Collection[str] = GRADE_KEYS) -> Iterator[dict[str, Any]]:
    """The results of a finished file."""
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            record = _record(line, keys)
            if record is None:
                raise UserError(f"{file}, line {number}: damaged; begin anew with --force")
            yield record


def _record(line: bytes, keys: Collection[str]) -> dict[str, Any] | None:
    """A line as it was written; None for a torn or damaged one."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and all(key in record for key in keys) else None


def _differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
    elif old != new:
        yield f"{name} differs" if name.endswith("sha256") else f"{name}: {old!r} -> {new!r}"
