"""Second solutions of the starter problems of interview level, written another way, and inputs to compare them on.

Each is a function of the problem's arguments, or for a script of its input as text. `inputs` makes arguments from a
random generator; small ones, so that every branch is met.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any


@dataclass(frozen=True, slots=True)
class Reference:
    solve: Callable[..., Any]
    inputs: Callable[[Random], tuple[Any, ...]]


REFERENCES: dict[str, Reference] = {}
"""By the problem's id without `starter/`."""


def reference(id: str, inputs: Callable[[Random], tuple[Any, ...]]) -> Callable[[Callable[..., Any]], Any]:
    def register(solve: Callable[..., Any]) -> Callable[..., Any]:
        REFERENCES[id] = Reference(solve, inputs)
        return solve

    return register


def some(draw: Random, most: int, item: Callable[[], Any], least: int = 0) -> list[Any]:
    """A list of `least` to `most` items."""
    return [item() for _ in range(draw.randint(least, most))]


def words(draw: Random, vocabulary: str, most: int, least: int = 0) -> list[str]:
    """A list of words out of a text of words."""
    return some(draw, most, lambda: draw.choice(vocabulary.split()), least)
