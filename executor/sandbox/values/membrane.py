"""What a test's code that runs beside a program sees of it: rebuilt data, and stand-ins for everything else.

Whatever crosses from the program to the test is copied by its built-in type (values.standard); an object of
another type is a stand-in that hands on attributes, calls, items and texts, whose results cross in turn. So no class of
the program decides an assert: `==` of two of its objects holds only where what they consist of agrees as well, and its
truth, membership and order decide nothing (TypeError). What the test gives to the program is copied too, and
both copies are brought up to date whenever one side goes on. The program's process is the same: it could dig.
"""

import contextlib
import inspect
import sys
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

from stepcoder.executor.sandbox.values.codec import own_operators
from stepcoder.executor.sandbox.values.pristine import Pristine
from stepcoder.executor.sandbox.values.standard import STANDARD

_NOTHING_IN_IT = (type(None), bool, int, float, complex, str, bytes, range, type(...), type(NotImplemented))
# By identity: a metaclass of the program may pose as equal to any class.
_ATOMS = {id(kind) for kind in _NOTHING_IN_IT}
_MUTABLE = {id(kind) for kind in (Counter, OrderedDict, defaultdict, list, dict, set, deque, bytearray)}
_IMMUTABLE = {id(kind) for kind in (tuple, *STANDARD)} - _MUTABLE - _ATOMS
_SCALARS: dict[type, Callable[[Any], Any]] = {
    int: lambda value: int.__add__(value, 0),
    float: float.__float__,
    str: str.__str__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    complex: lambda value: complex(*(complex.__getattribute__(value, part) for part in ("real", "imag"))),
}
_BASES = _MUTABLE | _IMMUTABLE | {id(kind) for kind in _SCALARS}
_FRESH = {id(kind) for kind in (types.MethodType, types.BuiltinMethodType, types.MethodWrapperType)}
_HANDED_ON = (
    "__call__ __iter__ __next__ __len__ __getitem__ __setitem__ __delitem__ __missing__ __str__ __repr__ __format__ "
    "__enter__ __exit__ __reversed__ __bytes__ __await__ __neg__ __pos__ __invert__"
).split()
_CONVERSIONS = "__abs__ __int__ __float__ __complex__ __index__ __round__ __floor__ __ceil__ __trunc__".split()
_ARITHMETIC = "add sub mul matmul truediv floordiv mod pow and or xor lshift rshift".split()
_BINARY = [f"__{side}{name}__" for side in ("", "r", "i") for name in _ARITHMETIC]
_TARGET, _MIXED, _MADE_BY_A_STATEMENT = "__target__", "__mixed__", 1 << 9
_name_of, _module_of, _bases_of, _flags_of, _space_of = (
    vars(type)[name].__get__ for name in ("__name__", "__module__", "__bases__", "__flags__", "__dict__")
)
_args_of, _set_args = (getattr(vars(BaseException)["args"], name) for name in ("__get__", "__set__"))
_get, _set = object.__getattribute__, object.__setattr__


class _Mirror(type):
    """The class of the stand-ins of one class of the program, and itself the stand-in of that class."""

    __membrane__: "Membrane"
    __mirrored__: Any

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls.__membrane__.call(cls.__mirrored__, args, kwargs)

    def __getattr__(cls, name: str) -> Any:
        return cls.__membrane__.call(getattr, (cls, name), {})

    def __iter__(cls) -> Iterator[Any]:
        return cls.__membrane__.call(iter, (cls,), {})

    def __len__(cls) -> int:
        return cls.__membrane__.call(len, (cls,), {})

    def __getitem__(cls, key: Any) -> Any:
        return cls.__membrane__.call(lambda kind, key: kind[key], (cls, key), {})

    def __bool__(cls) -> bool:
        return True


