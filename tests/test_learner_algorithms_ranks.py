"""An algorithm without a critic over two processes, one of which is left without a completion, against one process."""

import dataclasses
from pathlib import Path

import pytest
import ray
import torch
from transformers import AutoModelForCausalLM

from learner.config import KLConfig, PPOConfig, RewardConfig
from learner.service import deal
from rollout.trajectory import Trajectory
from tests.learner_tools import learner_config, make_groups, train
from tests.tiny_model import build_tiny_model


@pytest.fixture(scope="module")
def cluster():
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def groups_of_a_step(step: int) -> list[list[Trajectory]]:
    """Three groups; the heaviest, which a rank of two gets alone, has equal rewards and is dropped."""
    groups = make_groups(seed=step)
    heaviest = max(groups, key=sizes)
    return [
        [dataclasses.replace(t, reward=1.0 if t.sample == 0 and group is not heaviest else -0.3) for t in group]
        + ([dataclasses.replace(t, sample=t.sample + 4, reward=-0.3) for t in group] if group is heaviest else [])
        for group in groups
    ]


def sizes(group: list[Trajectory]) -> int:
    return sum(len(t.response_ids) for t in group)


def two_steps(model: Path, out: Path, ranks: int) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    config = learner_config(
        ranks=ranks,
        ppo=PPOConfig(estimator="grpo", loss="dual_clip", drop_equal_groups=True, minibatches=1, epochs=2),
        reward=RewardConfig(overlong_start=4, overlong_end=12, normalize=True),
        kl=KLConfig(coef=0.05, place="loss", estimator="k3", target=0.5),
    )
    built, metrics, weights = train(model, out, config, [groups_of_a_step(step) for step in (1, 2)])
    assert built["critic"] == 0
    return metrics, weights


def test_two_ranks_equal_one_where_groups_are_dropped_and_no_critic_exists(cluster, tmp_path: Path):
    assert [len(share) for share in deal([*map(sizes, groups_of_a_step(1))], 2)].count(1) == 1
    model = build_tiny_model(tmp_path / "model")
    start = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).state_dict()
    expected, weights = two_steps(model, tmp_path / "one", ranks=1)
    metrics, found = two_steps(model, tmp_path / "two", ranks=2)
    for ours, theirs in zip(metrics, expected, strict=True):
        assert ours["groups/dropped_share"] == theirs["groups/dropped_share"] > 0.3
        for key in ("policy/loss", "kl/loss", "kl/reference", "kl/coef", "policy/entropy", "grad_norm/policy"):
            assert ours[key] == pytest.approx(theirs[key], rel=2e-3, abs=1e-5), key
    assert not (tmp_path / "two" / "learner" / "critic").exists()
    for name, p in found.items():
        # Adam divides by the gradient's size: where that is near zero, rounding moves a weight by up to a step
        moved = (weights[name] - start[name]).norm()
        assert 0 < moved and (p - weights[name]).norm() <= 0.02 * moved, name
