"""A rollout actor with the real engine and the real executor."""

import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import ray
from transformers import AutoTokenizer

from stepcoder.curriculum.config import PromptConfig
from stepcoder.curriculum.problems.hidden import with_hidden
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.prompts import Prompter
from stepcoder.curriculum.subtask import Subtask
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.actors import ExecutorPool
from stepcoder.executor.report import Report, Verdict
from stepcoder.executor.suite import Case, Suite
from stepcoder.rollout.config import RolloutConfig
from stepcoder.rollout.engine import Sampling
from stepcoder.rollout.engines import engine_environment
from stepcoder.rollout.trajectory import Group, Unjudged
from stepcoder.rollout.worker import NotJudged, RolloutWorker, _not_judged
from tests.tools.loop import alive, engine_processes
from tests.tools.patience import HANG_S, until

CONFIG = RolloutConfig(
    dtype="float32",
    max_model_len=512,
    max_num_seqs=16,
    kv_cache_gib=1,
    cpu_threads=1,
    group_size=4,
    max_new_tokens=24,
    temperature=1.0,
    top_p=1.0,
)
SOLUTION = "def add(a, b):\n    if a:\n        return a + b\n    return b\n"
PROBLEM = Problem(
    id="add",
    source="test",
    level="introductory",
    statement="Add two numbers.",
    starter_code="",
    solution=SOLUTION,
    suite=Suite("call", (Case([1, 2], 3), Case([0, 2], 2)), "add"),
)
# A whole program is given, so that what a random model appends decides only how it ends.
PREFIX = SOLUTION + "'''\n"


class Failing:
    """The real pool, whose sandbox fails on one suite; no way was found to make it do so every time."""

    def __init__(self, pool: ExecutorPool) -> None:
        self.pool = pool

    async def run(self, program: str, suite: Suite) -> Report:
        if suite.entry_point == "unjudged":
            return Report(Verdict.INFRA_ERROR, error="no namespace left")
        return await self.pool.run(program, suite)


@pytest.fixture(scope="module")
def worker(cluster: None, model: Path) -> Iterator[Any]:
    config = ExecutorConfig()
    actor = ray.remote(RolloutWorker).options(
        num_cpus=0, max_concurrency=64, runtime_env={"env_vars": engine_environment(CONFIG)}
    )
    pool = ExecutorPool(config)
    started = actor.remote(str(model), CONFIG, PromptConfig(), Failing(pool), config.reward, 7)
    yield started
    ray.kill(started)
    pool.close()


def run(worker: Any, ticket: int, prefix: str = "", **options: Any) -> Group:
    return ray.get(worker.run.remote(Subtask(ticket, PROBLEM, 1, prefix), **options), timeout=HANG_S)


def test_a_group_is_graded_and_its_arrays_fit_together(worker: Any, model: Path) -> None:
    group = run(worker, 3, PREFIX)
    tokenizer = AutoTokenizer.from_pretrained(model)
    assert group.outcome.ticket == 3 and group.outcome.total == len(group.trajectories) == 4
    assert group.outcome.passed == sum(trajectory.reward == 1.0 for trajectory in group.trajectories)
    for sample, trajectory in enumerate(group.trajectories):
        size = len(trajectory.response_ids)
        assert trajectory.sample == sample and 0 < size <= 24
        assert trajectory.logprobs.shape == trajectory.executed.shape == trajectory.code.shape == (size,)
        assert (trajectory.logprobs <= 0).all() and not (trajectory.executed & ~trajectory.code).any()
        written = [int(token) for token in trajectory.response_ids if token != tokenizer.eos_token_id]
        assert trajectory.program == PREFIX.rstrip() + tokenizer.decode(written).split("\n```")[0]
        assert trajectory.verdict in {"passed", "compile_error", "runtime_error", "wrong_answer"}
        ids = Prompter(tokenizer, PromptConfig()).ids(PROBLEM, PREFIX)
        assert trajectory.prompt_ids.tolist() == ids and trajectory.prompt_ids.dtype == np.int32


