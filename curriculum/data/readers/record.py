"""What a reader yields: a problem with all its solutions, or a named reason why there is none.

The reasons are those of readers, and those of refinement (curriculum.data.refine), which runs what readers let through.
"""

from dataclasses import dataclass
from enum import StrEnum

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.executor.report import Verdict


class Reason(StrEnum):
    """Why an entry of a data set cannot be used; docs/data.md has a line for each."""

    BAD_JSON = "bad_json"
    NON_UTF8 = "non_utf8"
    MISSING_FIELD = "missing_field"
    NO_STATEMENT = "no_statement"
    NO_SOLUTION = "no_solution"
    NO_TESTS = "no_tests"
    MISSING_INPUT = "missing_input"
    MISSING_OUTPUT = "missing_output"
    COUNT_MISMATCH = "count_mismatch"
    BAD_TEST = "bad_test"
    NO_ENTRY_POINT = "no_entry_point"
    DUPLICATE_ID = "duplicate_id"

    DOES_NOT_COMPILE = "does_not_compile"
    PYTHON2 = "python2"
    MISSING_IMPORT = "missing_import"
    HUGE_INTEGER = "huge_integer"
    RUNTIME_ERROR = "runtime_error"
    WRONG_OUTPUT = "wrong_output"
    NOT_JUDGED = "not_judged"
    CONTAMINATED = "contaminated"
    DUPLICATE = "duplicate"


Cause = Reason | Verdict  # a limit of the executor is called as there


def cause(name: str) -> Cause:
    """ValueError for a name that is neither."""
    return Reason(name) if name in Reason.__members__.values() else Verdict(name)


@dataclass(frozen=True, slots=True)
class Record:
    """`problem.solution` is the first of `solutions`, which are as the data set has them: nothing has been run."""

    problem: Problem
    solutions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """`where` is a file and a line, an entry's number or a folder; `detail` is for a person."""

    reason: Cause
    where: str
    detail: str = ""


class Refuse(Exception):
    """Raised while one entry is turned into a problem; becomes a Rejected."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
