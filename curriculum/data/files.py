"""Files that `stepcoder data` reads and writes: a data set that is known to be readable, outputs that appear whole.

Invariant: a file has its final name only when it is complete, and the same content gives the same bytes, also packed.
"""

import contextlib
import gzip
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from stepcoder.curriculum.data.readers import FORMATS, reader
from stepcoder.curriculum.data.readers.hub import PREFIX, HubData, Location, parse_hub, pinned
from stepcoder.curriculum.data.readers.record import Cause, Reason, Record, Rejected
from stepcoder.curriculum.problems.dump import problem_line
from stepcoder.curriculum.problems.load import resolve
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.errors import UserError, nearest
from stepcoder.files import Whole, write_whole

AUTO = "auto"
_BLOCK = 1 << 20
_LEVEL = 6  # of gzip: a third of the time of 9 for 1 % more bytes


def read(kind: str, path: Location) -> Iterator[Record | Rejected]:
    """The entries of a data set; UserError where the file as a whole cannot be read, or one's own reader fails."""
    try:
        for entry in reader(kind)(path):
            if not isinstance(entry, Record | Rejected):
                raise UserError(f"the reader {kind} gave {type(entry).__name__}, not a Record or a Rejected")
            yield entry
    except UserError:
        raise
    except Exception as error:
        if kind in FORMATS:
            raise
        raise UserError(f"the reader {kind} failed: {type(error).__name__}: {error}") from error


def check_kind(kind: str) -> str:
    """A format, or one's own reader, which is looked for in the working directory first."""
    if kind == AUTO:
        return kind
    if ":" in kind:
        sys.path.insert(0, os.getcwd())
    try:
        reader(kind)
    except ValueError as error:
        raise UserError(f"--from: {error}") from None
    return kind


def format_of(kind: str, path: Location) -> str:
    """The format that `auto` stands for; any other as it is. UserError where it is not clear."""
    if kind != AUTO:
        return kind
    from stepcoder.curriculum.data.readers.detect import detected

    try:
        return detected(path)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def check_location(path: str) -> Location:
    """The file, folder or data set of the hub that was meant; UserError with what to do where there is none."""
    if not path.startswith(PREFIX):
        return check_input(path)
    try:
        found = parse_hub(path)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    return pinned(found)


def check_input(path: str) -> Path:
    """The file or folder that was meant; UserError with what to do where there is none."""
    found = resolve(path)
    if found.exists():
        return found
    word, _, rest = path.partition(":")
    if rest and word in (AUTO, *FORMATS):
        raise UserError(f"{path}: no such file or folder; 'stepcoder data convert --from {word} {rest} OUT' reads this")
    if rest and word.isidentifier() and (close := nearest(word, [*FORMATS, AUTO])):
        raise UserError(f"{path}: no such file or folder, and no format {word!r}; did you mean {close[0]}:{rest}?")
    if path.count("/") == 1 and not path.startswith((".", "/", "~")) and not found.suffix:
        raise UserError(
            f"{path}: no such file or folder. If this is the name of a data set of the Hugging Face hub: {PREFIX}{path}"
        )
    raise UserError(f"{path}: no such file or folder")


def check_named(text: str) -> tuple[str, Location]:
    """Format and place of what is written as [FORMAT:]PLACE; without a format the native one."""
    if named := re.fullmatch(rf"({'|'.join([AUTO, *FORMATS])}|[\w.]+:[^\W\d]\w*):(.+)", text):
        place = check_location(named[2])
        return format_of(check_kind(named[1]), place), place
    return "native", check_location(text)


def digest(path: Location) -> str:
    """SHA-256 of a file, of names and contents of all files in a folder, or of name and commit of a data set."""
    total = hashlib.sha256()
    if isinstance(path, HubData):
        total.update(f"{path}\n".encode())
        if path.folder is None:
            return total.hexdigest()
        path = path.folder
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    for file in files:
        if path.is_dir():
            total.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                total.update(block)
    return total.hexdigest()


@dataclass(frozen=True, slots=True)
class Rejection:
    """A line of `OUT.rejected.jsonl`."""

    reason: Cause
    where: str
    detail: str = ""
    id: str = ""
    level: str = ""

    def as_json(self) -> dict[str, Any]:
        known = {"id": self.id, "level": self.level} if self.id else {}
        return {"reason": self.reason.value, "where": self.where, "detail": self.detail} | known


def line_of(problem: Problem) -> str | Rejection:
    """A problem in the native format; or the reason why the format cannot hold it."""
    try:
        return problem_line(problem)
    except ValueError as error:
        return Rejection(Reason.BAD_TEST, problem.id, str(error), problem.id, problem.level)


def check_packing(out: Path) -> None:
    if out.suffix in (".zst", ".xz", ".bz2", ".parquet", ".arrow"):
        what = "JSON lines, plain or packed with gzip"
        raise UserError(f"OUT: {out.name}: what is written is {what}: end the name in .jsonl or .gz")


class LineFile:
    """JSON lines that take their name with `commit`; without it nothing is left. Packed where the name ends in .gz."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._whole = Whole(path)

    def __enter__(self) -> Self:
        with _written(self.path):
            self._whole.__enter__()
        stream = self._whole.stream
        packed = self.path.suffix == ".gz"
        self._file: Any = gzip.GzipFile("", "wb", _LEVEL, stream, mtime=0) if packed else stream  # no name, no time
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        with contextlib.suppress(OSError):  # what is not committed is thrown away
            self._file.close()
        self._whole.__exit__(kind, error, trace)

    def write(self, line: str) -> None:
        with _written(self.path):
            self._file.write(line.encode("utf-8") + b"\n")

    def rejection(self, rejection: Rejection) -> None:
        self.write(json.dumps(rejection.as_json(), ensure_ascii=True))

    def commit(self) -> None:
        with _written(self.path):
            if self._file is not self._whole.stream:
                self._file.close()
            self._whole.commit()


def beside(out: Path, name: str) -> Path:
    """`OUT.rejected.jsonl` and the like."""
    return out.with_name(f"{out.name}.{name}")


def write_text(path: Path, text: str) -> None:
    with _written(path):
        write_whole(path, text)


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
