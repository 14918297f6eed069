"""Programs in answers of a chat: where a fence opens and closes, and which text is the program. Pure."""

import ast
from typing import Literal

Extract = Literal["auto", "none", "last-fence"]
_FENCE = "```"


def program_of(text: str, extract: Extract) -> str:
    """The program in a sample. Without a fence it is the text.

    auto: a text that is Python as a whole, else what stands in its first fence, as in training. last-fence: what stands
    in the last one, where models think aloud before they answer.
    """
    if extract == "none" or f"\n{_FENCE}" not in f"\n{text}" or (extract == "auto" and _is_python(text)):
        return text
    start = after_opening_fence(text)
    body = _body(text, start)
    if extract == "auto":
        return body
    while True:
        closed = closing_fence(text, start, at_line_start=True)
        line_end = -1 if closed is None else text.find("\n", closed[1])
        following = -1 if line_end < 0 else f"\n{text[line_end + 1 :]}".find(f"\n{_FENCE}")
        if following < 0:
            return body
        start = line_end + 1 + after_opening_fence(text[line_end + 1 :])
        body = _body(text, start)


def closing_fence(text: str, start: int, at_line_start: bool) -> tuple[int, int] | None:
    """Span of the first fence that begins a line from `start` on; `start` itself begins a line or goes on in one."""
    if at_line_start and text.startswith(_FENCE, start):
        return start, start + len(_FENCE)
    at = text.find("\n" + _FENCE, start)
    return None if at < 0 else (at + 1, at + 1 + len(_FENCE))


def after_opening_fence(text: str) -> int:
    """Where the code of a reply begins: below the first fence line; at 0 without one."""
    at = 0 if text.startswith(_FENCE) else text.find("\n" + _FENCE) + 1
    if at == 0 and not text.startswith(_FENCE):
        return 0
    line_end = text.find("\n", at)
    return len(text) if line_end < 0 else line_end + 1


def _body(text: str, start: int) -> str:
    closed = closing_fence(text, start, at_line_start=True)
    return text[start : len(text) if closed is None else closed[0]]


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
