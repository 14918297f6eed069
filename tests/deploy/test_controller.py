"""What surrounds the steps of a run: evaluations, guards, the checkpoints that stay, a limit of time."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stepcoder.curriculum.subtask import Subtask
from stepcoder.deploy.commands.train import finish
from stepcoder.deploy.run.directory import RunDirectory
from stepcoder.deploy.run.listing import listed
from stepcoder.deploy.run.metrics import read_metrics
from stepcoder.deploy.training import controller, saving, stream
from stepcoder.deploy.training.time_limit import CLOSING_S, StartTimes, TimeLimit
from stepcoder.errors import UserError
from stepcoder.learner.rank import LearnerRank
from stepcoder.rollout.service import IssuedGroup
from stepcoder.words import plural
from tests.tools.one_process import (
    STEPS,
    Learner,
    Rollout,
    Steps,
    checkpoint,
    configured,
    go,
)


def test_an_evaluation_and_the_generation_of_the_next_step_do_not_count_each_others_completions(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(tmp_path / "run", model, "grpo without equal groups", 1, steps=2)
    config = config.model_copy(update={"eval": config.eval.model_copy(update={"every": 1})})
    evaluate, real, under_way, evaluations = Rollout.run, Rollout.write, set[object](), list[int]()

    async def run(self: Rollout, subtasks: Sequence[Subtask], *sampling: object) -> list[IssuedGroup]:
        evaluations.append(len(under_way))
        return await evaluate(self, subtasks, *sampling)

    async def write(self: Rollout, subtask: Subtask) -> IssuedGroup:
        under_way.add(call := object())
        for _ in range(1000):  # longer than training and its checkpoint
            await asyncio.sleep(0)
        under_way.remove(call)
        return await real(self, subtask)

    monkeypatch.setattr(Rollout, "run", run)
    monkeypatch.setattr(Rollout, "write", write)
    go(config, model, monkeypatch)
    assert evaluations == [0]


def test_services_that_start_anew_do_not_tell_how_long_the_command_took_to_its_first_prompt(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(tmp_path / "run", model, "grpo without equal groups", 0, steps=2)
    config = config.model_copy(update={"eval": config.eval.model_copy(update={"every": 1})})
    start, evaluate = StartTimes(), controller.evaluate_splits

    async def dies(*_: object) -> None:
        raise RuntimeError("died")

    monkeypatch.setattr(controller, "evaluate_splits", dies)
    go(config, model, monkeypatch, dies_at=99, start=start)
    monkeypatch.setattr(controller, "evaluate_splits", evaluate)
    run, _ = go(config, model, monkeypatch, start=start)
    evaluated = [line for line in read_metrics(run / "metrics.jsonl") if "eval" in line]
    assert [line["step"] for line in evaluated] == [1]
    assert not [key for line in evaluated for key in line if key.startswith("start_seconds/")]


def test_a_guard_ends_the_run_and_names_the_checkpoint_that_was_still_being_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(tmp_path / "run", model, "ppo", 0, keep=1)
    strict = config.learner.guards.model_copy(update={"max_gap": 1e-9, "gap_alarms": 3})
    config = config.model_copy(update={"learner": config.learner.model_copy(update={"guards": strict})})
    with pytest.raises(UserError) as raised:
        go(config, model, monkeypatch)
    text = str(raised.value)
    assert text.startswith("the run stops at step 3: engine and learner disagreed")
    assert str(checkpoint(tmp_path / "run", 2)) in text and "--step 2 --out my-model" in text
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000002"]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["gap/alarm"] for line in lines] == [1.0] * 3


def test_the_best_checkpoint_survives_and_a_full_disk_is_said(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(tmp_path / "run", model, "ppo", 0, keep=1, best_metric="reward/mean")
    run, _ = go(config, model, monkeypatch)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    best = max(lines, key=lambda line: (line["reward/mean"], line["step"]))["step"]
    assert 1 < best < STEPS, "another seed is needed for a best one in between"
    assert {p.name for p in (run / "checkpoints").iterdir()} == {f"step-{n:08d}" for n in (best, STEPS)}

    def full(self: LearnerRank, directory: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LearnerRank, "write", full)
    with pytest.raises(UserError, match="checkpoint of step 1 can't be written: .*No space left"):
        go(configured(tmp_path / "full", model, "ppo", 0), model, monkeypatch)
    assert list((tmp_path / "full" / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("writes_beside", [False, True])
def test_a_checkpoint_is_complete_only_once_the_trajectories_of_its_steps_are_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes_beside: bool
) -> None:
    """A run that is killed there and goes on from it would never write them."""
    complete: list[tuple[int, bool]] = []

    async def written_late(self: controller.Life, step: int, *_: object) -> None:
        await asyncio.sleep(0.5)
        complete.append((step, checkpoint(self.run.path, step).exists()))

    monkeypatch.setattr(controller.Life, "_write", written_late)
    config = configured(tmp_path / "run", model, "ppo", 1, trajectories_every=1)
    go(config, model, monkeypatch, writes_beside=writes_beside)
    assert complete == [(step, False) for step in range(1, STEPS + 1)]


class Clock:
    """Seconds that pass by the work that is done, and by nothing else; in the place of the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    perf_counter = time = monotonic

    def takes(self, monkeypatch: pytest.MonkeyPatch, kind: type, name: str, seconds: Any) -> None:
        """Each call of the method takes `seconds(*arguments)`."""
        real = getattr(kind, name)

        async def call(thing: Any, *arguments: Any) -> Any:
            found = await real(thing, *arguments)
            self.now += seconds(*arguments)
            return found

        monkeypatch.setattr(kind, name, call)


