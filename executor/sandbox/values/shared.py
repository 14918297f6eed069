"""Objects and classes of a test that the program has too: what it does to their classes is put back."""

import types
from collections.abc import Callable
from sys import getrefcount as refcount  # by name: a program may change what a module holds
from typing import Any
from weakref import ref

from stepcoder.executor.sandbox.values.data import space_of

_METHODS = {types.FunctionType, classmethod, staticmethod, property}


def held(value: Any, table: dict[int, Any], key: int) -> Callable[[], Any]:
    """What gives `value` as long as anything else refers to it, and then takes `key` out of `table`; for good where
    nothing can tell."""
    try:
        return ref(value, lambda _: table.pop(key, None))
    except TypeError:
        return lambda: value


class Shared:
    """One test's."""

    def __init__(self, outward: Callable[[Any], Any]) -> None:
        """`outward`: how a value of the program comes to the test."""
        self._outward = outward
        self._objects: dict[int, tuple[Callable[[], Any], type]] = {}
        self._classes: dict[int, tuple[type, dict[str, Any]]] = {}  # and what they had when the program went on

    def trust(self, kind: type) -> None:
        """A class of the test or of the setup."""
        if id(kind) not in self._classes:
            self._classes[id(kind)] = kind, dict(space_of(kind))

    def trusted(self, kind: type) -> bool:
        return id(kind) in self._classes

    def add(self, value: Any) -> None:
        self._objects[id(value)] = held(value, self._objects, id(value)), type(value)

    def has(self, value: Any) -> bool:
        return id(value) in self._objects

    def accept(self) -> None:
        """The program goes on."""
        self._classes = {key: (kind, dict(space_of(kind))) for key, (kind, _) in list(self._classes.items())}

    def mend(self) -> None:
        """The test goes on."""
        for found, kind in list(self._objects.values()):
            if (value := found()) is not None and type(value) is not kind:
                object.__setattr__(value, "__class__", kind)
        for kind, before in list(self._classes.values()):
            found = space_of(kind)
            for name in [name for name in found if found[name] is not before.get(name, self)]:
                self._mend(kind, name, before.get(name), found[name])

    def _mend(self, kind: type, name: str, own: Any, part: Any) -> None:
        """A class keeps its methods, and may have got others; what else the program has set crosses."""
        part = own if type(own) in _METHODS else part if type(part) in _METHODS else self._outward(part)
        if space_of(kind)[name] is not part:
            type.__setattr__(kind, name, part)

    def forget(self) -> None:
        """Objects that nothing else refers to."""
        for key in list(self._objects):
            found, _ = self._objects.get(key, (None, None))
            if type(found) is types.FunctionType and refcount(found()) <= 2:  # what gives it, the argument
                self._objects.pop(key, None)
