"""The library as it was before any program, for the code of tests that run beside one.

Names that a program puts others in place of are put back when the test goes on: a test that says `math.isclose` means
the library's. What a test replaces itself, such as `input`, stays.
"""

import builtins
import contextlib
import ctypes
import gc
import importlib
import sys
import types
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from stepcoder.executor.sandbox.values.data import flags_of, is_class, know, module_of, name_of

_COUNTERS, _HEAD = ctypes.c_char * 16, 16  # of a dictionary object, see sandbox.sharing.state
# What tests say. Others are as programs leave them, but for those that a test imports itself.
_NAMES = """
    bisect cmath collections collections.abc copy dataclasses datetime decimal enum fractions functools heapq io
    itertools json json.decoder math numbers operator random re statistics string time types typing
""".split()
_MADE_BY_A_STATEMENT = 1 << 9  # flag of a type
_CLASSES = (Fraction, Counter)  # those of rebuilt values that a program can patch
_OPEN = ("sys", "os", "threading", "asyncio")  # programs change these for themselves
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)


class Pristine:
    """`modules`: by name. Taken in the fork server; `accept` and `mend` are of one test."""

    def __init__(self) -> None:
        self.modules = {name: sys.modules[name] for name in _NAMES if name in sys.modules}
        self.modules["builtins"] = builtins
        self.builtins = dict(vars(builtins))
        self._roots = {name.partition(".")[0] for name in sys.modules} | sys.stdlib_module_names
        if (numpy := sys.modules.get("numpy")) is not None:
            know(numpy)
        self._imported: dict[str, types.ModuleType] = {}  # by a test, beyond `modules`
        self._spaces: list[_Space] = []
        self._library: dict[int, tuple[Any, type]] = {}  # its objects and their classes, by identity
        for name, module in self.modules.items():
            self._watch(name, module)
            for value in vars(module).values():
                if _made_in(value, name, vars(module)):
                    self._library[id(value)] = value, type(value)
        self._raw = b"".join(self._counters)
        self._classes = [(kind, name, value) for kind in _CLASSES for name, value in vars(kind).items()]

    def _watch(self, name: str, module: types.ModuleType) -> None:
        """A module and the classes that are made in it."""
        self._spaces.append(_Space(module))
        for value in vars(module).values():
            if is_class(value) and module_of(value) == name and flags_of(value) & _MADE_BY_A_STATEMENT:
                self._spaces.append(_Space(value))
        self._counters = [space.counters for space in self._spaces]

    def prepare(self, names: Iterable[str]) -> None:
        """Before a program runs: modules of the library, or of packages that are ready, that its test is going to
        import, with their parts."""
        roots = {name.partition(".")[0] for name in names} & self._roots - {*self.modules, "sys", "os"}
        for name in names if roots else ():
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        for name, module in list(sys.modules.items()) if roots else ():
            root = name.partition(".")[0]
            if root in roots and type(module) is types.ModuleType:
                self._errors(module)
                if root not in _OPEN:
                    self._imported[name] = module
                    self._watch(name, module)
        self._counters = [space.counters for space in self._spaces]
        self._raw = b"".join(self._counters)

    def _errors(self, module: types.ModuleType) -> None:
        """A test catches the exceptions of the modules that it imports, as they are."""
        for value in vars(module).values():
            if is_class(value) and BaseException in type.mro(value) and not self.of_library(value):
                self._library[id(value)] = value, type(value)
                self._spaces.append(_Space(value))

    def start(self) -> None:
        """A test's code is about to run: everything as it was at first."""
        sys.modules.update(self.modules | self._imported)
        self.mend()

    def accept(self) -> None:
        """The program goes on: what the test replaced is the test's will."""
        if b"".join(self._counters) != self._raw:
            for space in self._spaces:
                space.accept()
            self._raw = b"".join(self._counters)

    def mend(self) -> None:
        """The test goes on: names that the program replaced are put back; those that it added may stay."""
        if b"".join(self._counters) != self._raw:
            for space in self._spaces:
                space.mend()
            self._raw = b"".join(self._counters)
        for kind, name, value in self._classes:
            if vars(kind).get(name) is not value:
                type.__setattr__(kind, name, value)

    def of_library(self, value: Any) -> bool:
        """Whether `value` is a module, class, function or other object of the library as it was, or built in.

        By identity: a program could give its own the name of a module, and put them there.
        """
        kind = type(value)
        if kind is types.ModuleType:
            return any(module is value for module in self.modules.values())
        if kind is type and not flags_of(value) & _MADE_BY_A_STATEMENT:
            return True
        found = self._library.get(id(value))
        return found is not None and found[0] is value and found[1] is kind


def _made_in(value: Any, name: str, names: dict[str, Any]) -> bool:
    """Whether a module has made what it holds: a function, a class, an object of one of its classes."""
    kind = type(value)
    if kind in _FUNCTIONS:
        return value.__module__ == name and names.get(value.__name__) is value
    if not is_class(value):
        return kind in names.values() and module_of(kind) == name and bool(flags_of(kind) & _MADE_BY_A_STATEMENT)
    return module_of(value) == name and names.get(name_of(value)) is value


def _decides(name: str) -> bool:
    """Of a name that a program has added to a class of the library: whether it is that of a special method."""
    return name.startswith("__") and name != "__annotations__"  # which the interpreter adds


class _Space:
    """What a module or a class of the library has, and how that was."""

    __slots__ = ("_names", "_owner", "_raw", "_saved", "counters")

    def __init__(self, owner: Any) -> None:
        self._owner, self._names = owner, vars(owner)
        names = gc.get_referents(self._names)[0] if is_class(owner) else self._names  # a class shows a proxy
        self.counters = _COUNTERS.from_address(id(names) + _HEAD)
        self.accept()

    def accept(self) -> None:
        self._saved, self._raw = dict(self._names), self.counters.raw

    def mend(self) -> None:
        if self.counters.raw == self._raw:
            return
        if is_class(self._owner):
            for name in [name for name in self._names if name not in self._saved and _decides(name)]:
                type.__delattr__(self._owner, name)
        for name, value in self._saved.items():
            if self._names.get(name, self) is not value:
                if is_class(self._owner):
                    type.__setattr__(self._owner, name, value)
                else:
                    self._names[name] = value
        self._raw = self.counters.raw
