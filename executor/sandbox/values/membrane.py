"""What a test's code that runs beside a program sees of it: rebuilt data, and stand-ins for everything else.

Whatever crosses from the program to the test is copied by its built-in type (values.standard); an object of
another type is a stand-in that hands on attributes, calls, items and texts, whose results cross in turn. So no class of
the program decides an assert: `==` of two of its objects holds only where what they consist of agrees as well, and its
truth, membership and order decide nothing (TypeError). What the test gives to the program is copied too, and
both copies are brought up to date whenever one side goes on. The program's process is the same: it could dig.
"""

import contextlib
import inspect
import types
from collections.abc import Callable, Generator
from functools import lru_cache, partial
from typing import Any, Protocol

from stepcoder.executor.sandbox.untraced import untraced
from stepcoder.executor.sandbox.values.data import (
    ATOMS,
    IMMUTABLE,
    MUTABLE,
    SCALARS,
    array,
    base_of,
    empty,
    is_class,
    parts_of,
    refill,
    state_of,
)  # fmt: skip
from stepcoder.executor.sandbox.values.mirrors import STEP, TARGET, Mirror, Mirrors
from stepcoder.executor.sandbox.values.pristine import Pristine
from stepcoder.executor.sandbox.values.shared import Shared, held, refcount
from stepcoder.executor.sandbox.values.standard import STANDARD

_FRESH = {id(kind) for kind in (types.MethodType, types.BuiltinMethodType, types.MethodWrapperType)}
_args_of, _set_args = (getattr(vars(BaseException)["args"], name) for name in ("__get__", "__set__"))
_cause_of = vars(BaseException)["__cause__"].__get__
_get, _set = object.__getattribute__, object.__setattr__
_CALLABLE = {types.FunctionType, types.MethodType, type(lru_cache(abs))}


def _none() -> None:
    """Instead of what gives a stand-in."""


def _holds(value: Any) -> bool:
    """Whether a built-in method of `value` could give the program something of the test's."""
    kind = type(value)
    return not (id(kind) in ATOMS or id(kind) in IMMUTABLE or kind is types.ModuleType or is_class(value))


class Kept(Protocol):
    """The test's own, that a program may change and that is put back."""

    def accept(self) -> None: ...

    def mend(self) -> None: ...