class Names(dict[str, Any]):
    """The namespace of a test's code: its own names first, then the program's, then the built-in ones.

    A built-in name is the program's only where the test asks the program for nothing else.
    """

    def __init__(self, membrane: "Membrane", module: types.ModuleType, asked: set[str]) -> None:
        built_in = membrane.pristine.builtins | {"__import__": self._import}
        super().__init__({"__builtins__": built_in, "__name__": module.__name__})
        self._membrane, self._module, self._program = membrane, module, vars(module)
        theirs = asked & self._program.keys()
        self._hidden = built_in.keys() - (set() if theirs - built_in.keys() else theirs)

    def __missing__(self, name: str) -> Any:
        if name not in self._program or name in self._hidden:
            raise KeyError(name)
        return self._membrane.outward(self._program[name])

    def __setitem__(self, name: str, value: Any) -> None:
        """A program may refer to functions and classes of a test; other values are not shown to it."""
        super().__setitem__(name, value)
        if callable(value) and name not in self._program:
            self._program[name] = self._membrane.inward(value)

    def _import(self, name: str, *args: Any) -> Any:
        if name == self._module.__name__:
            return self._membrane.outward(self._module)
        return self._membrane.pristine.builtins["__import__"](name, *args)


class Membrane:
    """One test's. Objects of both sides are kept while either side may meet them again."""

    def __init__(self, pristine: Pristine) -> None:
        self.pristine = pristine
        self._mirrors: dict[int, tuple[type, Any]] = {}  # by the program's class
        self._stands: dict[int, tuple[Any, Any]] = {}  # (object of the program, its stand-in), by the former
        self._pairs: dict[int, tuple[Any, Any]] = {}  # copies: (of the program, of the test), by the former
        self._own: dict[int, tuple[Any, Any]] = {}  # the same by the latter; functions of the test by both
        self._trusted: dict[int, type] = {}  # classes of the test and of the setup

    def trust(self, kind: type) -> None:
        self._trusted[id(kind)] = kind

    # -- from the test to the program and back ---------------------------------------------------------------------

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """What the program's function returns, for the test; exceptions cross too."""
        self.pristine.accept()
        for _, own in list(self._pairs.values()):
            self.inward(own)
        given, named = [self.inward(arg) for arg in args], {name: self.inward(arg) for name, arg in kwargs.items()}
        try:
            value = function(*given, **named)
        except BaseException as error:
            trace = error.__traceback__
            self._back(given, named)
            raise self.outward(error).with_traceback(trace) from None
        self._back(given, named)
        return self.outward(value)

    def _back(self, given: list[Any], named: dict[str, Any]) -> None:
        """The test goes on: its copies are brought up to date; those that one side has let go of are forgotten."""
        sys.settrace(None)
        sys.setprofile(None)
        self.pristine.mend()
        for value in [*given, *named.values(), *(value for value, _ in self._pairs.values())]:
            self.outward(value)
        given.clear()
        named.clear()
        value = own = None
        for key in list(self._pairs):  # the outer ones come first
            value, own = self._pairs[key]
            if min(sys.getrefcount(value), sys.getrefcount(own)) <= 3:  # the pair, the name here, the argument
                del self._pairs[key], self._own[id(own)]

    def outward(self, value: Any, memo: dict[int, Any] | None = None) -> Any:
        """`value` of the program as the test may have it."""
        kind = type(value)
        if id(kind) in _ATOMS:
            return value
        memo = {} if memo is None else memo
        if id(value) in memo:
            return memo[id(value)][1]
        if id(kind) in _MUTABLE:
            return self._copied(value, kind, memo)
        if id(kind) in _IMMUTABLE:
            return self._rebuilt(value, kind, lambda part: self.outward(part, memo))
        return self._other(value, kind, memo)

    def inward(self, value: Any) -> Any:
        """`value` of the test as the program may have it."""
        return self._inward(value, {})

    def _inward(self, value: Any, memo: dict[int, Any]) -> Any:
        kind = type(value)
        if id(kind) in _ATOMS:
            return value
        if isinstance(kind, _Mirror):
            target, base = _get(value, _TARGET), _base(kind)
            if id(base) in _MUTABLE and id(value) not in memo:
                memo[id(value)] = value
                _refill(target, [self._inward(part, memo) for part in _parts(value, base)], base)
            return target
        if kind is _Mirror:
            return value.__mirrored__
        if id(kind) in _MUTABLE:
            return self._lent(value, kind, memo)
        if id(kind) in _IMMUTABLE:
            return self._rebuilt(value, kind, lambda part: self._inward(part, memo))
        if _is_class(value):
            if not self.of_library(value):
                self.trust(value)
            return value
        if kind is types.FunctionType or kind is types.MethodType:
            return value if self.of_library(value) else self._callback(value)
        if not self.of_library(kind):
            self.trust(kind)
            self._share(value, memo)
        return value

    def _share(self, own: Any, memo: dict[int, Any]) -> None:
        """An object of the test is the program's too, with the containers in it."""
        if id(own) in memo:
            return
        memo[id(own)] = own
        kind = type(own)
        if id(kind) in _MUTABLE:
            self._pair(own, own)
        parts = _parts(own, kind) if id(kind) in _MUTABLE or kind is tuple else [*_state(own).values()]
        for part in parts:
            if id(type(part)) in _MUTABLE or type(part) is tuple or id(type(part)) in self._trusted:
                self._share(part, memo)

    # -- data --------------------------------------------------------------------------------------------------------

    def _copied(self, value: Any, kind: type, memo: dict[int, Any]) -> Any:
        """The test's copy of a container, brought up to date."""
        own = self._pairs[id(value)][1] if id(value) in self._pairs else _empty(value, kind)
        memo[id(value)] = value, own
        self._pair(value, own)
        _refill(own, [self.outward(part, memo) for part in _parts(value, kind)], kind)
        return own

    def _lent(self, own: Any, kind: type, memo: dict[int, Any]) -> Any:
        """The program's copy of a container, brought up to date."""
        if id(own) in memo:
            return memo[id(own)]
        value = self._own[id(own)][0] if id(own) in self._own else _empty(own, kind)
        memo[id(own)] = value
        self._pair(value, own)
        _refill(value, [self._inward(part, memo) for part in _parts(own, kind)], kind)
        return value

    def _pair(self, value: Any, own: Any) -> None:
        self._pairs[id(value)] = self._own[id(own)] = value, own

    def _rebuilt(self, value: Any, kind: type, cross: Callable[[Any], Any]) -> Any:
        if kind is tuple:
            items = tuple(map(cross, value))
            return value if all(a is b for a, b in zip(items, value, strict=True)) else items
        apart, together = STANDARD[kind]
        return together([cross(part) for part in apart(value)])

    # -- everything else -----------------------------------------------------------------------------------------------

    def _other(self, value: Any, kind: type, memo: dict[int, Any]) -> Any:  # noqa: PLR0911  (one line a kind)
        if isinstance(kind, _Mirror) or kind is _Mirror or self.of_library(value):
            return value
        if (pair := self._own.get(id(value))) is not None and pair[0] is value:
            return pair[1]
        if _is_class(value):
            return value if id(value) in self._trusted else self._mirror(value)
        if id(kind) in self._trusted or (BaseException in type.mro(kind) and self.of_library(kind)):
            return self._scrubbed(value, memo)
        if kind is types.CoroutineType:
            return self._awaited(value)
        return self._stand(value, kind, memo)

    def of_library(self, value: Any) -> bool:
        """Whether `value` is a module, class or function of the library as it was, or built in."""
        kind = type(value)
        if kind is types.ModuleType:
            return any(module is value for module in self.pristine.modules.values())
        if kind is types.FunctionType or kind is types.BuiltinFunctionType:
            module, name = value.__module__, value.__name__
        elif _is_class(value):
            module, name = _module_of(value), _name_of(value)
            if kind is type and not _flags_of(value) & _MADE_BY_A_STATEMENT:
                return True
        else:
            return False
        known = self.pristine.modules.get(module) if type(module) is str else None
        return known is not None and type(name) is str and vars(known).get(name) is value

    async def _awaited(self, coroutine: Any) -> Any:
        return self.outward(await coroutine)

    def _scrubbed(self, value: Any, memo: dict[int, Any]) -> Any:
        """An object of a class that the test trusts: its attributes cross, in place."""
        memo[id(value)] = value, value
        if BaseException in type.mro(type(value)):
            _set_args(value, tuple(self.outward(part, memo) for part in _args_of(value)))
        for name, part in list(_state(value).items()):
            found = self.outward(part, memo)
            if found is not part:
                _set(value, name, found)
        return value

    def _stand(self, value: Any, kind: type, memo: dict[int, Any]) -> Any:
        base = _base(kind)
        if id(base) in _IMMUTABLE and base is not tuple:
            return self._rebuilt(value, base, lambda part: self.outward(part, memo))
        stand = self._stands[id(value)][1] if id(value) in self._stands else self._made(value, kind, base, memo)
        memo[id(value)] = value, stand
        if id(base) in _MUTABLE:
            if id(kind) not in _FRESH:
                self._pair(value, stand)
            _refill(stand, [self.outward(part, memo) for part in _parts(value, base)], base)
        if BaseException in type.mro(kind):
            _set_args(stand, tuple(self.outward(part, memo) for part in _args_of(value)))
        return stand

    def _made(self, value: Any, kind: type, base: Any, memo: dict[int, Any]) -> Any:
        mirror = self._mirror(kind)
        if base is tuple:
            stand = tuple.__new__(mirror, [self.outward(part, memo) for part in tuple.__iter__(value)])
        elif base in _SCALARS:
            stand = base.__new__(mirror, _SCALARS[base](value))
        else:
            root: Any = next(part for part in mirror.__mro__ if not isinstance(part, _Mirror))
            stand = root.__new__(mirror)
        _set(stand, _TARGET, value)
        if id(kind) not in _FRESH:
            self._stands[id(value)] = value, stand
        return stand

    def _mirror(self, kind: type) -> Any:
        if id(kind) in self._mirrors:
            return self._mirrors[id(kind)][1]
        base, library = _base(kind), self.of_library(kind)
        above = () if library else _bases_of(kind)
        bases = [self._mirror(part) for part in above if not self.of_library(part)]
        bases += [part for part in above if BaseException in type.mro(part) and self.of_library(part)]
        if not bases or (base is not None and not any(issubclass(part, base) for part in bases)):
            bases.append(base or object)
        space = self._forwards(kind, base) | {
            "__membrane__": self,
            "__mirrored__": kind,
            "__module__": _module_of(kind),
        }
        if library:
            space["__class__"] = property(lambda _: kind)
        mirror = type.__new__(_Mirror, str(_name_of(kind)), tuple(bases), space)
        self._mirrors[id(kind)] = kind, mirror
        return mirror

    def _forwards(self, kind: type, base: type | None) -> dict[str, Any]:
        """What stand-ins of this class hand on; data keeps its own operators."""
        parts = [part for part in type.mro(kind)[:-1] if not (base and self.of_library(part))]
        names = {name for part in parts for name in _space_of(part)}
        space: dict[str, Any] = {name: self._forward(kind, name) for name in _HANDED_ON if name in names}
        space["__getattr__"] = lambda stand, name: self.call(getattr, (stand, name), {})
        space["__setattr__"] = lambda stand, name, value: self.call(setattr, (stand, name, value), {})
        space["__delattr__"] = lambda stand, name: self.call(delattr, (stand, name), {})
        space["__dict__"] = property(lambda stand: self.call(getattr, (stand, "__dict__"), {}))
        if base is not None or BaseException in type.mro(kind):
            return space | {name: self._attribute(name) for name in names if not name.startswith("__")}
        space |= {name: self._operator(kind, name) for name in _BINARY if name in names}
        space |= {name: self._conversion(kind, name) for name in _CONVERSIONS if name in names}
        own = own_operators(names)
        if "==" in own:
            space["__eq__"] = lambda stand, other: self._equal(stand, other)
            space["__ne__"] = lambda stand, other: not self._equal(stand, other)
            space["__hash__"] = object.__hash__
        return space | {
            name: _refusing(name) for name, what in (("__bool__", "truth"), ("__contains__", "in")) if what in own
        }

    def _attribute(self, name: str) -> Any:
        return property(
            lambda stand: self.call(getattr, (stand, name), {}),
            lambda stand, value: self.call(setattr, (stand, name, value), {}),
        )

    def _forward(self, kind: type, name: str) -> Callable[..., Any]:
        return lambda stand, *args, **kwargs: self.call(getattr(kind, name), (stand, *args), kwargs)

    def _operator(self, kind: type, name: str) -> Callable[..., Any]:
        """With data of the test an object makes only further objects, which are no numbers: a difference that is
        always 0 would pass for any answer."""

        def operate(stand: Any, *others: Any) -> Any:
            made = self.call(getattr(kind, name), (stand, *others), {})
            if made is not NotImplemented and not all(isinstance(type(other), _Mirror) for other in others):
                if not isinstance(type(made), _Mirror) or _base(type(made)) is not None:
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
        if not isinstance(type(other), _Mirror):
            raise TypeError("an object's own == with a value of the test decides nothing")
        one, two = _get(stand, _TARGET), _get(other, _TARGET)
        says = self.call(lambda: bool(one == two), (), {})
        states = [{name: self.outward(part) for name, part in _state(target).items()} for target in (one, two)]
        alike = type(one) is type(two) and bool(states[0]) and states[0] == states[1]
        if says is not alike:
            raise TypeError("an object's own == decides nothing")
        return says

    def _callback(self, function: Any) -> Any:
        """A function of the test for the program."""
        if id(function) in self._own:
            return self._own[id(function)][0]

        def callback(*args: Any, **kwargs: Any) -> Any:
            given, named = (
                [self.outward(arg) for arg in args],
                {name: self.outward(arg) for name, arg in kwargs.items()},
            )
            value = self.inward(function(*given, **named))
            for arg in (*given, *named.values()):
                self.inward(arg)
            return value

        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            setattr(callback, name, getattr(function, name, None))
        with contextlib.suppress(TypeError, ValueError):
            callback.__dict__["__signature__"] = inspect.signature(function)
        self._own[id(callback)] = self._own[id(function)] = callback, function
        return callback


