"""Values by the built-in type that they derive from, read and filled by that type's own methods: no class of a program
is asked anything."""

import contextlib
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

from stepcoder.executor.sandbox.values.arrays import Arrays
from stepcoder.executor.sandbox.values.standard import STANDARD

_NOTHING_IN_IT = (type(None), bool, int, float, complex, str, bytes, range, type(...), type(NotImplemented))
# By identity: a metaclass of the program may pose as equal to any class.
ATOMS = {id(kind) for kind in _NOTHING_IN_IT}
MUTABLE = {id(kind) for kind in (Counter, OrderedDict, defaultdict, list, dict, set, deque, bytearray)}
IMMUTABLE = {id(kind) for kind in (tuple, *STANDARD)} - MUTABLE - ATOMS
SCALARS: dict[type, Callable[[Any], Any]] = {
    int: lambda value: int.__add__(value, 0),
    float: float.__float__,
    str: str.__str__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    complex: lambda value: complex(*(complex.__getattribute__(value, part) for part in ("real", "imag"))),
}
_BASES = MUTABLE | IMMUTABLE | {id(kind) for kind in SCALARS}
name_of, module_of, bases_of, flags_of, space_of = (
    vars(type)[name].__get__ for name in ("__name__", "__module__", "__bases__", "__flags__", "__dict__")
)


class _Known:
    arrays: Arrays | None = None


def know(numpy: Any) -> None:
    """From now on the arrays of this module are data, too, and its numbers and types have nothing in them."""
    _Known.arrays = Arrays(numpy)
    ATOMS.update(map(id, _Known.arrays.atoms))
    for kinds in (MUTABLE, _BASES):
        kinds.add(id(_Known.arrays.kind))


def array(kind: Any) -> Arrays | None:
    """What reads values of this type of data, where they are arrays."""
    arrays = _Known.arrays
    return arrays if arrays is not None and kind is arrays.kind else None


def is_class(value: Any) -> bool:
    return type in type.mro(type(value))


def base_of(kind: type) -> Any:
    """The type of data that a class derives from, if any."""
    return next((part for part in type.mro(kind) if id(part) in _BASES), None)


def parts_of(value: Any, kind: Any) -> list[Any]:
    """Of a container by its own type's methods: what `refill` takes."""
    if kind is list:
        return list(list.__iter__(value))
    if kind is dict or kind is Counter or kind is defaultdict:
        return [[key, item] for key, item in dict.items(value)]
    if kind is OrderedDict:
        return [[key, item] for key, item in OrderedDict.items(value)]
    if (arrays := array(kind)) is not None:
        return arrays.parts(value)
    return list(kind.__iter__(value))


def refill(value: Any, parts: list[Any], kind: Any) -> None:
    """Puts the parts into a container; untouched where it has the same ones."""
    if (arrays := array(kind)) is not None:
        arrays.refill(value, parts)
        return
    old = parts_of(value, kind)
    if len(old) == len(parts) and all(a is b for a, b in zip(old, parts, strict=True)):
        return
    if kind is list or kind is bytearray:
        kind.__setitem__(value, slice(None), parts)
        return
    if kind is set or kind is deque:
        kind.clear(value)
        (set.update if kind is set else deque.extend)(value, parts)
        return
    setter = OrderedDict.__setitem__ if kind is OrderedDict else dict.__setitem__
    kind.clear(value)
    for key, item in parts:
        setter(value, key, item)


def empty(value: Any, kind: Any) -> Any:
    if (arrays := array(kind)) is not None:
        return arrays.empty(value)
    if kind is deque:
        return deque(maxlen=value.maxlen)
    return defaultdict(value.default_factory) if kind is defaultdict else kind()


def state_of(value: Any) -> dict[str, Any]:
    """What an object consists of, whatever its class says."""
    state: dict[str, Any] = {}
    for part in type.mro(type(value)):
        space = space_of(part)
        for name, member in space.items():
            if type(member) is types.MemberDescriptorType:
                with contextlib.suppress(AttributeError):
                    state[name] = member.__get__(value)
            elif name == "__dict__" and type(member) is types.GetSetDescriptorType:
                state.update(member.__get__(value))
    return state