def test_a_program_that_cannot_be_judged_costs_its_group_alone() -> None:
    error = ExceptionGroup("of a group's tasks", [NotJudged("no namespace left"), NotJudged("late")])
    assert _not_judged(error) == "no namespace left"
    assert _not_judged(ExceptionGroup("", [NotJudged("full"), ValueError("a fault of ours")])) is None
    assert _not_judged(ValueError("a fault of ours")) is None


def test_a_group_that_cannot_be_judged_is_named_and_the_next_is_judged(worker: Any) -> None:
    broken = dataclasses.replace(PROBLEM, id="broken", suite=Suite("call", (Case([1, 2], 3),), "unjudged"))
    call = worker.run_apart.options(num_returns=2).remote(Subtask(4, broken, 1, PREFIX))
    assert ray.get(call, timeout=HANG_S) == [Unjudged(4, "broken", "no namespace left"), ()]
    assert len(run(worker, 5, PREFIX).trajectories) == 4


def test_hidden_tests_give_no_reward_and_are_told(worker: Any) -> None:
    tests = Suite("call", tuple(Case([n, 1], n + 1) for n in range(4)), "add")
    problem = with_hidden(dataclasses.replace(PROBLEM, suite=tests), 0.5)
    table = {tuple(case.input): case.output for case in problem.suite.cases[:2]}
    by_heart = f"def add(a, b):\n    if (a, b) in {table}:\n        return a + b\n    return 0\n"
    for program, right in ((by_heart, False), (SOLUTION, True)):
        subtask = Subtask(11, problem, 1, program + "#")  # a comment: some completions leave the program as it is
        call = worker.run_apart.options(num_returns=2).remote(subtask, group_size=16)
        summary, trajectories = ray.get(call, timeout=HANG_S)
        passed = [trajectory for trajectory in trajectories if trajectory.verdict is Verdict.PASSED]
        assert passed and all(t.reward == 1.0 and t.hidden_passed is right for t in passed)
        assert all(t.hidden_passed is None for t in trajectories if t.verdict is not Verdict.PASSED)
        assert summary.outcome.passed == len(passed) and summary.fails_hidden == (0 if right else len(passed))


def test_a_subtask_issued_again_draws_the_same_and_another_ticket_does_not(worker: Any) -> None:
    first, again, other = run(worker, 5), run(worker, 5), run(worker, 6)
    ids = [[t.response_ids.tolist() for t in group.trajectories] for group in (first, again, other)]
    assert ids[0] == ids[1] != ids[2]
    assert len({tuple(sample) for sample in ids[0]}) == 4


def test_a_program_that_does_not_compile_has_nothing_executed(worker: Any, model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    group = run(worker, 8, PREFIX)
    for trajectory in group.trajectories:
        if trajectory.verdict is Verdict.COMPILE_ERROR:
            assert trajectory.reward == -1.0 and trajectory.error_line is not None
            ran = tokenizer.decode(trajectory.response_ids[trajectory.executed], skip_special_tokens=True)
            assert ran.strip("\n` ") == ""  # at most the decision to stop
    assert any(trajectory.verdict is Verdict.COMPILE_ERROR for trajectory in group.trajectories)


def test_an_evaluation_samples_with_its_own_settings(worker: Any) -> None:
    group = run(worker, 9, sampling=Sampling(temperature=0.0, max_new_tokens=6), group_size=2)
    first, second = (trajectory.response_ids.tolist() for trajectory in group.trajectories)
    assert first == second and len(first) <= 6
    assert ray.get(worker.greedy.remote(group.trajectories[0].prompt_ids.tolist(), 6)) == first
    assert ray.get(worker.stats.remote()).generated_tokens >= 12 and ray.get(worker.version.remote()) == 0


def test_the_engines_processes_die_with_a_worker_that_was_killed(worker: Any) -> None:
    pid = ray.get(worker.__ray_call__.remote(lambda _: os.getpid()), timeout=HANG_S)
    children = psutil.Process(pid).children(recursive=True)
    assert engine_processes(children)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not any(map(alive, children)), lambda: [child for child in children if alive(child)])
