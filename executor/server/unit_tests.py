"""Tests as LiveCodeBench, NeMo Gym, APPS and verl write them: inputs, outputs and perhaps a function's name."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from stepcoder.executor.case_json import integer_keys
from stepcoder.executor.suite import Case, Compare, Suite
from stepcoder.jsonl import loads

_NAMES = {"func_name", "function_name", "fn", "function", "entry_point", "fname", "fn_nam", "fnname"}
LCB, APPS = Compare("lcb"), Compare("apps")  # rules of LiveCodeBench, and of APPS, which takes values in lists, too


class UnitTests(BaseModel):
    """With `fn_name` an input is a text with one JSON value a line, an argument each, and an output is JSON.

    Or an input is the list of arguments, and an output the value, which may stand in a list of its own. As APPS has
    it a dictionary as first argument or value then has integers as keys where JSON made all of them texts.
    """

    model_config = ConfigDict(extra="allow")

    inputs: list[Any]
    outputs: list[Any]
    fn_name: str | None = None

    @model_validator(mode="after")
    def _named(self) -> "UnitTests":
        """Rows have fields of all kinds beside these; one that is meant to be the name would change every verdict."""
        found = [name for name, value in (self.model_extra or {}).items() if name in _NAMES and value]
        if found and not self.fn_name:
            raise ValueError(f"{min(found)}: unknown field: the function's name goes into `fn_name`")
        if asserts({**(self.model_extra or {}), "inputs": self.inputs, "outputs": self.outputs}):
            raise ValueError("`assert_case`: tests of inputs and outputs were expected")
        return self


def asserts(tests: dict[str, Any]) -> list[str]:
    """verl's `assert_case`, code that runs after the program, a test each; empty where a row has none.

    ValueError where inputs or outputs stand beside it: a program would have to pass both.
    """
    found = tests.get("assert_case") or []
    if not isinstance(found, list) or not all(isinstance(code, str) for code in found):
        raise ValueError("`assert_case` is no list of texts")
    found = [code for code in found if code.strip()]
    if found and any(part for name in ("inputs", "outputs") for part in tests.get(name) or []):
        raise ValueError("`assert_case` stands beside inputs and outputs: give each kind a problem of its own")
    return found


def suite(tests: UnitTests, program: str) -> Suite:
    """ValueError: what is wrong with the tests. `program`: a method is asked for where it defines `Solution`."""
    if len(tests.inputs) != len(tests.outputs) or not tests.inputs:
        raise ValueError(f"{len(tests.inputs)} inputs and {len(tests.outputs)} outputs: give as many of both")
    pairs = list(enumerate(zip(tests.inputs, tests.outputs, strict=True), 1))
    if not tests.fn_name:
        cases = tuple(Case(_text(given, number), _text(wanted, number)) for number, (given, wanted) in pairs)
        return Suite("stdin", cases, compare=LCB)
    entry = f"Solution().{tests.fn_name}" if "class Solution" in program else tests.fn_name
    if not any(isinstance(given, str) for given in tests.inputs):
        return Suite("call", tuple(_keyed(given, wanted, number) for number, (given, wanted) in pairs), entry,
                     compare=APPS)  # fmt: skip
    return Suite(
        "call", tuple(_written(given, wanted, number) for number, (given, wanted) in pairs), entry, compare=LCB
    )


def _text(part: Any, number: int) -> str:
    """A text, also as a list of its lines."""
    lines = part if isinstance(part, list) else [part]
    if not all(isinstance(line, str) for line in lines):
        raise ValueError(f"test {number}: texts are needed where there is no fn_name")
    return "\n".join(lines)


def _written(given: Any, wanted: Any, number: int) -> Case:
    if not isinstance(given, str):
        raise ValueError(f"test {number}: its input is no text, but others are")
    try:
        arguments = [loads(line) for line in given.split("\n") if line.strip()]
        value = loads(wanted) if isinstance(wanted, str) else wanted
    except (ValueError, RecursionError) as error:
        raise ValueError(f"test {number}: not JSON ({error})") from None
    return Case(arguments, value)


def _keyed(arguments: Any, value: Any, number: int) -> Case:
    try:
        return Case(integer_keys(arguments), integer_keys(value))
    except ValueError as error:
        raise ValueError(f"test {number}: {error}") from None
