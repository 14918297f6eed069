"""What a reader yields: a problem with all its solutions, or a named reason why there is none."""

from dataclasses import dataclass
from enum import StrEnum

from curriculum.problem import Problem


class Reason(StrEnum):
    """Why an entry of a data set cannot be used."""

    BAD_JSON = "bad_json"
    NON_UTF8 = "non_utf8"
    MISSING_FIELD = "missing_field"
    NO_STATEMENT = "no_statement"
    NO_SOLUTION = "no_solution"
    NO_TESTS = "no_tests"
    MISSING_OUTPUT = "missing_output"
    COUNT_MISMATCH = "count_mismatch"
    BAD_TEST = "bad_test"
    NO_ENTRY_POINT = "no_entry_point"
    DUPLICATE_ID = "duplicate_id"


@dataclass(frozen=True, slots=True)
class Record:
    """`problem.solution` is the first of `solutions`, which are as the data set has them: nothing has been run."""

    problem: Problem
    solutions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """`where` is a file and a line, an entry's number or a folder; `detail` is for a person."""

    reason: Reason
    where: str
    detail: str = ""


class Refuse(Exception):
    """Raised while one entry is turned into a problem; becomes a Rejected."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
