"""CodeContests (arXiv 2203.07814): standard input and output. Its own columns, and flat copies of them.

Columns: `name`, `description`, `difficulty`, `solutions` and three kinds of tests, each as parallel lists.
Flat: `id`, `statement`, `solution`, `inputs`, `outputs`.
"""

import re
from collections.abc import Iterator
from typing import Any

from stepcoder.curriculum.data.readers.build import (
    Entry,
    pairs,
    read_entries,
    record,
    solutions,
    stdin_cases,
    text,
    wrapper,
)
from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.record import Record, Rejected
from stepcoder.curriculum.problems.problem import Level
from stepcoder.executor.suite import Suite

_PYTHON3 = 3  # of the column `language`
_CODEFORCES = re.compile(r"\d+_([A-Za-z])(?![A-Za-z])")  # a name begins with the contest and the problem's letter
_EASY, _MEDIUM, _A = 1, 2, 7  # of the column `difficulty`


def read_codecontests(path: Location) -> Iterator[Record | Rejected]:
    yield from read_entries(path, _problem)


def _problem(entry: Entry, number: int) -> Record:
    statement = text(entry, "statement", "description", default="")
    found = solutions(_python3(entry.get("solution") or entry.get("solutions")))
    inputs, outputs = _tests(entry)
    name = str(entry.get("id") or entry.get("name") or number)
    entry_point = wrapper(found[0]) if found else None
    return record(
        id=f"codecontests/{name}",
        source="codecontests",
        level=_level(name, entry.get("difficulty")),
        statement=statement,
        starter_code="",
        solutions=found,
        suite=Suite("stdin", stdin_cases(inputs, outputs), entry_point),
    )


def _python3(value: Any) -> Any:
    if isinstance(value, dict):  # parallel lists of the original columns
        return [code for language, code in pairs(value.get("language"), value.get("solution")) if language == _PYTHON3]
    return value


def _tests(entry: Entry) -> tuple[Any, Any]:
    if "inputs" in entry:
        return entry["inputs"], entry.get("outputs")
    inputs: list[Any] = []
    outputs: list[Any] = []
    for name in ("public_tests", "private_tests", "generated_tests"):
        tests = entry.get(name)
        if isinstance(tests, dict):
            inputs += tests.get("input") or []
            outputs += tests.get("output") or []
    return inputs, outputs


def _level(name: str, difficulty: Any) -> Level:
    """Codeforces: problems A and B, C and D, later ones. Others by the column; `competition` for what nobody graded."""
    found = _CODEFORCES.match(name)
    if found:
        difficulty = _A + "abcdefghijklmnopqrstuvwxyz".index(found[1].lower())
    if difficulty in (_EASY, _A, _A + 1):
        return "introductory"
    return "interview" if difficulty in (_MEDIUM, _A + 2, _A + 3) else "competition"