def _is_class(value: Any) -> bool:
    return type in type.mro(type(value))


def _base(kind: type) -> Any:
    """The type of data that a class derives from, if any."""
    return next((part for part in type.mro(kind) if id(part) in _BASES), None)


def _parts(value: Any, kind: Any) -> list[Any]:
    """Of a container by its own type's methods: what `_refill` takes."""
    if kind is list:
        return list(list.__iter__(value))
    if kind is dict or kind is Counter or kind is defaultdict:
        return [[key, item] for key, item in dict.items(value)]
    if kind is OrderedDict:
        return [[key, item] for key, item in OrderedDict.items(value)]
    return list(kind.__iter__(value))


def _refill(value: Any, parts: list[Any], kind: Any) -> None:
    """Puts the parts into a container; untouched where it has the same ones."""
    old = _parts(value, kind)
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


def _empty(value: Any, kind: Any) -> Any:
    if kind is deque:
        return deque(maxlen=value.maxlen)
    return defaultdict(value.default_factory) if kind is defaultdict else kind()


def _state(value: Any) -> dict[str, Any]:
    """What an object consists of, whatever its class says."""
    state: dict[str, Any] = {}
    for part in type.mro(type(value)):
        space = _space_of(part)
        for name, member in space.items():
            if type(member) is types.MemberDescriptorType:
                with contextlib.suppress(AttributeError):
                    state[name] = member.__get__(value)
            elif name == "__dict__" and type(member) is types.GetSetDescriptorType:
                state.update(member.__get__(value))
    return state


def _refusing(name: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise TypeError(f"an object's own {name} decides nothing")

    return refuse


def test_namespace(
    pristine: Pristine, module: types.ModuleType, source: str, file: str, setup: types.CodeType | None,
    given: dict[str, Any],
) -> tuple[Names, types.CodeType]:  # fmt: skip
    """Where a test's code is to run beside the program `module`, and that code.

    The setup runs there once more, so that its functions use the test's names; its classes are those that the program
    was given. What the program has put in place of a name of the setup is the program's.
    """
    code = compile(source, file, "exec", dont_inherit=True)
    membrane = Membrane(pristine)
    names = Names(membrane, module, set(_all_names(code)) - given.keys())
    if setup is not None:
        exec(setup, names)
    for name, value in given.items():
        if name in names and vars(module).get(name) is not value:
            del names[name]
        elif name in names and _is_class(value) and not membrane.of_library(value):
            membrane.trust(value)
            dict.__setitem__(names, name, value)
    return names, code


def _all_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _all_names(constant)
