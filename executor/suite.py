"""What a program is judged by: a style, its test cases, and how answers are compared.

A suite stays in the trusted parent. Only the inputs ever reach the process that
runs a program; expected outputs are compared where the program cannot see them.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

Style = Literal["stdin", "call", "assert", "pytest"]
CompareType = Literal["strict", "tokens", "lines", "lcb", "apps", "yesno"]
CompareRule = CompareType | Literal["problem"]  # for all problems; `problem`: as each one says


@dataclass(frozen=True, slots=True)
class Case:
    """One test. stdin: text in, text out. call: list of positional arguments, value out. assert: code, None.
    pytest: the name of a test of the suite's module, None.

    `keywords` are the keyword arguments of a call. Values are plain data, or `LinkedList` and `BinaryTree` of
    executor.sandbox.values.structures, which a program sees as nodes.
    """

    input: Any
    output: Any = None
    keywords: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Compare:
    """When an answer agrees with the expected one, see executor.judging.compare.

    `tolerance`: absolute or relative difference that numbers may have; None: the default of the type. `unordered`: the
    order of a returned list is free, with `deep` that of the lists in it too.
    """

    type: CompareType = "strict"
    tolerance: float | None = None
    unordered: Literal[False, True, "deep"] = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What a problem says of one test: CPU seconds, MiB of memory; None: the executor's settings."""

    cpu_s: float | None = None
    memory_mib: int | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests of one problem.

    `entry_point`: a function name or `Class().method` (call style), or a function without parameters that holds the
    whole program (stdin style; a program that does not define it is run as a script). `setup` is trusted code that is
    run before the program in its namespace: imports and helper classes; its lines are not the program's. `prelude`:
    usual names of the library are there without an import. `answer`: the argument, by place or name, that holds the
    answer after a call, instead of the returned value. `checker`: source with `check(input, output, expected)`, which
    decides instead of a comparison. `module`: source of the test module (pytest style).
    """

    style: Style
    cases: tuple[Case, ...]
    entry_point: str | None = None
    setup: str = ""
    compare: Compare = Compare()
    prelude: bool = False
    answer: int | str | None = None
    checker: str = ""
    module: str = ""
    limits: Limits = Limits()