class Membrane:
    """One test's. Objects of both sides are kept while either side may meet them again."""

    def __init__(self, pristine: Pristine, about: Callable[[type], bool], stops: bool) -> None:
        """`about`: whether the test names a class of the program. `stops`: whether it speaks of StopIteration; else one
        that is no iterator's would end a loop of the test before it has asked anything."""
        self.pristine, self._stops = pristine, stops
        self._names: list[Kept] = []
        self._mirrors = Mirrors(pristine, self.call, self.outward, about)
        self._stands: dict[int, Callable[[], Any]] = {}  # what gives the stand-in of an object of the program
        self._pairs: dict[int, tuple[Any, Any]] = {}  # copies: (of the program, of the test), by the former
        self._own: dict[int, tuple[Any, Any]] = {}  # the same by the latter; functions of the test by both
        self._shared = Shared(self.outward)

    def trust(self, kind: type) -> None:
        self._shared.trust(kind)

    def keep(self, names: Kept) -> None:
        self._names.append(names)

    # -- from the test to the program and back ---------------------------------------------------------------------

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """What the program's function returns, for the test; exceptions cross too."""
        self._leave()
        for _, own in list(self._pairs.values()):
            self.inward(own)
        given, named = [self.inward(arg) for arg in args], {name: self.inward(arg) for name, arg in kwargs.items()}
        try:
            value = function(*given, **named)
        except BaseException as error:
            trace = error.__traceback__
            self._back(given, named)
            if StopIteration in type.mro(type(error)) and not self._stops and function is not STEP:
                error = RuntimeError("the program raised StopIteration")
            cause = _cause_of(error)
            raise self.outward(error).with_traceback(trace) from self.outward(cause)
        self._back(given, named)
        return self.outward(value)

    def _leave(self) -> None:
        """The program goes on."""
        for part in (self.pristine, self._shared, *self._names):
            part.accept()

    def _enter(self) -> None:
        """The test goes on."""
        untraced()
        for part in (self.pristine, self._shared, *self._names):
            part.mend()

    def _back(self, given: list[Any], named: dict[str, Any]) -> None:
        """The test goes on: its copies are brought up to date; those that one side has let go of are forgotten."""
        self._enter()
        for value in [*given, *named.values(), *(value for value, _ in self._pairs.values())]:
            self.outward(value)
        given.clear()
        named.clear()
        value = own = None
        self._shared.forget()
        for key in list(self._pairs):  # the outer ones come first
            value, own = self._pairs[key]
            if min(refcount(value), refcount(own)) <= 3:  # the pair, the name here, the argument
                del self._pairs[key], self._own[id(own)]

    def outward(self, value: Any, memo: dict[int, Any] | None = None) -> Any:
        """`value` of the program as the test may have it."""
        kind = type(value)
        if id(kind) in ATOMS:
            return value
        memo = {} if memo is None else memo
        if id(value) in memo:
            return memo[id(value)][1]
        if id(kind) in MUTABLE:
            return self._copied(value, kind, memo)
        if id(kind) in IMMUTABLE:
            return self._rebuilt(value, kind, lambda part: self.outward(part, memo))
        return self._other(value, kind, memo)

    def inward(self, value: Any) -> Any:
        """`value` of the test as the program may have it."""
        return self._inward(value, {})

    def _inward(self, value: Any, memo: dict[int, Any]) -> Any:
        kind = type(value)
        if id(kind) in ATOMS:
            return value
        if isinstance(kind, Mirror):
            target, base = _get(value, TARGET), base_of(kind)
            if id(base) in MUTABLE and id(value) not in memo:
                memo[id(value)] = value
                refill(target, [self._inward(part, memo) for part in parts_of(value, base)], base)
            return target
        if kind is Mirror:
            return value.__mirrored__
        if id(kind) in MUTABLE:
            return self._lent(value, kind, memo)
        if array(base := base_of(kind)) is not None:
            return self._lent(value, base, memo)
        if id(kind) in IMMUTABLE:
            return self._rebuilt(value, kind, lambda part: self._inward(part, memo))
        if is_class(value):
            if not self.pristine.of_library(value):
                self.trust(value)
            return value
        if kind is partial:
            return self._partial(value)
        if kind in _CALLABLE or (kind is types.BuiltinMethodType and _holds(value.__self__)):
            return value if self.pristine.of_library(value) else self._callback(value)
        if not self.pristine.of_library(kind):
            self.trust(kind)
            self._share(value, memo)
        else:
            self._shared.add(value)
        return value

    def _share(self, own: Any, memo: dict[int, Any]) -> None:
        """An object of the test is the program's too, with the containers in it."""
        if id(own) in memo:
            return
        memo[id(own)] = own
        kind = type(own)
        if self._shared.trusted(kind):
            self._shared.add(own)
        if id(kind) in MUTABLE:
            self._pair(own, own)
        parts = parts_of(own, kind) if id(kind) in MUTABLE or kind is tuple else [*state_of(own).values()]
        for part in parts:
            if id(type(part)) in MUTABLE or type(part) is tuple or self._shared.trusted(type(part)):
                self._share(part, memo)

    # -- data --------------------------------------------------------------------------------------------------------

    def _copied(self, value: Any, kind: type, memo: dict[int, Any]) -> Any:
        """The test's copy of a container, brought up to date."""
        own = self._pairs[id(value)][1] if id(value) in self._pairs else empty(value, kind)
        memo[id(value)] = value, own
        self._pair(value, own)
        refill(own, [self.outward(part, memo) for part in parts_of(value, kind)], kind)
        return own

    def _lent(self, own: Any, kind: type, memo: dict[int, Any]) -> Any:
        """The program's copy of a container, brought up to date."""
        if id(own) in memo:
            return memo[id(own)]
        value = self._own[id(own)][0] if id(own) in self._own else empty(own, kind)
        memo[id(own)] = value
        self._pair(value, own)
        refill(value, [self._inward(part, memo) for part in parts_of(own, kind)], kind)
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
        if isinstance(kind, Mirror) or kind is Mirror or self.pristine.of_library(value):
            return value
        if (pair := self._own.get(id(value))) is not None and pair[0] is value:
            return pair[1]
        if is_class(value):
            return value if self._shared.trusted(value) else self._mirrors.of(value)
        if self._shared.trusted(kind) or (BaseException in type.mro(kind) and self.pristine.of_library(kind)):
            return self._scrubbed(value, memo)
        if kind is types.CoroutineType:
            return self._awaited(value)
        if kind is types.AsyncGeneratorType:
            return self._flowing(value)
        return value if self._shared.has(value) else self._stand(value, kind, memo)

    async def _flowing(self, generator: Any) -> Any:
        with contextlib.suppress(StopAsyncIteration):
            while True:
                yield self.outward(await self._steps(generator.__anext__()))

    async def _awaited(self, coroutine: Any) -> Any:
        return self.outward(await self._steps(coroutine))

    @types.coroutine
    def _steps(self, coroutine: Any) -> Generator[Any, Any, Any]:
        """What the program's coroutine yields and returns; the test goes on at each step."""
        step, given = coroutine.send, None
        while True:
            self._leave()
            try:
                asked = step(given)
            except StopIteration as end:
                return end.value
            finally:
                self._enter()
            try:
                step, given = coroutine.send, (yield asked)
            except BaseException as error:
                step, given = coroutine.throw, error

    def _scrubbed(self, value: Any, memo: dict[int, Any]) -> Any:
        """An object of a class that the test trusts: its attributes cross, in place."""
        memo[id(value)] = value, value
        self._shared.add(value)
        if BaseException in type.mro(type(value)):
            _set_args(value, tuple(self.outward(part, memo) for part in _args_of(value)))
        for name, part in list(state_of(value).items()):
            found = self.outward(part, memo)
            if found is not part:
                _set(value, name, found)
        return value

    def _stand(self, value: Any, kind: type, memo: dict[int, Any]) -> Any:
        base = base_of(kind)
        if array(base) is not None:
            return self._copied(value, base, memo)
        if id(base) in IMMUTABLE and base is not tuple:
            return self._rebuilt(value, base, lambda part: self.outward(part, memo))
        stand = self._stands.get(id(value), _none)()
        if stand is None:
            stand = self._made(value, kind, base, memo)
        memo[id(value)] = value, stand
        if id(base) in MUTABLE:
            if id(kind) not in _FRESH:
                self._pair(value, stand)
            refill(stand, [self.outward(part, memo) for part in parts_of(value, base)], base)
        if BaseException in type.mro(kind):
            _set_args(stand, tuple(self.outward(part, memo) for part in _args_of(value)))
        return stand

    def _made(self, value: Any, kind: type, base: Any, memo: dict[int, Any]) -> Any:
        mirror = self._mirrors.of(kind)
        if base is tuple:
            stand = tuple.__new__(mirror, [self.outward(part, memo) for part in tuple.__iter__(value)])
        elif base in SCALARS:
            stand = base.__new__(mirror, SCALARS[base](value))
        else:
            root: Any = next(part for part in mirror.__mro__ if not isinstance(part, Mirror))
            stand = root.__new__(mirror)
        _set(stand, TARGET, value)
        if id(kind) not in _FRESH:
            self._stands[id(value)] = held(stand, self._stands, id(value))
        return stand

    def _partial(self, own: Any) -> Any:
        """The same of what its function and arguments are for the program."""
        if id(own) not in self._own:
            named = {name: self.inward(arg) for name, arg in own.keywords.items()}
            value = partial(self.inward(own.func), *map(self.inward, own.args), **named)
            self._own[id(value)] = self._own[id(own)] = value, own
        return self._own[id(own)][0]

    def _callback(self, function: Any) -> Any:
        """A function of the test for the program."""
        if id(function) in self._own:
            return self._own[id(function)][0]

        def callback(*args: Any, **kwargs: Any) -> Any:
            for part in (self._shared, *self._names):
                part.mend()
            given = [self.outward(arg) for arg in args]
            named = {name: self.outward(arg) for name, arg in kwargs.items()}
            value = self.inward(function(*given, **named))
            for arg in (*given, *named.values()):
                self.inward(arg)
            for part in (self._shared, *self._names):
                part.accept()
            return value

        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            setattr(callback, name, getattr(function, name, None))
        with contextlib.suppress(TypeError, ValueError):
            callback.__dict__["__signature__"] = inspect.signature(function)
        self._own[id(callback)] = self._own[id(function)] = callback, function
        return callback
