"""Programs to rewards, in this process or through a server: what every adapter calls.

A program is judged by a problem: an object in the native format (only `style` and `tests` have to be there), the same
as JSON text, the `{"inputs", "outputs", "fn_name"}` that other trainers write, or the id of a problem of `problems`.
"""

import asyncio
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from stepcoder.deploy.adapters.client import Client
from stepcoder.deploy.commands.serve import read_problem
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.grading.files import Sample
from stepcoder.executor.grading.grade import result
from stepcoder.executor.judging.reward import check
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.server.faults import explained
from stepcoder.executor.server.labels import Problem, asked, is_json
from stepcoder.executor.suite import Suite

_AT_ONCE = 64  # requests of one judge


class NotJudged(RuntimeError):
    """The sandbox or the server failed, which says nothing about the program: there is no reward for it."""


@dataclass(frozen=True, slots=True)
class Judged:
    """`reward`: None for infra_error. `executed_lines`: from 1. `report`: a line of the results of `grade`."""

    reward: float | None
    verdict: str
    executed_lines: tuple[int, ...]
    report: dict[str, Any]

    def number(self) -> float:
        """The reward, for trainers that need one; NotJudged."""
        if self.reward is None:
            raise NotJudged(f"a program could not be judged: {self.report['error']}")
        return self.reward


class Judge:
    """Usable from threads, coroutines and after pickling; what it needs is started with the first program.

    `url`: of a server (`stepcoder serve`), with `token`; None: programs run in this process's own sandbox, under
    `executor`. `problems`: a file of problems to take by id; a server has its own.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, problems: str | None = None,
        executor: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """ValueError for a wrong setting, and where both a server and settings of one's own sandbox are given."""
        if url is not None and (executor or problems):
            raise ValueError("`executor` and `problems` belong to the server: give them there, or leave out `url`")
        self.url, self.token, self.problems = url, token, problems
        self.executor = dict(executor or {})
        check(self._config().reward)
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._pool: LocalPool | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._client = Client(self.url, self.token) if self.url else None
        self._suites: dict[str, Suite] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("url", "token", "problems", "executor")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def one(self, program: str, problem: Problem) -> Judged:
        """ValueError for a problem that cannot be used; ConnectionError where the server does not come back."""
        if self._client is None:
            pool = self._local()
            sample = Sample(problem if isinstance(problem, str) and not is_json(problem) else "", program)
            data = result(sample, pool.run(program, self._suite(program, problem)), pool.config)
        else:
            data = self._client.post("/judge", {"program": program, **asked(program, problem)})
        return Judged(data["reward"], data["verdict"], tuple(data["executed_lines"] or ()), data)

    def many(self, programs: Sequence[str], problems: Sequence[Problem]) -> list[Judged]:
        """In the order of the programs, at once."""
        if len(programs) != len(problems):
            raise ValueError(f"{len(programs)} programs and {len(problems)} problems")
        return list(self._workers().map(self.one, programs, problems))

    async def soon(self, program: str, problem: Problem) -> Judged:
        """As `one`, without holding up an event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._workers(), self.one, program, problem)

    def close(self) -> None:
        """Ends what was started."""
        if self._threads is not None:
            self._threads.shutdown()
        if self._pool is not None:
            self._pool.close()
        self._begin()

    def _local(self) -> LocalPool:
        with self._lock:
            if self._pool is None:
                self._pool = LocalPool(self._config())
            return self._pool

    def _config(self) -> ExecutorConfig:
        try:
            return ExecutorConfig.model_validate({"workers": min(len(os.sched_getaffinity(0)), 256)} | self.executor)
        except ValidationError as error:
            raise ValueError(f"executor: {explained(error)}") from None

    def _workers(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_AT_ONCE, "judge")
            return self._threads

    def _suite(self, program: str, problem: Problem) -> Suite:
        given = asked(program, problem)
        if "problem" in given:
            return read_problem(given["problem"])
        with self._lock:
            if self._suites is None:
                self._suites = _suites(self.problems)
        name = given["problem_id"]
        if name not in self._suites:
            where = self.problems or "this process: give `problems`, or the problem as an object in JSON"
            raise ValueError(f"no problem {name!r:.100} in {where}")
        return self._suites[name]


def _suites(source: str | None) -> dict[str, Suite]:
    from stepcoder.curriculum.problems.load import load_problems

    return {problem.id: problem.suite for problem in load_problems(source, judging=True)} if source else {}


@lru_cache
def shared(url: str | None = None, token: str | None = None, problems: str | None = None) -> Judge:
    """One judge a process. What is not given comes from STEPCODER_JUDGE_URL, _TOKEN and _PROBLEMS."""
    url, token, problems = (
        given if given is not None else os.environ.get(f"STEPCODER_JUDGE_{name}") or None
        for given, name in ((url, "URL"), (token, "TOKEN"), (problems, "PROBLEMS"))
    )
    return Judge(url, token, problems)
