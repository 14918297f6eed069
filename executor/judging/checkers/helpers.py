"""What stands before every checker's own source: how to read an answer token by token, as with testlib.

Runs in the checker's sandbox. What raises WrongAnswer is a wrong answer with that text; any other exception is a
failure of the checker.
"""

import math


class WrongAnswer(Exception):
    """The answer is wrong; the text says why."""


class Reader:
    """Tokens of a text, in order. Each method raises WrongAnswer where there is no such token."""

    def __init__(self, text):
        self._tokens = iter(text.split())

    def word(self):
        token = next(self._tokens, None)
        if token is None:
            raise WrongAnswer("the answer ends too early")
        return token

    def integer(self, low=None, high=None):
        token = self.word()
        digits = token[1:] if token[:1] in "+-" else token
        if not (digits.isascii() and digits.isdigit()):
            raise WrongAnswer(f"an integer was expected, not {token!r:.50}")
        return self._between(int(token), low, high)

    def real(self, low=None, high=None):
        token = self.word()
        try:
            value = float(token)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise WrongAnswer(f"a number was expected, not {token!r:.50}")
        return self._between(value, low, high)

    def integers(self, count, low=None, high=None):
        return [self.integer(low, high) for _ in range(count)]

    def end(self):
        token = next(self._tokens, None)
        if token is not None:
            raise WrongAnswer(f"the answer goes on with {token!r:.50}")

    @staticmethod
    def _between(value, low, high):
        if (low is not None and value < low) or (high is not None and value > high):
            raise WrongAnswer(f"{value!r:.50} is not between {low} and {high}")
        return value
