"""APPS+ (arXiv 2402.01391): one JSON array; a problem's tests are parallel lists of inputs and outputs.

Version 1 has `prompt`, `canonical_solution`, `starter_code`, `inputs`, `outputs`, later ones `difficulty` and other
names; all are tried. Inputs that are texts mean stdin style, whose solution is wrapped as `def NAME():` and has to
be called; lists of arguments mean call style.
"""

import ast
import re
from typing import Any

from stepcoder.curriculum.data.readers.build import (
    Entry,
    graded,
    name_of,
    record,
    solutions,
    stdin_cases,
    text,
    wrapper,
)
from stepcoder.curriculum.data.readers.files import loads
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse
from stepcoder.curriculum.data.readers.suites import SETUP, paired_suite
from stepcoder.curriculum.problems.problem import Level
from stepcoder.curriculum.stages.conditionals import parse
from stepcoder.executor.suite import Compare, Suite

# Version 1 has no levels.
_DEFAULT_LEVEL: Level = "interview"


def apps_plus(entry: Entry, number: int) -> Record:
    found = solutions(_first(entry, "canonical_solution", "canonical_solutions", "solution", "solutions"))
    starter_code = text(entry, "starter_code", default="")
    tests = _decoded(_first(entry, "input_output", "tests"))
    tests = tests if isinstance(tests, dict) else {}
    inputs = _decoded(_first(entry, "inputs", "input") or tests.get("inputs"))
    outputs = _decoded(_first(entry, "outputs", "output") or tests.get("outputs"))
    name = _first(entry, "fn_name", "entry_point") or tests.get("fn_name")
    if not isinstance(inputs, list) or not inputs:
        raise Refuse(Reason.NO_TESTS)
    if all(isinstance(given, str) for given in inputs):
        entry_point = wrapper(found[0], starter_code) if found else None
        suite = Suite("stdin", stdin_cases(inputs, outputs), entry_point, SETUP)
    else:
        name = name or _function(starter_code, found)
        suite = paired_suite({"inputs": inputs, "outputs": outputs, "fn_name": name}, starter_code, found, Compare())
    return record(
        id=f"apps_plus/{name_of(entry, number, 'id', 'problem_id', 'task_id')}",
        source="apps_plus",
        level=graded(_first(entry, "difficulty", "level", default=_DEFAULT_LEVEL)),
        statement=text(entry, "prompt", "question", "problem", "instruction", default=""),
        starter_code=starter_code,
        solutions=found,
        suite=suite,
        wrapped=suite.style == "call",
    )


def _first(entry: Entry, *names: str, default: Any = None) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), default)


def _decoded(value: Any) -> Any:
    return loads(value) if isinstance(value, str) and value.lstrip()[:1] in ("[", "{") else value


def _function(starter_code: str, found: list[str]) -> str:
    """The function that the starter code begins, else the last one of the solution (of `Solution`, if it has one)."""
    started = re.findall(r"^\s*def\s+([^\W\d]\w*)\s*\(", starter_code, re.MULTILINE)
    if started:
        return started[-1]
    tree = parse(found[0]) if found else None
    body = tree.body if tree else []
    classes = [node for node in body if isinstance(node, ast.ClassDef) and node.name == "Solution"]
    names = [node.name for node in (classes[-1].body if classes else body) if isinstance(node, ast.FunctionDef)]
    if not names:
        raise Refuse(Reason.NO_ENTRY_POINT, "neither the starter code nor the solution defines a function")
    return names[-1]
