"""The namespace in which a test's code runs beside a program.

A program can get at it through frames. So whatever it put there is taken out again before the test goes on: names,
built-in names, the code of the test's functions, the methods of its classes.
"""

import operator
import sys
import types
from collections.abc import Iterator
from typing import Any

from stepcoder.executor.sandbox.sharing.names import loaded_in_classes
from stepcoder.executor.sandbox.values.data import is_class, name_of, space_of
from stepcoder.executor.sandbox.values.membrane import Membrane
from stepcoder.executor.sandbox.values.pristine import Pristine


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
        self._built_in = built_in, dict(built_in)
        self._functions: list[tuple[types.FunctionType, types.CodeType, Any, Any]] = []
        self._methods: list[tuple[type, dict[str, Any]]] = []
        self._taken_out: list[Any] = []  # whose finalisers are not to run while the test goes on
        self.accept()
        self._goes_on = True  # the test, and not the program
        membrane.keep(self)

    def lend(self, wanted: set[str]) -> None:
        """The program's names that the bodies of the test's classes read: the interpreter does not ask for these."""
        for name in wanted & self._program.keys() - self._hidden - self.keys():
            super().__setitem__(name, self._membrane.outward(self._program[name]))

    def __missing__(self, name: str) -> Any:
        if not self._is_theirs(name):
            raise KeyError(name)
        return self._membrane.outward(self._program[name])

    def _is_theirs(self, name: object) -> bool:
        return name in self._program and name not in self._hidden

    def __contains__(self, name: object) -> bool:
        return self.has(name) or self._is_theirs(name)

    def has(self, name: object) -> bool:
        """Whether it is a name of the test's own."""
        return super().__contains__(name)

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default

    def __setitem__(self, name: str, value: Any) -> None:
        """A program may refer to functions and classes of a test; other values are not shown to it."""
        super().__setitem__(name, value)
        if self._goes_on:
            self._kept[0][1][name] = value  # and no longer what it was before
        if type(value) is types.FunctionType:
            self._hold(value)
        elif is_class(value) and not self._membrane.pristine.of_library(value):
            methods = {}
            for key, part in space_of(value).items():
                function = part.__func__ if type(part) in (classmethod, staticmethod) else part
                if type(function) is types.FunctionType:
                    methods[key] = part
                    self._hold(function)
            self._methods.append((value, methods))
        if callable(value) and name not in self._program and not name.startswith("_"):
            self._program[name] = self._membrane.inward(value)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        if self._goes_on:
            self._kept[0][1].pop(name, None)

    def _hold(self, function: types.FunctionType) -> None:
        self._functions.append((function, function.__code__, function.__defaults__, function.__kwdefaults__))

    def accept(self) -> None:
        """The program goes on: what is here is the test's will."""
        self._goes_on = False
        self._kept = [(self, dict(self)), self._built_in]

    def mend(self) -> None:
        """The test goes on."""
        self._goes_on = True
        for names, kept in self._kept:
            if len(names) != len(kept) or not all(map(operator.is_, dict.values(names), kept.values())):
                self._taken_out += dict.values(names)
                dict.clear(names)
                dict.update(names, kept)
        for function, code, defaults, named in self._functions:
            if function.__code__ is not code:
                function.__code__ = code
            if function.__defaults__ is not defaults or function.__kwdefaults__ is not named:
                function.__defaults__, function.__kwdefaults__ = defaults, named
        for owner, methods in self._methods:
            found = space_of(owner)
            if not all(map(operator.is_, map(found.get, methods), methods.values())):
                for name, part in methods.items():
                    type.__setattr__(owner, name, part)

    def _import(self, name: str, *args: Any) -> Any:
        if name == self._module.__name__:
            return self._membrane.outward(self._module)
        return self._membrane.pristine.builtins["__import__"](name, *args)


class _Imported:
    """The program's module as an import finds it: the program has it itself, the test what stands for it."""

    def __init__(self, membrane: Membrane, module: types.ModuleType) -> None:
        self._module, self._stand = module, membrane.outward(module)
        membrane.keep(self)
        self.mend()

    def accept(self) -> None:
        sys.modules[self._module.__name__] = self._module

    def mend(self) -> None:
        sys.modules[self._module.__name__] = self._stand


def test_namespace(
    pristine: Pristine, module: types.ModuleType, code: types.CodeType, setup: types.CodeType | None,
    given: dict[str, Any],
) -> Names:  # fmt: skip
    """Where a test's code is to run beside the program `module`.

    The setup runs there once more, so that its functions use the test's names; its classes are those that the program
    was given. What the program has put in place of a name of the setup is the program's.
    """
    asked, lent = set(_all_names(code)), loaded_in_classes(code)
    classes = {name for name in asked - pristine.builtins.keys() if name[0].isupper()}  # also `solution.Stack`

    def about(kind: type) -> bool:
        """Of a function's name a program could make a class, but hardly of one with a capital."""
        name = name_of(kind)
        return name in classes and (name in lent or not names.has(name)) and vars(module).get(name) is kind

    membrane = Membrane(pristine, about, stops="StopIteration" in asked)
    names = Names(membrane, module, asked - given.keys())
    if setup is not None:
        exec(setup, names)
    for name, value in given.items():
        if names.has(name) and vars(module).get(name) is not value:
            del names[name]
        elif names.has(name) and is_class(value) and not membrane.pristine.of_library(value):
            membrane.trust(value)
            dict.__setitem__(names, name, value)
    names.lend(lent)
    _Imported(membrane, module)
    return names


def _all_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _all_names(constant)
