"""A run that was stopped after any step ends bit for bit as one that was not: the real controller, learner, curriculum
and checkpoints, in one process.

Completions are made up, a function of the ticket alone. The real engine is in `test_loop.py`; there the last bits of
its log-probabilities depend on which requests shared a batch, and a run takes half a minute instead of two seconds.
"""

import asyncio
import dataclasses
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.service.actor import CurriculumActor
from stepcoder.curriculum.service.client import CurriculumClient
from stepcoder.curriculum.subtask import Outcome, Subtask
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.commands.train import finish
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.run.directory import RunDirectory
from stepcoder.deploy.run.metrics import read_metrics
from stepcoder.deploy.shown.progress import RunProgress
from stepcoder.deploy.training import controller, saving
from stepcoder.deploy.training.time_limit import CLOSING_S, StartTimes, TimeLimit
from stepcoder.errors import UserError
from stepcoder.executor.suite import Case, Suite
from stepcoder.learner.networks import state
from stepcoder.learner.rank import LearnerRank
from stepcoder.rollout.service import IssuedGroup
from stepcoder.rollout.trajectory import Group, summarize
from tests.tools.learner import make_groups, make_rank
from tests.tools.tiny_model import build_tiny_model

STEPS = 4
SUBTASKS = 2  # of three problems: the first epoch ends within step 2, the second with step 3
PROBLEMS = tuple(
    Problem(
        f"p{i}", "test", "introductory", "Do it.", "",
        "x = int(input())\n" + "".join(f"if x > {k}:\n    print({k})\n" for k in range(i)),
        Suite("stdin", (Case("1\n", "1\n"),)),
    )
    for i in range(3)
)  # fmt: skip
ALGORITHMS: dict[str, dict[str, Any]] = {
    "ppo": {
        "advantage": {"type": "gae", "critic": {"type": "separate", "layers": 1}},
        "minibatches": 2,
        "epochs": 2,
    },
    "grpo without equal groups": {"advantage": {"type": "grpo"}, "drop_equal_groups": True},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("model"))


def configured(directory: Path, model: Path, algorithm: str, staleness: int, **run: object) -> Config:
    return Config.model_validate(
        {
            "model": str(model), "subtasks_per_step": SUBTASKS, "max_staleness": staleness,
            "run": {
                "directory": str(directory), "steps": STEPS, "checkpoint_every": 1, "keep": 99, "trajectories_every": 0,
            } | run,
            "eval": {"at_start": False, "at_end": False},
            "curriculum": {"schedule": {"type": "threshold", "visit_cap": 2, "rho": 0.3}},
            "learner": {
                "precision": "fp32", "policy": {"lr": 1e-2}, "kl": {"type": "reward", "target": 0.1},
                "guards": {"max_kl": None, "max_gap": None},
            } | ALGORITHMS[algorithm],
        }
    )  # fmt: skip


class Called:
    """An object of this process as an actor's handle: `actor.method.remote(...)` can be awaited."""

    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any) -> Any:
            await asyncio.sleep(0)
            return getattr(self._thing, name)(*arguments)

        return SimpleNamespace(remote=lambda *arguments: asyncio.ensure_future(call(*arguments)))


class Learner:
    """One rank in this process. It writes a checkpoint as late as can be: when the next step has changed everything.

    Where it does not write beside training, that has to wait.
    """

    def __init__(self, rank: LearnerRank, dies_at: int | None = None, writes_beside: bool = True) -> None:
        self.rank, self.dies_at, self.steps, self.writes_beside = rank, dies_at, 0, writes_beside

    async def step(self, step: int, groups: Sequence[Any], tokens: Sequence[int]) -> dict[str, float]:
        if step == self.dies_at:
            raise RuntimeError("died")
        metrics = self.rank.step(step, *groups)
        self.steps += 1
        return metrics

    async def publish(self, version: int) -> None: ...

    async def load(self, directory: str) -> None:
        self.rank.load(directory)

    async def capture(self) -> None:
        self.rank.capture(self.writes_beside)

    async def write(self, directory: str) -> dict[str, int]:
        now = self.steps
        for _ in range(1000):
            if self.steps > now:
                break
            await asyncio.sleep(0)
        assert self.writes_beside or self.steps == now
        return self.rank.write(directory)


class Rollout:
    async def finished(self) -> tuple[int, int]:
        return 0, 0

    async def run(self, subtasks: Sequence[Subtask], *_: object) -> list[IssuedGroup]:
        await asyncio.sleep(0)
        return [issued(subtask) for subtask in subtasks]


