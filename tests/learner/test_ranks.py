"""Several learner processes over gloo against one: the same three steps, whatever the split.

Tolerances: metrics 2e-3 relative, a network's weights 2% of the way they moved in three steps, in fp32.
"""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from stepcoder.learner.config import OffloadConfig
from stepcoder.learner.networks import state
from tests.tools.learner import learner_config, make_groups, train

IN_PLACE, OPTIMIZER_ASIDE = OffloadConfig(), OffloadConfig(optimizer=True)
ALL_ASIDE = OffloadConfig(optimizer=True, parameters=True)


def three_steps(
    model: Path, out: Path, ranks: int, zero_stage: int, offload: OffloadConfig = IN_PLACE
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    steps = [make_groups(seed=step) for step in (1, 2, 3)]  # three groups: two ranks get uneven shares
    return train(model, out, learner_config(ranks=ranks, zero_stage=zero_stage, offload=offload), steps)[1:]


def test_two_ranks_and_every_zero_stage_equal_one_rank(cluster, model: Path, tmp_path: Path):
    start = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).state_dict()
    expected, weights = three_steps(model, tmp_path / "one", ranks=1, zero_stage=0)
    expected_critic, _ = state.read(tmp_path / "one" / "learner" / "critic")
    assert any(not torch.equal(start[name], p) for name, p in weights.items())
    for stage, offload in ((0, IN_PLACE), (2, IN_PLACE), (3, IN_PLACE), (2, OPTIMIZER_ASIDE), (3, ALL_ASIDE)):
        place = tmp_path / f"two-{stage}-{offload.optimizer}"
        metrics, found = three_steps(model, place, ranks=2, zero_stage=stage, offload=offload)
        for ours, theirs in zip(metrics, expected, strict=True):
            for key in (
                "policy/loss",
                "value/loss",
                "kl/reference",
                "executed_share",
                "policy/entropy",
                "value/error",
                "grad_norm/critic",
            ):
                assert ours[key] == pytest.approx(theirs[key], rel=2e-3, abs=1e-5), (stage, key)
            assert ours["grad_norm/policy"] == pytest.approx(theirs["grad_norm/policy"], rel=2e-3), stage
        for name, p in found.items():
            # Adam divides by the gradient's size: where that is near zero, rounding moves a weight by up to a step
            moved = (weights[name] - start[name]).norm()
            assert (p - weights[name]).norm() <= 0.02 * moved, (stage, name)
        critic, _ = state.read(place / "learner" / "critic")
        for name, one in expected_critic.items():
            from_trunk = start.get("model." + name.removeprefix("trunk."))
            moved = (one["weight"] - (0.0 if from_trunk is None else from_trunk)).norm()  # the head begins at 0
            assert (critic[name]["weight"] - one["weight"]).norm() <= 0.02 * moved, (stage, name)
            assert float(critic[name]["step"]) == float(one["step"]) == 3
