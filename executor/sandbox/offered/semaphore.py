"""The lock of `multiprocessing` for a program that has no other process: its thread pools are made with it.

The library's own is a file in shared memory, which no program may open.
"""

import threading
from typing import Any

_RECURSIVE = 0  # kind; 1 is a semaphore


class SemLock:
    """As `_multiprocessing.SemLock`."""

    SEM_VALUE_MAX = (1 << 31) - 1

    def __init__(self, kind: int, value: int, maxvalue: int, name: str, unlink: bool) -> None:
        self.kind, self.maxvalue, self.handle, self.name = kind, maxvalue, 0, None
        self._semaphore: Any = threading.Semaphore(value)
        self._owner, self._depth = 0, 0

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        if self.kind != _RECURSIVE or not self._is_mine():
            wait = max(timeout, 0) if block and timeout is not None else None
            if not self._semaphore.acquire(block, wait):
                return False
            self._owner = threading.get_ident()
        self._depth += 1
        return True

    def release(self) -> None:
        if self.kind == _RECURSIVE and not self._is_mine():
            raise AssertionError("attempt to release recursive lock not owned by thread")
        if self.kind != _RECURSIVE and self._semaphore._value >= self.maxvalue:
            raise ValueError("semaphore or lock released too many times")
        self._depth -= 1
        if self.kind != _RECURSIVE or not self._depth:
            self._semaphore.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _count(self) -> int:
        return self._depth

    def _is_mine(self) -> bool:
        return self._depth > 0 and self._owner == threading.get_ident()

    def _get_value(self) -> int:
        return self._semaphore._value

    def _is_zero(self) -> bool:
        return self._semaphore._value == 0
