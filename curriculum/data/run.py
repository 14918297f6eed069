"""A program that an examination (curriculum.data.examine) asks to be run."""

from dataclasses import dataclass
from typing import Literal

from stepcoder.executor.suite import Suite

RunKind = Literal["solution", "mutant", "trial", "again"]


@dataclass(frozen=True, slots=True)
class Run:
    """`mutant`: it may be slow for ever, and its executed lines are of no use. `trial`: on inputs that nobody has
    vouched for, with a part of the limits and with answers told in full; `again`: the same, with another seed.
    """

    program: str
    suite: Suite
    kind: RunKind = "solution"
