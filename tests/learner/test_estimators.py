"""Advantage estimators against numbers worked out by hand, and what must not change them."""

import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stepcoder.deploy.config.fields import variants
from stepcoder.learner.advantages import FUNCTIONS, estimate
from stepcoder.learner.advantages.completions import Completions
from stepcoder.learner.config.advantage import AdvantageConfig
from stepcoder.settings import OWN

# Prompt 7 has three completions of 2, 1 and 1 tokens, prompt 9 two of 1 and 2; the rewards are laid between each other.
LENGTHS, GROUPS = (2, 1, 1, 1, 2), (7, 9, 7, 7, 9)
REWARDS = torch.tensor([1.0, -0.3, 0.0, -1.0, 1.0])


MODELS = {name: model for name, model in variants(get_args(AdvantageConfig)[0]).items() if name != OWN}


def advantages(name: str, whole: Completions, **changes: float) -> torch.Tensor:
    """By the estimator `name`, its settings the defaults but for `changes`, where it has them."""
    known = {key: value for key, value in changes.items() if key in MODELS[name].model_fields}
    return estimate(MODELS[name](**known), whole)  # type: ignore[arg-type]


def completions(**changes: object) -> Completions:
    fields: dict[str, object] = dict(
        rewards=REWARDS, penalties=torch.zeros(sum(LENGTHS)), values=None, lengths=LENGTHS, groups=GROUPS
    )
    return Completions(**(fields | changes))  # type: ignore[arg-type]


def test_every_type_has_a_function():
    assert set(MODELS) == set(FUNCTIONS)


def test_gae_by_hand():
    # two completions, gamma 0.9, lambda 0.5
    # first: rewards 0, 0, 1, values 0.2, 0.4, 0.6 -> 0.304, 0.32, 0.4 (A_2 = 1 - 0.6; A_1 = 0.9*0.6 - 0.4 + 0.45*0.4;
    # A_0 = 0.9*0.4 - 0.2 + 0.45*0.32); second: -1 less the value 0.5, and a penalty of 0.1: -1.6
    two = completions(
        rewards=torch.tensor([1.0, -1.0]), penalties=torch.tensor([0.0, 0.0, 0.0, -0.1]),
        values=torch.tensor([0.2, 0.4, 0.6, 0.5]), lengths=(3, 1), groups=(1, 2),
    )  # fmt: skip
    found = advantages("gae", two, gamma=0.9, lam=0.5)
    assert found.tolist() == pytest.approx([0.304, 0.32, 0.4, -1.6])


def test_grpo_by_hand():
    # prompt 7: 1, 0, -1: mean 0, deviation sqrt((1 + 0 + 1) / 2) = 1 -> 1, 0, -1
    # prompt 9: -0.3, 1: mean 0.35, deviation sqrt(2 * 0.65^2 / 1) = 0.9192 -> -0.7071, 0.7071
    found = advantages("grpo", completions())
    half = 1 / math.sqrt(2)
    assert found.tolist() == pytest.approx([1, 1, -half, 0, -1, half, half], abs=1e-5)


def test_dr_grpo_by_hand():
    # the same without the division
    assert advantages("dr_grpo", completions()).tolist() == pytest.approx([1, 1, -0.65, 0, -1, 0.65, 0.65])


def test_rloo_by_hand():
    # prompt 7: 1 - (0 - 1)/2, 0 - (1 - 1)/2, -1 - (1 + 0)/2; prompt 9: -0.3 - 1, 1 + 0.3
    assert advantages("rloo", completions()).tolist() == pytest.approx([1.5, 1.5, -1.3, 0, -1.5, 1.3, 1.3])


def test_reinforce_plus_plus_by_hand():
    # returns to go with gamma 0.5 and penalties -0.1, -0.2 on the first completion:
    # A_1 = 1 - 0.2 = 0.8, A_0 = -0.1 + 0.5 * 0.8 = 0.3; the last completion: A_1 = 1, A_0 = 0.5
    penalties = torch.tensor([-0.1, -0.2, 0.0, 0.0, 0.0, 0.0, 0.0])
    found = advantages("reinforce_plus_plus", completions(penalties=penalties), gamma=0.5)
    assert found.tolist() == pytest.approx([0.3, 0.8, -0.3, 0.0, -1.0, 0.5, 1.0])


def test_reinforce_plus_plus_with_baseline_by_hand():
    # group means 0 and 0.35 are taken from the rewards, not from the penalties
    penalties = torch.tensor([-0.1, -0.2, 0.0, 0.0, 0.0, 0.0, 0.0])
    found = advantages("reinforce_plus_plus_baseline", completions(penalties=penalties), gamma=0.5)
    assert found.tolist() == pytest.approx([0.3, 0.8, -0.65, 0.0, -1.0, 0.325, 0.65])


