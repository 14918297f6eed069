"""Programs in answers of a chat: where a fence opens and closes, and which text is the program. Pure."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Extract = Literal["auto", "none", "last-fence"]
_PYTHON = ("python", "python3", "py", "py3")
_OPENING = re.compile(r"^([ \t]*)(`{3,}|~{3,})[ \t]*([^\s`]*)[^\n`]*(?:\n|\Z)", re.MULTILINE)
_THOUGHTS = re.compile(r"\s*<think>")
_END_OF_THOUGHTS = re.compile(r"^[ \t]*</think>|</think>\s*$", re.MULTILINE)  # and not in a line of a program


def program_of(text: str, extract: Extract) -> str:
    """The program in a sample. Without a fence it is the text after a model's thoughts, in which no fence counts.

    auto: a text that is Python as a whole, else what stands in the first fence that names Python, or in the first one
    where none does. last-fence: what stands in the last one, as in training, where models draft before they answer.
    """
    text = text.removeprefix("\ufeff")
    if extract == "none" or _is_python(text):
        return text
    answer = answer_begins(text)
    found = answer_blocks(text, answer)
    if not found:
        return text[answer:]
    named = (block for block in found if block.language in _PYTHON)
    return (next(named, found[0]) if extract == "auto" else found[-1]).program(text)


def answer_begins(text: str) -> int:
    """Where a model's thoughts end: 0 without any, the text's length where they do not end."""
    ends = [mark.end() for mark in _END_OF_THOUGHTS.finditer(text)]
    return max(ends, default=len(text) if _THOUGHTS.match(text) else 0)


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences, from `start` to `end`. `language` is as the first one names it, in small letters.

    `indent`: characters of white space before the first one, which may stand before each line, too. `opening`: where
    the first one's line begins. `closing`: where the marks of the second one are; None where it is missing.
    """

    language: str
    indent: int
    opening: int
    start: int
    end: int
    closing: tuple[int, int] | None

    def margins(self, text: str) -> list[tuple[int, int]]:
        """Spans of the white space before each line that is no part of the program; empty ones, too."""
        space = re.compile(rf"^[ \t]{{0,{self.indent}}}", re.MULTILINE)
        return [found.span() for found in space.finditer(text, self.start, self.end)]

    def program(self, text: str) -> str:
        edges = [self.start, *(edge for span in self.margins(text) for edge in span), self.end]
        return "".join(text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True))


def blocks(text: str, at: int = 0) -> Iterator[Block]:
    """The fenced blocks that begin from `at` on, as Markdown has them: a fence in a docstring closes none."""
    while opening := _OPENING.search(text, at):
        indent, fence, language = opening.groups()
        closing = re.compile(rf"^[ \t]{{0,{len(indent) + 3}}}({fence}+)", re.MULTILINE).search(text, opening.end())
        end = len(text) if closing is None else closing.start()
        yield Block(language.lower(), len(indent), opening.start(), opening.end(), end, closing and closing.span(1))
        if closing is None:
            return
        at = closing.end()


def answer_blocks(text: str, at: int = 0) -> list[Block]:
    """The blocks of an answer from `at` on; none where it is Python as a whole, whose fences stand in docstrings."""
    found = list(blocks(text, at))
    return [] if found and _is_python(text[at:]) else found


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
