# ruff: noqa: F821  (runs in one namespace with its neighbours)
# pyright: reportUndefinedVariable=false, reportOperatorIssue=false, reportArgumentType=false
"""Stands before a test module with classes of unittest."""

import re as _re
from collections import Counter as _Counter


class _Nothing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


def _require(holds, message):
    if not holds:
        raise AssertionError(message)


class _TestCase:
    maxDiff = None

    def setUp(self): ...
    def tearDown(self): ...
    @classmethod
    def setUpClass(cls): ...
    @classmethod
    def tearDownClass(cls): ...

    def subTest(self, *args, **kwargs):
        return _Nothing()

    def fail(self, msg=None):
        _require(False, msg)

    def assertTrue(self, expr, msg=None):
        _require(expr, msg)

    def assertFalse(self, expr, msg=None):
        _require(not expr, msg)

    def assertEqual(self, first, second, msg=None):
        _require(first == second, msg)

    assertListEqual = assertTupleEqual = assertDictEqual = assertSetEqual = assertMultiLineEqual = assertEqual

    def assertSequenceEqual(self, first, second, msg=None, seq_type=None):
        _require(list(first) == list(second), msg)

    def assertNotEqual(self, first, second, msg=None):
        _require(first != second, msg)

    def assertIs(self, expr1, expr2, msg=None):
        _require(expr1 is expr2, msg)

    def assertIsNot(self, expr1, expr2, msg=None):
        _require(expr1 is not expr2, msg)

    def assertIsNone(self, obj, msg=None):
        _require(obj is None, msg)

    def assertIsNotNone(self, obj, msg=None):
        _require(obj is not None, msg)

    def assertIn(self, member, container, msg=None):
        _require(member in container, msg)

    def assertNotIn(self, member, container, msg=None):
        _require(member not in container, msg)

    def assertIsInstance(self, obj, cls, msg=None):
        _require(isinstance(obj, cls), msg)

    def assertNotIsInstance(self, obj, cls, msg=None):
        _require(not isinstance(obj, cls), msg)

    def assertGreater(self, a, b, msg=None):
        _require(a > b, msg)

    def assertGreaterEqual(self, a, b, msg=None):
        _require(a >= b, msg)

    def assertLess(self, a, b, msg=None):
        _require(a < b, msg)

    def assertLessEqual(self, a, b, msg=None):
        _require(a <= b, msg)

    def assertAlmostEqual(self, first, second, places=None, msg=None, delta=None):
        _require(first == second or self._near(first, second, places, delta), msg)

    def assertNotAlmostEqual(self, first, second, places=None, msg=None, delta=None):
        _require(first != second and not self._near(first, second, places, delta), msg)

    @staticmethod
    def _near(first, second, places, delta):
        difference = abs(first - second)
        return difference <= delta if delta is not None else round(difference, 7 if places is None else places) == 0

    def assertCountEqual(self, first, second, msg=None):
        one, two = list(first), list(second)
        try:
            _require(_Counter(one) == _Counter(two), msg)
        except TypeError:
            for item in one:
                _require(item in two, msg)
                two.remove(item)
            _require(not two, msg)

    def assertRegex(self, text, expected_regex, msg=None):
        _require(_re.search(expected_regex, text), msg)

    def assertNotRegex(self, text, unexpected_regex, msg=None):
        _require(not _re.search(unexpected_regex, text), msg)

    def assertRaises(self, expected_exception, *args, **kwargs):
        return _called(_Raises(expected_exception), args, kwargs)

    def assertRaisesRegex(self, expected_exception, expected_regex, *args, **kwargs):
        return _called(_Raises(expected_exception, expected_regex), args, kwargs)
