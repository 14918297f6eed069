"""The namespace in which a test's code runs beside a program."""

import types
from collections.abc import Iterator
from typing import Any

from stepcoder.executor.sandbox.values.data import is_class
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
        elif name in names and is_class(value) and not membrane.pristine.of_library(value):
            membrane.trust(value)
            dict.__setitem__(names, name, value)
    return names, code


def _all_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _all_names(constant)
