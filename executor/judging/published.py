"""Comparisons of published harnesses, exactly as they are: figures that others give were made by them.

`apps`: the cascade of the official APPS harness (github.com/hendrycks/apps, eval/testing_util.py), which forgives
order and duplicates; a returned value has to be equal exactly, or equal to `expected[0]`. It differs from that harness
in two places: a tuple equals a list at every depth, and an output much longer than the expected one is wrong.
`lcb`: LiveCodeBench (github.com/LiveCodeBench/LiveCodeBench, lcb_runner/evaluation/testing_util.py). Texts are stripped
and compared line by line; lines that differ are compared as lists of decimals. A returned tuple counts as a list, and
`==` decides.
"""

import decimal
import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from stepcoder.executor.judging.values import same_exactly

_LONGEST = 1 << 20  # characters of an output that are compared by sets, beside twice the expected ones


def lcb_text(expected: str, actual: str) -> bool:
    wanted, got = expected.strip(), actual.strip()
    if wanted.count("\n") != got.count("\n"):
        return False
    return all(map(_lcb_line, map(str.strip, wanted.split("\n")), map(str.strip, got.split("\n"))))


def _lcb_line(expected: str, actual: str) -> bool:
    if expected == actual:
        return True
    wanted = expected.split()
    got = actual.split(None, len(wanted))
    if len(wanted) != len(got):
        return False
    try:
        return all(Decimal(one) == Decimal(two) for one, two in zip(wanted, got, strict=True))
    except decimal.InvalidOperation:  # no number, or a signalling NaN
        return False


def lcb_value(expected: Any, actual: Any) -> bool:
    try:
        return bool((list(actual) if type(actual) is tuple else actual) == expected)
    except TypeError:  # an object of the program, whose own == decides nothing
        return False


def apps_value(expected: Any, actual: Any) -> bool:
    wanted = [expected, expected[0]] if isinstance(expected, list | tuple) and expected else [expected]
    return any(same_exactly(value, actual) for value in wanted)


def apps_text(expected: str, actual: str) -> bool:
    """The official stages: text, stripped lines, one number a line, sets of tokens a line, the same rounded."""
    if len(actual) > 2 * len(expected) + _LONGEST:  # its sets would take a hundred times its memory
        return False
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
