"""What a program did when it ran: the executor's only answer.

`infra_error` is not a verdict on the program: the sandbox itself failed. It is
retried and reported, and never becomes a reward.
"""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Outcome of a test or a program, in the vocabulary of programming-contest judges."""

    PASSED = "passed"
    WRONG_ANSWER = "wrong_answer"
    RUNTIME_ERROR = "runtime_error"
    TIMEOUT = "timeout"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    COMPILE_ERROR = "compile_error"
    INFRA_ERROR = "infra_error"


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """One test: verdict, CPU and wall seconds, the exception and its line, truncated output for a person.

    `executed_lines`: lines of the program that this test executed, with what it took to define them. `answer`: what a
    call returned that was not what the test expects, as JSON text of values.codec, truncated like the output.
    """

    __test__ = False  # not a pytest class

    verdict: Verdict
    cpu_s: float = 0.0
    wall_s: float = 0.0
    error: str | None = None
    error_line: int | None = None
    stdout: str = ""
    executed_lines: tuple[int, ...] = ()
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """One program against one suite. The first failing test decides the verdict.

    `executed_lines` are 1-based lines of the program that any test executed, exact
    also after a kill; the union over the tests that ran.
    """

    verdict: Verdict
    tests: tuple[TestOutcome, ...] = ()
    executed_lines: tuple[int, ...] = ()
    error: str | None = None
    error_line: int | None = None
    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_memory_mib: float = 0.0
    coverage_trusted: bool = True

    @property
    def passed(self) -> bool:
        return self.verdict is Verdict.PASSED
