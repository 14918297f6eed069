"""A checkpoint goes on with another number of ranks under another ZeRO stage: the same state, the same next steps."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from stepcoder.learner.config import LearnerConfig
from stepcoder.learner.networks import state
from stepcoder.learner.rank import LearnerRank
from stepcoder.rollout.trajectory import Trajectory
from tests.tools.learner import learner_config, make_groups, make_rank
from tests.tools.ranks import Seat, Seats

TIMELESS = ("policy/loss", "value/loss", "kl/reference", "policy/entropy", "grad_norm/policy", "grad_norm/critic")


def one_step(
    seat: Seat, model: Path, config: LearnerConfig, step: int, groups: Sequence[list[Trajectory]], old: Path
) -> dict[str, float]:
    return step_on(seat.build(model, config), step, seat.share(groups), old)


def step_on(rank: LearnerRank, step: int, groups: Sequence[list[Trajectory]], old: Path) -> dict[str, float]:
    """Load `old`, save it again beside it, make a step, save that."""
    rank.load(str(old))
    rank.save(str(old.with_name(f"{old.name}-again")))
    metrics = rank.step(step, *groups)
    rank.save(str(old.with_name(f"step-{step}")))
    return metrics


def test_every_change_of_ranks_and_zero_stage_keeps_the_state_and_goes_on_as_one_rank_would(
    seats: Seats, model: Path, tmp_path: Path
):
    straight = make_rank(model, learner_config())
    straight.save(str(tmp_path / "straight-0"))
    expected = {1: straight.step(1, *make_groups(seed=1))}
    straight.save(str(tmp_path / "step-1"))
    # 1 -> 2 and 2 -> 1 under ZeRO 0 and 2, and into and out of ZeRO 3
    for step, ranks, stage in ((2, 2, 0), (3, 1, 0), (4, 2, 2), (5, 1, 2), (6, 2, 3), (7, 1, 0)):
        groups, old = make_groups(seed=step), tmp_path / f"step-{step - 1}"
        config = learner_config(ranks=ranks, zero_stage=stage)
        if ranks == 1:
            metrics = step_on(make_rank(model, config), step, groups, old)
        else:
            metrics = seats.run(one_step, model, config, step, groups, old)
        expected[step] = straight.step(step, *groups)
        for key in TIMELESS:
            assert metrics[key] == pytest.approx(expected[step][key], rel=2e-3, abs=1e-5), (step, ranks, stage, key)
        for network in ("policy", "critic"):
            same_state(old / "learner" / network, tmp_path / f"step-{step - 1}-again" / "learner" / network)
    straight.save(str(tmp_path / "straight"))
    for network in ("policy", "critic"):
        start, _ = state.read(tmp_path / "straight-0" / "learner" / network)
        ours, schedule = state.read(tmp_path / "step-7" / "learner" / network)
        theirs, expected_schedule = state.read(tmp_path / "straight" / "learner" / network)
        assert schedule == expected_schedule
        for name in theirs:
            assert float(ours[name]["step"]) == float(theirs[name]["step"]) == 7
            # Adam divides by the gradient's size: where that is near zero, rounding moves a weight by up to a step
            moved = (theirs[name]["weight"] - start[name]["weight"]).norm()
            assert 0 < moved and (ours[name]["weight"] - theirs[name]["weight"]).norm() <= 0.02 * moved, name


def same_state(first: Path, second: Path) -> None:
    """Bit for bit, whatever the number of parts."""
    (ours, schedule), (theirs, their_schedule) = state.read(first), state.read(second)
    assert ours.keys() == theirs.keys() and schedule == their_schedule
    for name, found in ours.items():
        assert found.keys() == theirs[name].keys()
        for key, tensor in found.items():
            assert torch.equal(tensor, theirs[name][key]), (name, key)


def test_a_state_without_a_part_or_of_another_network_is_refused(model: Path, tmp_path: Path):
    rank = make_rank(model, learner_config())
    rank.save(str(tmp_path / "checkpoint"))
    (part,) = (tmp_path / "checkpoint" / "learner" / "policy").glob("part-*.pt")
    saved = torch.load(part, weights_only=True)
    name = next(iter(saved["parameters"]))
    saved["parameters"][name]["weight"] = torch.zeros(3, 5)
    torch.save(saved, part)
    with pytest.raises(ValueError, match=f"{name} has shape \\(3, 5\\) in it"):
        rank.load(str(tmp_path / "checkpoint"))
    part.rename(part.with_name("part-00000-of-00002.pt"))
    with pytest.raises(FileNotFoundError, match="all parts"):
        rank.load(str(tmp_path / "checkpoint"))
