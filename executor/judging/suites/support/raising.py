# ruff: noqa: F821  (runs in one namespace with its neighbours)
# pyright: reportUndefinedVariable=false, reportOperatorIssue=false, reportArgumentType=false
"""Stands before a test module that says `raises`."""

import re


class _Raises:
    def __init__(self, kinds, match=None):
        self.kinds, self.pattern, self.value = kinds, match, None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is None:
            raise AssertionError("nothing was raised")
        if not isinstance(error, self.kinds):
            return False
        self.value = self.exception = error
        self.type = kind
        return self.pattern is None or self.match(self.pattern)

    def match(self, pattern):
        if not re.search(pattern, str(self.value)):
            raise AssertionError("another message")
        return True


def _raises(kinds, function=None, *args, match=None, **kwargs):
    if function is None:
        return _Raises(kinds, match)
    with _Raises(kinds, match) as caught:
        function(*args, **kwargs)
    return caught
