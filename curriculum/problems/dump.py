"""Writes problems in the native format, which curriculum.problems.load reads. The same problem gives the same bytes."""

import json
import sys
from typing import Any

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.problems.values import to_json
from stepcoder.executor.suite import Case, Style


def problem_line(problem: Problem) -> str:
    """One line without its newline. ValueError for a value or a text that the format cannot hold."""
    suite = problem.suite
    line: dict[str, Any] = {
        "id": problem.id,
        "source": problem.source,
        "level": problem.level,
        "statement": problem.statement,
        "starter_code": problem.starter_code,
        "solution": problem.solution,
        "style": suite.style,
        "entry_point": suite.entry_point,
        "setup": suite.setup,
        "tests": [test_data(case, suite.style) for case in suite.cases],
    }
    line = {key: value for key, value in line.items() if key not in ("entry_point", "setup") or value}
    digits = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)  # real data sets hold integers of any length
    try:
        text = json.dumps(line, ensure_ascii=False, allow_nan=False)
    finally:
        sys.set_int_max_str_digits(digits)
    text.encode()  # UnicodeEncodeError, a ValueError, for lone surrogates
    return text


def test_data(case: Case, style: Style) -> dict[str, Any]:
    """A test as it stands in a line, before it becomes text. ValueError for a value that the format cannot hold."""
    if style == "assert":
        return {"code": case.input}
    test = {"input": to_json(case.input), "output": to_json(case.output)}
    return test | ({"keywords": to_json(case.keywords)} if case.keywords else {})
