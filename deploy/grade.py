"""Grading of programs from a file: everything is checked, then programs stream through a local pool into a file.

Invariant: nothing runs before every line of both files is known to be good. Memory is bounded by the problems and
by the few programs that are under way, whatever the number of samples.
"""

import hashlib
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from curriculum.load import ProblemFileError, load_problems, numbered_lines, parse_line, resolve
from curriculum.problem import Problem
from deploy.errors import UserError
from deploy.grade_files import ResultFile, Sample, read_samples
from deploy.grade_summary import Tally
from deploy.machine import interpreter
from deploy.progress import duration
from executor.config import ExecutorConfig
from executor.plan import plan
from executor.pool import LocalPool
from executor.report import Report, TestOutcome, Verdict
from executor.reward import reward

FORMAT = 1
DEFAULT_KS = (1, 5, 10)
AHEAD = 32  # programs a worker that may wait while an earlier, slow one keeps the order
MANY_FAILURES = 20  # sandbox failures in a row after which it is not the programs
PLAIN_LINE_S = 10.0
# Settings that change how fast and where programs run, not what comes out.
_NO_INPUT = {"workers", "actors", "infra_retries"}


@dataclass(frozen=True, slots=True)
class Inputs:
    """Both files, checked. `per_problem` counts samples; the digests are SHA-256."""

    problems: Mapping[str, Problem]
    samples: Path
    per_problem: Mapping[str, int]
    problems_sha256: str
    samples_sha256: str

    @property
    def total(self) -> int:
        return sum(self.per_problem.values())


def check_inputs(problems: str | Path, samples: Path) -> Inputs:
    """Reads both files to their ends. UserError with file, line and reason at the first fault."""
    try:
        by_id = {problem.id: problem for problem in load_problems(problems)}
        with resolve(problems).open("rb") as file:
            problems_digest = hashlib.file_digest(file, "sha256").hexdigest()
    except ProblemFileError as error:
        raise UserError(str(error)) from None
    digest, counts = hashlib.sha256(), Counter[str]()
    for sample in read_samples(samples, by_id, digest):
        counts[sample.problem_id] += 1
    if not counts:
        raise UserError(f"{samples}: the file holds no sample")
    for name in counts:
        try:
            plan(by_id[name].suite)
        except ValueError as error:
            raise UserError(f"{resolve(problems)}, line {_line_of(name, problems)}: {error}") from None
    return Inputs(by_id, samples, counts, problems_digest, digest.hexdigest())


def _line_of(name: str, problems: str | Path) -> int:
    """The line of the problem `name`, which is known to be in the file."""
    file = str(resolve(problems))
    lines = ((number, raw) for number, raw in numbered_lines(resolve(problems)) if raw.strip())
    return next(number for number, raw in lines if parse_line(raw, file, number).id == name)


def check_ks(ks: Sequence[int] | None, per_problem: Mapping[str, int]) -> tuple[int, ...]:
    """The k of pass@k: those asked for, or the usual ones that every problem has samples for."""
    if ks is None:
        return tuple(k for k in DEFAULT_KS if k <= min(per_problem.values()))
    most = max(per_problem.values())
    if too_many := [k for k in ks if k > most]:
        raise UserError(f"--k {too_many[0]}: no problem has more than {most} samples")
    return tuple(ks)


def identity(inputs: Inputs, config: ExecutorConfig, release: str) -> dict[str, Any]:
    """What the results depend on, as JSON data: kept beside them, so that they are not continued with anything else."""
    return {
        "format": FORMAT,
        **judge_identity(config, release, _NO_INPUT),
        "problems_sha256": inputs.problems_sha256,
        "samples_sha256": inputs.samples_sha256,
    }


def judge_identity(config: ExecutorConfig, release: str, no_input: set[str]) -> dict[str, Any]:
    """What judges, as JSON data: the release, the interpreter, and the settings but for those that change no result."""
    try:
        python, _ = interpreter(config.python)
    except RuntimeError as error:
        raise UserError(f"executor.python: {error}") from None
    return {
        "stepcoder": release,
        "python": python,
        "executor": config.model_dump(mode="json", exclude=no_input),
    }


def grade(inputs: Inputs, pool: LocalPool, results: ResultFile, tally: Tally, progress: "GradeProgress") -> None:
    """Judges the samples that `results` lacks, writes each in its turn and closes the file under its final name.

    UserError where results cannot be written, the sample file changed, or the sandbox keeps failing; what was
    written until then stays.
    """
    done = 0
    for record in results.earlier():
        tally.add(record)
        done += 1
    digest, held = hashlib.sha256(), []
    samples = read_samples(inputs.samples, inputs.problems, digest)
    progress.begin(done, inputs.total)
    for sample, report in _judged(islice(samples, done, None), inputs.problems, pool):
        held.append(result(sample, report, pool.config))
        if report.verdict is Verdict.INFRA_ERROR:
            if len(held) >= MANY_FAILURES:
                raise UserError(
                    f"the sandbox failed for {len(held)} programs in a row ({report.error}). None of them was written: "
                    "see 'stepcoder doctor'; the same command goes on from there"
                )
            continue
        _flush(held, results, tally, progress)
    _flush(held, results, tally, progress)
    if digest.hexdigest() != inputs.samples_sha256:
        raise UserError(f"{inputs.samples} changed while it was graded: grade anew with --force")
    results.finish()


