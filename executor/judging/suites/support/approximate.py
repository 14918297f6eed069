# ruff: noqa: F821  (runs in one namespace with its neighbours)
# pyright: reportUndefinedVariable=false, reportOperatorIssue=false, reportArgumentType=false
"""Stands before a test module that says `approx`."""


class _Approx:
    def __init__(self, expected, rel=None, abs=None, nan_ok=False):
        self.expected, self.rel, self.abs, self.nan_ok = expected, rel, abs, nan_ok

    def __eq__(self, actual):
        return self.same(self.expected, actual)

    def __ne__(self, actual):
        return not self.same(self.expected, actual)

    def __hash__(self):
        raise TypeError("an approximate value cannot be hashed")

    def same(self, expected, actual):
        if isinstance(expected, dict):
            return (
                isinstance(actual, dict)
                and expected.keys() == actual.keys()
                and all(self.same(expected[key], actual[key]) for key in expected)
            )
        if isinstance(expected, (list, tuple)):
            if not isinstance(actual, (list, tuple)) or len(expected) != len(actual):
                return False
            return all(self.same(one, two) for one, two in zip(expected, actual, strict=True))
        if not isinstance(expected, (int, float, complex)) or not isinstance(actual, (int, float, complex)):
            return expected == actual
        if expected != expected:
            return self.nan_ok and actual != actual
        if expected == actual:
            return True
        absolute = 1e-12 if self.abs is None else self.abs
        relative = (1e-6 if self.rel is None and self.abs is None else self.rel or 0.0) * max(expected, -expected)
        difference = expected - actual
        if relative == float("inf"):  # a part of an infinite number would allow anything
            return False
        return max(difference, -difference) <= max(absolute, relative)
