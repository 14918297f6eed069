"""Errors for the person who started the command: what was wrong, where, and what to do."""

import errno


def disk_full(error: BaseException | None) -> OSError | None:
    """That the disk is full, where that is what went wrong, here or in a task of Ray's."""
    reason = getattr(error, "cause", error)
    return reason if isinstance(reason, OSError) and reason.errno in (errno.ENOSPC, errno.EDQUOT) else None


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
