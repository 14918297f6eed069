"""A class of the test that derives from classes of the program: what it inherits crosses, as all that the program says.

It is a real subclass. In front of each class of the program comes one with the same methods, which hand on. What the
program does to the new class (`__init_subclass__`) is made to hand on as well.
"""

import types
from abc import ABCMeta
from collections.abc import Callable
from enum import EnumMeta
from typing import Any

from stepcoder.executor.sandbox.values.data import space_of

_Call = Callable[[Callable[..., Any], Any, Any], Any]
_METHODS = (property, classmethod, staticmethod, types.FunctionType)
METACLASSES = (type, ABCMeta, EnumMeta)
_NOT_INHERITED = {"__new__", "__init_subclass__", "__class_getitem__", "__getattribute__"}


def subclass(
    name: str, parents: tuple[type, ...], space: dict[str, Any], keywords: dict[str, Any], call: _Call
) -> type:  # fmt: skip
    """`parents`: real ones. `call`: how the test calls a function of the program."""
    bases = tuple(base for parent in parents for base in (_handing_on(parent, call), parent) if base)

    def fill(made: Any) -> None:
        for key, value in space.items():
            made[key] = value  # which an enumeration watches

    made = types.new_class(name, bases, keywords, fill)
    for key, member in [*space_of(made).items()] if any(map(_adds, parents)) else ():
        if not key.startswith("_") and member is not space.get(key, made):
            part = _handed(key, member, made, call)
            type.__setattr__(made, key, call(lambda member=member: member, (), {}) if type(part) is _Data else part)
    return made


def made_by_program(
    name: str, parents: tuple[type, ...], space: dict[str, Any], keywords: dict[str, Any], call: _Call
) -> Any:  # fmt: skip
    """Of a metaclass of the program: the class is the program's, and the test has what stands for it."""
    return call(lambda **given: types.new_class(name, parents, keywords, lambda made: made.update(given)), (), space)


def _adds(parent: type) -> bool:
    return any("__init_subclass__" in space_of(part) for part in type.mro(parent)[:-1])


def _handing_on(parent: type, call: _Call) -> type | None:
    """None where nothing has to cross."""
    found: dict[str, Any] = {}
    for part in type.mro(parent)[-2::-1]:
        if isinstance(part, type) and part.__module__ == parent.__module__:
            found |= {name: _handed(name, member, part, call) for name, member in space_of(part).items()}
    space = {name: member for name, member in found.items() if member is not None and name not in _NOT_INHERITED}
    if type(parent) is EnumMeta:  # which has its own ideas of names and data
        space = {name: member for name, member in space.items() if name[0] != "_" and type(member) is not _Data}
    return type(parent.__name__, (), {"__slots__": (), "__module__": parent.__module__, **space}) if space else None


def _handed(name: str, member: Any, owner: type, call: _Call) -> Any:
    """None for what is taken as it is: descriptors that are set, and what the subclass has yet to define."""
    if type(member) in _METHODS and getattr(member, "__isabstractmethod__", False) is True:
        return None
    match member:
        case property():
            setter = (lambda own, value: call(member.__set__, (own, value), {})) if member.fset else None
            return property(lambda own: call(member.__get__, (own,), {}), setter, doc=member.__doc__)
        case classmethod():
            return classmethod(lambda kind, *args, **named: call(member.__func__, (kind, *args), named))
        case staticmethod():
            return staticmethod(lambda *args, **named: call(member.__func__, args, named))
        case types.FunctionType() if name == "__eq__":
            return lambda own, other: _equal(own, other, member, call)
        case types.FunctionType():
            return lambda own, *args, **named: call(member, (own, *args), named)
    return None if name.startswith("__") or hasattr(type(member), "__set__") else _Data(name, owner, call)


class _Data:
    """An attribute of a class of the program, also one that is computed (`cached_property`)."""

    def __init__(self, name: str, owner: type, call: _Call) -> None:
        self._name, self._owner, self._call = name, owner, call

    def __get__(self, own: Any, kind: type) -> Any:
        return self._call(lambda own: self._get(own, kind), (own,), {})

    def _get(self, own: Any, kind: type) -> Any:
        member = space_of(self._owner)[self._name]
        get = getattr(type(member), "__get__", None)
        return member if get is None else get(member, own, kind)


def _equal(own: Any, other: Any, member: Any, call: _Call) -> Any:
    says = call(member, (own, other), {})
    if says is not NotImplemented and says and not set(type.mro(type(own))) & set(type.mro(type(other))) - {object}:
        raise TypeError("an object's own == with a value of the test decides nothing")
    return says
