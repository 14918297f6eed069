"""Reads problem files in the native format: JSON lines, one problem a line, plain or compressed (stepcoder.packed).

This is the only door through which a problem enters a run, so it is strict: a problem with no tests, a
missing expected value or a misspelt key would otherwise turn into rewards that mean nothing. Invariant: what
`load_problems` returns is complete and consistent, and every refusal names the file, line and field.

The format itself is in curriculum.problems.line.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from stepcoder.curriculum.problems.faults import arity_fault, explain, nearest_key
from stepcoder.curriculum.problems.line import (
    ADAPTER,
    KEYS,
    AssertProblem,
    CallProblem,
    CallTest,
    Line,
    PytestProblem,
    StdinProblem,
)
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.problems.sound import unsound
from stepcoder.curriculum.problems.sources import defaults
from stepcoder.curriculum.stages.conditionals import parse
from stepcoder.errors import DataFileError
from stepcoder.executor.case_json import from_json
from stepcoder.executor.suite import Case, Compare, CompareRule, Limits, Suite
from stepcoder.jsonl import numbered_lines, parse_object

STARTER_DIR = Path(__file__).parent.parent / "starter"
SCHEMA_FILE = Path(__file__).with_name("problem.schema.json")


def load_problems(path: str | Path, judging: bool = False, compare: CompareRule = "problem") -> list[Problem]:
    """The problems of a file, in file order; blank lines are skipped.

    `starter:train` and `starter:heldout` name the two shipped files. `judging`: only to judge programs, which needs no
    statement. `compare`: the rule for all problems, where there is one. Raises DataFileError at the first line that
    cannot be used, and for a file that is missing, unreadable or holds no problem.
    """
    file = resolve(path)
    problems: list[Problem] = []
    first_seen: dict[str, int] = {}
    for number, raw in numbered_lines(file):
        if not raw.strip():
            continue
        problem = parse_line(raw, str(file), number, judging, compare)
        if problem.id in first_seen:
            reason = f"duplicate id {problem.id!r}, first used in line {first_seen[problem.id]}"
            raise DataFileError(str(file), number, "id", reason)
        first_seen[problem.id] = number
        problems.append(problem)
    if not problems:
        raise DataFileError(str(file), None, None, "the file holds no problem")
    return problems


def resolve(path: str | Path) -> Path:
    """The file that `path` means: a path, or `starter:NAME` for a shipped set."""
    if not str(path).startswith("starter:"):
        return Path(path)
    name = str(path).removeprefix("starter:")
    known = sorted(file.stem for file in STARTER_DIR.glob("*.jsonl"))
    if name not in known:
        raise DataFileError(str(path), None, None, f"no such starter set; known: {', '.join(known)}")
    return STARTER_DIR / f"{name}.jsonl"


def parse_line(raw: bytes, file: str, number: int, judging: bool = False, compare: CompareRule = "problem") -> Problem:
    """One line of a problem file; `file` and `number` only go into the error."""

    def fail(field: str | None, reason: str) -> NoReturn:
        raise DataFileError(file, number, field, reason)

    data = parse_object(raw, file, number)
    for key in data:
        if key not in KEYS:
            fail(key, f"unknown key{nearest_key(key, KEYS)}")
    try:
        line = ADAPTER.validate_python(data)
    except ValidationError as error:
        # An unknown key explains the missing one beside it, so it is told first.
        details = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
        fail(*explain(details[0]))
    if isinstance(line, CallProblem) and (fault := arity_fault(line.solution, line.entry_point, line.tests)):
        fail(*fault)
    try:
        problem = _problem(line, fail)
        found = unsound(problem, judging, compare)
    except RecursionError:
        fail("tests", "a value is nested too deeply")
    if found:
        fail(*found)
    return problem


def _problem(line: Line, fail: Any) -> Problem:
    for field in ("setup", "checker", "module"):
        if parse(getattr(line, field, "")) is None:
            fail(field, "does not parse")
    if line.shown and max(line.shown) >= len(line.tests):
        fail("shown", f"there is no test {max(line.shown)}: the places of {len(line.tests)} tests begin with 0")
    return Problem(
        id=line.id,
        source=line.source,
        level=line.level,
        statement=line.statement,
        starter_code=line.starter_code,
        solution=line.solution,
        suite=_suite(line, fail),
        shown=tuple(line.shown),
    )


def _suite(line: Line, fail: Any) -> Suite:
    usual = defaults(line.source, line.style, line.entry_point)
    prelude = usual.prelude if line.prelude is None else line.prelude
    suite = Suite(
        line.style, _cases(line, fail), line.entry_point, line.setup, prelude=prelude,
        limits=Limits(line.limits.cpu_s, line.limits.memory_mib),
    )  # fmt: skip
    if isinstance(line, PytestProblem):
        return replace(suite, module=line.module)
    if isinstance(line, AssertProblem):
        return suite
    unordered = line.unordered if isinstance(line, CallProblem) else False
    compare = Compare(line.compare or usual.compare, line.tolerance, unordered)
    answer = line.answer.argument if isinstance(line, CallProblem) and line.answer else None
    return replace(suite, compare=compare, checker=line.checker, answer=answer)


def _cases(line: Line, fail: Any) -> tuple[Case, ...]:
    if isinstance(line, PytestProblem):
        return tuple(Case(test.name) for test in line.tests)
    if isinstance(line, AssertProblem):
        return tuple(Case(test.code) for test in line.tests)
    if isinstance(line, StdinProblem):
        return tuple(Case(test.input, test.output) for test in line.tests)
    return tuple(_call_case(test, index, fail) for index, test in enumerate(line.tests))


def _call_case(test: CallTest, index: int, fail: Any) -> Case:
    values = {}
    for name in ("input", "keywords", "output"):
        try:
            values[name] = from_json(getattr(test, name))
        except ValueError as error:
            fail(f"tests.{index}.{name}", str(error))
    return Case(**values)


def line_of(name: str, source: str | Path) -> int:
    """The line of the problem `name`, which is known to be in the file."""
    file = str(resolve(source))
    lines = ((number, raw) for number, raw in numbered_lines(resolve(source)) if raw.strip())
    return next(number for number, raw in lines if parse_line(raw, file, number, judging=True).id == name)
