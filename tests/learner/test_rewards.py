"""Rewards before advantages, by hand: the length penalty, and what each of several turns is paid."""

import dataclasses

import pytest
import torch

from stepcoder.executor.report import Verdict
from stepcoder.learner.batch import build_batch
from stepcoder.learner.config import FGO, Overlong, RewardConfig
from stepcoder.learner.rewards import overlong_penalty, turn_rewards
from stepcoder.rollout.trajectory import Trajectory
from tests.rollout.test_repair import ALONE, attempt, joined

PLAIN = RewardConfig()


def test_overlong_penalty_by_hand():
    # from 10 to 20 tokens: 10 pays nothing, 15 half, 20 and more all of 0.8
    rule = Overlong(start=10, end=20, penalty=0.8)
    found = overlong_penalty(torch.tensor([1, 10, 15, 20, 33]), rule)
    assert found.tolist() == pytest.approx([0, 0, -0.4, -0.8, -0.8])
    assert overlong_penalty(torch.zeros(0), rule).tolist() == []


def turns(*worths: float | None, ticket: int = 0, tokens: int = 2) -> Trajectory:
    """A completion whose turns have so many tokens each; None: nothing is paid before the end."""
    told = [(91,)] * (len(worths) - 1) + [()]
    attempts = [attempt([11] * tokens, Verdict.WRONG_ANSWER, [1] * tokens, told=t) for t in told]
    paid = [worth for worth in worths if worth is not None]
    return dataclasses.replace(joined(attempts, paid), ticket=ticket)


def paid(*trajectories: Trajectory, rule: RewardConfig = PLAIN, by_group: bool = False) -> list[float]:
    batch = build_batch(trajectories, FGO(), step=1, seed=0)
    return turn_rewards(batch, rule, ALONE, by_group=by_group).tolist()


def test_a_turn_is_paid_what_its_program_gained():
    assert paid(turns(-1.0, -0.3, 1.0), turns(1.0)) == pytest.approx([-1, 0.7, 1.3, 1])
    assert paid(turns(None, None, 1.0), turns(None, -0.6)) == pytest.approx([0, 0, 1, 0, -0.6])


def test_a_groups_baseline_is_subtracted_once():
    # all fail alike: no turn is better than another's
    assert paid(turns(-0.3, -0.3), turns(-0.3), turns(-0.3, -0.3, -0.3), by_group=True) == [0.0] * 6
    # less the other's -0.3 and 1: the first turn pays for it, the second is worth what it gained
    assert paid(turns(-0.6, 1.0), turns(-0.3), by_group=True) == pytest.approx([-0.3, 1.6, -1.3])
    assert paid(turns(None, 1.0), turns(-0.3), by_group=True) == pytest.approx([0, 1.3, -1.3])
    # another prompt's completion, alone in its group
    assert paid(turns(-0.6, 1.0), turns(0.5, 0.7, ticket=1), by_group=True) == pytest.approx([-0.6, 1.6, 0.5, 0.2])


def test_what_is_done_to_rewards_is_done_to_what_every_program_is_worth():
    # the last programs' mean is 0.35, their deviation 0.65: -0.3 is -1, 1 is 1, and no turn repairs anything
    rule = RewardConfig(normalize=True)
    assert paid(turns(-0.3, -0.3), turns(1.0), rule=rule) == pytest.approx([-1, 0, 1])
    assert paid(turns(-0.3, 1.0), turns(-0.3), rule=rule) == pytest.approx([-1, 2, -1])
    assert paid(turns(-1.0, 1.0), turns(-1.0, -1.0), rule=RewardConfig(clip=0.8)) == pytest.approx([-0.8, 1.6, -0.8, 0])


def test_each_turn_pays_for_its_own_length():
    # two turns of 15 tokens are not one of 30: half of 0.8 each
    half = RewardConfig(overlong=Overlong(start=10, end=20, penalty=0.8))
    assert paid(turns(-0.3, -0.3, tokens=15), rule=half) == pytest.approx([-0.7, -0.4])
    assert paid(turns(None, -0.3, tokens=15), rule=half) == pytest.approx([0, -1.1])
    assert paid(turns(-0.3, 1.0, tokens=9), turns(0.5, tokens=20), rule=half) == pytest.approx([-0.3, 1.3, -0.3])
