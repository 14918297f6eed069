"""Does an output agree with the expected one? Pure functions over data, run in the trusted parent only.

`strict` (training): blanks at line ends and trailing blank lines are ignored, tokens are compared;
two tokens written as non-integer numbers may differ by rounding. No case folding, no sets; NaN equals nothing.
`apps` (evaluation): the cascade of the official APPS harness (github.com/hendrycks/apps, eval/testing_util.py), which
forgives order and duplicates; a returned value has to be equal exactly. It differs from that harness
in one place only: a tuple equals a list at every depth.
"""

import math
import operator
import re
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from stepcoder.executor.sandbox.values.codec import Opaque
from stepcoder.executor.sandbox.values.standard import STANDARD
from stepcoder.executor.sandbox.values.structures import BinaryTree, LinkedList

# Equal to nothing of another type: JSON has none of them.
_APART = (Opaque, *(STANDARD.keys() - {Counter, OrderedDict, defaultdict, frozenset, bytearray}))
# Of contest checkers: absolute or relative difference.
TOLERANCE = 1e-6
_DECIMAL = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][+-]?\d+)?\Z", re.ASCII)
_BLANK = " \t\r\f\v"
_BLANKS = re.compile(f"[{_BLANK}]+")
_SPACE = _BLANK + "\n"


def same_text(expected: str, actual: str, kind: str) -> bool:
    """Standard output against the expected text."""
    return _apps_text(expected, actual) if kind == "apps" else _strict_text(expected, actual)


def same_value(expected: Any, actual: Any, kind: str) -> bool:
    """A returned value (decoded data) against the expected one; `apps` also accepts `expected[0]`."""
    if kind != "apps":
        return _same(expected, actual, _same_float)
    wanted = [expected, expected[0]] if isinstance(expected, list | tuple) and expected else [expected]
    return any(_same(value, actual, operator.eq) for value in wanted)


def close(expected: float, actual: float) -> bool:
    """Equal up to rounding; infinities only to themselves, NaN to nothing."""
    return math.isclose(expected, actual, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _strict_text(expected: str, actual: str) -> bool:
    """Costs no more than reading `actual` once and the expected text's own lines and tokens, whatever was printed."""
    wanted, got = expected.rstrip(_SPACE), actual.rstrip(_SPACE)
    if wanted.count("\n") != got.count("\n"):
        return False
    return all(map(_same_line, wanted.split("\n"), got.split("\n")))


def _same_line(expected: str, actual: str) -> bool:
    if expected == actual and "nan" not in expected.lower():
        return True
    wanted = _tokens(expected)
    got = _tokens(actual, len(wanted))
    return len(wanted) == len(got) and all(map(_same_token, wanted, got))


def _tokens(line: str, most: int = 0) -> list[str]:
    """With `most`, one more part than that has the rest."""
    line = line.strip(_BLANK)
    return _BLANKS.split(line, most) if line else []


def _same_token(expected: str, actual: str) -> bool:
    if expected == actual:
        return expected.lower() not in ("nan", "-nan", "+nan")
    if not (_DECIMAL.match(expected) and _DECIMAL.match(actual)):
        return False
    return close(float(expected), float(actual))


def _same(expected: Any, actual: Any, same_float: Callable[[Any, Any], bool]) -> bool:
    if isinstance(expected, Opaque) or (isinstance(actual, _APART) and type(actual) is not type(expected)):
        return False
    if isinstance(expected, float) or isinstance(actual, float):
        return same_float(expected, actual)
    if isinstance(expected, list | tuple) and isinstance(actual, list | tuple):
        pairs = zip(expected, actual, strict=False)
        return len(expected) == len(actual) and all(_same(a, b, same_float) for a, b in pairs)
    if isinstance(expected, dict) and isinstance(actual, dict):
        return _same_dict(expected, actual, same_float)
    if isinstance(expected, LinkedList | BinaryTree):
        return type(expected) is type(actual) and _same(expected.values, actual.values, same_float)
    return expected == actual


def _same_float(expected: Any, actual: Any) -> bool:
    if not all(isinstance(v, int | float) for v in (expected, actual)):
        return False
    if isinstance(expected, float) and isinstance(actual, float):
        return close(expected, actual)
    return expected == actual


def _same_dict(expected: dict[Any, Any], actual: dict[Any, Any], same_float: Callable[[Any, Any], bool]) -> bool:
    """JSON knows only string keys: where all expected ones are, the actual ones are read as JSON writes them."""
    if all(isinstance(key, str) for key in expected):
        size, actual = len(actual), {_json_key(key): value for key, value in actual.items()}
        if len(actual) < size:  # two of its keys are one in JSON
            return False
    return expected.keys() == actual.keys() and all(_same(expected[key], actual[key], same_float) for key in expected)


def _json_key(key: Any) -> Any:
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return repr(key) if isinstance(key, int | float) else key


def _apps_text(expected: str, actual: str) -> bool:
    """The official stages: text, stripped lines, one number a line, sets of tokens a line, the same rounded."""
    got = actual.splitlines()
    for text in ("\n".join(got), "\n".join(line.strip() for line in got)):
        if text.strip() == expected.strip():
            return True
    wanted = [line.strip() for line in expected.split("\n") if line]
    if got == wanted:
        return True
    got = [line for line in got if line]
    if got == wanted or _all_close(wanted, got):
        return True
    # Sets of lines are dear, and equal only where the sets of all tokens are.
    left_tokens, right_tokens = set(expected.split()), set(actual.split())
    left = [line.split() for line in wanted]
    right = [tokens for tokens in map(str.split, dict.fromkeys(got)) if tokens]
    if left_tokens == right_tokens and set(map(frozenset, left)) == set(map(frozenset, right)):
        return True
    try:
        if _rounded([left_tokens]) != _rounded([right_tokens]):
            return False
        return _rounded(left) == _rounded(right)
    except ValueError:  # not all are numbers
        return False


def _all_close(wanted: list[str], got: list[str]) -> bool:
    """np.allclose of lines that are a number each: |a - b| <= 1e-8 + 1e-5 |b|, b being the expected one."""
    if len(wanted) != len(got):
        return False
    try:
        pairs = [(float(a), float(b)) for a, b in zip(got, wanted, strict=True)]
    except ValueError:
        return False
    return all(a == b or (abs(a - b) <= 1e-8 + 1e-5 * abs(b) and math.isfinite(b)) for a, b in pairs)


def _rounded(lines: Iterable[Iterable[str]]) -> set[frozenset[float]]:
    return {frozenset(round(float(token), 3) for token in tokens) for tokens in lines}