@pytest.mark.parametrize(("staleness", "minutes", "steps"), [(0, 5, 2), (0, 6, 3), (1, 5, 2), (1, 6.5, 4)])
def test_a_run_ends_within_its_time_with_checkpoints_and_evaluations_between_steps(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleness: int, minutes: float, steps: int
) -> None:
    """With 5 minutes a third step would fit after the second (at 140 s: 40, and 85 for the end), but not with the
    checkpoint (15, not seen yet) and the evaluation (60) that come before it."""
    clock = Clock()
    monkeypatch.setattr("stepcoder.deploy.training.time_limit.time", clock)
    for module in (controller, saving, stream):
        monkeypatch.setattr(module, "time", clock)
    clock.takes(monkeypatch, Rollout, "run", lambda *_: 60)
    clock.takes(monkeypatch, Rollout, "write", lambda _: 5)
    clock.takes(monkeypatch, Learner, "step", lambda *_: 30)
    clock.takes(monkeypatch, Learner, "write", lambda *_: 12)
    run = {"steps": 6, "checkpoint_every": 2, "max_minutes": minutes}
    config = configured(tmp_path / "run", model, "grpo without equal groups", staleness, **run)
    evaluations = {"at_start": True, "every": 2, "at_end": True}
    config = config.model_copy(update={"eval": config.eval.model_copy(update=evaluations)})
    path, _ = go(config, model, monkeypatch, limit=TimeLimit(minutes, 0.0), writes_beside=False)
    lines = list(read_metrics(path / "metrics.jsonl"))
    assert max(line["step"] for line in lines) == steps
    assert [line["step"] for line in lines if "eval" in line] == sorted({0, 2, steps})
    assert checkpoint(path, steps).is_dir()
    assert clock.now + CLOSING_S <= 60 * minutes


def test_a_run_whose_time_is_over_is_evaluated_and_says_how_long_its_parts_took(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(tmp_path / "run", model, "ppo", 0, max_minutes=1)
    config = config.model_copy(update={"eval": config.eval.model_copy(update={"at_start": True, "at_end": True})})
    with pytest.raises(UserError, match="run.max_minutes = 1 leaves no time for a step"):
        go(config, model, monkeypatch, limit=Steps(0))
    run, said = go(config, model, monkeypatch, limit=Steps(3))
    assert "left for steps" not in "".join(said)
    lines = list(read_metrics(run / "metrics.jsonl"))
    evaluated = [line for line in lines if "eval" in line]
    assert [line["step"] for line in evaluated] == [0, 3]
    assert all(line["seconds/eval"] > 0 for line in evaluated)
    started = {key for key in evaluated[0] if key.startswith("start_seconds/")}
    assert started >= {"start_seconds/services", "start_seconds/total"} and not started & evaluated[1].keys()
    with RunDirectory.open(config) as opened:
        assert not opened.finished
        finish(config, opened)
    assert f"stopped         after 3 of {STEPS} steps: run.max_minutes = 1; the same" in capsys.readouterr().out
    found = json.loads((run / "report.json").read_text())
    lost = run / "metrics.jsonl"  # of a run that is done, or has no limit, nothing says that its time was over
    lost.write_text(lost.read_text().splitlines(keepends=True)[0])
    for settings in ({"steps": 3, "max_minutes": 1}, {"steps": 9, "max_minutes": None}):
        with RunDirectory.open(config.model_copy(update={"run": config.run.model_copy(update=settings)})) as opened:
            finish(opened.config, opened)
        assert "stopped" not in capsys.readouterr().out
    assert found["steps"] == found["splits"]["train"]["last_step"] == 3 and found["seconds_to_first_evaluation"] > 0


def test_an_evaluation_that_leaves_little_time_is_said_before_the_first_step(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(tmp_path / "run", model, "ppo", 0, steps=1)
    config = config.model_copy(update={"eval": config.eval.model_copy(update={"at_start": True, "at_end": True})})
    _, said = go(config, model, monkeypatch, limit=Steps(1, minutes=1e-6))
    assert "left for steps" in "".join(said)


@pytest.mark.parametrize("staleness", [0, 1])
def test_a_run_ends_with_the_step_that_generates_the_last_of_its_tokens(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], staleness: int
) -> None:
    whole, _ = go(configured(tmp_path / "whole", model, "ppo", staleness, steps=3), model, monkeypatch)
    tokens = [line["tokens/generated"] for line in read_metrics(whole / "metrics.jsonl")]
    for name, limit, steps in (("two", tokens[0] + 1, 2), ("exactly", tokens[0] + tokens[1], 2), ("one", 1, 1)):
        config = configured(tmp_path / name, model, "ppo", staleness, max_tokens=int(limit))
        run, _ = go(config, model, monkeypatch)
        assert [line["step"] for line in read_metrics(run / "metrics.jsonl")] == list(range(1, steps + 1))
        with RunDirectory.open(config) as again:
            assert again.finished and "raise run.max_tokens to go on" in again.messages[0]
            finish(config, again)
        told = (
            f"stopped         after {steps} of {plural(STEPS, 'step')}: run.max_tokens = {int(limit)}; the same command"
        )
        assert told in capsys.readouterr().out
        assert json.loads((run / "report.json").read_text())["ended"] == "tokens"
        assert listed(str(run))[0].state == "finished"


def test_tokens_of_earlier_commands_count(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = go(configured(tmp_path / "run", model, "ppo", 0, steps=2), model, monkeypatch)
    tokens = sum(line["tokens/generated"] for line in read_metrics(run / "metrics.jsonl"))
    go(configured(tmp_path / "run", model, "ppo", 0, max_tokens=int(tokens) + 1), model, monkeypatch)
    assert [line["step"] for line in read_metrics(run / "metrics.jsonl")] == [1, 2, 3]
