"""The classes of the stand-ins: what a test sees in place of an object of a class of the program.

A stand-in hands on attributes, calls, items and texts. Unless the test is about its class, its truth, membership and
order decide nothing (TypeError). `==` does only where what both objects consist of agrees with what the program's own
`==` says; it may say that an object is unequal to data.
"""

import inspect
from collections.abc import Callable, Iterator
from copy import copy, deepcopy
from typing import Any

from stepcoder.executor.sandbox.failures import line_of
from stepcoder.executor.sandbox.values.codec import own_operators
from stepcoder.executor.sandbox.values.data import base_of, bases_of, module_of, name_of, space_of, state_of
from stepcoder.executor.sandbox.values.pristine import Pristine
from stepcoder.executor.sandbox.values.subclasses import METACLASSES, made_by_program, subclass

_HANDED_ON = (
    "__call__ __iter__ __len__ __getitem__ __setitem__ __delitem__ __missing__ __str__ __repr__ __format__ "
    "__enter__ __reversed__ __bytes__ __await__ __neg__ __pos__ __invert__ "
    "__get__ __set__ __delete__ __set_name__ __aenter__ __aiter__ __anext__ __array__"
).split()
_CONVERSIONS = "__abs__ __int__ __float__ __complex__ __index__ __round__ __floor__ __ceil__ __trunc__".split()
_ARITHMETIC = "add sub mul matmul truediv floordiv mod pow and or xor lshift rshift".split()
_ORDER = "__lt__ __le__ __gt__ __ge__".split()
_BINARY = [f"__{side}{name}__" for side in ("", "r", "i") for name in _ARITHMETIC]
TARGET, _MIXED = "__target__", "__mixed__"
STEP = next
_get, _set = object.__getattribute__, object.__setattr__


def _asked(owner: Any, name: str) -> Any:
    """An attribute of the program's. Not those by which an object would answer in numpy's place."""
    if name.startswith("__array_"):
        raise AttributeError(name)
    return getattr(owner, name)


def _of_class(name: str) -> Any:
    return property(lambda cls: cls.__mirrors__.call(getattr, (cls, name), {}))


class Mirror(type):
    """The class of the stand-ins of one class of the program, and itself the stand-in of that class."""

    __mirrors__: "Mirrors"
    __mirrored__: Any

    def __new__(cls, name: str, bases: tuple[Any, ...], space: dict[str, Any], **keywords: Any) -> Any:
        """A class statement of the test."""
        parents = tuple(base.__mirrored__ if isinstance(base, Mirror) else base for base in bases)
        if any(BaseException in type.mro(parent) for parent in parents):
            return type.__new__(cls, name, bases, space)  # an `except` asks no metaclass
        mirrors = next(base.__mirrors__ for base in bases if isinstance(base, Mirror))
        make = subclass if all(type(parent) in METACLASSES for parent in parents) else made_by_program
        return make(name, parents, space, keywords, mirrors.call)

    def __instancecheck__(cls, value: Any) -> bool:
        known = type.__instancecheck__(cls, value) or cls.__mirrored__ in type.mro(type(value))
        return known or cls._says(isinstance, value)

    def __subclasscheck__(cls, kind: type) -> bool:
        return type.__subclasscheck__(cls, kind) or cls.__mirrored__ in type.mro(kind) or cls._says(issubclass, kind)

    def _says(cls, ask: Callable[..., bool], member: Any) -> bool:
        """What the program's class says, where it has a say: an abstract one or a protocol, or by its metaclass."""
        return type(cls.__mirrored__) is not type and cls.__mirrors__.call(ask, (member, cls), {}) is True

    __annotations__, __abstractmethods__, __flags__ = map(
        _of_class, ("__annotations__", "__abstractmethods__", "__flags__")
    )

    @property
    def __dict__(cls) -> Any:  # pyright: ignore[reportGeneralTypeIssues]
        return cls.__mirrors__.call(lambda kind: dict(vars(kind)), (cls,), {})

    @property
    def __signature__(cls) -> Any:
        """As of a class whose instances are made by `__init__`."""
        made = inspect.signature(cls.__init__)
        return made.replace(parameters=[*made.parameters.values()][1:], return_annotation=inspect.Signature.empty)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls.__mirrors__.call(cls.__mirrored__, args, kwargs)

    def __getattr__(cls, name: str) -> Any:
        return cls.__mirrors__.call(_asked, (cls, name), {})

    def __iter__(cls) -> Iterator[Any]:
        return cls.__mirrors__.call(iter, (cls,), {})

    def __len__(cls) -> int:
        return cls.__mirrors__.call(len, (cls,), {})

    def __getitem__(cls, key: Any) -> Any:
        return cls.__mirrors__.call(lambda kind, key: kind[key], (cls, key), {})

    def __bool__(cls) -> bool:
        return True

    def __dir__(cls) -> Any:
        return cls.__mirrors__.call(dir, (cls,), {})


