"""What a reader yields: a problem with all its solutions, or a named reason why there is none.

The reasons are those of readers and those of refinement, which runs what readers let through.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.executor.report import Ended, Verdict
from stepcoder.executor.suite import Suite


class Reason(StrEnum):
    """Why an entry of a data set cannot be used; docs/data.md says more of each."""

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
    NOT_CODE = "not_code"
    LANGUAGE = "language"
    FILE_IO = "file_io"
    INTERACTIVE = "interactive"
    CHECKER = "checker"
    NOT_KEPT = "not_kept"
    NO_ANSWERS = "no_answers"
    TOO_LARGE = "too_large"

    DOES_NOT_COMPILE = "does_not_compile"
    PYTHON2 = "python2"
    MISSING_IMPORT = "missing_import"
    RUNTIME_ERROR = "runtime_error"
    WRONG_OUTPUT = "wrong_output"
    NOT_JUDGED = "not_judged"
    CONTAMINATED = "contaminated"
    DUPLICATE = "duplicate"


Cause = Reason | Verdict  # a limit of the executor is called as there


def cause(name: str) -> Cause:
    """ValueError for a name that is neither."""
    return Reason(name) if name in Reason.__members__.values() else Verdict(name)


# Each in words, for a person.
REASONS: dict[Cause, str] = {
    Reason.BAD_JSON: "the line is no JSON object",
    Reason.NON_UTF8: "bytes that are not UTF-8",
    Reason.MISSING_FIELD: "a field is missing or has a wrong type",
    Reason.NO_STATEMENT: "nothing says what is asked",
    Reason.NO_SOLUTION: "no solution",
    Reason.NO_TESTS: "no tests",
    Reason.MISSING_INPUT: "a test without an input",
    Reason.MISSING_OUTPUT: "a test without an expected output",
    Reason.COUNT_MISMATCH: "more inputs than outputs, or the reverse",
    Reason.BAD_TEST: "a test that cannot judge",
    Reason.NO_ENTRY_POINT: "nothing says which function is called",
    Reason.DUPLICATE_ID: "an id that was used before",
    Reason.NOT_CODE: "asks for no program",
    Reason.LANGUAGE: "asks for another language than Python",
    Reason.FILE_IO: "asks for named files to be read or written",
    Reason.INTERACTIVE: "asks for a dialogue with the judge",
    Reason.CHECKER: "judged by a checker that cannot be kept, or that fails",
    Reason.NOT_KEPT: "a check that cannot be kept: without it wrong programs would pass",
    Reason.NO_ANSWERS: "expected outputs come from running the reference solution, which was not done",
    Reason.TOO_LARGE: "an entry of more than a reader takes into memory",
    Reason.DOES_NOT_COMPILE: "the solution is no valid Python",
    Reason.PYTHON2: "the solution is written in Python 2",
    Reason.MISSING_IMPORT: "the solution uses a module or name that it does not have",
    Reason.RUNTIME_ERROR: "the solution raises an exception",
    Reason.WRONG_OUTPUT: "the solution and the expected output disagree",
    Reason.NOT_JUDGED: "the sandbox failed: run again with --force",
    Reason.CONTAMINATED: "too like a problem of an evaluation set",
    Reason.DUPLICATE: "asks for the same as an earlier problem",
} | {verdict: f"the solution {verdict.told}" for verdict in Verdict if verdict.ended is Ended.LIMIT}
# The flag or command that helps, where one does.
HINTS: dict[Cause, str] = {
    Reason.BAD_JSON: "is --from right? --from auto looks at the file",
    Reason.MISSING_FIELD: "is --from right? --from auto looks at the file",
    Reason.NO_SOLUTION: "'stepcoder data solve' gives one, or refine with --keep-unsolved",
    Reason.NO_ANSWERS: "'stepcoder data convert' runs the reference solution",
    Reason.DOES_NOT_COMPILE: "--solution shortest tries all solutions, shortest first",
    Reason.MISSING_IMPORT: "--executor.site_packages true lets programs import what is installed",
    Reason.WRONG_OUTPUT: "--compare apps where order is forgiven",
    Reason.NOT_JUDGED: "'stepcoder doctor', then the same command with --force",
    Reason.DUPLICATE: "--keep-duplicates keeps them",
    Reason.CONTAMINATED: "--contamination sets the share of common text that is allowed",
    Verdict.TIMEOUT: "--executor.cpu_s gives a test more seconds",
    Verdict.MEMORY_LIMIT: "--executor.memory_mib gives a program more memory",
    Verdict.OUTPUT_LIMIT: "--executor.output_kib allows more output",
}


@dataclass(frozen=True, slots=True)
class Pending:
    """Expected outputs that a data set leaves to its reference solution.

    `suite` is in call style without outputs; `answered` makes the suite that judges out of what the calls return.
    """

    suite: Suite
    answered: Callable[[list[Any]], Suite]


@dataclass(frozen=True, slots=True)
class Record:
    """`problem.solution` is the first of `solutions`, which are as the data set has them: nothing has been run.

    No solution is a text without characters. `pending`: the suite judges nothing yet. `wrapped`: each expected value
    may be in a list of its own, as in APPS, whose harness accepts either.
    """

    problem: Problem
    solutions: tuple[str, ...]
    pending: Pending | None = None
    wrapped: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """`where` is a file and a line, an entry's number or a folder; `detail` is for a person."""

    reason: Cause
    where: str
    detail: str = ""


class Refuse(Exception):
    """Raised while one entry is turned into a problem; becomes a Rejected."""

    def __init__(self, reason: Cause, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
