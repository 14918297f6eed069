"""An algorithm without a critic over two processes, one of which is left without a completion, against one process."""

import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from stepcoder.learner.config import GRPO, DualClip, LossKL, Overlong, RewardConfig
from stepcoder.rollout.trajectory import Trajectory
from tests.tools.learner import learner_config, make_groups, train


def groups_of_a_step(step: int) -> list[list[Trajectory]]:
    """One group, which leaves a rank of two without a completion, then three, for uneven shares."""
    return [
        [dataclasses.replace(t, reward=1.0 if t.sample == 0 else -0.3) for t in group]
        for group in make_groups(groups=(1, 3)[step - 1], seed=step)
    ]


def two_steps(model: Path, out: Path, ranks: int) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    config = learner_config(
        ranks=ranks,
        advantage=GRPO(),
        loss=DualClip(),
        epochs=2,
        reward=RewardConfig(overlong=Overlong(start=4, end=12), normalize=True),
        kl=LossKL(target=0.5),
    )
    built, metrics, weights = train(model, out, config, [groups_of_a_step(step) for step in (1, 2)])
    assert built["critic"] == 0
    return metrics, weights


def test_two_ranks_equal_one_where_a_rank_has_nothing_and_no_critic_exists(cluster, model: Path, tmp_path: Path):
    start = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).state_dict()
    expected, weights = two_steps(model, tmp_path / "one", ranks=1)
    metrics, found = two_steps(model, tmp_path / "two", ranks=2)
    for ours, theirs in zip(metrics, expected, strict=True):
        for key in ("policy/loss", "kl/loss", "kl/reference", "kl/coef", "policy/entropy", "grad_norm/policy"):
            assert ours[key] == pytest.approx(theirs[key], rel=2e-3, abs=1e-5), key
    assert not (tmp_path / "two" / "learner" / "critic").exists()
    for name, p in found.items():
        # Adam divides by the gradient's size: where that is near zero, rounding moves a weight by up to a step
        moved = (weights[name] - start[name]).norm()
        assert 0 < moved and (p - weights[name]).norm() <= 0.02 * moved, name
