"""Calls with the values that are expected of them, as a suite that counts them as EvalPlus does."""

import ast
import math
from dataclasses import dataclass
from typing import Any

from stepcoder.curriculum.data.readers.build import pairs
from stepcoder.curriculum.data.readers.record import Reason, Refuse
from stepcoder.executor.judging.asserts import Unsupported, program_call, question
from stepcoder.executor.suite import Case, Compare, Suite

_ABSOLUTE, _RELATIVE = 1e-6, 1e-7  # EvalPlus's tolerances for floats
_LARGEST = 1e300  # of what is compared with a tolerance
_DIGITS = 10**600  # of an integer that is written in decimal
_PLAIN = (int, float, str, bytes, complex, type(None))
_TABLES = (list, tuple, set, frozenset, dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """How a data set's own assert calls a function: `like` holds arguments whose types others are to have.

    `as_set`: answers are compared as sets. `shown`: the call as text.
    """

    name: str
    like: tuple[Any, ...] = ()
    as_set: bool = False
    shown: str = ""

    def typed(self, given: list[Any]) -> list[Any]:
        """Arguments that JSON made lists of, as the tuples, sets and complex numbers that the assert has."""
        likes = (*self.like, *[None] * len(given))
        return [_typed(value, like) for value, like in zip(given, likes, strict=False)]


def asked_like(source: str, name: str) -> Asked | None:
    """What the first assert of a text asks of the function `name`; None where it is no call with constants."""
    try:
        tests = [node for node in ast.parse(source).body if isinstance(node, ast.Assert)]
    except (SyntaxError, ValueError):
        return None
    for node in tests:
        code = ast.unparse(node)
        try:
            asked = question(code)
        except Unsupported:
            continue
        if asked.function == name:
            shown = ast.unparse(program_call(ast.parse(code).body))
            return Asked(name, tuple(asked.args), f"set({shown})" in code, shown)
    return None


def _typed(value: Any, like: Any) -> Any:
    """`value` with the types of `like`: each part as the one in its place, or else as the first."""
    if isinstance(like, complex) and isinstance(value, str):
        try:
            return complex(value.replace(" ", ""))
        except ValueError:
            return value
    if isinstance(value, dict) and isinstance(like, dict) and like:
        first = next(iter(like.values()))
        return {key: _typed(part, like.get(key, first)) for key, part in value.items()}
    if not isinstance(value, list) or not isinstance(like, list | tuple | set | frozenset):
        return value
    parts = list(like)
    likes = parts if len(parts) == len(value) else parts[:1] * len(value) if parts else [None] * len(value)
    made = [_typed(part, other) for part, other in zip(value, likes, strict=True)]
    try:
        return made if isinstance(like, list) else type(like)(made)
    except TypeError:  # a set of lists
        return value


def judged_by_values(asked: Asked, inputs: list[list[Any]], outputs: list[Any], tolerance: float) -> Suite:
    """Asserts where values are compared as Python does, calls with a tolerance where there are floats in containers.

    Refuse for a value that cannot be written down.
    """
    found = pairs(inputs, outputs)
    if asked.as_set:
        return Suite("assert", tuple(Case(f"assert set({_call(asked, a)}) == set({_text(b)})") for a, b in found))
    if all(not _has_float(wanted) or isinstance(wanted, float) for _, wanted in found):
        return Suite("assert", tuple(Case(_assert(asked, a, b, tolerance)) for a, b in found))
    compare = Compare(tolerance=tolerance or _ABSOLUTE)
    if all(_is_json(value) for pair in found for value in pair):
        return Suite("call", tuple(Case(list(given), wanted) for given, wanted in found), asked.name, compare=compare)
    return Suite("assert", tuple(Case(_close(asked, a, b, tolerance)) for a, b in found))


def _assert(asked: Asked, given: list[Any], wanted: Any, tolerance: float) -> str:
    number = isinstance(wanted, int | float) and not isinstance(wanted, bool)
    if not number or not (tolerance or isinstance(wanted, float)) or not abs(wanted) < _LARGEST:
        return f"assert {_call(asked, given)} == {_text(wanted)}"
    allowed = (tolerance or _ABSOLUTE) + _RELATIVE * abs(wanted)
    return f"assert abs({_call(asked, given)} - {_text(wanted)}) <= {allowed!r}"


def _close(asked: Asked, given: list[Any], wanted: Any, tolerance: float) -> str:
    """Of a flat list or tuple with floats."""
    if not isinstance(wanted, list | tuple) or not all(isinstance(part, int | float) for part in wanted):
        return f"assert {_call(asked, given)} == {_text(wanted)}"
    return (
        f"wanted = {_text(wanted)}\nanswer = {_call(asked, given)}\n"
        "assert type(answer) == type(wanted) and len(answer) == len(wanted)\n"
        f"assert all(a == b or abs(a - b) <= {tolerance or _ABSOLUTE!r} + {_RELATIVE!r} * abs(b) "
        "for a, b in zip(answer, wanted))"
    )


def _call(asked: Asked, given: list[Any]) -> str:
    return f"{asked.name}({', '.join(map(_text, given))})"


def _text(value: Any) -> str:
    """A value as an expression. Refuse for one that has none."""
    if isinstance(value, float) and math.isnan(value) or type(value) not in (*_PLAIN, *_TABLES, bool):
        raise Refuse(Reason.BAD_TEST, f"a value of type {type(value).__name__} cannot be compared")
    match value:
        case int() if abs(value) > _DIGITS:
            return hex(value)
        case float() | complex():
            return repr(value).replace("inf", "1e309")  # which is infinite
        case dict():
            return f"{{{', '.join(f'{_text(key)}: {_text(part)}' for key, part in value.items())}}}"
        case set() | frozenset():
            parts = f"{{{', '.join(map(_text, value))}}}" if value else ""
            return parts if value and isinstance(value, set) else f"{type(value).__name__}({parts})"
        case list() | tuple():
            parts = ", ".join(map(_text, value))
            return f"[{parts}]" if isinstance(value, list) else f"({parts},)" if len(value) == 1 else f"({parts})"
    return repr(value)


def _has_float(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_float, value.values()))
    return any(map(_has_float, value)) if isinstance(value, _TABLES) else isinstance(value, float)


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(part) for key, part in value.items())
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)
