"""Two learner processes over gloo against one: the same three steps, whatever the split.

Tolerances: metrics 2e-3 relative, a network's weights 2% of the way they moved in three steps, in fp32.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from stepcoder.learner.config import OffloadConfig
from stepcoder.learner.networks import state
from stepcoder.learner.rank import LearnerRank
from stepcoder.rollout.trajectory import Trajectory
from tests.tools.learner import full_weights, learner_config, loaded, make_groups, make_rank
from tests.tools.ranks import RANKS, Seat, Seats

IN_PLACE, OPTIMIZER_ASIDE = OffloadConfig(), OffloadConfig(optimizer=True)
ALL_ASIDE = OffloadConfig(optimizer=True, parameters=True)
STEPS = [make_groups(seed=step) for step in (1, 2, 3)]  # three groups: two ranks get uneven shares
ALIKE = (
    "policy/loss", "value/loss", "kl/reference", "policy/entropy", "value/error", "executed_share",
    "grad_norm/policy", "grad_norm/critic",
)  # fmt: skip


def steps(rank: LearnerRank, shares: Sequence[Sequence[list[Trajectory]]], out: Path) -> list[dict[str, float]]:
    metrics = [rank.step(number, *groups) for number, groups in enumerate(shares, 1)]
    rank.save(str(out))
    return metrics


def two_ranks(seat: Seat, model: Path, zero_stage: int, offload: OffloadConfig, out: Path) -> list[dict[str, float]]:
    rank = seat.build(model, learner_config(ranks=RANKS, zero_stage=zero_stage, offload=offload))
    return steps(rank, [seat.share(groups) for groups in STEPS], out)


def test_two_ranks_and_every_zero_stage_equal_one_rank(seats: Seats, model: Path, tmp_path: Path):
    alone = make_rank(model, learner_config())
    start = full_weights(alone)
    expected = steps(alone, STEPS, tmp_path / "one")
    weights = loaded(tmp_path / "one" / "policy")
    expected_critic, _ = state.read(tmp_path / "one" / "learner" / "critic")
    for stage, offload in ((0, IN_PLACE), (2, IN_PLACE), (3, IN_PLACE), (2, OPTIMIZER_ASIDE), (3, ALL_ASIDE)):
        place = tmp_path / f"two-{stage}-{offload.optimizer}"
        metrics = seats.run(two_ranks, model, stage, offload, place)
        for ours, theirs in zip(metrics, expected, strict=True):
            for key in ALIKE:
                assert ours[key] == pytest.approx(theirs[key], rel=2e-3, abs=1e-5), (stage, key)
        for name, p in loaded(place / "policy").items():
            # Adam divides by the gradient's size: where that is near zero, rounding moves a weight by up to a step
            moved = (weights[name] - start[name]).norm()
            assert 0 < moved and (p - weights[name]).norm() <= 0.02 * moved, (stage, name)
        critic, _ = state.read(place / "learner" / "critic")
        for name, one_rank in expected_critic.items():
            from_trunk = start.get("model." + name.removeprefix("trunk."))
            moved = (one_rank["weight"] - (0.0 if from_trunk is None else from_trunk)).norm()  # the head begins at 0
            assert (critic[name]["weight"] - one_rank["weight"]).norm() <= 0.02 * moved, (stage, name)
            assert float(critic[name]["step"]) == float(one_rank["step"]) == 3
