"""Writes problems in the native format, which curriculum.problems.load reads. The same problem gives the same bytes."""

from dataclasses import asdict
from typing import Any

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.problems.sources import defaults
from stepcoder.executor.case_json import to_json
from stepcoder.executor.suite import Case, Style, Suite
from stepcoder.jsonl import dumps


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
        **_told(suite, problem.source),
        **({"shown": list(problem.shown)} if problem.shown else {}),
        "tests": [test_data(case, suite.style) for case in suite.cases],
    }
    text = dumps(line, ensure_ascii=False, allow_nan=False)
    text.encode()  # UnicodeEncodeError, a ValueError, for lone surrogates
    return text


def _told(suite: Suite, source: str) -> dict[str, Any]:
    """What a line says of its tests, less what it need not say."""
    usual = defaults(source, suite.style, suite.entry_point)
    told: dict[str, Any] = {
        "entry_point": suite.entry_point or None,
        "setup": suite.setup or None,
        "prelude": suite.prelude if suite.prelude != usual.prelude else None,
        "limits": {key: value for key, value in asdict(suite.limits).items() if value is not None} or None,
        "module": suite.module or None,
    }
    if suite.style in ("stdin", "call"):
        told |= {
            "compare": suite.compare.type if suite.compare.type != usual.compare else None,
            "tolerance": suite.compare.tolerance,
            "unordered": suite.compare.unordered or None,
            "answer": None if suite.answer is None else {"argument": suite.answer},
            "checker": suite.checker or None,
        }
    return {key: value for key, value in told.items() if value is not None}


def test_data(case: Case, style: Style) -> dict[str, Any]:
    """A test as it stands in a line, before it becomes text. ValueError for a value that the format cannot hold."""
    if style in ("assert", "pytest"):
        return {"code" if style == "assert" else "name": case.input}
    test = {"input": to_json(case.input), "output": to_json(case.output)}
    return test | ({"keywords": to_json(case.keywords)} if case.keywords else {})
