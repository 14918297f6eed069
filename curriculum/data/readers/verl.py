"""Rows for verl, such as Eurus-2-RL: a chat, and a ground truth in `reward_model`. Most have no solution.

The ground truth is `{"inputs", "outputs", "fn_name"}`, a list of asserts, or asserts as one text.
"""

import ast
from collections.abc import Iterator
from typing import Any

from stepcoder.curriculum.data.readers.build import Entry, asked_of, read_entries, record, text
from stepcoder.curriculum.data.readers.files import decoded
from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse, Rejected
from stepcoder.curriculum.data.readers.suites import assert_suite, listed_suite, paired_suite
from stepcoder.curriculum.stages.conditionals import parse
from stepcoder.executor.suite import Suite

COLUMNS = ("data_source", "prompt", "ability", "reward_model", "extra_info")
_ORDER = "Write Python code to solve the problem. Present the code in"


def read_verl(path: Location) -> Iterator[Record | Rejected]:
    yield from read_entries(path, _problem, COLUMNS)


def _problem(entry: Entry, number: int) -> Record:
    ability = text(entry, "ability", default="code").lower()
    if not any(word in ability for word in ("cod", "program")):
        raise Refuse(Reason.NOT_CODE, f"`ability` is {ability!r:.60}")
    source, about = text(entry, "data_source", default="verl"), decoded(entry.get("extra_info"))
    about = about if isinstance(about, dict) else {}
    place = about["index"] if about.get("index") is not None else number
    model = decoded(entry.get("reward_model"))
    if not isinstance(model, dict):
        raise Refuse(Reason.NO_TESTS, "`reward_model` is no object")
    suite = _suite(model.get("ground_truth"))
    asked = asked_of(entry.get("prompt"))
    return record(
        id="/".join(str(part) for part in ("verl", source, about.get("split"), place) if part is not None),
        source=source,
        level="competition",
        statement=asked.partition(_ORDER)[0].strip() or asked,
        starter_code="",
        solutions=[],
        suite=suite,
        wrapped=suite.style == "call",
    )


def _suite(truth: Any) -> Suite:
    try:
        truth = decoded(truth)
    except Refuse as refusal:
        tree = parse(truth) if refusal.reason is Reason.BAD_JSON else None
        if tree is None or not any(isinstance(node, ast.Assert) for node in ast.walk(tree)):
            raise
        truth = [truth] if any(not isinstance(node, ast.Assert) for node in tree.body) else truth.splitlines()
        truth = [test for test in truth if test.strip()]
    if isinstance(truth, dict) and "inputs" in truth:
        return paired_suite(truth, "", [])
    if isinstance(truth, list) and all(isinstance(test, dict) for test in truth):
        return listed_suite(truth, None, "", [])
    if isinstance(truth, dict):
        raise Refuse(Reason.NOT_KEPT, f"a ground truth with {', '.join(map(str, truth))}")
    return assert_suite(truth)
