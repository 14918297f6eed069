"""The actor answers as the plain class does, and kill -9 at any moment takes nothing from it."""

import asyncio
import os
import random
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import RayError

from stepcoder.curriculum.config import CurriculumConfig, Learnability, Threshold
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.service.actor import MAX_RESTARTS, CurriculumActor
from stepcoder.curriculum.service.client import CurriculumClient
from stepcoder.curriculum.service.curriculum import Curriculum
from stepcoder.curriculum.service.journal import Journal
from stepcoder.curriculum.subtask import Outcome, Subtask
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.training.cluster import fits, start_curriculum
from stepcoder.executor.suite import Case, Suite
from tests.tools.patience import HANG_S

KILLS = 6


def problem(name: str, conditionals: int) -> Problem:
    body = "".join(f"if x > {i}:\n    print({i})\n" for i in range(conditionals))
    suite = Suite("stdin", (Case("1\n", "1\n"),))
    return Problem(name, "test", "introductory", "Do it.", "", "x = int(input())\n" + body, suite)


PROBLEMS = [problem(f"p{i:03}", i % 9) for i in range(120)]
CONFIG = CurriculumConfig(schedule=Threshold(rho=0.5, visit_cap=5, step_back=3), sampling=Learnability())


def outcomes(subtasks: list[Subtask]) -> list[Outcome]:
    return [Outcome(s.ticket, s.problem.id, s.stage, s.ticket * 7 % 5, 4) for s in subtasks]


def start(journal: Path | None) -> Any:
    class ActorWithPid(CurriculumActor):
        """Tells whom to kill. Defined here, so that it goes to the actor's process by value."""

        def pid(self) -> int:
            return os.getpid()

    options = {"num_cpus": 0, "max_restarts": MAX_RESTARTS, "max_task_retries": -1}
    actor = ray.remote(ActorWithPid).options(**options)
    return actor.remote(PROBLEMS, CONFIG, 4, journal=None if journal is None else str(journal))


class Killer(threading.Thread):
    """Kills the actor's process, whichever it is by then, at random moments."""

    def __init__(self, actor: Any, seed: int) -> None:
        super().__init__()
        self.actor, self.random, self.over = actor, random.Random(seed), threading.Event()
        self.killed: list[int] = []

    def run(self) -> None:
        while len(self.killed) < KILLS and not self.over.wait(self.random.uniform(0.05, 0.6)):
            try:
                pid: Any = ray.get(self.actor.pid.remote(), timeout=HANG_S)
            except RayError:
                continue
            time.sleep(self.random.uniform(0.0, 0.1))
            os.kill(pid, signal.SIGKILL)
            self.killed.append(pid)


def test_kills_at_random_moments_of_ten_thousand_outcomes_change_nothing(cluster: None, tmp_path: Path) -> None:
    plain = Curriculum(PROBLEMS, CONFIG, seed=4)
    actor = start(tmp_path / "journal")
    killer = Killer(actor, seed=1)

    async def play() -> dict[str, Any]:
        client = CurriculumClient(actor)
        killer.start()
        told = 0
        while told < 10_000 or len(killer.killed) < KILLS:
            subtasks = plain.next(20)
            assert await client.next(20) == subtasks
            plain.report(outcomes(subtasks))
            await client.report(outcomes(subtasks))
            told += len(subtasks)
            if told % 4000 == 0:  # as at a checkpoint: cuts the journal
                assert await client.state() == plain.state()
        assert await client.metrics() == plain.metrics()
        assert await client.histogram() == plain.histogram()
        last = plain.next(1)[0]
        assert await client.next(1) == [last]
        assert await client.subtask(last.ticket, last.problem.id, last.stage) == last
        return await client.state()

    try:
        assert asyncio.run(play()) == plain.state()
    finally:
        killer.over.set()
        killer.join(HANG_S)
    assert len(set(killer.killed)) == KILLS


def test_an_actor_without_a_journal_goes_on_from_a_checkpoints_state(cluster: None) -> None:
    plain = Curriculum(PROBLEMS, CONFIG, seed=4)
    plain.report(outcomes(plain.next(50)))

    async def resumed() -> list[Subtask]:
        client = CurriculumClient(start(None))
        await client.load(plain.state())
        return await client.next(30)

    assert asyncio.run(resumed()) == plain.next(30)


