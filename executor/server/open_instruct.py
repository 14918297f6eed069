"""open-instruct's `/test_program` and `/test_program_stdio` (github.com/allenai/open-instruct, code_utils/api.py)."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from stepcoder.executor.report import Report
from stepcoder.executor.suite import Case, Suite
from stepcoder.jsonl import loads


class TestRequest(BaseModel):
    """`tests`: asserts, or objects with `input` and `output` for /test_program_stdio; also as JSON text."""

    __test__ = False  # not a pytest class
    model_config = ConfigDict(extra="forbid")

    program: str
    tests: list[Any] | str
    max_execution_time: float = Field(default=1.0, gt=0, description="CPU seconds of one test.")


def suite(request: TestRequest, stdio: bool) -> Suite | None:
    """None for no tests. ValueError: what is wrong with them."""
    tests = _decoded(request.tests) if isinstance(request.tests, str) else request.tests
    if not tests:
        return None
    if stdio:
        return Suite("stdin", tuple(_pair(test, number) for number, test in enumerate(tests, 1)))
    for number, test in enumerate(tests, 1):
        if not isinstance(test, str):
            raise ValueError(f"test {number}: an assert as text is needed, not {type(test).__name__}")
    return Suite("assert", tuple(Case(test) for test in tests))


def answer(request: TestRequest, count: int, report: Report) -> dict[str, Any]:
    """`results`: 1 or 0 a test; `runtimes`: CPU seconds, -1 for a test that did not pass."""
    tests = report.tests or ()
    passed = [test.passed and test.cpu_s <= request.max_execution_time for test in tests] or [False] * count
    times = [test.cpu_s for test in tests] or [0.0] * count
    return {
        "results": [int(one) for one in passed],
        "runtimes": [time if one else -1.0 for one, time in zip(passed, times, strict=True)],
    }


def _decoded(text: str) -> list[Any]:
    if not text:
        return []
    try:
        tests = loads(text)
    except (ValueError, RecursionError):
        raise ValueError("tests: neither a list nor JSON text (packed pickles are never opened: send a list)") from None
    if not isinstance(tests, list):
        raise ValueError(f"tests: JSON text of a list is needed, not of {type(tests).__name__}")
    return tests


def _pair(test: Any, number: int) -> Case:
    if not isinstance(test, dict) or not all(isinstance(test.get(key), str) for key in ("input", "output")):
        raise ValueError(f"test {number}: an object with texts `input` and `output` is needed")
    return Case(test["input"], test["output"])
