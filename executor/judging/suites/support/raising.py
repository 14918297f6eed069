# ruff: noqa: F821  (runs in one namespace with its neighbours)
# pyright: reportUndefinedVariable=false, reportOperatorIssue=false, reportArgumentType=false
"""Stands before a test module that says `raises`."""

import re as _re
from traceback import format_exception_only as _format


class _Raises:
    def __init__(self, kinds, match=None, check=None):
        self.kinds, self.pattern, self.check, self.value = kinds, match, check, None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is None:
            raise AssertionError("nothing was raised")
        if not isinstance(error, self.kinds):
            return False
        self.value = self.exception = error
        self.type, self.typename, self.tb = kind, kind.__name__, trace
        if self.check is not None and not self.check(error):
            raise AssertionError("another exception")
        return self.pattern is None or self.match(self.pattern)

    def __repr__(self):
        return f"<ExceptionInfo {self.value!r}>"

    def match(self, pattern):
        if not _re.search(pattern, str(self.value)):
            raise AssertionError("another message")
        return True

    def exconly(self, tryshort=False):
        return "".join(_format(self.value)).strip()

    def errisinstance(self, kinds):
        return isinstance(self.value, kinds)


def _called(caught, args, kwargs):
    if args:
        with caught:
            args[0](*args[1:], **kwargs)
    return caught


def _raises(expected_exception, *args, match=None, check=None, **kwargs):
    return _called(_Raises(expected_exception, match, check), args, kwargs)
