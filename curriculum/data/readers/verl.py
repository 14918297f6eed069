"""Rows for verl, such as Eurus-2-RL: a chat, and a ground truth in `reward_model`. Most have no solution.

The ground truth is `{"inputs", "outputs", "fn_name"}`, `{"assert_case"}`, a list of tests or of asserts, or as one text
asserts or a module of tests. Rows merged from several sets may have the same `extra_info.index`: later ones get their
row's number.
"""

import ast
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from stepcoder.curriculum.data.readers.build import Entry, asked_of, name_of, read_entries, record, text
from stepcoder.curriculum.data.readers.files import structured
from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse, Rejected
from stepcoder.curriculum.data.readers.suites import (
    assert_suite,
    listed_suite,
    may_be_wrapped,
    module_suite,
    paired_suite,
)
from stepcoder.curriculum.stages.conditionals import parse
from stepcoder.executor.server.unit_tests import asserts
from stepcoder.executor.suite import Suite

COLUMNS = ("data_source", "prompt", "ability", "reward_model", "extra_info")
_DEFINED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_ORDER = "Write Python code to solve the problem. Present the code in"


def read_verl(path: Location) -> Iterator[Record | Rejected]:
    taken: set[str] = set()

    def numbered(entry: Entry, number: int) -> Record:
        found = _problem(entry, number)
        if found.problem.id in taken:
            found = replace(found, problem=replace(found.problem, id=f"{found.problem.id}/row-{number}"))
        taken.add(found.problem.id)
        return found

    yield from read_entries(path, numbered, COLUMNS)


def _problem(entry: Entry, number: int) -> Record:
    ability = text(entry, "ability", default="code").lower()
    if not any(word in ability for word in ("cod", "program")):
        raise Refuse(Reason.NOT_CODE, f"`ability` is {ability!r:.60}")
    source, about = text(entry, "data_source", default="verl"), structured(entry.get("extra_info"))
    about = about if isinstance(about, dict) else {}
    place = name_of(about, number, "index")
    model = structured(entry.get("reward_model"))
    if not isinstance(model, dict):
        raise Refuse(Reason.NO_TESTS, "`reward_model` is no object")
    suite, wrapped = _suite(model.get("ground_truth"))
    asked = asked_of(entry.get("prompt"))
    return record(
        id="/".join(part for part in ("verl", source, text(about, "split", default=""), place) if part),
        source=source,
        level="competition",
        statement=asked.partition(_ORDER)[0].strip() or asked,
        starter_code="",
        solutions=[],
        suite=suite,
        wrapped=wrapped,
    )


def _suite(truth: Any) -> tuple[Suite, bool]:
    """The suite of a ground truth, and whether its expected values may be in lists of their own."""
    refusal = Refuse(Reason.NO_TESTS, "the ground truth is a text that is no test")
    try:
        tests = structured(truth)
    except Refuse as found:
        if found.reason is not Reason.BAD_JSON:
            raise
        tests, refusal = truth, found
    if isinstance(tests, str):
        tree = parse(tests)
        if tree is None or not tree.body:
            raise refusal
        return _of_code(tests, tree, refusal), False
    if isinstance(tests, dict) and (codes := _asserts(tests)):
        suite = assert_suite(codes)
    elif isinstance(tests, dict) and "inputs" in tests:
        suite = paired_suite(tests, "", [])
    elif isinstance(tests, list) and all(isinstance(test, dict) for test in tests):
        suite = listed_suite(tests, None, "", [])
    elif isinstance(tests, dict):
        raise Refuse(Reason.NOT_KEPT, f"a ground truth with {', '.join(map(str, tests)):.60}")
    else:
        suite = assert_suite(tests)
    return suite, may_be_wrapped(suite, tests)


def _asserts(tests: dict[str, Any]) -> list[str]:
    try:
        return asserts(tests)
    except ValueError as error:
        raise Refuse(Reason.NOT_KEPT, str(error)) from None


def _tests(node: ast.stmt) -> bool:
    """Whether it is what pytest or unittest would run."""
    of_unittest = isinstance(node, ast.ClassDef) and any("TestCase" in ast.unparse(base) for base in node.bases)
    return of_unittest or isinstance(node, _DEFINED) and node.name.lower().startswith("test")


def _of_code(truth: str, tree: ast.Module, refusal: Refuse) -> Suite:
    """A module of tests, asserts one by one, or code that asserts as one test."""
    if any(map(_tests, tree.body)):
        return module_suite(truth)
    if all(isinstance(node, ast.Assert) for node in tree.body):
        return assert_suite([ast.get_source_segment(truth, node) for node in tree.body])
    if not any(isinstance(node, ast.Assert) for node in ast.walk(tree)):
        raise refusal
    return assert_suite([truth])
