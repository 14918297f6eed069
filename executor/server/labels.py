"""The problem that a trainer keeps as text or as an object: in a column, a label or a field of a row."""

from typing import Any

from pydantic import ValidationError

from stepcoder.executor.case_json import plain_keys, to_json
from stepcoder.executor.server import unit_tests
from stepcoder.executor.server.faults import explained
from stepcoder.jsonl import loads

Problem = dict[str, Any] | str


def is_json(text: str) -> bool:
    return text.lstrip().startswith("{")


def asked(program: str, problem: Problem) -> dict[str, Any]:
    """`problem` or `problem_id` of a request to /judge.

    A problem is an object in the native format, `{"inputs", "outputs", "fn_name"}`, `{"assert_case"}`, JSON text of any
    of these, or an id. ValueError for anything else.
    """
    if isinstance(problem, str):
        if not is_json(problem):
            return {"problem_id": problem}
        try:
            problem = loads(problem)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the problem is not JSON: {error}") from None
    if not isinstance(problem, dict):
        raise ValueError(f"a problem is an object or a text, not {type(problem).__name__}")
    # Tables of rows give every row all columns, with None in those that it does not have.
    given = {name: value for name, value in problem.items() if value is not None}
    if codes := unit_tests.asserts(given):
        return {"problem": {"style": "assert", "tests": [{"code": code} for code in codes]}}
    try:
        return {"problem": _of_tests(given, program) if "inputs" in given else plain_keys(given)}
    except RecursionError as error:
        raise ValueError(f"the problem is no JSON data: {error}") from None


def _of_tests(tests: dict[str, Any], program: str) -> dict[str, Any]:
    try:
        return native(unit_tests.UnitTests.model_validate(tests), program)
    except ValidationError as error:
        raise ValueError(f"the problem: {explained(error)}") from None


def native(tests: unit_tests.UnitTests, program: str) -> dict[str, Any]:
    """A problem in the native format. ValueError: what is wrong with the tests."""
    suite = unit_tests.suite(tests, program)
    cases = []
    for number, case in enumerate(suite.cases, 1):
        try:
            cases.append({"input": to_json(case.input), "output": to_json(case.output)})
        except ValueError as error:
            raise ValueError(f"test {number}: {error}") from None
    return {"style": suite.style, "entry_point": suite.entry_point, "compare": suite.compare.type, "tests": cases}
