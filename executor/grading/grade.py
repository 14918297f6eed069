"""Grading of programs from a file: everything is checked, then programs stream through a local pool into a file.

Invariant: nothing runs before every line of both files is known to be good. Memory is bounded by the problems and
by the few programs that are under way, whatever the number of samples.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from stepcoder.bars import WorkProgress
from stepcoder.errors import UserError
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.grading.fences import Extract, program_of
from stepcoder.executor.grading.files import ResultFile, Sample, read_samples
from stepcoder.executor.grading.summary import DEFAULT_KS, Tally
from stepcoder.executor.interpreters import examine
from stepcoder.executor.judging.plan import plan
from stepcoder.executor.judging.reward import reward
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Report, TestOutcome
from stepcoder.executor.suite import Suite
from stepcoder.words import plural

FORMAT = 1
AHEAD = 32  # programs a worker that may wait while an earlier, slow one keeps the order
MANY_FAILURES = 20  # sandbox failures in a row after which it is not the programs
# Settings that change how fast and where programs run, not what comes out.
_NO_INPUT = {"workers", "actors", "infra_retries"}


@dataclass(frozen=True, slots=True)
class Tests:
    """What programs are judged by, by problem. `place(id)` says where a problem stands; `sha256` is of its file."""

    suites: Mapping[str, Suite]
    levels: Mapping[str, str]
    place: Callable[[str], str]
    sha256: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """Both files, checked. `per_problem` counts samples; the digest is SHA-256."""

    tests: Tests
    samples: Path
    per_problem: Mapping[str, int]
    samples_sha256: str

    @property
    def total(self) -> int:
        return sum(self.per_problem.values())


def check_inputs(tests: Tests, samples: Path) -> Inputs:
    """Reads the samples to their end. UserError with file, line and reason at the first fault."""
    digest, counts = hashlib.sha256(), Counter[str]()
    for sample in read_samples(samples, tests.suites, digest):
        counts[sample.problem_id] += 1
    if not counts:
        raise UserError(f"{samples}: the file holds no sample")
    for name in counts:
        try:
            plan(tests.suites[name])
        except ValueError as error:
            raise UserError(f"{tests.place(name)}: {error}") from None
    return Inputs(tests, samples, counts, digest.hexdigest())


def check_ks(ks: Sequence[int] | None, per_problem: Mapping[str, int]) -> tuple[int, ...]:
    """The k of pass@k: those asked for, or the usual ones that every problem has samples for."""
    if ks is None:
        return tuple(k for k in DEFAULT_KS if k <= min(per_problem.values()))
    most = max(per_problem.values())
    if too_many := [k for k in ks if k > most]:
        raise UserError(f"--k {too_many[0]}: no problem has more than {plural(most, 'sample')}")
    return tuple(ks)


def identity(inputs: Inputs, config: ExecutorConfig, release: str, extract: Extract = "auto") -> dict[str, Any]:
    """What the results depend on, as JSON data: kept beside them, so that they are not continued with anything else."""
    return {
        "format": FORMAT,
        **judge_identity(config, release, _NO_INPUT),
        "problems_sha256": inputs.tests.sha256,
        "samples_sha256": inputs.samples_sha256,
        "extract": extract,
    }


def judge_identity(config: ExecutorConfig, release: str, no_input: set[str]) -> dict[str, Any]:
    """What judges, as JSON data: the release, the interpreter, and the settings but for those that change no result."""
    try:
        python, _ = examine(config.python)
    except RuntimeError as error:
        raise UserError(f"executor.python: {error}") from None
    return {
        "stepcoder": release,
        "python": python,
        "executor": config.model_dump(mode="json", exclude=no_input),
    }


def grade(
    inputs: Inputs,
    pool: LocalPool,
    results: ResultFile,
    tally: Tally,
    progress: WorkProgress,
    extract: Extract = "auto",
) -> None:
    """Judges the samples that `results` lacks, writes each in its turn and closes the file under its final name.

    UserError where results cannot be written, the sample file changed, or the sandbox keeps failing; what was
    written until then stays.
    """
    done = 0
    for record in results.earlier():
        tally.add(record)
        done += 1
    digest, held = hashlib.sha256(), []
    samples = read_samples(inputs.samples, inputs.tests.suites, digest)
    progress.begin(done, inputs.total)
    programs = (replace(s, program=program_of(s.program, extract)) for s in islice(samples, done, None))
    for sample, report in _judged(programs, inputs.tests.suites, pool):
        held.append(result(sample, report, pool.config))
        if not report.verdict.judged:
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


def _flush(held: list[dict[str, Any]], results: ResultFile, tally: Tally, progress: WorkProgress) -> None:
    for record in held:
        results.write(record)
        tally.add(record)
        progress.advance()
    held.clear()


def _judged(samples: Iterable[Sample], suites: Mapping[str, Suite], pool: LocalPool) -> Iterator[tuple[Sample, Report]]:
    """Samples with their reports, in order; a slow program lets others overtake it within a window."""
    window: deque[tuple[Sample, Future[Report]]] = deque()
    for sample in samples:
        window.append((sample, pool.submit(sample.program, suites[sample.problem_id])))
        if len(window) > AHEAD * pool.config.workers:
            first, future = window.popleft()
            yield first, future.result()
    while window:
        first, future = window.popleft()
        yield first, future.result()


def result(sample: Sample, report: Report, config: ExecutorConfig) -> dict[str, Any]:
    """One line of the result file as JSON data. `reward` is None for infra_error, `executed_lines` without coverage."""
    judged = report.verdict.judged
    failed = next((test for test in report.tests if not test.passed), None)
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
