"""From the fields of a data set's entry to a problem; each step refuses what cannot judge a program."""

import ast
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, get_args

from stepcoder.curriculum.data.readers.files import entries
from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse, Rejected
from stepcoder.curriculum.problems.problem import Level, Problem
from stepcoder.curriculum.stages.conditionals import parse
from stepcoder.executor.judging.plan import plan
from stepcoder.executor.suite import Case, Suite

Entry = dict[str, Any]


def read_entries(path: Location, make: Callable[[Entry, int], Record]) -> Iterator[Record | Rejected]:
    """The problems that `make` gets out of a file's entries, which it is told with their number from 0."""
    yield from collect(entries(path), make)


def collect(found: Iterable[tuple[str, Any]], make: Callable[[Entry, int], Record]) -> Iterator[Record | Rejected]:
    """A Record or a Rejected for each entry, in order; an id that comes again is refused."""
    seen: set[str] = set()
    for number, (where, entry) in enumerate(found):
        try:
            if isinstance(entry, Refuse):
                raise entry
            record = make(entry, number)
            if record.problem.id in seen:
                raise Refuse(Reason.DUPLICATE_ID, record.problem.id)
        except Refuse as refusal:
            yield Rejected(refusal.reason, where, refusal.detail)
        else:
            seen.add(record.problem.id)
            yield record


def record(
    id: str,
    source: str,
    level: Level,
    statement: str,
    starter_code: str,
    solutions: list[str],
    suite: Suite,
) -> Record:
    """Refuse for an empty statement, no solution, or a suite that cannot judge."""
    if not statement.strip():
        raise Refuse(Reason.NO_STATEMENT)
    if not solutions:
        raise Refuse(Reason.NO_SOLUTION)
    try:
        plan(suite)
    except ValueError as error:
        raise Refuse(Reason.BAD_TEST, str(error)) from error
    problem = Problem(id, source, level, statement, starter_code, solutions[0], suite)
    return Record(problem, tuple(solutions))


def text(entry: Entry, *names: str, default: str | None = None) -> str:
    """The first of the named fields that is there. Refuse where none is, or where it is no text."""
    for name in names:
        if entry.get(name) is not None:
            if not isinstance(entry[name], str):
                raise Refuse(Reason.MISSING_FIELD, f"`{name}` is {type(entry[name]).__name__}, not a text")
            return entry[name]
    if default is None:
        raise Refuse(Reason.MISSING_FIELD, f"`{names[0]}`")
    return default


def graded(level: Any) -> Level:
    """Refuse for what is not one of the three levels."""
    for known in get_args(Level):
        if level == known:
            return known
    raise Refuse(Reason.MISSING_FIELD, f"`difficulty` is {level!r:.60}")


def solutions(value: Any) -> list[str]:
    """The solutions that are texts and not blank, each once, in order; from a text or a list."""
    found = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return list(dict.fromkeys(s for s in found if isinstance(s, str) and s.strip()))


def pairs(inputs: Any, outputs: Any) -> list[tuple[Any, Any]]:
    """Inputs with their outputs, from two lists that belong together."""
    if not isinstance(inputs, list) or not inputs:
        raise Refuse(Reason.NO_TESTS)
    if not isinstance(outputs, list) or not outputs:
        raise Refuse(Reason.MISSING_OUTPUT)
    if len(inputs) != len(outputs):
        raise Refuse(Reason.COUNT_MISMATCH, f"{len(inputs)} inputs, {len(outputs)} outputs")
    return list(zip(inputs, outputs, strict=True))


def stdin_cases(inputs: Any, outputs: Any) -> tuple[Case, ...]:
    """Tests of text in, text out; a list of lines is put together."""
    cases = []
    for given, wanted in pairs(inputs, outputs):
        if wanted is None:
            raise Refuse(Reason.MISSING_OUTPUT)
        cases.append(Case(_joined(given), _joined(wanted)))
    return tuple(cases)


def call_cases(inputs: Any, outputs: Any) -> tuple[Case, ...]:
    """Tests of arguments in, value out."""
    cases = []
    for given, wanted in pairs(inputs, outputs):
        if not isinstance(given, list):
            raise Refuse(Reason.BAD_TEST, f"an input is {type(given).__name__}, not a list of arguments")
        if not (_finite(given) and _finite(wanted)):
            raise Refuse(Reason.BAD_TEST, "a value is infinite or not a number")
        cases.append(Case(given, wanted))
    return tuple(cases)


def wrapper(solution: str, starter_code: str = "") -> str | None:
    """The function that holds a whole program: `def NAME():` which nothing calls, in a program that does no more.

    None where the program does something by itself, or where there is no such function.
    """
    tree = parse(solution)
    if tree is None or any(not isinstance(node, _PASSIVE) and not _is_text(node) for node in tree.body):
        return None
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and _no_parameters(node)]
    return next((name for name in names if f"def {name}(" in starter_code), names[-1] if names else None)


_PASSIVE = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)


def _no_parameters(node: ast.FunctionDef) -> bool:
    arguments = node.args
    count = len(arguments.args) + len(arguments.posonlyargs) + len(arguments.kwonlyargs)
    return count == 0 and not arguments.vararg and not arguments.kwarg


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _joined(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    if not isinstance(value, str):
        raise Refuse(Reason.BAD_TEST, f"a text was expected, not {type(value).__name__}")
    return value


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
