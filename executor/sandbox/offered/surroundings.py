"""What a plain interpreter offers and confinement takes away, given back in Python: the same at every level.

Each function is a bound method, which nobody can change. It grants nothing: a program that goes around it meets the
limits and the filter as they are.
"""

import _thread
import builtins
import importlib
import io
import linecache
import os
import resource
import sys
import threading
import types
from typing import Any

from stepcoder.executor.sandbox.offered.semaphore import SemLock
from stepcoder.executor.sandbox.protocol import PROGRAM_FILE

try:
    _multiprocessing: Any = importlib.import_module("_multiprocessing")
except ImportError:  # an interpreter built without it
    _multiprocessing = None

RECURSION = 1000  # of a plain interpreter, which is what a program is told
# Frames that every program may use all the same, as the big judges allow.
_ALLOWED = 50_000
# Frames of the harness below a program's own, counted generously: a program gets its thousand, not a few less.
_BELOW = 24
_NAMES = {0: "stdin", 1: "stdout", 2: "stderr"}
_STREAMS = {
    path: number
    for number, name in _NAMES.items()
    for path in (f"/dev/{name}", f"/dev/fd/{number}", f"/proc/self/fd/{number}")
}
_OWN = (PROGRAM_FILE, f"/{PROGRAM_FILE}")


def _path(path: Any) -> str:
    """As a text; empty for what is no path."""
    try:
        return os.fsdecode(path)
    except (TypeError, ValueError):
        return ""


def asks_for_null(code: types.CodeType) -> bool:
    """Whether a program names /dev/null: no other needs a descriptor of it."""
    pending = [code]
    while pending:
        part = pending.pop()
        if "devnull" in part.co_names or os.devnull in part.co_consts:
            return True
        pending.extend(constant for constant in part.co_consts if isinstance(constant, types.CodeType))
    return False


class Surroundings:
    """Installed once in the fork server, before anything is compared with how it was."""

    __slots__ = ("_largest_stack", "_null", "_open", "_os_open", "_prlimit", "_recursion", "_set_recursion",
                 "_setrlimit", "_stack_size")  # fmt: skip

    def __init__(self, null: int, largest_stack: int) -> None:
        """`null`: a descriptor of /dev/null that can be written to. `largest_stack`: of a thread (bytes)."""
        self._null, self._largest_stack = null, largest_stack
        self._open, self._os_open = builtins.open, os.open
        self._setrlimit, self._stack_size = resource.setrlimit, threading.stack_size
        self._prlimit = resource.prlimit
        self._recursion, self._set_recursion = RECURSION, sys.setrecursionlimit

    def install(self) -> None:
        places: Any = (builtins, io, os, resource, threading, _thread, sys)
        for place in places:
            for name in ("open", "setrlimit", "prlimit", "stack_size", "getrecursionlimit", "setrecursionlimit"):
                if hasattr(place, name):
                    setattr(place, name, getattr(self, "os_open" if (place, name) == (os, "open") else name))
        if _multiprocessing is not None:
            _multiprocessing.SemLock = SemLock
        self.setrecursionlimit(RECURSION)

    def open(
        self, file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None, errors: str | None = None,
        newline: str | None = None, closefd: bool = True, opener: Any = None,
    ) -> Any:  # fmt: skip
        """As the built-in function; a standard stream and /dev/null open as a duplicate of what is open, the program's
        own file as its source."""
        if opener is None and type(file) is not int:
            if _path(file) in _OWN and PROGRAM_FILE in linecache.cache and {*mode} <= {*"rbt"}:
                source = io.BytesIO("".join(linecache.getlines(PROGRAM_FILE))[:-1].encode())
                return source if "b" in mode else io.TextIOWrapper(source, encoding, errors, newline)
            number = self._there(file)
            file = file if number is None else os.dup(number)
        return self._open(file, mode, buffering, encoding, errors, newline, closefd, opener)

    def os_open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        number = self._there(path)
        return self._os_open(path, flags, mode, dir_fd=dir_fd) if number is None else os.dup(number)

    def setrlimit(self, kind: int, limits: Any) -> None:
        """No limit, and one above what can be had, are the highest that can be had; more processor time is refused."""
        _, highest = resource.getrlimit(kind)
        soft, hard = limits
        if soft > hard >= 0:
            raise ValueError("current limit exceeds maximum limit")
        large = highest if highest >= 0 and kind != resource.RLIMIT_CPU else sys.maxsize
        soft, hard = (highest if n == resource.RLIM_INFINITY or n > large else n for n in (soft, hard))
        self._setrlimit(kind, (soft, hard))

    def prlimit(self, pid: int, kind: int, limits: Any = None) -> Any:
        before = self._prlimit(pid, kind)
        if limits is not None:
            self.setrlimit(kind, limits)  # no other process than its own could be asked
        return before

    def stack_size(self, size: int = 0) -> int:
        """A stack takes address space, of which there is no more than memory."""
        return self._stack_size(min(size, self._largest_stack))

    def getrecursionlimit(self) -> int:
        """What was set last: more is allowed, but a program that doubles this does not get less."""
        return self._recursion

    def setrecursionlimit(self, limit: int) -> None:
        usual = isinstance(limit, int) and 0 < limit < (1 << 31) - _BELOW
        self._set_recursion(max(limit, _ALLOWED) + _BELOW if usual else limit)
        self._recursion = int(limit)

    def _there(self, path: Any) -> int | None:
        """The open descriptor that stands for `path`, if one does."""
        text = _path(path)
        return self._null if text == os.devnull else _STREAMS.get(text)
