"""What a program did when it ran: the executor's only answer.

`infra_error` is not a verdict on the program: the sandbox itself failed. It is
retried and reported, and never becomes a reward.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class Ended(StrEnum):
    """What a verdict says of the way that a test, or a program, ended."""

    ANSWER = "answer"  # a test came to its end, and its answer was compared
    ERROR = "error"
    LIMIT = "limit"
    NOT_COMPILED = "not_compiled"  # no test ran, no line was executed
    SANDBOX = "sandbox"  # the sandbox failed, which says nothing about the program


class Verdict(StrEnum):
    """Outcome of a test or a program, in the vocabulary of programming-contest judges.

    This table is the one place that knows the verdicts: what depends on one elsewhere reads its columns. `paper_reward`
    is StepCoder's (section 4; CodeRL, arXiv 2207.01780, eq. 5). `told` completes "the program ..." for a person.
    """

    PASSED = "passed", Ended.ANSWER, 1.0, "passes"
    WRONG_ANSWER = "wrong_answer", Ended.ANSWER, -0.3, "answers wrongly"
    RUNTIME_ERROR = "runtime_error", Ended.ERROR, -0.6, "raises an exception"
    TIMEOUT = "timeout", Ended.LIMIT, -0.6, "takes too long"
    MEMORY_LIMIT = "memory_limit", Ended.LIMIT, -0.6, "takes too much memory"
    OUTPUT_LIMIT = "output_limit", Ended.LIMIT, -0.6, "writes too much"
    COMPILE_ERROR = "compile_error", Ended.NOT_COMPILED, -1.0, "is no valid Python"
    INFRA_ERROR = "infra_error", Ended.SANDBOX, 0.0, "could not be judged"

    ended: Ended
    paper_reward: float
    told: str

    def __new__(cls, value: str, ended: Ended, paper_reward: float, told: str) -> "Verdict":
        member = str.__new__(cls, value)
        member._value_, member.ended, member.paper_reward, member.told = value, ended, paper_reward, told
        return member

    @property
    def judged(self) -> bool:
        """Whether it says anything about the program."""
        return self.ended is not Ended.SANDBOX

    @property
    def ran(self) -> bool:
        """Whether any line of the program was executed: else credit cannot go by executed lines."""
        return self.ended not in (Ended.NOT_COMPILED, Ended.SANDBOX)


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

    @property
    def passed(self) -> bool:
        return self.verdict is Verdict.PASSED


@dataclass(frozen=True, slots=True)
class Report:
    """One program against one suite. The first failing test decides the verdict.

    `executed_lines` are 1-based lines of the program that any test executed, exact
    also after a kill; the union over the tests that ran. `stderr`: of the last test, where a plain run was asked for.
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
    stderr: str = ""

    @property
    def passed(self) -> bool:
        return self.verdict is Verdict.PASSED

    def of_first(self, count: int) -> "Report":
        """The same of the first `count` tests alone; as it is where no test ran."""
        if not self.tests:
            return self
        tests = self.tests[:count]
        failed = next((test for test in tests if not test.passed), None)
        return replace(
            self,
            verdict=failed.verdict if failed else Verdict.PASSED,
            tests=tests,
            executed_lines=tuple(sorted({line for test in tests for line in test.executed_lines})),
            error=failed.error if failed else None,
            error_line=failed.error_line if failed else None,
        )
