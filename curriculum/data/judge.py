"""What running a data set's entries shows, kept in a file that survives an interruption: the long step of refinement.

Invariant: findings are in the order of the entries, one each, and depend on the data, the settings in `identity` and
the programs alone; no time or memory that a run took gets into them.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from typing import Any, Self

from stepcoder.bars import WorkProgress
from stepcoder.curriculum.data.examine import Examination, Finding, Run, RunKind, examine
from stepcoder.curriculum.data.files import digest, read
from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.record import Reason
from stepcoder.curriculum.data.refinement import Effort, Refinement, Source
from stepcoder.errors import UserError
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.grading.files import ResultFile
from stepcoder.executor.grading.grade import MANY_FAILURES, judge_identity
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Report

FORMAT = 4
KEYS = ("id", "reason", "where")
AHEAD = 16  # entries a worker that may be under way while an earlier, slow one keeps the order
MUTANT_CPU_S = 2.0
# Settings that change how fast and where programs run, not what comes out.
_NO_INPUT = {"workers", "actors", "infra_retries", "reward"}


def check_source(kind: str, path: Location, progress: WorkProgress) -> Source:
    """Reads the data set to its end, so that nothing runs for one that is damaged."""
    progress.begin(0, 0)
    count = 0
    for _ in read(kind, path):
        progress.advance()
        count += 1
    if not count:
        raise UserError(f"{path}: holds no entry")
    return Source(kind, path, count, digest(path))


def identity(job: Refinement, release: str) -> dict[str, Any]:
    """What the findings depend on, as JSON data, so that they are not continued with anything else."""
    return {
        "format": FORMAT,
        **judge_identity(job.config, release, _NO_INPUT),
        "kind": job.source.kind,
        "source_sha256": job.source.sha256,
        "solution": job.effort.preference,
        "mutants": job.effort.mutants,
    }


class Pools:
    """A pool for each kind of run that the effort asks for; mutants are given less time and no coverage.

    Context manager. UserError where no isolation can be had.
    """

    def __init__(self, config: ExecutorConfig, effort: Effort) -> None:
        quick = {"cpu_s": min(config.cpu_s, MUTANT_CPU_S), "coverage": False}
        self.solutions = LocalPool(config.model_copy(update={"coverage": True}))
        self._pools: dict[RunKind, LocalPool] = {"solution": self.solutions}
        if effort.mutants:
            self._pools["mutant"] = LocalPool(config.model_copy(update=quick), self.solutions.level)
        self.workers = config.workers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools.values():
            pool.close()

    def submit(self, run: Run) -> "Future[Report]":
        return self._pools[run.kind].submit(run.program, run.suite)


def judge(job: Refinement, pools: Pools, results: ResultFile, progress: WorkProgress) -> None:
    """Finds out about the entries that `results` lacks and closes it under its final name.

    UserError where it cannot be written or the sandbox keeps failing; what was written until then stays.
    """
    source, effort = job.source, job.effort
    done = sum(1 for _ in results.earlier())
    progress.begin(done, source.entries)
    entries = islice(enumerate(read(source.kind, source.path), 1), done, None)
    held: list[Finding] = []
    waiting = (examine(entry, f"entry {n}", effort.preference, effort.mutants) for n, entry in entries)
    for finding in examined(waiting, pools):
        held.append(finding)
        if finding.reason is Reason.NOT_JUDGED:
            if len(held) >= MANY_FAILURES:
                raise UserError(
                    f"the sandbox failed for {len(held)} problems in a row ({finding.detail}). None of them was "
                    "written: see 'stepcoder doctor'; the same command goes on from there"
                )
            continue
        _flush(held, results, progress)
    _flush(held, results, progress)
    results.finish()


def _flush(held: list[Finding], results: ResultFile, progress: WorkProgress) -> None:
    for finding in held:
        results.write(finding.as_json())
        progress.advance()
    held.clear()


class _Work:
    """An examination under way: what it waits for, then its finding."""

    def __init__(self, examination: Examination, pools: Pools) -> None:
        self._examination = examination
        self._pools = pools
        self.futures: list[Future[Report]] = []
        self.finding: Finding | None = None
        self._send(None)

    def advance(self) -> None:
        """Goes on where everything that was asked for is there."""
        if self.finding is None and all(future.done() for future in self.futures):
            self._send([future.result() for future in self.futures])

    def _send(self, reports: list[Report] | None) -> None:
        try:
            asked = next(self._examination) if reports is None else self._examination.send(reports)
            self.futures = [self._pools.submit(run) for run in asked]
        except StopIteration as end:
            self.finding = end.value


def examined(examinations: Iterable[Examination], pools: Pools) -> Iterator[Finding]:
    """Findings in order; a slow problem lets others overtake it within a window."""
    waiting, window = iter(examinations), deque[_Work]()
    while True:
        while len(window) < AHEAD * pools.workers and (examination := next(waiting, None)) is not None:
            window.append(_Work(examination, pools))
        if not window:
            return
        if window[0].finding is None:
            pending = [future for work in window for future in work.futures if not future.done()]
            if pending:
                wait(pending, return_when=FIRST_COMPLETED)
            for work in window:
                work.advance()
        while window and (finding := window[0].finding) is not None:
            window.popleft()
            yield finding