def test_a_call_made_again_is_answered_and_counts_once(tmp_path: Path) -> None:
    actor = CurriculumActor(PROBLEMS, CONFIG, 4, journal=str(tmp_path / "journal"))
    first = actor.next(5, call=1)
    assert actor.next(5, call=1) == first
    actor.report(outcomes(first), call=2)
    state = actor.state()
    actor.report(outcomes(first), call=2)
    assert actor.state() == state
    for call in (1, 4):
        with pytest.raises(ValueError, match=f"call {call} after call 2"):
            actor.next(5, call=call)
    again = CurriculumActor(PROBLEMS, CONFIG, 4, journal=str(tmp_path / "journal"))
    again.report(outcomes(first), call=2)  # the last call before the snapshot
    assert again.state() == state


def test_a_refused_report_leaves_no_trace_in_the_journal(tmp_path: Path) -> None:
    actor = CurriculumActor(PROBLEMS, CONFIG, 4, journal=str(tmp_path / "journal"))
    good, bad = Outcome(0, "p001", 1, 4, 4), Outcome(1, "p001", 1, 5, 4)
    with pytest.raises(ValueError, match="passed"):
        actor.report([good, bad], call=1)
    assert actor.state()["problems"] == {}
    actor.report([good], call=1)
    again = CurriculumActor(PROBLEMS, CONFIG, 4, journal=str(tmp_path / "journal"))
    assert again.state() == actor.state() and len(again.state()["problems"]) == 1


def test_a_journal_cut_at_any_byte_and_the_lost_calls_made_again_give_the_same_state(tmp_path: Path) -> None:
    few = PROBLEMS[:6]
    plain = Curriculum(few, CONFIG, 4)
    actor = CurriculumActor(few, CONFIG, 4, journal=str(tmp_path / "whole"))
    calls: list[tuple[str, Any]] = []
    for _ in range(6):
        told = outcomes(plain.next(3))
        plain.report(told)
        calls += [("next", 3), ("report", told)]
    for number, (name, what) in enumerate(calls, start=1):
        getattr(actor, name)(what, call=number)
    text = (tmp_path / "whole").read_bytes()
    assert text.count(b"\n") == len(calls)
    for end in range(0, len(text) + 1, 7):
        cut = tmp_path / f"cut-{end}"
        cut.write_bytes(text[:end])
        revived = CurriculumActor(few, CONFIG, 4, journal=str(cut))
        whole_lines = text[:end].count(b"\n")
        lost_answer = end % 2 if whole_lines else 0  # the last call was carried out, and its answer arrived or not
        for number, (name, what) in list(enumerate(calls, start=1))[whole_lines - lost_answer :]:
            getattr(revived, name)(what, call=number)
        assert revived.state() == plain.state()


def test_a_snapshot_takes_the_place_of_what_came_before(tmp_path: Path) -> None:
    actor = CurriculumActor(PROBLEMS, CONFIG, 4, journal=str(tmp_path / "journal"))
    actor.report(outcomes(actor.next(100)))
    assert len(list(Journal(tmp_path / "journal"))) == 2
    state = actor.state()
    assert list(Journal(tmp_path / "journal")) == [{"call": 2, "state": state}]
    actor.next(7)
    other = CurriculumActor(PROBLEMS, CONFIG, 4, journal=str(tmp_path / "journal"))
    assert other.state()["ticket"] == 107
    other.load(state)
    assert list(Journal(tmp_path / "journal")) == [{"call": 0, "state": state}]


def test_a_damaged_line_is_told_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(b'{"call": 1, "next": 3}\n{"call": 2,\n{"call": 3, "next": 3}\n')
    with pytest.raises(ValueError, match="journal, line 2: damaged"):
        CurriculumActor(PROBLEMS, CONFIG, 4, journal=str(tmp_path / "journal"))


def test_an_actor_comes_back_and_has_nothing_in_the_object_store_that_could_be_lost(
    cluster: None, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ray puts a constructor's arguments there when they are large (100 KB); problems and tokenizer are larger.

    It cannot be made to lose them, but it says where they are.
    """
    large = [replace(p, statement="Do it. " * 10_000) for p in PROBLEMS[:9]]
    prompt = {"prompt": {"max_prompt_tokens": 100_000}}
    config = Config.model_validate(
        {"model": str(model), "curriculum": prompt, "rollout": {"max_model_len": 200_000}, "run": {"seed": 4}}
    )
    client = start_curriculum(config, Ready(model, tuple(large), {}), tmp_path / "journal")

    async def play() -> list[list[Subtask]]:
        drawn = [await client.next(4)]
        ray.kill(client.actor, no_restart=False)
        drawn.append(await asyncio.wait_for(client.next(4), HANG_S))
        client.close()
        return drawn

    plain = Curriculum(large, config.curriculum, seed=4, fits=fits(str(model), config))
    assert asyncio.run(play()) == [plain.next(4), plain.next(4)]
    assert not list(tmp_path.glob("*.origin"))
    assert "object store" not in capfd.readouterr().err
