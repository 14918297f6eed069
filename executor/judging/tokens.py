"""The comparison `tokens`: what a contest's checker makes of two texts. Both are read once and side by side, so that
an output costs no more than the expected text, whatever was printed."""

import re
from collections.abc import Iterator
from itertools import zip_longest

from stepcoder.executor.judging.numbers import same_written

_WORD = re.compile(r"\S+")
_DELIMITER = re.compile(r"[()\[\]{},]")
_NUMBERS = re.compile(r"[()\[\]{},+\-.0-9eE]+\Z")
_PART = re.compile(r"[()\[\]{},]|[^()\[\]{},]+")


def same_tokens(expected: str, actual: str, tolerance: float) -> bool:
    """Tokens between white space of any kind; numbers in brackets and between commas, and these, are tokens too."""
    pairs = zip_longest(_tokens(expected), _tokens(actual))
    return all(_same(one, two, tolerance) for one, two in pairs)


def _tokens(text: str) -> Iterator[str]:
    for match in _WORD.finditer(text):
        word = match[0]
        if _DELIMITER.search(word) and _NUMBERS.match(word):
            yield from (part[0] for part in _PART.finditer(word))
        else:
            yield word


def _same(expected: str | None, actual: str | None, tolerance: float) -> bool:
    if expected is None or actual is None:
        return False
    if expected == actual or same_written(expected, actual, tolerance):
        return True
    if not (_DELIMITER.search(expected) and _DELIMITER.search(actual)):
        return False
    pairs = zip_longest(_PART.finditer(expected), _PART.finditer(actual))  # Point(0.5 beside Point(0.50
    return all(one and two and (one[0] == two[0] or same_written(one[0], two[0], tolerance)) for one, two in pairs)
