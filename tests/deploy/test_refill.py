"""Groups without variance: which they are, how many are generated in their place, and that a run stays what it was.

The loop is the controller's own, on the real curriculum. Engines and learner are stand-ins, since only so a test can
say which groups have a spread, and see everything that each of them is told.
"""

import asyncio
import dataclasses
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.service.curriculum import Curriculum
from stepcoder.curriculum.subtask import Outcome, Subtask
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.run.directory import RunDirectory
from stepcoder.deploy.run.metrics import read_metrics
from stepcoder.deploy.shown.progress import RunProgress
from stepcoder.deploy.training.cluster import Services
from stepcoder.deploy.training.controller import Life
from stepcoder.deploy.training.refill import group_metrics, lacking, with_spread
from stepcoder.deploy.training.unjudged import parted, too_many
from stepcoder.errors import UserError
from stepcoder.executor.suite import Case, Suite
from stepcoder.rollout.load import Load
from stepcoder.rollout.service import IssuedGroup
from stepcoder.rollout.trajectory import Group, GroupSummary, Unjudged, summarize
from tests.tools.learner import make_groups
from tests.tools.one_process import UNSTABLE

SUITE = Suite("stdin", (Case("1\n", "1\n"),))
PROBLEMS = tuple(
    Problem(f"p{i:02}", "test", "introductory", "Do it.", "", "x = int(input())\n" + "if x:\n    print(x)\n" * i, SUITE)
    for i in range(11)
)
WANTED, COMPLETIONS, STEPS = 3, 4, 6
ROUND_S = 0.005


def issued(ticket: int, spread: float, problem: str = "p", stage: int = 0, version: int = 0) -> IssuedGroup:
    passed = 2 if spread else COMPLETIONS * (ticket % 2)
    outcome = Outcome(ticket, problem, stage, passed, COMPLETIONS)
    return IssuedGroup(GroupSummary(outcome, "introductory", 9, 7, 0.0, spread, {}, version), ticket)


def tickets(groups: Sequence[IssuedGroup]) -> list[int]:
    return [group.summary.outcome.ticket for group in groups]


def test_what_is_left_out_and_what_is_lacking_by_hand():
    groups = [issued(0, 1.3), issued(1, 0.0), issued(2, 0.3), issued(3, 0.0)]
    assert tickets(with_spread(groups)) == [0, 2]
    # two of four have a spread: a step of five lacks three, one of two or one lacks none
    assert [lacking(groups, wanted) for wanted in (5, 2, 1)] == [3, 0, 0]
    assert lacking([], 4) == 4
    assert group_metrics(groups, 1) == {"groups/generated": 4, "groups/dropped": 2, "groups/refilled": 1}


def test_the_spread_is_of_the_rewards_before_the_learner_changes_them():
    # 1 - (-0.3) = 1.3; the lengths of these completions differ, so a length penalty would tell the equal ones apart
    (members,) = make_groups(groups=1, completions=3)
    for rewards, spread in (((1.0, 1.0, -0.3), 1.3), ((-0.6, -0.6, -0.6), 0.0), ((-0.3, -0.6, -0.3), 0.3)):
        group = tuple(dataclasses.replace(t, reward=r) for t, r in zip(members, rewards, strict=True))
        assert len({len(t.response_ids) for t in group}) > 1
        assert summarize(Group(Outcome(0, "p0", 0, 1, 3), group)).reward_spread == pytest.approx(spread)


class Told:
    """The curriculum's calls, in their order."""

    def __init__(self) -> None:
        self.inner = Curriculum(PROBLEMS, CONFIG.curriculum, seed=0)
        self.calls: list[list[Any]] = []

    async def next(self, n: int) -> list[Subtask]:
        self.calls.append(["next", n])
        return self.inner.next(n)

    async def report(self, outcomes: list[Outcome]) -> None:
        self.calls.append(["report", *(outcome.ticket for outcome in outcomes)])
        self.inner.report(outcomes)

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any) -> Any:
            return getattr(self.inner, name)(*arguments)

        return call


class Engines:
    """`share` of the groups have a spread, the same ones in every run; they come after a random time."""

    def __init__(self, share: float) -> None:
        self.share, self.version = share, 0

    def weights(self, subtask: Subtask) -> int:
        """Those that write it, and that later ones do not replace in the middle."""
        return self.version

    async def write(self, subtask: Subtask) -> Any:
        version, spread = self.weights(subtask), random.Random(subtask.ticket).random() < self.share
        await asyncio.sleep(ROUND_S * (1 + random.random()))
        return issued(subtask.ticket, float(spread), subtask.problem.id, subtask.stage, version)

    async def finished(self) -> tuple[int, int]:
        return 0, 0

    async def load(self) -> Load:
        return Load()


