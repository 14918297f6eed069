"""Programs in answers of a chat: where a fence opens and closes, and which text is the program. Pure."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Extract = Literal["auto", "none", "last-fence"]
_FENCE = "```"
_PYTHON = ("python", "python3", "py", "py3")
_OPENING = re.compile(r"^([ \t]*)(`{3,}|~{3,})[ \t]*([^\s`]*)[^\n`]*\n", re.MULTILINE)
_END_OF_THOUGHTS = re.compile(r"^[ \t]*</think>|</think>\s*$", re.MULTILINE)  # and not in a line of a program


def program_of(text: str, extract: Extract) -> str:
    """The program in a sample. Without a fence it is the text.

    auto: a text that is Python as a whole, else what stands in the first fence that names Python, or in the first one
    where none does. last-fence: what stands in the last one, as in training, where models draft before they answer.
    What stands before the end of a model's thoughts is not looked at. Where no ``` begins a line, auto takes a block as
    Markdown has them: in a list, or between ~~~.
    """
    text = text.removeprefix("\ufeff")
    if extract == "none" or (extract == "auto" and _is_python(text)):
        return text
    answer = max((mark.start() for mark in _END_OF_THOUGHTS.finditer(text)), default=0)
    if f"\n{_FENCE}" not in f"\n{text}":
        found = (list(blocks(text, answer)) or list(blocks(text))) if extract == "auto" else []
        return next((block for block in found if block.language in _PYTHON), found[0]).program(text) if found else text
    fences = list(_opening_fences(text, answer)) or list(_opening_fences(text, 0))
    named = (span for span in fences if _language(text, span) in _PYTHON)
    start = (next(named, fences[0]) if extract == "auto" else fences[-1])[1]
    closed = closing_fence(text, start, at_line_start=True)
    return text[start : len(text) if closed is None else closed[0]]


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences, from `start` to `end`. `language` is as the first one names it, in small letters.

    `indent`: characters of white space before the first one, which may stand before each line, too. `closing`: where
    the marks of the second one are; None where it is missing.
    """

    language: str
    indent: int
    start: int
    end: int
    closing: tuple[int, int] | None

    def margins(self, text: str) -> list[tuple[int, int]]:
        """Spans of the white space before each line that is no part of the program; empty ones, too."""
        space = re.compile(rf"^[ \t]{{0,{self.indent}}}", re.MULTILINE)
        return [found.span() for found in space.finditer(text, self.start, self.end)]

    def program(self, text: str) -> str:
        margins = self.margins(text)
        ends = [start for start, _ in margins[1:]] + [self.end]
        return "".join(text[start:end] for (_, start), end in zip(margins, ends, strict=True))


def blocks(text: str, at: int = 0) -> Iterator[Block]:
    """The fenced blocks that begin from `at` on, as Markdown has them: a fence in a docstring closes none."""
    while opening := _OPENING.search(text, at):
        indent, fence, language = opening.groups()
        closing = re.compile(rf"^[ \t]{{0,{len(indent) + 3}}}({fence}+)", re.MULTILINE).search(text, opening.end())
        end = len(text) if closing is None else closing.start()
        yield Block(language.lower(), len(indent), opening.end(), end, closing and closing.span(1))
        if closing is None:
            return
        at = closing.end()


def last_opening_fence(text: str, at: int = 0) -> tuple[int, int]:
    """Span of the line of the last fence that opens from `at` on, which begins a line; empty, at `at`, without one."""
    return [(at, at), *_opening_fences(text, at)][-1]


def _opening_fences(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Spans of the lines of all fences that open from `at` on."""
    found = _opening_fence(text, at)
    while found is not None:
        yield found
        closed = closing_fence(text, found[1], at_line_start=True)
        line_end = -1 if closed is None else text.find("\n", closed[1])
        found = None if line_end < 0 else _opening_fence(text, line_end + 1)


def _language(text: str, span: tuple[int, int]) -> str:
    words = text[span[0] : span[1]].strip("`\r\n\t ").split()
    return words[0].lower() if words else ""


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


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
