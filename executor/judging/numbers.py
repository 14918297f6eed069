"""When two numbers agree: floats that a call returned, and numbers as programs print them."""

import decimal
import math
import re
from decimal import Decimal

# Of contest checkers: absolute or relative difference.
TOLERANCE = 1e-6
_ROOM = 1 + 1e-9  # the difference of 0.100001 and 0.1, as floats, is a little more than 1e-6
_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)\Z")
_REAL = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
# Exponents of any size, and no exception.
_WIDE = decimal.Context(prec=50, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX, traps=[])


def close(expected: float, actual: float, tolerance: float = TOLERANCE) -> bool:
    """Equal up to rounding; infinities only to themselves, NaN to nothing; an integer that no float holds exactly."""
    room = tolerance * _ROOM
    try:
        return math.isclose(expected, actual, rel_tol=min(room, 1.0), abs_tol=room)
    except OverflowError:
        return expected == actual


def same_written(expected: str, actual: str, tolerance: float) -> bool:
    """Whether two texts are written numbers that agree.

    Integers agree exactly, at any size, however they are written: `3`, `3.0`; a number with zeros in front is a text.
    Others may differ by the tolerance, absolutely or relatively. `1e400` is a number like any other.
    """
    if not (_REAL.match(expected) and _REAL.match(actual)):
        return False
    whole = [_INTEGER.match(text) is not None for text in (expected, actual)]
    if all(whole):
        return _plain(expected) == _plain(actual)
    try:
        one, two = Decimal(expected), Decimal(actual)
    except decimal.InvalidOperation:  # an exponent of more than 18 digits
        return False
    if any(whole) and one == one.to_integral_value() and two == two.to_integral_value():
        return one == two
    largest = max(one.copy_abs(), two.copy_abs(), Decimal(1))
    allowed = _WIDE.multiply(Decimal(repr(tolerance)), largest)
    return _WIDE.abs(_WIDE.subtract(one, two)) <= allowed


def _plain(text: str) -> str:
    """An integer without a plus, and zero without a sign."""
    text = text.removeprefix("+")
    return "0" if text == "-0" else text
