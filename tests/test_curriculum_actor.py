"""The actor answers as the plain class does, and goes on exactly after it was killed and started anew."""

from collections.abc import Iterator
from typing import Any

import pytest
import ray

from curriculum.actor import CurriculumActor
from curriculum.config import CurriculumConfig
from curriculum.curriculum import Curriculum
from curriculum.problem import Problem
from curriculum.subtask import Outcome, Subtask
from executor.suite import Case, Suite

DEADLINE_S = 60


def problem(name: str, conditionals: int) -> Problem:
    body = "".join(f"if x > {i}:\n    print({i})\n" for i in range(conditionals))
    suite = Suite("stdin", (Case("1\n", "1\n"),))
    return Problem(name, "test", "introductory", "Do it.", "", "x = int(input())\n" + body, suite)


PROBLEMS = [problem(f"p{i}", i) for i in range(6)]
CONFIG = CurriculumConfig(rho=0.5, visit_cap=3)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def start() -> Any:
    return ray.remote(CurriculumActor).options(num_cpus=0).remote(PROBLEMS, CONFIG, seed=4)


def outcomes(subtasks: list[Subtask]) -> list[Outcome]:
    return [Outcome(s.ticket, s.problem.id, s.stage, s.ticket * 7 % 5, 4) for s in subtasks]


def test_a_killed_actor_started_from_its_state_equals_an_undisturbed_curriculum(cluster: None) -> None:
    plain = Curriculum(PROBLEMS, CONFIG, seed=4)
    actor = start()
    assert ray.get(actor.ready.remote(), timeout=DEADLINE_S) == 6
    for step in range(12):
        subtasks = plain.next(5)
        assert ray.get(actor.next.remote(5), timeout=DEADLINE_S) == subtasks
        plain.report(outcomes(subtasks))
        ray.get(actor.report.remote(outcomes(subtasks)), timeout=DEADLINE_S)
        if step == 5:
            state = ray.get(actor.state.remote(), timeout=DEADLINE_S)
            ray.kill(actor)
            actor = start()
            ray.get(actor.load.remote(state), timeout=DEADLINE_S)
    assert ray.get(actor.state.remote(), timeout=DEADLINE_S) == plain.state()
    assert ray.get(actor.metrics.remote(), timeout=DEADLINE_S) == plain.metrics()
    assert ray.get(actor.histogram.remote(), timeout=DEADLINE_S) == plain.histogram()
    last = plain.next(1)[0]
    assert ray.get(actor.subtask.remote(last.ticket, last.problem.id, last.stage), timeout=DEADLINE_S) == last
