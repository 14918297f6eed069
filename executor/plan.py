"""A suite split in two: what the child gets (inputs), and what stays in the parent (expected outputs).

An assert of the form `f(literals) == literal` becomes a call with an expected value. Any other assert
runs as code beside the program ("guarded"), where a determined program can forge its success.
"""

import ast
import json
from dataclasses import dataclass
from typing import Any

from executor.sandbox import codec
from executor.suite import Case, Suite


@dataclass(frozen=True, slots=True)
class PlannedCase:
    """`wire` goes to the child as JSON, `stdin` as a file; `expected` never leaves. kind: text, value or code."""

    kind: str
    wire: dict[str, Any] | None
    expected: Any = None
    stdin: bytes = b""


@dataclass(frozen=True, slots=True)
class Plan:
    """The cases in order, and their inputs as one JSON text that is the same for every program of the suite."""

    cases: tuple[PlannedCase, ...]
    wire: str


def plan(suite: Suite) -> Plan:
    """Raises ValueError for a suite that could pass without a test having been run."""
    if not suite.cases:
        raise ValueError("a suite without tests cannot judge a program: give at least one test")
    if suite.style == "call" and not suite.entry_point:
        raise ValueError("a suite in call style needs an entry point: a function name or `Class().method`")
    make = {"stdin": _stdin, "call": _call, "assert": _assertion}[suite.style]
    cases = tuple(make(case, suite.entry_point, number) for number, case in enumerate(suite.cases, 1))
    return Plan(cases, json.dumps([case.wire for case in cases], check_circular=False))


def _stdin(case: Case, entry: str | None, number: int) -> PlannedCase:
    if not isinstance(case.input, str) or not isinstance(case.output, str):
        raise ValueError(f"test {number}: a test in stdin style has a text as input and a text as output")
    wire = {"fn": entry, "main": True} if entry else None
    return PlannedCase("text", wire, case.output, case.input.encode("utf-8", "surrogateescape"))


def _call(case: Case, entry: str | None, number: int) -> PlannedCase:
    if not isinstance(case.input, list | tuple):
        raise ValueError(f"test {number}: a test in call style has a list of positional arguments as input")
    wire = {"fn": entry, "args": [codec.encode(argument) for argument in case.input]}
    return PlannedCase("value", wire, case.output)


def _assertion(case: Case, entry: str | None, number: int) -> PlannedCase:
    if not isinstance(case.input, str):
        raise ValueError(f"test {number}: a test in assert style is Python code as a text")
    try:
        body = ast.parse(case.input).body
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"test {number}: the assert does not parse: {error}") from error
    if not any(isinstance(node, ast.Assert) for statement in body for node in ast.walk(statement)):
        raise ValueError(f"test {number}: the code has no assert, so it could not fail")
    return _as_call(body) or PlannedCase("code", {"code": case.input})


def _as_call(body: list[ast.stmt]) -> PlannedCase | None:
    """`assert f(literals) == literal` (either way round) as data; None for any other code."""
    if len(body) != 1 or not isinstance(body[0], ast.Assert):
        return None
    test = body[0].test
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
        return None
    for call, literal in ((test.left, test.comparators[0]), (test.comparators[0], test.left)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and all(k.arg for k in call.keywords):
            try:
                expected = ast.literal_eval(literal)
                args = [codec.encode(ast.literal_eval(argument)) for argument in call.args]
                kwargs = {str(k.arg): codec.encode(ast.literal_eval(k.value)) for k in call.keywords}
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, codec.TooLarge):
                continue
            return PlannedCase("value", {"fn": call.func.id, "args": args, "kwargs": kwargs}, expected)
    return None
