"""A programming problem in the native format: what is asked, a reference solution, and its tests."""

from dataclasses import dataclass
from typing import Literal

from stepcoder.executor.suite import Suite

Level = Literal["introductory", "interview", "competition"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. `id` is stable: every state of a run is keyed by it.

    `solution` is empty where none is known: such a problem has full generation only. A problem that programs are only
    judged by may have no statement. `shown`: places of the tests that the statement is known to show. `hidden`: so many
    of the last tests give no reward (curriculum.problems.hidden).
    """

    id: str
    source: str
    level: Level
    statement: str
    starter_code: str
    solution: str
    suite: Suite
    shown: tuple[int, ...] = ()
    hidden: int = 0
