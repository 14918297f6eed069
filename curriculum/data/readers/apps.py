"""APPS (arXiv 2105.09938): a folder a problem, or the same fields as rows of the hub's version.

Folder: `question.txt`, `solutions.json`, `input_output.json`, `metadata.json`, `starter_code.py`. Row: `question`,
`solutions` and `input_output` as JSON texts, `difficulty`, `starter_code`, `problem_id`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stepcoder.curriculum.data.readers.build import (
    Entry,
    call_cases,
    collect,
    graded,
    read_entries,
    record,
    solutions,
    stdin_cases,
    text,
)
from stepcoder.curriculum.data.readers.files import loads
from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse, Rejected
from stepcoder.executor.suite import Suite

# The names that the official harness puts before every program; numpy's is left out, as programs cannot import it here.
SETUP = """\
import collections, fractions, heapq, itertools, math, random, sys, time
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from functools import lru_cache
from heapq import *
from itertools import accumulate, combinations, permutations, product
from math import ceil, cos, exp, fabs, floor, gcd, log, log2, sin, sqrt, tan
from typing import List, Tuple
"""


def read_apps(path: Location) -> Iterator[Record | Rejected]:
    """Of a folder: every folder in it, at any depth, that has a question, by path. Of a file, or tables: their rows."""
    folders = sorted(file.parent for file in path.rglob("question.txt")) if isinstance(path, Path) else []
    if not isinstance(path, Path) or not folders:
        yield from read_entries(path, _problem)
        return
    found = ((str(folder), _entry(folder, str(folder.relative_to(path).as_posix()))) for folder in folders)
    yield from collect(found, _problem)


def _entry(folder: Path, name: str) -> Entry | Refuse:
    """The folder as a row."""
    try:
        metadata = loads(_file(folder / "metadata.json") or "null")
        return {
            "problem_id": name if name != "." else folder.name,
            "question": _file(folder / "question.txt"),
            "solutions": _file(folder / "solutions.json"),
            "input_output": _file(folder / "input_output.json"),
            "starter_code": _file(folder / "starter_code.py"),
            "difficulty": metadata.get("difficulty") if isinstance(metadata, dict) else None,
        }
    except Refuse as refusal:
        return refusal


def _file(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise Refuse(Reason.NON_UTF8, path.name) from error


def _problem(entry: Entry, number: int) -> Record:
    found = solutions(_decoded(entry.get("solutions")))
    starter_code = text(entry, "starter_code", default="")
    return record(
        id=f"apps/{entry.get('problem_id', number)}",
        source="apps",
        level=graded(entry.get("difficulty")),
        statement=text(entry, "question", default=""),
        starter_code=starter_code,
        solutions=found,
        suite=apps_suite(_decoded(entry.get("input_output")), starter_code, found),
    )


def _decoded(value: Any) -> Any:
    """Rows hold JSON texts, empty ones for nothing; later copies hold the values."""
    if isinstance(value, str):
        return loads(value) if value.strip() else None
    return value


def apps_suite(tests: Any, starter_code: str, found: list[str]) -> Suite:
    """The suite of `{"inputs", "outputs", "fn_name"}`; call style where there is a `fn_name`."""
    if not isinstance(tests, dict):
        raise Refuse(Reason.NO_TESTS)
    inputs, outputs, name = tests.get("inputs"), tests.get("outputs"), tests.get("fn_name")
    if name is None:
        return Suite("stdin", stdin_cases(inputs, outputs), setup=SETUP)
    if not isinstance(name, str) or not name.isidentifier():
        raise Refuse(Reason.NO_ENTRY_POINT, f"`fn_name` is {name!r}")
    if isinstance(inputs, list) and isinstance(outputs, list):
        inputs = [_integer_keys(given, inside=True) for given in inputs]
        outputs = [_integer_keys(_integer_keys(wanted), inside=True) for wanted in outputs]
    in_class = "class Solution" in (starter_code or "".join(found[:1]))
    return Suite("call", call_cases(inputs, outputs), f"Solution().{name}" if in_class else name, SETUP)


def _integer_keys(value: Any, inside: bool = False) -> Any:
    """JSON made texts of a dictionary's keys; the official harness undoes that for a value and a first argument."""
    if inside:
        return [_integer_keys(value[0]), *value[1:]] if isinstance(value, list) and value else value
    if isinstance(value, dict):
        try:
            return {int(key): part for key, part in value.items()}
        except ValueError:
            return value
    return value
