"""An algorithm without a critic: a service of two processes, one of which has no completion, against one process."""

import dataclasses
from pathlib import Path

import pytest

from stepcoder.learner.config import GRPO, DualClip, LossKL, Overlong, RewardConfig
from stepcoder.rollout.trajectory import Trajectory
from tests.tools.learner import full_weights, learner_config, make_groups, make_rank, train


def groups_of_a_step(step: int) -> list[list[Trajectory]]:
    """One group, which leaves a rank of two without a completion, then three, for uneven shares."""
    return [
        [dataclasses.replace(t, reward=1.0 if t.sample == 0 else -0.3) for t in group]
        for group in make_groups(groups=(1, 3)[step - 1], seed=step)
    ]


CONFIG = learner_config(
    advantage=GRPO(),
    loss=DualClip(),
    epochs=2,
    reward=RewardConfig(overlong=Overlong(start=4, end=12), normalize=True),
    kl=LossKL(target=0.5),
)


def test_two_ranks_equal_one_where_a_rank_has_nothing_and_no_critic_exists(cluster, model: Path, tmp_path: Path):
    steps = [groups_of_a_step(step) for step in (1, 2)]
    alone = make_rank(model, CONFIG)
    start = full_weights(alone)
    expected = [alone.step(number, *groups) for number, groups in enumerate(steps, 1)]
    weights = full_weights(alone)
    built, metrics, found = train(model, tmp_path / "two", CONFIG.model_copy(update={"ranks": 2}), steps)
    assert built["critic"] == 0
    for ours, theirs in zip(metrics, expected, strict=True):
        for key in ("policy/loss", "kl/loss", "kl/reference", "kl/coef", "policy/entropy", "grad_norm/policy"):
            assert ours[key] == pytest.approx(theirs[key], rel=2e-3, abs=1e-5), key
    assert not (tmp_path / "two" / "learner" / "critic").exists()
    for name, p in found.items():
        # Adam divides by the gradient's size: where that is near zero, rounding moves a weight by up to a step
        moved = (weights[name] - start[name]).norm()
        assert 0 < moved and (p - weights[name]).norm() <= 0.02 * moved, name
