"""Which variables a program reads, binds and calls, by its bytecode."""

import types

from stepcoder.executor.sandbox.coverage.monitoring import nested
from stepcoder.executor.sandbox.sharing.ordinary import BIND, LOAD, MODULE, steps

_FUNCTION = 1  # CO_OPTIMIZED, which the body of a class is not


def loaded(code: types.CodeType) -> set[str]:
    """Variables that a program reads, but for the local ones of its functions."""
    return {name for part in nested(code) for kind, name in steps(part) if kind == LOAD}


def loaded_in_classes(code: types.CodeType) -> set[str]:
    """Variables that the bodies of its classes read."""
    bodies = [part for part in nested(code) if part is not code and not part.co_flags & _FUNCTION]
    return {name for part in bodies for kind, name in steps(part) if kind == LOAD}


def bound(code: types.CodeType) -> set[str]:
    """Variables of a program's module."""
    return {name for kind, name in steps(code) if kind == BIND}


def imported(code: types.CodeType) -> set[str]:
    """Modules that a program imports, by name."""
    return {name for part in nested(code) for kind, name in steps(part) if kind == MODULE}


def calls(code: types.CodeType, name: str) -> bool:
    """Whether what a program runs by itself, its module and what this names in turn, names the function `name`."""
    inner = [part for part in code.co_consts if isinstance(part, types.CodeType)]
    # Class bodies and what nests in them count with the module; so does what it does not bind to a name.
    functions = {part.co_name: part for part in inner if part.co_flags & _FUNCTION and part.co_name[0] != "<"}
    pending = [code, *(deep for part in inner if part not in functions.values() for deep in nested(part))]
    while pending:
        for kind, loaded in steps(pending.pop()):
            if kind == LOAD and loaded == name:
                return True
            if kind == LOAD and (part := functions.pop(loaded, None)) is not None:
                pending.extend(nested(part))
    return False
