"""The real controller, learner, curriculum and checkpoints in one process, on completions that are made up.

Completions are a function of the ticket alone. The real engine is in `tests/whole/test_loop.py`; there the last bits of
its log-probabilities depend on which requests shared a batch, and a run takes half a minute instead of two seconds.
"""

import asyncio
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.service.actor import CurriculumActor
from stepcoder.curriculum.service.client import CurriculumClient
from stepcoder.curriculum.subtask import Outcome, Subtask
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.run.directory import RunDirectory
from stepcoder.deploy.shown.progress import RunProgress
from stepcoder.deploy.training import controller
from stepcoder.deploy.training.stopping import Stopping
from stepcoder.deploy.training.time_limit import StartTimes, TimeLimit
from stepcoder.deploy.training.turns import Turns
from stepcoder.executor.suite import Case, Suite
from stepcoder.learner.rank import LearnerRank
from stepcoder.rollout.load import Load
from stepcoder.rollout.service import IssuedGroup
from stepcoder.rollout.trajectory import Group, summarize
from tests.tools.learner import make_groups, make_rank

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


def configured(directory: Path, model: Path, algorithm: str, staleness: int, **run: object) -> Config:
    return Config.model_validate(
        {
            "model": str(model), "subtasks_per_step": SUBTASKS, "max_staleness": staleness,
            "run": {
                "directory": str(directory), "steps": STEPS, "checkpoint_every": 1, "keep": 99, "trajectories_every": 0,
            } | run,
            "eval": {"at_start": False, "at_end": False, "programs": False},
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

    def __init__(
        self, rank: LearnerRank, rollout: "Rollout", dies_at: int | None = None, writes_beside: bool = True
    ) -> None:
        self.rank, self.rollout = rank, rollout
        self.dies_at, self.steps, self.writes_beside = dies_at, 0, writes_beside

    async def step(self, step: int, groups: Sequence[Any], tokens: Sequence[int]) -> dict[str, float]:
        if step == self.dies_at:
            raise RuntimeError("died")
        metrics = self.rank.step(step, *groups)
        self.steps += 1
        return metrics

    async def publish(self, version: int) -> None:
        self.rollout.version = version

    def trained(self) -> list[Any]:
        return []

    async def watch(self, *_: float) -> None:
        await asyncio.Event().wait()

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
    version = 0

    async def finished(self) -> tuple[int, int]:
        return 0, 0

    async def load(self) -> Load:
        return Load()

    async def write(self, subtask: Subtask) -> IssuedGroup:
        version = self.version
        await asyncio.sleep(0)
        return issued(subtask, version)

    async def run(self, subtasks: Sequence[Subtask], *_: object) -> list[IssuedGroup]:
        """An evaluation."""
        await asyncio.sleep(0)
        return [issued(subtask, self.version) for subtask in subtasks]


def issued(subtask: Subtask, version: int) -> IssuedGroup:
    """Four completions by the ticket; of every third ticket all have the same reward."""
    (made,) = make_groups(groups=1, seed=abs(subtask.ticket))
    trajectories = tuple(
        dataclasses.replace(
            t, ticket=subtask.ticket, problem_id=subtask.problem.id, stage=subtask.stage,
            reward=-0.3 if subtask.ticket % 3 == 0 else t.reward, weight_version=version,
        )
        for t in made
    )  # fmt: skip
    passed = sum(t.reward > 0 for t in trajectories)
    outcome = Outcome(subtask.ticket, subtask.problem.id, subtask.stage, passed, len(trajectories))
    return IssuedGroup(summarize(Group(outcome, trajectories)), trajectories)


# In metrics.jsonl: what depends on times, and on which weights wrote what was under way when a run was stopped.
UNSTABLE = ("seconds/", "tokens_per_s/", "staleness", "idle/", "queue/", "age/")


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
    stopping: Stopping | None = None,
) -> tuple[Path, list[str]]:
    """The run's directory, and what it said, after the controller has done all it can."""
    said = io.StringIO()
    ready = Ready(model, PROBLEMS, {})
    with RunDirectory.open(config) as run, RunProgress(config.run.steps, 0, Console(file=said, width=200)) as progress:
        rank = make_rank(model, config.learner, config.run.seed)

        async def services(config: Config, ready: Ready, journal: Path, *_: object) -> Any:
            journal.unlink(missing_ok=True)
            actor = CurriculumActor(ready.train, config.curriculum, config.run.seed, None, str(journal))

            async def close() -> None: ...

            rollout: Any = Rollout()
            learner = Learner(rank, rollout, dies_at, writes_beside)
            return SimpleNamespace(
                curriculum=CurriculumClient(Called(actor)),
                rollout=rollout,
                turns=Turns(rollout if config.placement == "colocated" else None),
                learner=learner,
                exchange=learner,
                close=close,
            )

        monkeypatch.setattr(controller, "start_services", services)
        try:
            asyncio.run(controller.Life(config, run, ready, progress, limit, start, stopping).train())
        except RuntimeError as error:
            assert str(error) == "died" and dies_at is not None
        return run.path, [*run.messages, *said.getvalue().splitlines()]


def checkpoint(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:08d}"