class Learner:
    """Remembers the groups of each step, and is slow at random."""

    writes_beside = True

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self.trained: dict[int, list[int]] = {}

    async def step(self, step: int, groups: Sequence[Any], tokens: Sequence[int]) -> dict[str, float]:
        await asyncio.sleep(random.random() * 0.01)
        self.trained[step] = list(groups)
        return {"updates/refused": 0.0, "updates/total": float(len(groups) > 0)}

    async def publish(self, version: int) -> None:
        self.engines.version = version

    async def capture(self) -> None: ...

    async def write(self, directory: str) -> dict[str, int]:
        (Path(directory) / "policy").mkdir()
        (Path(directory) / "policy" / "config.json").write_text("{}")
        return {"policy/config.json": 2}

    async def load(self, directory: str) -> None:
        pass


SETTINGS = (
    f"--subtasks_per_step {WANTED} --rollout.group_size {COMPLETIONS} --run.checkpoint_every 1 --run.keep 9 "
    "--run.trajectories_every 0 --eval.at_start false --eval.at_end false --curriculum.schedule.visit_cap 2 "
    "--learner.kl none --learner.advantage grpo --learner.drop_equal_groups true"
).split()
CONFIG = load_config(None, SETTINGS, {})


async def whole(life: Life) -> None:
    await life._train()
    await life.saving.wait()


class Faulty(Engines):
    """The sandbox fails on every program of one problem, and on all from a ticket on."""

    def __init__(self, share: float, problem: str, ticket: int = 10**6) -> None:
        super().__init__(share)
        self.problem, self.ticket = problem, ticket

    async def write(self, subtask: Subtask) -> Any:
        group, problem = await super().write(subtask), subtask.problem.id
        fails = problem == self.problem or subtask.ticket >= self.ticket
        return Unjudged(subtask.ticket, problem, f"no room in {problem}") if fails else group


def run(
    directory: Path,
    steps: int,
    *,
    staleness: int = 0,
    rounds: int = 50,
    share: float = 0.4,
    engines: Engines | None = None,
    extra: Sequence[str] = (),
) -> tuple[Told, Learner, dict[int, dict[str, Any]]]:
    """What curriculum and learner were told, and the metrics by step."""
    settings = [
        *SETTINGS, "--run.directory", str(directory), "--run.steps", str(steps), "--max_staleness", str(staleness),
        "--refill_rounds", str(rounds), *extra,
    ]  # fmt: skip
    config = load_config(None, settings, {})
    engines, curriculum = engines or Engines(share), Told()
    learner = Learner(engines)
    with RunDirectory.open(config) as place:
        life = Life(config, place, Ready(directory, PROBLEMS, {}), RunProgress(steps))
        life.services = Services(curriculum, engines, learner, learner)  # type: ignore[arg-type]
        with life.metrics:
            asyncio.run(whole(life))
        lines = {line["step"]: line for line in read_metrics(place.metrics_file)}
    return curriculum, learner, lines


@pytest.mark.parametrize("staleness", [0, 1, 3])
def test_every_step_trains_on_as_many_groups_as_it_asked_for(tmp_path: Path, staleness: int):
    curriculum, learner, lines = run(tmp_path, STEPS, staleness=staleness)
    reports = [call[1:] for call in curriculum.calls if call[0] == "report"]
    everything = [ticket for report in reports for ticket in report]
    assert everything == list(range(len(everything)))  # the dropped ones too, and in the order of tickets
    useful = [ticket for ticket in everything if random.Random(ticket).random() < 0.4]
    assert [ticket for step in sorted(learner.trained) for ticket in learner.trained[step]] == useful
    for (step, line), report in zip(lines.items(), reports, strict=True):
        assert len(learner.trained[step]) == WANTED
        assert line["groups/generated"] == len(report)
        assert line["groups/dropped"] == len(report) - WANTED
        assert line["groups/refilled"] == len(report) - WANTED  # since what is generated later is only what is missing
        assert line["staleness"] <= min(staleness, step - 1)  # 3 steps ahead may be fewer: steps are longer
    assert sum(line["groups/dropped"] for line in lines.values()) > STEPS


@pytest.mark.parametrize("staleness", [0, 1, 3])
def test_before_a_report_are_drawn_what_the_step_took_and_the_steps_ahead(tmp_path: Path, staleness: int):
    curriculum, _, lines = run(tmp_path, STEPS, staleness=staleness)
    refilled = [line["groups/refilled"] for line in lines.values()]
    drawn, between = 0, []
    for name, *numbers in curriculum.calls:
        if name == "report":
            between.append(drawn)
            drawn = 0
        else:
            drawn += numbers[0]
    # whatever is found first: a step's draws come after the last report, and all of them before its own
    assert between == [(staleness + 1) * WANTED + refilled[0], *(r + WANTED for r in refilled[1:])]
    assert all(count <= WANTED for name, count, *_ in curriculum.calls if name == "next")