class _Attribute:
    """Of the program's object, or of its class."""

    def __init__(self, call: Callable[..., Any], name: str) -> None:
        self._call, self._name = call, name

    def __get__(self, stand: Any, owner: type) -> Any:
        return self._call(getattr, (owner if stand is None else stand, self._name), {})

    def __set__(self, stand: Any, value: Any) -> None:
        self._call(setattr, (stand, self._name, value), {})


class Mirrors:
    """Of one test, by the program's class. `call` and `outward`: the membrane's. `about`: whether the test names a
    class."""

    def __init__(
        self, pristine: Pristine, call: Callable[..., Any], outward: Callable[[Any], Any], about: Callable[[type], bool]
    ) -> None:
        self._pristine, self.call, self._outward, self._about = pristine, call, outward, about
        self._made: dict[int, tuple[type, Any]] = {}

    def of(self, kind: type) -> Any:
        if id(kind) in self._made:
            return self._made[id(kind)][1]
        base, library = base_of(kind), self._pristine.of_library(kind)
        above = () if library else bases_of(kind)
        bases = [self.of(part) for part in above if not self._pristine.of_library(part)]
        bases += [part for part in above if BaseException in type.mro(part) and self._pristine.of_library(part)]
        if not bases or (base is not None and not any(issubclass(part, base) for part in bases)):
            bases.append(base or object)
        space = self._forwards(kind, base) | {
            "__mirrors__": self,
            "__mirrored__": kind,
            "__module__": module_of(kind),
        }
        if library:
            space["__class__"] = property(lambda _: kind)
        mirror = type.__new__(Mirror, str(name_of(kind)), tuple(bases), space)
        self._made[id(kind)] = kind, mirror
        return mirror

    def _forwards(self, kind: type, base: type | None) -> dict[str, Any]:
        """What stand-ins of this class hand on; data keeps its own operators."""
        parts = [part for part in type.mro(kind)[:-1] if not (base and self._pristine.of_library(part))]
        names = {name for part in parts for name in space_of(part)}
        space: dict[str, Any] = {name: self._forward(kind, name) for name in _HANDED_ON if name in names}
        leaving = {"__exit__": self._exit, "__aexit__": self._aexit}
        space |= {name: leave(kind, name) for name, leave in leaving.items() if name in names}
        space["__doc__"] = self._attribute("__doc__")
        space["__dir__"] = lambda stand: self.call(dir, (stand,), {})
        space["__copy__"] = lambda stand: self.call(copy, (stand,), {})
        space["__deepcopy__"] = lambda stand, _: self.call(deepcopy, (stand,), {})
        if "__next__" in names:
            space["__next__"] = lambda stand: self.call(STEP, (stand,), {})
        space["__getattr__"] = lambda stand, name: self.call(_asked, (stand, name), {})
        space["__setattr__"] = lambda stand, name, value: self.call(setattr, (stand, name, value), {})
        space["__delattr__"] = lambda stand, name: self.call(delattr, (stand, name), {})
        space["__dict__"] = property(lambda stand: self.call(getattr, (stand, "__dict__"), {}))
        if "__init__" in names:
            space["__init__"] = self._attribute("__init__")
        if base is not None or BaseException in type.mro(kind):
            return space | {name: self._attribute(name) for name in names if not name.startswith("__")}
        space |= {name: self._operator(kind, name) for name in _BINARY if name in names}
        space |= {name: self._conversion(kind, name) for name in _CONVERSIONS if name in names}
        own = own_operators(names)
        if "==" in own:
            space["__eq__"] = lambda stand, other: self._equal(stand, other)
            space["__ne__"] = lambda stand, other: self._unequal(stand, other)
            space["__hash__"] = object.__hash__
        if self._about(kind):
            return space | self._own(kind, names)
        return space | {
            name: _refusing(name) for name, what in (("__bool__", "truth"), ("__contains__", "in")) if what in own
        }

    def _own(self, kind: type, names: set[str]) -> dict[str, Any]:
        """What a class that the test is about says itself: as much as its methods do, whose word a test takes too."""
        space: dict[str, Any] = {name: self._ordering(kind, name) for name in _ORDER if name in names}
        if "__hash__" in names:
            space["__hash__"] = lambda stand: self.call(hash, (stand,), {})
        if "__contains__" in names:
            space["__contains__"] = lambda stand, member: self.call(lambda a, b: b in a, (stand, member), {})
        if not names.isdisjoint(("__bool__", "__len__")):
            space["__bool__"] = lambda stand: self.call(bool, (stand,), {})
        return space

    def _ordering(self, kind: type, name: str) -> Callable[[Any, Any], Any]:
        def order(stand: Any, other: Any) -> Any:
            says = self.call(getattr(kind, name), (stand, other), {})
            if says is not NotImplemented and not (type(says) is bool and isinstance(type(other), Mirror)):
                raise TypeError(f"an object's own {name} with a value of the test decides nothing")
            return says

        return order

    def _attribute(self, name: str) -> Any:
        return _Attribute(self.call, name)

    def _forward(self, kind: type, name: str) -> Callable[..., Any]:
        return lambda stand, *args, **kwargs: self.call(getattr(kind, name), (stand, *args), kwargs)

    def _exit(self, kind: type, name: str) -> Callable[..., Any]:
        """An assert of the test that has failed goes on, whatever the object says."""
        forward = self._forward(kind, name)

        def leave(stand: Any, *args: Any, **kwargs: Any) -> Any:
            failed = _failed(args)
            ended = forward(stand, *args, **kwargs)
            return False if failed else ended

        return leave

    def _aexit(self, kind: type, name: str) -> Callable[..., Any]:
        forward = self._forward(kind, name)

        async def leave(stand: Any, *args: Any, **kwargs: Any) -> Any:
            failed = _failed(args)
            ended = await forward(stand, *args, **kwargs)
            return False if failed else ended

        return leave

    def _operator(self, kind: type, name: str) -> Callable[..., Any]:
        """With data of the test an object makes only further objects, which are no numbers: a difference that is
        always 0 would pass for any answer."""

        def operate(stand: Any, *others: Any) -> Any:
            made = self.call(getattr(kind, name), (stand, *others), {})
            if made is not NotImplemented and not all(isinstance(type(other), Mirror) for other in others):
                if not isinstance(type(made), Mirror) or base_of(type(made)) is not None:
                    raise TypeError(f"an object's own {name} with a value of the test decides nothing")
                _set(made, _MIXED, True)
            return made

        return operate

    def _conversion(self, kind: type, name: str) -> Callable[..., Any]:
        def convert(stand: Any, *args: Any) -> Any:
            try:
                _get(stand, _MIXED)
            except AttributeError:
                return self.call(getattr(kind, name), (stand, *args), {})
            raise TypeError(f"an object's own {name} decides nothing about a value of the test")

        return convert

    def _equal(self, stand: Any, other: Any) -> bool:
        """Where the program's own == and what the objects consist of agree; TypeError where they do not."""
        if other is None:
            return False
        if not isinstance(type(other), Mirror):
            if self.call(lambda a, b: bool(a == b), (stand, other), {}):
                raise TypeError("an object's own == with a value of the test decides nothing")
            return False
        one, two = _get(stand, TARGET), _get(other, TARGET)
        says = self.call(lambda: bool(one == two), (), {})
        states = [{name: self._outward(part) for name, part in state_of(target).items()} for target in (one, two)]
        alike = type(one) is type(two) and bool(states[0]) and states[0] == states[1]
        if says is not alike:
            raise TypeError("an object's own == decides nothing")
        return says

    def _unequal(self, stand: Any, other: Any) -> bool:
        unequal = not self._equal(stand, other)
        if unequal is not self.call(lambda a, b: bool(a != b), (stand, other), {}):
            raise TypeError("an object's own != decides nothing")
        return unequal


def _failed(raised: tuple[Any, ...]) -> bool:
    """Of what `__exit__` is told: whether an assert failed that the program has no part in."""
    error = raised[1] if len(raised) > 1 else None
    return isinstance(error, AssertionError) and line_of(error) is None


def _refusing(name: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise TypeError(f"an object's own {name} decides nothing")

    return refuse