def issued(subtask: Subtask) -> IssuedGroup:
    """Four completions by the ticket; of every third ticket all have the same reward."""
    (made,) = make_groups(groups=1, seed=abs(subtask.ticket))
    trajectories = tuple(
        dataclasses.replace(
            t, ticket=subtask.ticket, problem_id=subtask.problem.id, stage=subtask.stage,
            reward=-0.3 if subtask.ticket % 3 == 0 else t.reward,
        )
        for t in made
    )  # fmt: skip
    passed = sum(t.reward > 0 for t in trajectories)
    outcome = Outcome(subtask.ticket, subtask.problem.id, subtask.stage, passed, len(trajectories))
    return IssuedGroup(summarize(Group(outcome, trajectories)), trajectories)


class Steps(TimeLimit):
    """Time for so many steps: the clock of a test is nobody's."""

    def __init__(self, count: int, minutes: float = 1) -> None:
        super().__init__(minutes)
        self.count = count

    def allows(self, steps: int, evaluates: bool, between: float = 0.0) -> bool:
        return self.taken + steps <= self.count


def go(
    config: Config,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    dies_at: int | None = None,
    limit: TimeLimit | None = None,
    writes_beside: bool = True,
    start: StartTimes | None = None,
) -> tuple[Path, list[str]]:
    """The run's directory, and what it said, after the controller has done all it can."""
    said = io.StringIO()
    ready = Ready(model, PROBLEMS, ())
    with RunDirectory.open(config) as run, RunProgress(config.run.steps, 0, Console(file=said, width=200)) as progress:
        rank = make_rank(model, config.learner, config.run.seed)

        async def services(config: Config, ready: Ready, journal: Path) -> Any:
            journal.unlink(missing_ok=True)
            actor = CurriculumActor(ready.train, config.curriculum, config.run.seed, None, str(journal))

            async def close() -> None: ...

            return SimpleNamespace(
                curriculum=CurriculumClient(Called(actor)),
                rollout=Rollout(),
                learner=Learner(rank, dies_at, writes_beside),
                close=close,
            )

        monkeypatch.setattr(controller, "start_services", services)
        try:
            asyncio.run(controller.Life(config, run, ready, progress, limit, start).train())
        except RuntimeError as error:
            assert str(error) == "died" and dies_at is not None
        return run.path, [*run.messages, *said.getvalue().splitlines()]