def _flush(held: list[dict[str, Any]], results: ResultFile, tally: Tally, progress: "GradeProgress") -> None:
    for record in held:
        results.write(record)
        tally.add(record)
        progress.advance()
    held.clear()


def _judged(
    samples: Iterable[Sample], problems: Mapping[str, Problem], pool: LocalPool
) -> Iterator[tuple[Sample, Report]]:
    """Samples with their reports, in order; a slow program lets others overtake it within a window."""
    window: deque[tuple[Sample, Future[Report]]] = deque()
    for sample in samples:
        window.append((sample, pool.submit(sample.program, problems[sample.problem_id].suite)))
        if len(window) > AHEAD * pool.config.workers:
            first, future = window.popleft()
            yield first, future.result()
    while window:
        first, future = window.popleft()
        yield first, future.result()


def result(sample: Sample, report: Report, config: ExecutorConfig) -> dict[str, Any]:
    """One line of the result file as JSON data. `reward` is None for infra_error, `executed_lines` without coverage."""
    judged = report.verdict is not Verdict.INFRA_ERROR
    failed = next((test for test in report.tests if test.verdict is not Verdict.PASSED), None)
    return {
        "problem_id": sample.problem_id,
        **({} if sample.id is None else {"id": sample.id}),
        "verdict": report.verdict.value,
        "reward": _reward(report, config.reward) if judged else None,
        "error": report.error,
        "error_line": report.error_line,
        "executed_lines": list(report.executed_lines) if config.coverage else None,
        "coverage_trusted": report.coverage_trusted,
        "tests": [_test(test) for test in report.tests],
        "stdout": failed.stdout if failed else "",
        "cpu_s": round(report.cpu_s, 6),
        "wall_s": round(report.wall_s, 6),
        "peak_memory_mib": round(report.peak_memory_mib, 1),
    }


def _reward(report: Report, kind: str) -> float:
    try:
        return reward(report, kind)
    except Exception as error:  # a user's own function may raise anything
        raise UserError(
            f"the reward {kind} failed for a program with verdict {report.verdict}: {type(error).__name__}: {error}. "
            "All results until here are kept; the same command goes on"
        ) from error


def _test(test: TestOutcome) -> dict[str, Any]:
    """A test without its output, which is kept for the first failing test only; an error where there was one."""
    told = {"verdict": test.verdict.value, "cpu_s": round(test.cpu_s, 6), "wall_s": round(test.wall_s, 6)}
    if test.error is not None:
        told |= {"error": test.error, "error_line": test.error_line}
    return told


class GradeProgress:
    """A bar in a terminal, elsewhere a plain line now and then. `done` counts results, also of an earlier run.

    `unit` names what is counted; a total of 0 is an unknown one.
    """

    def __init__(self, console: Console | None = None, unit: str = "programs") -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self.unit = unit
        self.done = self.total = self._before = 0
        self._started = self._told = time.monotonic()
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, done: int, total: int) -> None:
        """Starts the count; where one was going on, another one."""
        if self._bar is not None:
            self._bar.stop()
        self.done, self.total, self._before = done, total, done
        self._started = self._told = time.monotonic()
        if done:
            self.message(f"{done:,} of {total:,} results are there already: going on from them")
        if self.console.is_terminal:
            columns = (MofNCompleteColumn(), BarColumn(bar_width=32), TextColumn("{task.description}"))
            self._bar = Progress(*columns, TimeRemainingColumn(), TextColumn("left"), console=self.console)
            self._task = self._bar.add_task("", total=total or None, completed=done)
            self._bar.start()

    def advance(self) -> None:
        self.done += 1
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, description=f"{self.rate:,.0f} {self.unit}/s")
        elif time.monotonic() - self._told >= PLAIN_LINE_S:
            self._told = time.monotonic()
            of, left = "", ""
            if self.total:
                of, left = f"/{self.total:,}", f"  {duration((self.total - self.done) / self.rate)} left"
            self.message(f"{self.done:,}{of} {self.unit}  {self.rate:,.0f} {self.unit}/s{left}")

    @property
    def here(self) -> int:
        """Programs judged by this run."""
        return self.done - self._before

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def rate(self) -> float:
        """Programs a second, of this run."""
        return self.here / max(self.seconds, 1e-6)

    def message(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)
