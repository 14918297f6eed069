"""The native format's one definition: a line of a problem file. `problem.schema.json` is generated from it."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from stepcoder.curriculum.problems.problem import Level
from stepcoder.executor.suite import CompareType

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


class PytestTest(_Model):
    name: str = Field(
        min_length=1, description="A test of the module: `test_f`, `TestClass.test_f`, `test_f[0]` for its first case."
    )


class ArgumentAnswer(_Model):
    argument: int | str = Field(description="Place from 0, or name, of the argument.")


class LimitsLine(_Model):
    cpu_s: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="CPU time of a test (seconds).")
    memory_mib: int | None = Field(default=None, ge=16, description="Memory of a program (MiB).")


class _ProblemLine(_Model):
    id: str = Field(min_length=1, description="Stable and unique: the state of a run is keyed by it.")
    source: str = Field(default="", description="Where the problem comes from; decides what is not said here.")
    level: Level = Field(default="interview", description="Difficulty.")
    statement: str = Field(default="", description="What is asked, as the model reads it; only judging needs none.")
    starter_code: str = Field(
        default="", description="Code that the program begins with, such as a signature; may be empty."
    )
    solution: str = Field(default="", description="A reference program that passes all tests, where one is known.")
    setup: str = Field(
        default="", description="Trusted code run before each program in its namespace, such as imports; may be empty."
    )
    shown: list[Annotated[int, Field(ge=0)]] = Field(
        default=[], description="Places from 0 of the tests that the statement shows."
    )
    prelude: bool | None = Field(
        default=None, description="Whether names like List, math and deque are there without an import."
    )
    limits: LimitsLine = Field(default=LimitsLine(), description="Limits of the problem, below the executor's.")


class _Compared(_ProblemLine):
    compare: CompareType | None = Field(default=None, description="How answers are compared; else as the source does.")
    tolerance: float | None = Field(
        default=None, ge=0, lt=1, allow_inf_nan=False, description="Difference of numbers, absolute or relative."
    )
    checker: str = Field(
        default="", description="Source with `check(input, output, expected)`: decides instead of a comparison."
    )


class StdinProblem(_Compared):
    """A program that reads standard input and prints its answer."""

    style: Literal["stdin"]
    entry_point: str | None = Field(
        default=None,
        pattern=r"^[^\W\d]\w*$",
        description="A function without parameters that is called once the program has run, where it defines one.",
    )
    tests: list[StdinTest] = Field(min_length=1)


class CallProblem(_Compared):
    """A function or method that is called with arguments and returns its answer.

    `{"$list_node": [1, 2]}` and `{"$tree_node": [1, null, 2]}` are LeetCode's lists and trees, and
    `{"$dict": [[1, "a"]]}` is a dictionary whose keys are not texts.
    """

    style: Literal["call"]
    entry_point: str = Field(pattern=ENTRY_POINT_PATTERN, description="A function name or `Class().method`.")
    unordered: bool | Literal["deep"] = Field(
        default=False, description="The order of a returned list is free; `deep`: that of the lists in it too."
    )
    answer: ArgumentAnswer | None = Field(default=None, description="What holds the answer, if not the returned value.")
    tests: list[CallTest] = Field(min_length=1)


class AssertProblem(_ProblemLine):
    """A program that is followed by assertions about it."""

    style: Literal["assert"]
    entry_point: None = Field(default=None, description="Only call style has one.")
    tests: list[AssertTest] = Field(min_length=1)


class PytestProblem(_ProblemLine):
    """A program that a module of tests imports as `solution`: functions, classes, and classes of unittest."""

    style: Literal["pytest"]
    entry_point: None = Field(default=None, description="Only call style has one.")
    module: str = Field(min_length=1, description="Source of the test module.")
    tests: list[PytestTest] = Field(min_length=1)


ProblemLine = Annotated[StdinProblem | CallProblem | AssertProblem | PytestProblem, Field(discriminator="style")]
Line = StdinProblem | CallProblem | AssertProblem | PytestProblem

ADAPTER: TypeAdapter[Line] = TypeAdapter(ProblemLine)
TESTS: dict[str, type[_Model]] = {"stdin": StdinTest, "call": CallTest, "assert": AssertTest, "pytest": PytestTest}
MODELS: dict[str, type[_Model]] = {
    "stdin": StdinProblem, "call": CallProblem, "assert": AssertProblem, "pytest": PytestProblem,
}  # fmt: skip
STYLES = tuple(MODELS)
KEYS = list(dict.fromkeys(key for model in MODELS.values() for key in model.model_fields))


def schema_text() -> str:
    """The JSON schema of one line, as shipped in `problem.schema.json`."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Problem", **ADAPTER.json_schema()}
    return json.dumps(schema, indent=2) + "\n"