def test_an_evaluation_and_the_generation_of_the_next_step_do_not_count_each_others_completions(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(tmp_path / "run", model, "grpo without equal groups", 1, steps=2)
    config = config.model_copy(update={"eval": config.eval.model_copy(update={"every": 1})})
    real, under_way, evaluations = Rollout.run, set[object](), list[int]()

    async def run(self: Rollout, subtasks: Sequence[Subtask], *sampling: object) -> list[IssuedGroup]:
        if sampling:
            evaluations.append(len(under_way))
        else:
            under_way.add(call := object())
            for _ in range(1000):  # longer than training and its checkpoint
                await asyncio.sleep(0)
            under_way.remove(call)
        return await real(self, subtasks, *sampling)

    monkeypatch.setattr(Rollout, "run", run)
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


def checkpoint(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:08d}"


def assert_same_end(ours: Path, theirs: Path, step: int = STEPS) -> None:
    """Weights, optimisers, schedules, random state, curriculum, next batch, KL coefficient, every step's numbers."""
    for name in ("state.json", "learner/kl.json"):
        assert (checkpoint(ours, step) / name).read_bytes() == (checkpoint(theirs, step) / name).read_bytes()
    for network in sorted(p.name for p in (checkpoint(theirs, step) / "learner").iterdir() if p.is_dir()):
        (mine, schedule), (other, their_schedule) = (
            state.read(checkpoint(run, step) / "learner" / network) for run in (ours, theirs)
        )
        assert schedule == their_schedule and mine.keys() == other.keys()
        for name in other:
            assert mine[name].keys() == other[name].keys()
            assert all(torch.equal(mine[name][key], other[name][key]) for key in other[name]), (network, name)
    random = [torch.load(checkpoint(run, step) / "learner" / "random-0.pt") for run in (ours, theirs)]
    assert torch.equal(*random)
    lines = [
        [
            {k: v for k, v in json.loads(line).items() if not k.startswith(("seconds/", "tokens_per_s/"))}
            for line in (run / "metrics.jsonl").read_text().splitlines()
        ]
        for run in (ours, theirs)
    ]
    assert lines[0] == lines[1] and len(lines[0]) == step


@pytest.mark.parametrize("staleness", [0, 1])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_run_goes_on_from_every_step_as_if_it_had_not_been_stopped(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str, staleness: int
) -> None:
    straight, _ = go(configured(tmp_path / "straight", model, algorithm, staleness), model, monkeypatch)
    states = [json.loads((checkpoint(straight, n) / "state.json").read_text()) for n in range(1, STEPS + 1)]
    assert [bool(s["issued"]) for s in states] == [bool(staleness)] * STEPS
    places = [(s["curriculum"]["epoch"], s["curriculum"]["position"]) for s in states]
    assert places == [(0, 2), (1, 1), (1, 3), (2, 2), (3, 1)][staleness : STEPS + staleness]
    dropped = [json.loads(line).get("groups/dropped") for line in open(straight / "metrics.jsonl")]
    assert any(dropped) == (algorithm != "ppo")
    for stop in range(1, STEPS):
        # what a run leaves that is killed when its checkpoint of this step is written
        left = tmp_path / f"stopped-{stop}"
        shutil.copytree(straight, left)
        for later in range(stop + 1, STEPS + 1):
            shutil.rmtree(checkpoint(left, later))
        resumed, said = go(configured(left, model, algorithm, staleness), model, monkeypatch)
        assert f"going on from the checkpoint of step {stop} of {STEPS}" in said
        assert_same_end(resumed, straight)
    # stopped by its length, and made longer
    short = configured(tmp_path / "longer", model, algorithm, staleness, steps=3)
    go(short, model, monkeypatch)
    longer, said = go(configured(tmp_path / "longer", model, algorithm, staleness), model, monkeypatch)
    assert f"going on from the checkpoint of step 3 of {STEPS}" in said
    assert_same_end(longer, straight)


def test_what_is_being_written_when_a_run_dies_is_what_it_goes_on_from(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, _ = go(configured(tmp_path / "straight", model, "ppo", 0), model, monkeypatch)
    config = configured(tmp_path / "died", model, "ppo", 0)
    died, _ = go(config, model, monkeypatch, dies_at=3)
    assert sorted(p.name for p in (died / "checkpoints").iterdir()) == [f"step-{n:08d}" for n in (1, 2)]
    go(config, model, monkeypatch)
    assert_same_end(died, straight)


def test_without_a_copy_training_waits_for_the_writer(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, _ = go(configured(tmp_path / "straight", model, "ppo", 1), model, monkeypatch)
    waiting, _ = go(configured(tmp_path / "waiting", model, "ppo", 1), model, monkeypatch, writes_beside=False)
    for step in range(1, STEPS):
        for file in sorted(checkpoint(straight, step).rglob("part-*.pt")):
            other = checkpoint(waiting, step) / file.relative_to(checkpoint(straight, step))
            assert other.read_bytes() == file.read_bytes()
    assert_same_end(waiting, straight)


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    straight, _ = go(configured(tmp_path / "straight", model, "ppo", 0), model, monkeypatch)
    left = tmp_path / "damaged"
    shutil.copytree(straight, left)
    part = next((checkpoint(left, STEPS) / "learner" / "policy").glob("part-*"))
    part.write_bytes(part.read_bytes()[:-1])
    resumed, said = go(configured(left, model, "ppo", 0), model, monkeypatch)
    assert f"going on from the checkpoint of step {STEPS - 1} of {STEPS}" in said
    assert f"checkpoint of step {STEPS} is passed over" in caplog.text
    assert_same_end(resumed, straight)
    for n in range(1, STEPS + 1):
        (checkpoint(left, n) / "state.json").unlink()
    with pytest.raises(UserError, match="no checkpoint in .* is complete; step 4: .*state.json is missing"):
        go(configured(left, model, "ppo", 0), model, monkeypatch)


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


@pytest.mark.parametrize("staleness", [0, 1])
def test_a_run_whose_time_is_over_has_a_checkpoint_and_goes_on_as_if_it_had_not_been_stopped(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleness: int
) -> None:
    straight, _ = go(configured(tmp_path / "straight", model, "ppo", staleness), model, monkeypatch)
    limited = configured(tmp_path / "limited", model, "ppo", staleness, checkpoint_every=STEPS, max_minutes=1)
    run, _ = go(limited, model, monkeypatch, limit=Steps(2))
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["step-00000002"]
    _, said = go(limited, model, monkeypatch, limit=Steps(1))
    assert f"going on from the checkpoint of step 2 of {STEPS}" in said
    unlimited = configured(tmp_path / "limited", model, "ppo", staleness)
    _, said = go(unlimited, model, monkeypatch)
    assert f"going on from the checkpoint of step 3 of {STEPS}" in said
    assert_same_end(run, straight)


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


@pytest.mark.parametrize(("staleness", "minutes", "steps"), [(0, 5, 2), (0, 6, 3), (1, 5, 2), (1, 6.5, 3)])
def test_a_run_ends_within_its_time_with_checkpoints_and_evaluations_between_steps(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleness: int, minutes: float, steps: int
) -> None:
    """With 5 minutes a third step would fit after the second (at 140 s: 40, and 85 for the end), but not with the
    checkpoint (15, not seen yet) and the evaluation (60) that come before it."""
    clock = Clock()
    monkeypatch.setattr("stepcoder.deploy.training.time_limit.time", clock)
    for module in (controller, saving):
        monkeypatch.setattr(module, "time", clock)
    clock.takes(monkeypatch, Rollout, "run", lambda subtasks, *sampling: 60 if sampling else 10)
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
