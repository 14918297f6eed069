"""Rewards before advantages: the length penalty."""

import pytest

from stepcoder.learner.config import Overlong
from stepcoder.learner.rewards import overlong_penalty


def test_overlong_penalty_by_hand():
    # from 10 to 20 tokens: 10 pays nothing, 15 half, 20 and more all of 0.8
    rule = Overlong(start=10, end=20, penalty=0.8)
    found = overlong_penalty([1, 10, 15, 20, 33], rule)
    assert found.tolist() == pytest.approx([0, 0, -0.4, -0.8, -0.8])
    assert overlong_penalty([], rule).tolist() == []