def test_group_estimators_compare_rewards_with_their_penalties():
    # prompt 7 with penalties of -0.5 in all on the first: 0.5, 0, -1: mean -1/6
    penalties = torch.tensor([-0.3, -0.2, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert advantages("dr_grpo", completions(penalties=penalties)).tolist()[:2] == pytest.approx([2 / 3, 2 / 3])
    assert advantages("rloo", completions(penalties=penalties)).tolist()[:2] == pytest.approx([1.0, 1.0])


def test_grpo_divides_rewards_by_their_own_deviation_and_penalties_by_nothing():
    # prompt 7: rewards 1, 0, -1 with deviation 1; penalties -0.3, 0, 0: less their mean -0.2, 0.1, 0.1
    # prompt 9: equal rewards; penalties -0.02, -0.06: 0.02, -0.02, not -+0.7
    found = advantages(
        "grpo",
        completions(
            rewards=torch.tensor([1.0, -0.6, 0.0, -1.0, -0.6]),
            penalties=torch.tensor([-0.2, -0.1, -0.02, 0.0, 0.0, -0.06, 0.0]),
        ),
    )
    assert found.tolist() == pytest.approx([0.8, 0.8, 0.02, 0.1, -0.9, -0.02, -0.02], abs=1e-5)


@pytest.mark.parametrize("name", sorted(name for name, model in MODELS.items() if model.group))
@pytest.mark.parametrize("size", [2, 3, 7, 16])
def test_a_group_of_equal_rewards_has_no_advantage(name: str, size: int):
    # -0.3 has no exact binary form: a mean in single precision divided by a tiny deviation would be noise, not 0
    found = advantages(
        name,
        completions(
            rewards=torch.full((size,), -0.3), penalties=torch.zeros(size), lengths=(1,) * size, groups=(4,) * size
        ),
    )
    assert found.tolist() == [0.0] * size


def test_a_completion_alone_in_its_group():
    # is its own mean, deviation 0; it has no others to be compared with, so that RLOO leaves its reward as it is
    alone = completions(rewards=torch.tensor([0.7]), penalties=torch.zeros(2), lengths=(2,), groups=(4,))
    found = {name: advantages(name, alone).tolist() for name in ("grpo", "dr_grpo", "rloo")}
    assert found == {"grpo": [0, 0], "dr_grpo": [0, 0], "rloo": pytest.approx([0.7, 0.7])}


@pytest.mark.parametrize("name", MODELS)
def test_a_rank_without_completions_is_no_fault(name: str):
    none = torch.zeros(0)
    found = advantages(name, completions(rewards=none, penalties=none, values=none, lengths=(), groups=()))
    assert found.tolist() == []


def part(whole: Completions, indices: list[int]) -> Completions:
    """The given completions of `whole`, in the given order."""
    spans = whole.spans()

    def tokens(flat: torch.Tensor) -> torch.Tensor:
        return torch.cat([flat[spans[i]] for i in indices]) if indices else flat[:0]

    assert whole.values is not None
    return Completions(
        whole.rewards[indices], tokens(whole.penalties), tokens(whole.values),
        tuple(whole.lengths[i] for i in indices), tuple(whole.groups[i] for i in indices),
    )  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_neither_order_nor_the_split_over_ranks_changes_an_advantage(name: str, data: st.DataObject):
    sizes = data.draw(st.lists(st.integers(2, 5), min_size=1, max_size=5))
    groups = tuple(g for g, size in enumerate(sizes) for _ in range(size))
    lengths = tuple(data.draw(st.lists(st.integers(1, 6), min_size=len(groups), max_size=len(groups))))
    draw = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    whole = Completions(
        torch.tensor([1.0, -0.3, -0.6, -1.0])[torch.randint(4, (len(groups),), generator=draw)],
        torch.randn(sum(lengths), generator=draw) * 0.1, torch.randn(sum(lengths), generator=draw),
        lengths, groups,
    )  # fmt: skip
    expected = whole.spans()
    every = advantages(name, whole, gamma=0.9, lam=0.8)
    order = data.draw(st.permutations(range(len(groups))))
    here = [i for i in order if groups[i] % 2 == 0]  # whole groups on each of two ranks
    there = [i for i in order if groups[i] % 2]
    for indices in (list(order), here, there):
        found = advantages(name, part(whole, indices), gamma=0.9, lam=0.8)
        wanted = torch.cat([every[expected[i]] for i in indices]) if indices else every[:0]
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
