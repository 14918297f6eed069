"""The interpreter's state between two tests that share a process.

`restore` puts back what programs commonly change; `changed` finds what it cannot put back
(patched modules, running threads): the parent then runs the remaining tests in a fresh process.
Namespaces are watched through the version that CPython keeps in each dictionary, read from memory: comparing
their values would touch every object's reference count and so copy most of the fork server's pages. Where there is no
such version (CPython 3.14) every test counts as having changed something.
"""

import _thread
import atexit
import builtins
import ctypes
import decimal
import gc
import os
import random
import re
import sys
import threading
import types
from typing import Any

from stepcoder.executor.sandbox.offered.surroundings import RECURSION
from stepcoder.executor.sandbox.untraced import untraced
from stepcoder.executor.sandbox.values.pristine import Pristine

_VOLATILE = ("sys", "builtins", "__main__", "threading")  # restored by hand, or different after each fork
THREAD_STACK = 16 << 20  # bytes; the C library's own default would be the whole stack limit
SEED = int(seed) if (seed := os.environ.get("PYTHONHASHSEED", "")).isdecimal() else 0  # of chance, as of hashes
# Of a dictionary object: the number of items and, up to CPython 3.13, the version (both 8 bytes, after the head), then
# where its keys lie; there, how many more fit and how many there ever were.
_PAIR = ctypes.c_char * 16
_DICT_HEAD, _KEYS_AT, _KEYS_HEAD = 16, 32, 16


def _counters(namespace: dict[str, Any]) -> Any:
    return _PAIR.from_address(id(namespace) + _DICT_HEAD)


class _Names:
    """Tells whether a dictionary has other keys than at first, and touches none of them; values may change."""

    __slots__ = ("_before", "_dictionary", "_keys", "_place")

    def __init__(self, dictionary: dict[str, Any]) -> None:
        self._dictionary = dictionary
        self._place = ctypes.c_ssize_t.from_address(id(dictionary) + _KEYS_AT)
        self._keys = _PAIR.from_address(self._place.value + _KEYS_HEAD)
        self._before = self._now()

    def _now(self) -> tuple[int, int, bytes]:
        return len(self._dictionary), self._place.value, self._keys.raw

    def changed(self) -> bool:
        number, place, keys = self._before
        return len(self._dictionary) != number or self._place.value != place or self._keys.raw != keys


def _versioned() -> bool:
    """Whether the counters of a dictionary tell of a value that was replaced, and those of its keys of another key."""
    namespace = {"name": 0}
    before = _counters(namespace).raw
    namespace["name"] = 1
    if _counters(namespace).raw == before:
        return False
    names = _Names(namespace)
    namespace["name"] = 2
    if names.changed():
        return False
    del namespace["name"]
    namespace["other"] = 1
    return names.changed()


def _count_modules() -> int:
    return len(sys.modules) - ("__main__" in sys.modules)


class Snapshot:
    """Taken once in the fork server, after the preload and before any program."""

    __slots__ = (
        "_builtins", "_builtins_counters", "_builtins_raw", "_context", "_counters", "_modules", "_raw", "_seed_numpy",
        "_sys", "_sys_names", "_versioned", "pristine",
    )  # fmt: skip

    def __init__(self) -> None:
        self._versioned = _versioned()
        self._context = decimal.getcontext().copy()
        numpy: Any = sys.modules.get("numpy")
        self._seed_numpy = numpy and numpy.random.seed
        self._sys = {name: getattr(sys, name) for name in ("argv", "path", "excepthook", "displayhook", "meta_path")}
        modules = [m for n, m in sys.modules.items() if n not in _VOLATILE and isinstance(m, types.ModuleType)]
        self._counters = [_counters(vars(module)) for module in modules]
        self._raw = b"".join(self._counters)
        self._modules = _count_modules()
        self._sys_names = _Names(sys.__dict__) if self._versioned else None
        self._builtins = dict(builtins.__dict__)
        self._builtins_counters = _counters(builtins.__dict__)
        self._builtins_raw = self._builtins_counters.raw
        self.pristine = Pristine()

    def restore_builtins(self) -> None:
        """First of all after a test, before the harness itself uses any of them."""
        if not self._versioned or self._builtins_counters.raw != self._builtins_raw:
            namespace = builtins.__dict__
            namespace.clear()
            namespace.update(self._builtins)
            self._builtins_raw = self._builtins_counters.raw

    def restore(self) -> None:
        self.restore_builtins()
        for name, value in self._sys.items():
            setattr(sys, name, list(value) if isinstance(value, list) else value)
        untraced()
        sys.setrecursionlimit(RECURSION)
        sys.set_int_max_str_digits(0)
        decimal.setcontext(self._context.copy())
        random.seed(SEED)
        if self._seed_numpy is not None:
            self._seed_numpy(SEED)
        threading.stack_size(THREAD_STACK)
        re.purge()  # what one test compiles is no gift to the next
        gc.enable()

    def changed(self) -> bool:
        """Whether a thread still runs, a preloaded module differs from what it was, or there is one more."""
        if _thread._count() > 0 or _count_modules() != self._modules:
            return True
        return self._sys_names is None or self._sys_names.changed() or b"".join(self._counters) != self._raw


def end_interpreter() -> None:
    """As CPython ends, and as late: what waits for the end of threads, threads that are no daemons, exit handlers.

    Once in a process: threads that a handler starts are not waited for, and no more can be started after it on 3.12.
    """
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
    atexit._run_exitfuncs()


def standard_streams(*names: str) -> list[Any]:
    """Those of `sys`, as the program has left them; None for what it has deleted. Without names output and errors."""
    return [sys.__dict__.get(name) for name in names or ("stdout", "stderr")]


def flush_streams(*streams: Any) -> None:
    """As CPython does at its end: not those that are closed or have given their buffer up (`detach`)."""
    for stream in streams:
        try:
            if stream is None or getattr(stream, "closed", False):
                continue
        except ValueError:  # detached
            continue
        stream.flush()
