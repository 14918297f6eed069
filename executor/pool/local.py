"""A pool of slots in this process: runs programs against suites in parallel, without Ray.

Each slot is a thread that owns one fork server (a fork server dies with the thread that started it). Nothing that a
program sent is unpickled. A sandbox failure is retried on whichever slot is free next; after
`infra_retries` it is reported as `infra_error`, never as a verdict on the program.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Self

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging.plan import Plan, plan
from stepcoder.executor.pool.fork_server import InfraError
from stepcoder.executor.pool.isolation import choose, described
from stepcoder.executor.pool.slot import Slot, Wanted
from stepcoder.executor.report import Report, Verdict
from stepcoder.executor.suite import Suite

log = logging.getLogger(__name__)

_PLANS_KEPT = 4


@dataclass(slots=True)
class _Job:
    program: str
    suite: Suite | Plan
    future: "Future[Report]"
    wanted: Wanted
    failures: int = 0


def _found(config: ExecutorConfig) -> int:
    level = choose(config)
    if level == 4:
        log.warning("programs run WITHOUT isolation (executor.level is 4)")
    else:
        log.info(described(level))
    return level


class LocalPool:
    """`run` from any thread; `map` over many, in order. Raises UserError at once where no isolation can be had.

    `level` is one that another pool has found for the same interpreter and packages, and has said.
    """

    def __init__(self, config: ExecutorConfig, level: int | None = None) -> None:
        self.config = config
        self.level = level or _found(config)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._plans: deque[tuple[Suite, Plan]] = deque(maxlen=_PLANS_KEPT)
        self._running: dict[Future[Report], tuple[_Job, Slot]] = {}
        self._changing = threading.Lock()  # of what is running
        self._busy_s = 0.0
        self._threads = [
            threading.Thread(target=self._work, name=f"executor-slot-{number}", daemon=True)
            for number in range(config.workers)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, program: str, suite: Suite, plain: bool = False, later: bool = False) -> "Future[Report]":
        """`plain`: to run a program rather than to judge it: all of its output is kept, its executed lines are not.

        ValueError for a suite that cannot judge (no tests, wrong types). Planning reads every test; `later` leaves it
        to the slot, and that error to the future.
        """
        if self._closed:
            raise RuntimeError("the pool is closed")
        job = _Job(program, suite if later else self._planned(suite), Future(), Wanted(plain))
        self._jobs.put(job)
        return job.future

    def abandon(self, future: "Future[Report]") -> None:
        """Nobody waits for this report any more: its program is not run, or is ended, which frees the slot."""
        if future.cancel():
            return
        with self._changing:
            if future in self._running:
                job, slot = self._running[future]
                job.wanted.abandoned = True
                slot.kill()

    @property
    def busy_s(self) -> float:
        """Seconds that slots have spent on programs, added up."""
        return self._busy_s

    def _planned(self, suite: Suite) -> Plan:
        """Programs of one suite follow each other: the plans of the last suites are kept, by identity."""
        for kept, made in list(self._plans):
            if kept is suite:
                return made
        made = plan(suite)
        self._plans.append((suite, made))
        return made

    def run(self, program: str, suite: Suite) -> Report:
        """Blocks until the report is there."""
        return self.submit(program, suite).result()

    def map(self, pairs: Iterable[tuple[str, Suite]]) -> Iterator[Report]:
        """Reports in the order of the pairs, which are read a little ahead of the slots, not all at once."""
        window: deque[Future[Report]] = deque()
        for program, suite in pairs:
            window.append(self.submit(program, suite))
            while len(window) > 4 * self.config.workers:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()

    def close(self) -> None:
        """Ends all slots after the programs they are running; programs that wait get an infra_error."""
        if self._closed:
            return
        self._closed = True
        waiting: list[_Job] = []
        while not self._jobs.empty():
            job = self._jobs.get()
            if job is not None:
                waiting.append(job)
        for job in waiting:
            if job.failures or job.future.set_running_or_notify_cancel():
                job.future.set_result(_infra_report("the pool was closed"))
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        slot = Slot(self.config, self.level)
        try:
            while (job := self._jobs.get()) is not None:
                self._one(slot, job)
        finally:
            slot.close()

    def _one(self, slot: Slot, job: _Job) -> None:
        if not job.failures and not job.future.set_running_or_notify_cancel():
            return
        try:
            job.suite = job.suite if isinstance(job.suite, Plan) else self._planned(job.suite)
        except Exception as error:
            job.future.set_exception(error)
            return
        try:
            job.future.set_result(self._report(slot, job, job.suite))
        except InfraError as error:
            if job.wanted.abandoned:
                job.future.set_result(_infra_report("nobody waits for the report"))
                return
            job.failures += 1
            log.warning("the sandbox failed (%d of %d): %s", job.failures, self.config.infra_retries + 1, error)
            if job.failures > self.config.infra_retries or self._closed:
                job.future.set_result(_infra_report(str(error)))
            else:
                self._jobs.put(job)
        except Exception as error:  # a defect of ours must reach the caller, not end the slot
            slot.close()
            job.future.set_exception(error)

    def _report(self, slot: Slot, job: _Job, planned: Plan) -> Report:
        with self._changing:
            self._running[job.future] = job, slot
        begun = time.monotonic()
        try:
            return slot.run(job.program, planned, job.wanted)
        finally:
            with self._changing:
                del self._running[job.future]
                self._busy_s += time.monotonic() - begun


def _infra_report(error: str) -> Report:
    return Report(Verdict.INFRA_ERROR, error=error)
