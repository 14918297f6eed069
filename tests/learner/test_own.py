"""A user's own estimator, loss and schedule, named in the settings: real functions of a module on the path."""

import sys
from pathlib import Path

import pytest

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.service.curriculum import Curriculum
from stepcoder.deploy.checks.preflight import check_own
from stepcoder.deploy.config.load import load_config
from stepcoder.errors import UserError
from stepcoder.executor.suite import Case, Suite
from tests.tools.learner import learner_config, make_groups, make_rank

MODULE = """
import torch
from stepcoder.curriculum.stages.schedules import Schedule
from stepcoder.learner.losses.tokens import PolicyLoss
import numpy as np

constant = 3

def centred(completions, factor=1.0):
    return completions.on_tokens(factor * (completions.rewards - completions.rewards.mean()))

def by_completion(completions):
    return completions.rewards

def broken(completions):
    return 1 / 0

def squared(tokens, scale=1.0):
    ratio = torch.exp(tokens.logprobs - tokens.old_logprobs)
    loss = -(ratio * tokens.advantages * tokens.weights).sum() * scale
    return PolicyLoss(loss, torch.zeros_like(ratio, dtype=torch.bool))

def bare(tokens):
    return tokens.logprobs.sum()

class Alternating(Schedule):
    def __init__(self, config, seed, size, every=2):
        super().__init__(config, seed, size)
        self.every = every

    def next(self, indices, tickets):
        return np.where(tickets % self.every == 0, self._tops(indices), 0).astype(np.int32)

class Beyond(Schedule):
    def next(self, indices, tickets):
        return np.full(len(indices), 9, np.int32)
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_parts.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_parts", raising=False)


def test_ones_own_estimator_and_loss_train_with_their_settings(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "learner:\n"
        "  advantage: {type: own_parts:centred, settings: {factor: 2.0}}\n"
        "  loss: {type: own_parts:squared, normalizer: sequences}\n"
        "  kl: none\n"
    )
    config = load_config(file, ["--learner.loss.settings", "{scale: 0.5}"], {})
    check_own(config)
    learner = config.learner
    assert learner.critic is None and learner.loss.arguments() == {"scale": 0.5}
    losses = []
    for factor in (2.0, 4.0):
        own = learner.advantage.model_copy(update={"settings": {"factor": factor}})
        rank = make_rank(model, learner_config(advantage=own, loss=learner.loss, kl=learner.kl))
        losses.append(rank.step(1, *make_groups())["policy/loss"])
    assert losses[1] == pytest.approx(2 * losses[0]) and losses[0] != 0


def test_ones_own_schedule_gives_the_stages() -> None:
    words = ["--curriculum.schedule", "own_parts:Alternating", "--curriculum.schedule.settings", "{every: 3}"]
    config = load_config(None, words, {})
    check_own(config)
    body = "x = int(input())\n" + "".join(f"if x > {i}:\n    print({i})\n" for i in range(4))
    problem = Problem("p", "test", "introductory", "Do it.", "", body, Suite("stdin", (Case("1\n", "1\n"),)))
    stages = [s.stage for s in Curriculum([problem], config.curriculum, seed=0).next(7)]
    assert stages == [2, 0, 0, 2, 0, 0, 2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--learner.advantage own_parts:none", "learner.advantage: the estimator own_parts:none cannot be imported"),
        ("--learner.advantage no_such_module:f", "No module named 'no_such_module'"),
        ("--learner.advantage own_parts:constant", "is of type int, not a function"),
        ("--learner.advantage own_parts:by_completion", "gives the shape (4,), not one number for each of 7 tokens"),
        ("--learner.advantage own_parts:broken", "raised on an example: ZeroDivisionError"),
        ("--learner.loss own_parts:bare", "learner.loss: the loss own_parts:bare gives a Tensor, not a PolicyLoss"),
        (
            "--curriculum.schedule own_parts:centred",
            "curriculum.schedule: the schedule own_parts:centred is no",
        ),
        ("--curriculum.schedule own_parts:Beyond", "gives [9, 9] for the stages of two problems, not 0 to 2"),
        ("--executor.reward own_parts:none", "executor.reward: the reward own_parts:none cannot be imported"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_starts(arguments: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        check_own(load_config(None, arguments.split(), {}))
    assert words in str(caught.value)


def test_every_fault_of_ones_own_functions_is_named_at_once() -> None:
    words = "--learner.loss own_parts:bare --learner.advantage own_parts:broken --executor.reward own_parts:none"
    with pytest.raises(UserError) as caught:
        check_own(load_config(None, words.split(), {}))
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "executor.reward", "learner.advantage", "learner.loss",
    ]  # fmt: skip
