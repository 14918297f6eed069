"""A file that is whole or absent: written beside its name, flushed to the disk, then renamed.

    with Whole(path) as file:
        file.stream.write(b"...")
        file.commit()  # without it nothing is left

What a kill leaves has a name that begins with a dot, and is written over the next time.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import IO, Any, Self

from stepcoder.errors import UserError


def read_text(path: Path) -> str:
    """The content of a text file that a person may have written. UserError with the line that is not UTF-8."""
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        byte = raw[error.start]
        raise UserError(f"{path}, line {line}: not UTF-8: byte {byte:#04x}; save the file as UTF-8") from None


class Whole:
    """A file that takes its name with `commit`. OSError where it cannot be written.

    Without `durable` it outlives the process that writes it, not the machine.
    """

    def __init__(self, path: Path, durable: bool = True) -> None:
        self.path = path
        self._aside = path.with_name(f".{path.name}.partial")
        self._durable = durable

    def __enter__(self) -> Self:
        self.stream: IO[bytes] = self._aside.open("wb")
        return self

    def __exit__(self, kind: object, error: BaseException | None, *_: object) -> None:
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(self.path)  # what a write says has none
        with contextlib.suppress(OSError):  # what is not committed is thrown away
            self.stream.close()
        self._aside.unlink(missing_ok=True)

    def commit(self) -> None:
        self.stream.flush()
        if self._durable:
            os.fsync(self.stream.fileno())
        os.replace(self._aside, self.path)
        self.stream.close()


def write_whole(path: Path, content: str | bytes, durable: bool = True) -> None:
    with Whole(path, durable) as file:
        file.stream.write(content.encode("utf-8") if isinstance(content, str) else content)
        file.commit()


def write_json(path: Path, data: Any) -> None:
    """JSON for programs and eyes, one space a level."""
    write_whole(path, json.dumps(data, indent=1) + "\n")


def flush_to_disk(path: Path) -> None:
    """Forces a file's content or a folder's entries to the disk, so that a rename cannot outlive what it names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(written: Path, target: Path) -> None:
    """Gives a file or folder whose content is on the disk its final name, and flushes the entry of that name."""
    os.replace(written, target)
    flush_to_disk(target.parent)
