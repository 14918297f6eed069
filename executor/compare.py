"""Does an output agree with the expected one? Pure functions over data, run in the trusted parent only.

`strict` (training): blanks at line ends and trailing blank lines are ignored, tokens are compared;
two tokens written as non-integer numbers may differ by rounding. No case folding, no sets; NaN equals nothing.
`apps` (evaluation): the cascade of the official APPS harness, which forgives order and duplicates.
"""

import math
import re
from typing import Any

from executor.sandbox.codec import Opaque

# Of contest checkers: absolute or relative difference.
TOLERANCE = 1e-6
_DECIMAL = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][+-]?\d+)?\Z", re.ASCII)
_BLANKS = re.compile(r"[ \t\r\f\v]+")


def same_text(expected: str, actual: str, kind: str) -> bool:
    """Standard output against the expected text."""
    return _apps_text(expected, actual) if kind == "apps" else _strict_text(expected, actual)


def same_value(expected: Any, actual: Any, kind: str) -> bool:
    """A returned value (decoded data) against the expected one; `apps` also accepts `expected[0]`."""
    if _strict_value(expected, actual):
        return True
    return (
        kind == "apps" and isinstance(expected, list | tuple) and bool(expected) and _strict_value(expected[0], actual)
    )


def close(expected: float, actual: float) -> bool:
    """Equal up to rounding; infinities only to themselves, NaN to nothing."""
    return math.isclose(expected, actual, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _lines(text: str) -> list[list[str]]:
    lines = [[token for token in _BLANKS.split(line) if token] for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _strict_text(expected: str, actual: str) -> bool:
    wanted, got = _lines(expected), _lines(actual)
    if len(wanted) != len(got):
        return False
    return all(
        len(left) == len(right) and all(map(_same_token, left, right)) for left, right in zip(wanted, got, strict=True)
    )


def _same_token(expected: str, actual: str) -> bool:
    if expected == actual:
        return expected.lower() not in ("nan", "-nan", "+nan")
    if not (_DECIMAL.match(expected) and _DECIMAL.match(actual)):
        return False
    return close(float(expected), float(actual))


def _strict_value(expected: Any, actual: Any) -> bool:
    if isinstance(expected, Opaque) or isinstance(actual, Opaque):
        return False
    if isinstance(expected, float) or isinstance(actual, float):
        return _same_float(expected, actual)
    if isinstance(expected, list | tuple) and isinstance(actual, list | tuple):
        return len(expected) == len(actual) and all(map(_strict_value, expected, actual))
    if isinstance(expected, dict) and isinstance(actual, dict):
        return _same_dict(expected, actual)
    return expected == actual


def _same_float(expected: Any, actual: Any) -> bool:
    if not all(isinstance(v, int | float) for v in (expected, actual)):
        return False
    if isinstance(expected, float) and isinstance(actual, float):
        return close(expected, actual)
    return expected == actual


def _same_dict(expected: dict[Any, Any], actual: dict[Any, Any]) -> bool:
    """JSON knows only string keys: where all expected ones are, the actual ones are read as JSON writes them."""
    if all(isinstance(key, str) for key in expected):
        actual = {_json_key(key): value for key, value in actual.items()}
    return expected.keys() == actual.keys() and all(_strict_value(expected[key], actual[key]) for key in expected)


def _json_key(key: Any) -> Any:
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return repr(key) if isinstance(key, int | float) else key


def _apps_text(expected: str, actual: str) -> bool:
    """Stages in the order of the official harness: lines, stripped lines, numbers, sets of tokens a line."""
    if expected.strip() == actual.strip():
        return True
    wanted = [line.strip() for line in expected.strip().split("\n") if line.strip()]
    got = [line.strip() for line in actual.strip().split("\n") if line.strip()]
    if wanted == got or _all_close(wanted, got):
        return True
    left, right = [line.split() for line in wanted], [line.split() for line in got]
    if len(left) == len(right) and all(map(_all_close, left, right)):
        return True
    as_sets = [{frozenset(tokens) for tokens in side} for side in (left, right)]
    if as_sets[0] == as_sets[1]:
        return True
    rounded = [{frozenset(map(_rounded, tokens)) for tokens in side} for side in (left, right)]
    return rounded[0] == rounded[1]


def _all_close(wanted: list[str], got: list[str]) -> bool:
    """np.allclose on whole lists of numbers: |a - b| <= 1e-8 + 1e-5 |b|, b being the expected one."""
    if len(wanted) != len(got) or not wanted:
        return False
    try:
        pairs = [(float(a), float(b)) for a, b in zip(got, wanted, strict=True)]
    except ValueError:
        return False
    return all(a == b or abs(a - b) <= 1e-8 + 1e-5 * abs(b) for a, b in pairs)


def _rounded(token: str) -> str:
    try:
        return str(round(float(token), 3))
    except (ValueError, OverflowError):
        return token
