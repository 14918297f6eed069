"""Reads problem files in the native format: JSON lines, one problem a line, plain or compressed (stepcoder.packed).

This is the only door through which a problem enters a run, so it is strict: a problem with no tests, a
missing expected value or a misspelt key would otherwise turn into rewards that mean nothing. Invariant: what
`load_problems` returns is complete and consistent, and every refusal names the file, line and field.

The pydantic models below are the format's one definition; `problem.schema.json` is generated from them.
"""

import ast
import difflib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from stepcoder.curriculum.problems.problem import Level, Problem
from stepcoder.curriculum.problems.values import from_json
from stepcoder.curriculum.stages.conditionals import parse
from stepcoder.errors import DataFileError
from stepcoder.executor.suite import Case, Suite
from stepcoder.jsonl import numbered_lines, parse_object

STARTER_DIR = Path(__file__).parent.parent / "starter"
SCHEMA_FILE = Path(__file__).with_name("problem.schema.json")

ENTRY_POINT_PATTERN = r"^[^\W\d]\w*(\(\)\.[^\W\d]\w*)?$"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StdinTest(_Model):
    input: str = Field(description="Text on standard input.")
    output: str = Field(description="Text expected on standard output.")


class CallTest(_Model):
    input: list[Any] = Field(description="Positional arguments of the call.")
    keywords: dict[str, Any] = Field(default={}, description="Keyword arguments of the call, by name.")
    output: Any = Field(description="The value that the call returns, as JSON.")


class AssertTest(_Model):
    code: str = Field(min_length=1, description="Statements run after the program; the test passes if none raises.")


class _ProblemLine(_Model):
    id: str = Field(min_length=1, description="Stable and unique: the state of a run is keyed by it.")
    source: str = Field(description="Where the problem comes from.")
    level: Level = Field(description="Difficulty.")
    statement: str = Field(min_length=1, description="What is asked, as the model reads it.")
    starter_code: str = Field(description="Code that the program begins with, such as a signature; may be empty.")
    solution: str = Field(description="A reference program that passes all tests.")
    setup: str = Field(
        default="", description="Trusted code run before each program in its namespace, such as imports; may be empty."
    )


class StdinProblem(_ProblemLine):
    """A program that reads standard input and prints its answer."""

    style: Literal["stdin"]
    entry_point: str | None = Field(
        default=None,
        pattern=r"^[^\W\d]\w*$",
        description="A function without parameters that is called once the program has run, where it defines one.",
    )
    tests: list[StdinTest] = Field(min_length=1)


class CallProblem(_ProblemLine):
    """A function or method that is called with arguments and returns its answer.

    `{"$list_node": [1, 2]}` and `{"$tree_node": [1, null, 2]}` are LeetCode's lists and trees, and
    `{"$dict": [[1, "a"]]}` is a dictionary whose keys are not texts.
    """

    style: Literal["call"]
    entry_point: str = Field(pattern=ENTRY_POINT_PATTERN, description="A function name or `Class().method`.")
    tests: list[CallTest] = Field(min_length=1)


class AssertProblem(_ProblemLine):
    """A program that is followed by assertions about it."""

    style: Literal["assert"]
    entry_point: None = Field(default=None, description="Only call style has one.")
    tests: list[AssertTest] = Field(min_length=1)


ProblemLine = Annotated[StdinProblem | CallProblem | AssertProblem, Field(discriminator="style")]

_ADAPTER: TypeAdapter[StdinProblem | CallProblem | AssertProblem] = TypeAdapter(ProblemLine)
_STYLES = ("stdin", "call", "assert")


def load_problems(path: str | Path) -> list[Problem]:
    """The problems of a file, in file order; blank lines are skipped.

    `starter:train` and `starter:heldout` name the two shipped files. Raises DataFileError at the first line
    that cannot be used, and for a file that is missing, unreadable or holds no problem.
    """
    file = resolve(path)
    problems: list[Problem] = []
    first_seen: dict[str, int] = {}
    for number, raw in numbered_lines(file):
        if not raw.strip():
            continue
        problem = parse_line(raw, str(file), number)
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


def parse_line(raw: bytes, file: str, number: int) -> Problem:
    """One line of a problem file; `file` and `number` only go into the error."""

    def fail(field: str | None, reason: str) -> NoReturn:
        raise DataFileError(file, number, field, reason)

    data = parse_object(raw, file, number)
    for key in data:
        if key not in CallProblem.model_fields:
            fail(key, f"unknown key{_nearest(key, CallProblem.model_fields)}")
    try:
        line = _ADAPTER.validate_python(data)
    except ValidationError as error:
        # An unknown key explains the missing one beside it, so it is told first.
        details = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
        fail(*_explain(details[0]))
    if isinstance(line, CallProblem):
        _check_arity(line, fail)
    return _problem(line, fail)


