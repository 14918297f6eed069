# ruff: noqa: F821  (runs in one namespace with its neighbours)
# pyright: reportUndefinedVariable=false, reportOperatorIssue=false, reportArgumentType=false
"""Stands before a test module that says `approx`."""

from collections import deque as _deque
from decimal import Decimal as _Decimal
from fractions import Fraction as _Fraction


class _Approx:
    __array_ufunc__ = None  # an array of numpy is compared as a whole

    def __init__(self, expected, rel=None, abs=None, nan_ok=False):
        self.expected, self.rel, self.abs, self.nan_ok = expected, rel, abs, nan_ok

    def __eq__(self, actual):
        return self.same(self.expected, actual)

    def __ne__(self, actual):
        return not self.same(self.expected, actual)

    def __hash__(self):
        raise TypeError("an approximate value cannot be hashed")

    def same(self, expected, actual):
        expected, actual = (value.tolist() if hasattr(value, "tolist") else value for value in (expected, actual))
        if isinstance(expected, dict):
            return (
                isinstance(actual, dict)
                and expected.keys() == actual.keys()
                and all(self.same(expected[key], actual[key]) for key in expected)
            )
        if isinstance(expected, (list, tuple, range, _deque)):
            if not hasattr(actual, "__len__") or len(expected) != len(actual):
                return False
            return all(self.same(one, two) for one, two in zip(expected, actual, strict=True))
        numbers = (int, float, complex, _Fraction, _Decimal)
        if isinstance(expected, bool) or not (isinstance(expected, numbers) and isinstance(actual, numbers)):
            return expected == actual and isinstance(expected, bool) <= isinstance(actual, bool)
        return expected == actual or self.near(expected, actual)

    def near(self, expected, actual):
        if expected != expected:
            return self.nan_ok and actual != actual
        size = abs(expected)
        if size == float("inf"):  # a part of an infinite number would allow anything
            return False
        absolute = 1e-12 if self.abs is None else self.abs
        relative = 1e-6 if self.rel is None and self.abs is None else self.rel or 0.0
        if isinstance(size, _Decimal):
            absolute, relative = _Decimal(str(absolute)), _Decimal(str(relative))
        return abs(expected - actual) <= max(absolute, relative * size)
