"""What a program is judged by: a style and its test cases.

A suite stays in the trusted parent. Only the inputs ever reach the process that
runs a program; expected outputs are compared where the program cannot see them.
"""

from dataclasses import dataclass
from typing import Any, Literal

Style = Literal["stdin", "call", "assert"]


@dataclass(frozen=True, slots=True)
class Case:
    """One test. stdin: text in, text out. call: list of positional arguments, JSON value out. assert: code, None."""

    input: Any
    output: Any = None


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests of one problem; `entry_point` is a function name or `Class().method` (call style only)."""

    style: Style
    cases: tuple[Case, ...]
    entry_point: str | None = None