def schema_text() -> str:
    """The JSON schema of one line, as shipped in `problem.schema.json`."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Problem", **_ADAPTER.json_schema()}
    return json.dumps(schema, indent=2) + "\n"


def _problem(line: StdinProblem | CallProblem | AssertProblem, fail: Any) -> Problem:
    if isinstance(line, AssertProblem):
        cases = tuple(Case(test.code) for test in line.tests)
    elif isinstance(line, StdinProblem):
        cases = tuple(Case(test.input, test.output) for test in line.tests)
    else:
        cases = tuple(_call_case(test, index, fail) for index, test in enumerate(line.tests))
    if line.setup and parse(line.setup) is None:
        fail("setup", "does not parse")
    return Problem(
        id=line.id,
        source=line.source,
        level=line.level,
        statement=line.statement,
        starter_code=line.starter_code,
        solution=line.solution,
        suite=Suite(line.style, cases, line.entry_point, line.setup),
    )


def _call_case(test: CallTest, index: int, fail: Any) -> Case:
    values = {}
    for name in ("input", "keywords", "output"):
        try:
            values[name] = from_json(getattr(test, name))
        except ValueError as error:
            fail(f"tests.{index}.{name}", str(error))
    return Case(**values)


def _explain(error: ErrorDetails) -> tuple[str | None, str]:
    """Field path and reason of one pydantic error."""
    loc = error["loc"][1:] if error["loc"] and error["loc"][0] in _STYLES else error["loc"]
    field = ".".join(map(str, loc))
    kind, value = error["type"], error["input"]
    if kind == "union_tag_not_found":
        return "style", f"missing; one of {', '.join(_STYLES)}"
    if kind == "union_tag_invalid":
        style = value["style"]
        return "style", f"{style!r} is not one of {', '.join(_STYLES)}{_nearest(str(style), _STYLES)}"
    if kind == "missing":
        return field, "missing"
    if kind == "extra_forbidden":
        models = {"stdin": StdinTest, "call": CallTest, "assert": AssertTest}
        return field, f"unknown key{_nearest(str(loc[-1]), models[str(error['loc'][0])].model_fields)}"
    if kind == "literal_error":
        expected: str = error.get("ctx", {})["expected"]
        known = [part.strip("'") for part in expected.replace(" or ", ", ").split(", ")]
        return field, f"{value!r} is not one of {', '.join(known)}{_nearest(str(value), known)}"
    if kind == "too_short" and field == "tests":
        return field, "no tests: a problem needs at least one"
    if kind == "none_required":
        return field, "only call style and stdin style have an entry point"
    return field or None, f"{error['msg'][0].lower()}{error['msg'][1:]} (got {type(value).__name__})"


def _nearest(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean `{close[0]}`?" if close else f"; known: {', '.join(known)}"


def _check_arity(line: CallProblem, fail: Any) -> None:
    """Refuse tests whose number of arguments the solution's entry point does not take.

    Skipped where the solution does not parse or the entry point is not a plain definition: then nothing is known.
    """
    tree = parse(line.solution)
    if tree is None:
        return
    body = tree.body
    names = line.entry_point.replace("()", "").split(".")
    node: ast.stmt | None = None
    for name in names:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        found = [stmt for stmt in body if isinstance(stmt, kinds) and stmt.name == name]
        if not found:
            return
        node = found[-1]
        body = found[-1].body
    if not isinstance(node, ast.FunctionDef) or node.decorator_list:
        return
    bound = len(names) - 1  # self
    positional = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)][bound:]
    most = len(positional)
    least = most - len(node.args.defaults)
    by_name = {argument.arg for argument in node.args.kwonlyargs}
    for index, test in enumerate(line.tests):
        given, names = len(test.input), set(test.keywords)
        if (given + len(names - by_name) < least) or (given > most and node.args.vararg is None):
            takes = str(most) if least == most else f"{least} to {most}"
            reason = f"{given + len(names)} arguments, but `{line.entry_point}` of the solution takes {takes}"
            fail(f"tests.{index}.input", reason)
        unknown = names - by_name - set(positional[given:])
        if unknown and node.args.kwarg is None:
            reason = (
                f"`{line.entry_point}` of the solution takes no such argument there{_nearest(min(unknown), positional)}"
            )
            fail(f"tests.{index}.keywords.{min(unknown)}", reason)


def line_of(name: str, source: str | Path) -> int:
    """The line of the problem `name`, which is known to be in the file."""
    file = str(resolve(source))
    lines = ((number, raw) for number, raw in numbered_lines(resolve(source)) if raw.strip())
    return next(number for number, raw in lines if parse_line(raw, file, number).id == name)
