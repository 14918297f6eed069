"""Rewards before advantages: length penalty and groups without spread."""

import dataclasses

import pytest

from learner.rewards import overlong_penalty, with_spread
from tests.learner_tools import make_groups


def test_overlong_penalty_by_hand():
    # from 10 to 20 tokens: 10 pays nothing, 15 half, 20 and more all of 0.8
    found = overlong_penalty([1, 10, 15, 20, 33], 10, 20, 0.8)
    assert found.tolist() == pytest.approx([0, 0, -0.4, -0.8, -0.8])
    assert overlong_penalty([], 10, 20, 0.8).tolist() == []


def test_groups_of_one_reward_are_left_out_whole():
    groups = make_groups(groups=3, completions=3)
    rewards = [(1.0, 1.0, -0.3), (-0.6, -0.6, -0.6), (1.0, -1.0, 1.0)]
    mixed = [
        dataclasses.replace(t, reward=r)
        for group, given in zip(groups, rewards, strict=True)
        for t, r in zip(group, given, strict=True)
    ]
    assert [t.ticket for t in with_spread(mixed)] == [0, 0, 0, 2, 2, 2]
    assert with_spread([]) == []
