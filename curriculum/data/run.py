"""A program that an examination (curriculum.data.examine) asks to be run."""

from dataclasses import dataclass
from typing import Literal

from stepcoder.executor.suite import Suite

RunKind = Literal["solution", "mutant"]


@dataclass(frozen=True, slots=True)
class Run:
    """A mutant may be slow for ever, and its executed lines are of no use."""

    program: str
    suite: Suite
    kind: RunKind = "solution"
