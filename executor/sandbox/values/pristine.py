"""The library as it was before any program, for the code of tests that run beside one.

Names that a program puts others in place of are put back when the test goes on: a test that says `math.isclose` means
the library's. What a test replaces itself, such as `input`, stays.
"""

import builtins
import ctypes
import sys
import types
from collections import Counter
from fractions import Fraction
from typing import Any

from stepcoder.executor.sandbox.values.data import flags_of, is_class, module_of, name_of

_COUNTERS, _HEAD = ctypes.c_char * 16, 16  # of a dictionary object, see sandbox.sharing.state
# What tests say; the other modules of the library are as programs leave them.
_NAMES = """
    bisect cmath collections collections.abc copy dataclasses datetime decimal enum fractions functools heapq io
    itertools json math numbers operator random re statistics string time types typing
""".split()
_MADE_BY_A_STATEMENT = 1 << 9  # flag of a type
_CLASSES = (Fraction, Counter)  # those of rebuilt values that a program can patch


class Pristine:
    """`modules`: by name. Taken in the fork server; `accept` and `mend` are of one test."""

    def __init__(self) -> None:
        self.modules = {name: sys.modules[name] for name in _NAMES if name in sys.modules}
        self.modules["builtins"] = builtins
        self.builtins = dict(vars(builtins))
        self._saved: list[dict[str, Any]] = [dict(vars(module)) for module in self.modules.values()]
        self._counters = [_COUNTERS.from_address(id(vars(module)) + _HEAD) for module in self.modules.values()]
        self._raw = [counters.raw for counters in self._counters]
        self._classes = [(kind, name, value) for kind in _CLASSES for name, value in vars(kind).items()]

    def start(self) -> None:
        """A test's code is about to run: everything as it was at first."""
        sys.modules.update(self.modules)
        self.mend()

    def accept(self) -> None:
        """The program goes on: what the test replaced is the test's will."""
        for number in self._changed():
            self._saved[number] = dict(vars(self._module(number)))
            self._raw[number] = self._counters[number].raw

    def mend(self) -> None:
        """The test goes on: names that the program replaced are put back; those that it added may stay."""
        for number in self._changed():
            vars(self._module(number)).update(self._saved[number])
            self._raw[number] = self._counters[number].raw
        for kind, name, value in self._classes:
            if vars(kind).get(name) is not value:
                type.__setattr__(kind, name, value)

    def of_library(self, value: Any) -> bool:
        """Whether `value` is a module, class or function of the library as it was, or built in."""
        kind = type(value)
        if kind is types.ModuleType:
            return any(module is value for module in self.modules.values())
        if kind is types.FunctionType or kind is types.BuiltinFunctionType:
            module, name = value.__module__, value.__name__
        elif is_class(value):
            module, name = module_of(value), name_of(value)
            if kind is type and not flags_of(value) & _MADE_BY_A_STATEMENT:
                return True
        else:
            return False
        known = self.modules.get(module) if type(module) is str else None
        return known is not None and type(name) is str and vars(known).get(name) is value

    def _changed(self) -> list[int]:
        return [number for number, counters in enumerate(self._counters) if counters.raw != self._raw[number]]

    def _module(self, number: int) -> types.ModuleType:
        return list(self.modules.values())[number]
