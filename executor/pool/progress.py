"""What is known of a program while its tests run, and its report at the end."""

from dataclasses import dataclass, field
from typing import Any

from stepcoder.executor.judging.judge import Judgement
from stepcoder.executor.pool.fork_server import MAP_BYTES
from stepcoder.executor.report import Report, TestOutcome, Verdict
from stepcoder.executor.suite import Compare


@dataclass(slots=True)
class Progress:
    """Of one program that has `tests` tests; coverage is recorded up to line `lines`, with none up to 0.

    `compare`: how answers are compared.
    """

    tests: int
    lines: int
    compare: Compare
    outcomes: list[TestOutcome] = field(default_factory=list)
    recordable: frozenset[int] = frozenset()
    codeless: set[int] | None = None  # lines without code, where the program's own process says what is recordable
    executed: dict[bytes, tuple[int, ...]] = field(default_factory=dict)  # lines of a test, by the map that it left
    forged: bool = False  # lines that cannot be recorded, or a monitor that was tampered with
    cpu_s: float = 0.0
    peak_mib: float = 0.0
    lost_s: float = 0.0  # of the last process: wall-clock time in which nothing ran
    refusal: Judgement | None = None  # of a program that does not compile
    ordinary: bool = False
    answers: dict[int, Any] = field(default_factory=dict)  # by the number of the test, which a checker has to judge
    timeouts: int = 0  # of the outcomes up to the last process

    @property
    def done(self) -> bool:
        return len(self.outcomes) >= self.tests or self.refusal is not None

    def skip(self, why: str) -> None:
        """The tests left are not run."""
        self.outcomes.extend([TestOutcome(Verdict.TIMEOUT, error=why)] * (self.tests - len(self.outcomes)))

    def lines_of(self, cells: bytes) -> tuple[int, ...]:
        """Lines of one test, from its coverage map. Many tests of a program leave the same one, which is read once."""
        if cells not in self.executed:
            recorded = [line for line, cell in enumerate(cells[: self.lines + 1]) if cell]
            self.executed[cells] = tuple(line for line in recorded if line in self.recordable)
            self.forged |= len(recorded) > len(self.executed[cells])
        return self.executed[cells]

    def report(self, lines: int, wall_s: float) -> Report:
        """`lines`: of the program."""
        if self.refusal is not None:
            verdict, error, line = self.refusal.verdict, self.refusal.error, self.refusal.line
            return Report(verdict, error=error, error_line=line, cpu_s=self.cpu_s, wall_s=wall_s,
                          peak_memory_mib=self.peak_mib)  # fmt: skip
        failed = next((test for test in self.outcomes if not test.passed), None)
        return Report(
            verdict=failed.verdict if failed else Verdict.PASSED,
            tests=tuple(self.outcomes),
            executed_lines=tuple(sorted(set().union(*self.executed.values()))),
            error=failed.error if failed else None,
            error_line=failed.error_line if failed else None,
            cpu_s=self.cpu_s,
            wall_s=wall_s,
            peak_memory_mib=self.peak_mib,
            coverage_trusted=not self.forged and lines < MAP_BYTES,
        )
