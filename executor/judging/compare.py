"""Does an output agree with the expected one? Pure functions over data, run in the trusted parent only.

Texts:
`strict`: blanks at line ends and trailing blank lines are ignored, tokens are compared line by line; two tokens
written as non-integer numbers may differ by rounding. No case folding, no sets; NaN equals nothing.
`tokens`: see executor.judging.tokens. `yesno`: the same, where case is ignored.
`lines`: lines without the blanks at their ends, and without trailing blank lines, are the same texts.
`lcb`, `apps`: see executor.judging.published.
Returned values: see executor.judging.values for all but `lcb` and `apps`, which have rules of their own.
"""

import math
import re
from typing import Any

from stepcoder.executor.judging.numbers import TOLERANCE, close
from stepcoder.executor.judging.published import apps_text, apps_value, lcb_text, lcb_value
from stepcoder.executor.judging.tokens import same_tokens
from stepcoder.executor.judging.values import same_data
from stepcoder.executor.suite import Compare

_DECIMAL = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][+-]?\d+)?\Z", re.ASCII)
_BLANK = " \t\r\f\v"
_BLANKS = re.compile(f"[{_BLANK}]+")
_SPACE = _BLANK + "\n"


def same_text(expected: str, actual: str, how: Compare) -> bool:
    """Standard output against the expected text."""
    tolerance = TOLERANCE if how.tolerance is None else how.tolerance
    match how.type:
        case "strict":
            return _strict_text(expected, actual, tolerance)
        case "tokens":
            return same_tokens(expected, actual, tolerance)
        case "yesno":
            return same_tokens(expected.lower(), actual.lower(), tolerance)
        case "lines":
            return _lines_text(expected, actual)
        case "lcb":
            return lcb_text(expected, actual)
        case "apps":
            return apps_text(expected, actual)


def same_value(expected: Any, actual: Any, how: Compare) -> bool:
    """A returned value (decoded data) against the expected one."""
    match how.type:
        case "apps":
            return apps_value(expected, actual)
        case "lcb":
            return lcb_value(expected, actual)
        case _:
            return same_data(expected, actual, how)


def _lines_text(expected: str, actual: str) -> bool:
    wanted, got = expected.rstrip(), actual.rstrip()
    if wanted.count("\n") != got.count("\n"):
        return False
    return all(one.strip() == two.strip() for one, two in zip(wanted.split("\n"), got.split("\n"), strict=True))


def _strict_text(expected: str, actual: str, tolerance: float) -> bool:
    """Costs no more than reading `actual` once and the expected text's own lines and tokens, whatever was printed."""
    wanted, got = expected.rstrip(_SPACE), actual.rstrip(_SPACE)
    if wanted.count("\n") != got.count("\n"):
        return False
    return all(_same_line(*pair, tolerance) for pair in zip(wanted.split("\n"), got.split("\n"), strict=True))


def _same_line(expected: str, actual: str, tolerance: float) -> bool:
    if expected == actual and "nan" not in expected.lower():
        return True
    wanted = _tokens(expected)
    got = _tokens(actual, len(wanted))
    return len(wanted) == len(got) and all(_same_token(*pair, tolerance) for pair in zip(wanted, got, strict=True))


def _tokens(line: str, most: int = 0) -> list[str]:
    """With `most`, one more part than that has the rest."""
    line = line.strip(_BLANK)
    return _BLANKS.split(line, most) if line else []


def _same_token(expected: str, actual: str, tolerance: float) -> bool:
    if expected == actual:
        return expected.lower() not in ("nan", "-nan", "+nan")
    if not (_DECIMAL.match(expected) and _DECIMAL.match(actual)):
        return False
    numbers = float(expected), float(actual)
    return not any(map(math.isinf, numbers)) and close(*numbers, tolerance)
