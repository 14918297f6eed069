"""The files in memory behind a program's standard streams."""

import os
import sys
from dataclasses import dataclass
from typing import Any

_open = open  # a program gets another (offered.surroundings)


@dataclass(frozen=True, slots=True)
class Streams:
    """Files in memory: `inputs` (read-only) has all inputs, `stdin`, `stdout` and `stderr` serve one test at a time."""

    inputs: int
    stdin: int
    stdout: int
    stderr: int


def open_streams(streams: Streams) -> None:
    """Empty files behind descriptors 0, 1 and 2, and the objects of `sys` anew, whatever the last test did to them."""
    os.lseek(streams.inputs, 0, os.SEEK_SET)
    for number, source in enumerate((streams.stdin, streams.stdout, streams.stderr)):
        os.ftruncate(source, 0)
        os.dup2(source, number)
        os.lseek(number, 0, os.SEEK_SET)
    options: Any = {"encoding": "utf-8", "closefd": False}
    sys.stdin = sys.__stdin__ = _open(0, errors="surrogateescape", **options)
    sys.stdout = sys.__stdout__ = _open(1, "w", errors="surrogateescape", **options)
    sys.stderr = sys.__stderr__ = _open(2, "w", errors="backslashreplace", **options)
