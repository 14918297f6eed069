"""The files in memory behind a program's standard streams."""

import os
import sys
from dataclasses import dataclass
from typing import Any

from stepcoder.executor.sandbox.sharing.ordinary import ALL, STDERR, STDIN, STDOUT

_open = open  # a program gets another (offered.surroundings)
_NAMES = ("<stdin>", "<stdout>", "<stderr>")


@dataclass(frozen=True, slots=True)
class Streams:
    """Files in memory: `inputs` (read-only) has all inputs, `stdin`, `stdout` and `stderr` serve one test at a time."""

    inputs: int
    stdin: int
    stdout: int
    stderr: int


def open_streams(streams: Streams, which: int = ALL) -> None:
    """Empty files behind descriptors 0, 1 and 2, and the objects of `sys` anew, whatever the last test did to them."""
    if which & STDIN:
        os.lseek(streams.inputs, 0, os.SEEK_SET)
        _emptied(streams.stdin, 0)
        sys.stdin = sys.__stdin__ = _opened(0, "r", "surrogateescape")
    if which & STDOUT:
        _emptied(streams.stdout, 1)
        sys.stdout = sys.__stdout__ = _opened(1, "w", "surrogateescape")
    if which & STDERR:
        _emptied(streams.stderr, 2)
        sys.stderr = sys.__stderr__ = _opened(2, "w", "backslashreplace")


def _opened(number: int, mode: str, errors: str) -> Any:
    stream: Any = _open(number, mode, encoding="utf-8", errors=errors, closefd=False)
    stream.buffer.raw.name = _NAMES[number]
    return stream


def _emptied(source: int, number: int) -> None:
    os.ftruncate(source, 0)
    os.dup2(source, number)
    os.lseek(number, 0, os.SEEK_SET)