def test_the_bound_on_rounds_holds_and_none_means_no_refilling(tmp_path: Path):
    _, learner, lines = run(tmp_path / "one", STEPS, rounds=1)
    for step, line in lines.items():
        assert line["groups/refilled"] <= WANTED and line["groups/generated"] <= 2 * WANTED
        assert len(learner.trained[step]) == line["groups/generated"] - line["groups/dropped"]
    assert min(len(groups) for groups in learner.trained.values()) < WANTED
    curriculum, learner, lines = run(tmp_path / "none", STEPS, rounds=0)
    assert [call[1] for call in curriculum.calls if call[0] == "next"] == [WANTED] * STEPS
    assert all(line["groups/refilled"] == 0 and line["groups/generated"] == WANTED for line in lines.values())
    _, learner, lines = run(tmp_path / "equal", 2, rounds=2, share=0.0)
    assert learner.trained == {1: [], 2: []}
    assert [line["groups/generated"] for line in lines.values()] == [3 * WANTED] * 2
    assert all(line["seconds/generate"] > 3 * ROUND_S for line in lines.values())


@pytest.mark.parametrize("staleness", [0, 1, 3])
def test_a_group_that_cannot_be_judged_is_left_out_counted_and_replaced(
    tmp_path: Path, staleness: int, capsys: pytest.CaptureFixture[str]
):
    curriculum, learner, lines = run(tmp_path, STEPS, staleness=staleness, engines=Faulty(0.4, "p03"))
    told = [ticket for call in curriculum.calls if call[0] == "report" for ticket in call[1:]]
    assert told == sorted(told) and 0 < len(set(range(max(told))) - set(told)) == sum(
        line["groups/unjudged"] for line in lines.values()
    )
    # no outcome moved its start point, and those of all others were counted; a step trains on as many as it asked for
    stages = curriculum.inner.state()["problems"]
    assert stages["p03"][1:3] == (0.0, 0) or stages["p03"][1:3] == [0.0, 0]
    assert all(len(groups) == WANTED for groups in learner.trained.values())
    named = [line["unjudged"] for line in lines.values() if line["groups/unjudged"]]
    assert named and all(texts == {"p03": "no room in p03"} for texts in named)
    assert "p03 is left out, the sandbox could not judge one of its programs: no room in p03" in capsys.readouterr().err


def test_without_refilling_a_step_trains_on_fewer(tmp_path: Path):
    extra = ["--learner.drop_equal_groups", "false"]
    _, learner, lines = run(tmp_path, STEPS, rounds=0, engines=Faulty(1.0, "p03"), extra=extra)
    for step, line in lines.items():
        assert len(learner.trained[step]) == WANTED - line["groups/unjudged"]
    assert 0 < sum(line["groups/unjudged"] for line in lines.values()) < STEPS


def test_a_run_whose_sandbox_is_broken_stops_with_its_text(tmp_path: Path):
    broken = Faulty(1.0, "", ticket=2 * WANTED - 2)  # two of step 2's three
    with pytest.raises(UserError) as caught:
        run(tmp_path, STEPS, rounds=0, engines=broken)
    message = str(caught.value)
    assert "stops at step 2" in message and "could not judge 2 of 3 groups" in message and "no room in p" in message
    extra = ["--max_unjudged_share", "0.7"]
    _, learner, _ = run(tmp_path / "patient", 2, rounds=0, engines=broken, extra=extra)
    assert len(learner.trained[2]) == 1
    one = [issued(0, 1.0)]
    lost = [Unjudged(1, "p", "full"), Unjudged(2, "q", "full")]
    assert parted([lost[0], *one, lost[1]]) == (one, lost)
    assert too_many(lost, 2, 0.5) is None and too_many(lost, 1, 0.5) is not None and too_many([], 0, 0.0) is None


@pytest.mark.parametrize("staleness", [0, 1, 3])
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_stopped_run_goes_on_with_the_same_subtasks(tmp_path: Path, staleness: int, stop: int):
    curriculum, learner, lines = run(tmp_path / "run", STEPS, staleness=staleness)
    for later in range(stop + 1, STEPS + 1):  # as if it had ended after the checkpoint of step `stop`
        shutil.rmtree(tmp_path / "run" / "checkpoints" / f"step-{later:08d}")
    again, resumed, found = run(tmp_path / "run", STEPS, staleness=staleness)
    assert resumed.trained == {step: groups for step, groups in learner.trained.items() if step > stop}
    for step in resumed.trained:
        same = {key for key in lines[step] if not key.startswith(UNSTABLE)}
        assert {key: found[step][key] for key in same} == {key: lines[step][key] for key in same}
    assert again.inner.state() == curriculum.inner.state()
