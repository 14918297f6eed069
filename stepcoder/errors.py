"""Errors for the person who started the command: what was wrong, where, and what to do."""

import errno
import os
import re

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (*_FULL, errno.EFBIG, errno.EROFS, errno.EIO)
_NUMBER = re.compile(r"\[Errno (\d+)\]|\(os error (\d+)\)")  # as Python and Rust have it in a text


def disk_fault(error: BaseException | None) -> OSError | None:
    """What a disk said that is full, or takes nothing, where that is what went wrong, here or in a task of Ray's.

    Of libraries that have errors of their own, and of those that gather several, it is in the text.
    """
    reason = getattr(error, "cause", None) or error
    if isinstance(reason, OSError) and reason.errno is not None:
        return reason if reason.errno in _REFUSED else None
    numbers = [int(found[1] or found[2]) for found in _NUMBER.finditer(str(reason))]
    return next((OSError(number, os.strerror(number)) for number in numbers if number in _REFUSED), None)


def mended(fault: OSError, full: str = "Make room there") -> str:
    """What to do about it, and in its place where it is no want of room."""
    return full if fault.errno in _FULL else "Put that right"


class UserError(Exception):
    """Something the user can put right. The command line prints the message alone and exits with code 2."""


class DataFileError(UserError):
    """A file of data that cannot be used. `line` counts from 1; None where the file as a whole is at fault."""

    def __init__(self, file: str, line: int | None, field: str | None, reason: str) -> None:
        super().__init__(file, line, field, reason)  # all four, so that the error survives pickling
        self.file = file
        self.line = line
        self.field = field
        self.reason = reason

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{where}: {self.reason}" if self.field is None else f"{where}, field `{self.field}`: {self.reason}"


def nearest(word: str, known: list[str], limit: int = 1, cutoff: float = 0.5) -> list[str]:
    """Up to `limit` entries of `known` that look most like `word`, in whatever case; empty when none is close (1)."""
    from difflib import get_close_matches

    names = {entry.lower(): entry for entry in reversed(known)}
    return [names[close] for close in get_close_matches(word.lower(), names, n=limit, cutoff=cutoff)]
