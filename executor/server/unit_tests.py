"""Tests as LiveCodeBench, NeMo Gym and verl write them: inputs, outputs and perhaps a function's name."""

import json
from typing import Any

from pydantic import BaseModel

from stepcoder.executor.suite import Case, Compare, Suite

LCB = Compare("lcb")  # LiveCodeBench's rule


class UnitTests(BaseModel):
    """With `fn_name` an input is one JSON value a line, an argument each, and an output is JSON."""

    inputs: list[Any]
    outputs: list[Any]
    fn_name: str | None = None


def suite(tests: UnitTests, program: str) -> Suite:
    """ValueError: what is wrong with the tests. `program`: a method is asked for where it defines `Solution`."""
    if len(tests.inputs) != len(tests.outputs) or not tests.inputs:
        raise ValueError(f"{len(tests.inputs)} inputs and {len(tests.outputs)} outputs: give as many of both")
    pairs = list(enumerate(zip(tests.inputs, tests.outputs, strict=True), 1))
    if tests.fn_name is None:
        for number, pair in pairs:
            if not all(isinstance(text, str) for text in pair):
                raise ValueError(f"test {number}: texts are needed where there is no fn_name")
        return Suite("stdin", tuple(Case(given, wanted) for _, (given, wanted) in pairs), compare=LCB)
    entry = f"Solution().{tests.fn_name}" if "class Solution" in program else tests.fn_name
    return Suite("call", tuple(_call(given, wanted, number) for number, (given, wanted) in pairs), entry, compare=LCB)


def _call(given: Any, wanted: Any, number: int) -> Case:
    try:
        arguments = [json.loads(line) for line in given.split("\n")] if isinstance(given, str) else given
        return Case(arguments, json.loads(wanted) if isinstance(wanted, str) else wanted)
    except ValueError as error:
        raise ValueError(f"test {number}: not JSON ({error})") from None
