"""LoRA adapters and a shared trunk over two processes that each hold half of every tensor, against one process."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from stepcoder.learner.config import OffloadConfig
from stepcoder.learner.networks.engine import TrainedModel
from tests.tools.learner import (
    LORA,
    SHARED,
    full_weights,
    learner_config,
    make_groups,
    make_rank,
    partition_everything,
)
from tests.tools.ranks import RANKS, Seat, Seats

ADAPTERS: dict[str, object] = dict(lora=LORA, advantage=SHARED)
ASIDE: dict[str, object] = dict(offload=OffloadConfig(optimizer=True, parameters=True))
ALIKE = ("policy/loss", "value/loss", "kl/reference", "value/error", "policy/entropy", "grad_norm/policy")


def partitioned(
    seat: Seat, model: Path, fields: dict[str, object], checkpoint: Path
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Under ZeRO 3: a step, a checkpoint, and the second step from each of the two."""
    config = learner_config(ranks=RANKS, zero_stage=3, **fields)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainedModel, "_settings", partition_everything(TrainedModel._settings))
        straight, resumed = seat.build(model, config), seat.build(model, config)
    metrics = [straight.step(1, *seat.share(make_groups(seed=1)))]
    straight.save(str(checkpoint))
    dist.barrier()  # each reads what both have written
    resumed.load(str(checkpoint))
    second = seat.share(make_groups(seed=2))
    metrics.append(straight.step(2, *second))
    resumed.step(2, *second)
    weights, again = full_weights(straight), full_weights(resumed)
    assert all(torch.equal(again[name], tensor) for name, tensor in weights.items())
    return metrics, weights


@pytest.mark.parametrize(
    ("fields", "offload"),
    [(ADAPTERS, {}), (ADAPTERS, ASIDE), ({}, ASIDE)],
    ids=["adapters", "adapters, aside", "two networks, aside"],
)
def test_two_ranks_with_half_of_every_tensor_equal_one(
    seats: Seats, model: Path, tmp_path: Path, fields: dict[str, object], offload: dict[str, object]
):
    metrics, weights = seats.run(partitioned, model, fields | offload, tmp_path / "checkpoint")
    whole = make_rank(model, learner_config(**fields))
    start = full_weights(whole)
    expected = [whole.step(number, *make_groups(seed=number)) for number in (1, 2)]
    for ours, theirs in zip(metrics, expected, strict=True):
        for key in ALIKE:
            assert ours[key] == pytest.approx(theirs[key], rel=2e-3, abs=1e-5), key
    for name, tensor in full_weights(whole).items():
        # Adam divides by the gradient's size: where that is near zero, rounding moves a weight by up to a step
        moved = (tensor - start[name]).norm()
        assert (weights[name] - tensor).norm() <= 0.02 * moved, name
