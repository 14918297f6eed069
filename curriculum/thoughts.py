"""Thoughts of reasoning models: the marks that a chat template has for them, and which characters lie between those.

Invariant: a character is a thought or part of the answer. A draft inside a thought is never the answer.
"""

from dataclasses import dataclass
from typing import Any

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Marks:
    """What a thought begins and ends with. `sign`: what tells that a chat template uses them."""

    begin: str
    end: str
    sign: str


def _marks(begin: str, end: str) -> Marks:
    return Marks(begin, end, sign=end)


# Of Qwen3, DeepSeek, GLM and others; of Mistral; of Cohere; of Seed; of gpt-oss, whose end mark others have too.
KNOWN = (
    _marks("<think>", "</think>"),
    _marks("[THINK]", "[/THINK]"),
    _marks("<|START_THINKING|>", "<|END_THINKING|>"),
    _marks("<seed:think>", "</seed:think>"),
    Marks("<|channel|>analysis<|message|>", "<|end|>", sign="<|channel|>analysis"),
)


def marks_of(chat_template: Any) -> Marks | None:
    """The marks that a tokenizer's chat template, or one of several, uses; None where it knows no thoughts."""
    text = str(chat_template or "")
    return next((marks for marks in KNOWN if marks.sign in text), None)


def thoughts(response: str, marks: Marks | None, begun: bool = False) -> list[Span]:
    """Half-open spans of the thoughts in a response, marks included; one that never ends reaches to the response's end.

    `begun`: the prompt ends with the first mark already.
    """
    if marks is None:
        return []
    found: list[Span] = []
    start = 0 if begun else response.find(marks.begin)
    while start >= 0:
        end = response.find(marks.end, start)
        found.append((start, len(response) if end < 0 else end + len(marks.end)))
        start = response.find(marks.begin, found[-1][1])
    return found
