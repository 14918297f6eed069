"""What a program is judged by: a style and its test cases.

A suite stays in the trusted parent. Only the inputs ever reach the process that
runs a program; expected outputs are compared where the program cannot see them.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

Style = Literal["stdin", "call", "assert"]


@dataclass(frozen=True, slots=True)
class Case:
    """One test. stdin: text in, text out. call: list of positional arguments, value out. assert: code, None.

    `keywords` are the keyword arguments of a call. Values are plain data, or `LinkedList` and `BinaryTree` of
    executor.sandbox.values.structures, which a program sees as nodes.
    """

    input: Any
    output: Any = None
    keywords: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests of one problem.

    `entry_point`: a function name or `Class().method` (call style), or a function without parameters that holds the
    whole program (stdin style; a program that does not define it is run as a script). `setup` is trusted code that is
    run before the program in its namespace: imports and helper classes; its lines are not the program's.
    """

    style: Style
    cases: tuple[Case, ...]
    entry_point: str | None = None
    setup: str = ""
