"""Programs in answers of a chat: where a fence opens and closes, and which text is the program. Pure."""

import ast
from typing import Literal

Extract = Literal["auto", "none", "last-fence"]
_FENCE = "```"


def program_of(text: str, extract: Extract) -> str:
    """The program in a sample. Without a fence it is the text.

    auto: a text that is Python as a whole, else what stands in its first fence. last-fence: what stands in the last
    one, as in training, where models draft before they answer.
    """
    if extract == "none" or f"\n{_FENCE}" not in f"\n{text}" or (extract == "auto" and _is_python(text)):
        return text
    start = after_opening_fence(text) if extract == "auto" else last_opening_fence(text)[1]
    closed = closing_fence(text, start, at_line_start=True)
    return text[start : len(text) if closed is None else closed[0]]


def last_opening_fence(text: str, at: int = 0) -> tuple[int, int]:
    """Span of the line of the last fence that opens from `at` on, which begins a line; empty, at `at`, without one."""
    found = _opening_fence(text, at)
    following = found
    while following is not None:
        found = following
        closed = closing_fence(text, found[1], at_line_start=True)
        line_end = -1 if closed is None else text.find("\n", closed[1])
        following = None if line_end < 0 else _opening_fence(text, line_end + 1)
    return found or (at, at)


def _opening_fence(text: str, at: int) -> tuple[int, int] | None:
    """Span of the line of the first fence from `at` on, which begins a line."""
    fence = closing_fence(text, at, at_line_start=True)
    if fence is None:
        return None
    line_end = text.find("\n", fence[1])
    return fence[0], len(text) if line_end < 0 else line_end + 1


def closing_fence(text: str, start: int, at_line_start: bool) -> tuple[int, int] | None:
    """Span of the first fence that begins a line from `start` on; `start` itself begins a line or goes on in one."""
    if at_line_start and text.startswith(_FENCE, start):
        return start, start + len(_FENCE)
    at = text.find("\n" + _FENCE, start)
    return None if at < 0 else (at + 1, at + 1 + len(_FENCE))


def after_opening_fence(text: str) -> int:
    """Where the code of a reply begins: below the first fence line; at 0 without one."""
    return (_opening_fence(text, 0) or (0, 0))[1]


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
