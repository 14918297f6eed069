"""Policy losses: value and gradient against numbers worked out by hand, and what must not change them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stepcoder.learner.config import CISPO, GSPO, DualClip, LossConfig, PPOClip, Reinforce
from stepcoder.learner.losses import FUNCTIONS, policy_loss
from stepcoder.learner.losses.tokens import LossTokens

RANGE = {"clip_low": 0.2, "clip_high": 0.3}
WIDE_GSPO = GSPO.model_construct(**RANGE)  # what it clips shows only in a range that the settings refuse
CONFIGS = (PPOClip(**RANGE), DualClip(**RANGE), WIDE_GSPO, CISPO(**RANGE), Reinforce())
LOSSES: dict[str, LossConfig] = {config.type: config for config in CONFIGS}


def evaluate(
    name: str, ratios: list[float], advantages: list[float], sequence: list[int] | None = None
) -> tuple[float, list[float], list[bool]]:
    """Loss, its gradient by log-probability and where it clipped: log pi_old = -1 and weight 1/2 at every token."""
    n = len(ratios)
    new = (torch.log(torch.tensor(ratios)) - 1).requires_grad_()
    owner = torch.tensor(sequence if sequence is not None else [0] * n)
    tokens = LossTokens(new, torch.full((n,), -1.0), torch.tensor(advantages), torch.full((n,), 0.5), owner)
    found = policy_loss(LOSSES[name], tokens)
    found.loss.backward()
    assert new.grad is not None
    return found.loss.item(), new.grad.tolist(), found.clipped.tolist()


def test_every_type_has_a_function():
    assert set(LOSSES) == set(FUNCTIONS)


def test_ppo_clip_by_hand():
    # range [0.8, 1.3].  rho 1.5, A 1: min(1.5, 1.3) = 1.3, clipped;  rho 0.5, A -1: min(-0.5, -0.8) = -0.8, clipped
    # rho 1.25, A 2: 2.5, inside thanks to the higher upper limit;  rho 1.5, A -1: min(-1.5, -1.3) = -1.5, not clipped
    # loss -(1.3 - 0.8 + 2.5 - 1.5)/2 = -0.75;  gradient -rho A / 2 where not clipped
    loss, gradient, clipped = evaluate("ppo_clip", [1.5, 0.5, 1.25, 1.5], [1, -1, 2, -1])
    assert loss == pytest.approx(-0.75)
    assert clipped == [True, True, False, False]
    assert gradient == pytest.approx([0, 0, -1.25, 0.75])


def test_dual_clip_by_hand():
    # rho 5, A -1: PPO gives -5, held at 3 * -1;  rho 2, A -1: -2 is above -3;  rho 5, A 1: PPO's 1.3
    # rho 0.75, A -1: PPO's -0.8;  rho 0.75, A 1: 0.75, not clipped
    # loss -(-3 - 2 + 1.3 - 0.8 + 0.75)/2 = 1.875;  gradient at the second, -(2 * -1)/2 = 1, and the last, -0.75/2
    loss, gradient, clipped = evaluate("dual_clip", [5, 2, 5, 0.75, 0.75], [-1, -1, 1, -1, 1])
    assert loss == pytest.approx(1.875)
    assert clipped == [True, False, True, True, False]
    assert gradient == pytest.approx([0, 1, 0, 0, -0.375])


def test_gspo_by_hand():
    # first completion: ratios 1.44, 1 -> geometric mean 1.2, inside;  second: 2 -> held at 1.3
    # value: first two tokens 1.2 * 1 each, third 1.3: -(1.2 + 1.2 + 1.3)/2 = -1.85
    # gradient: -s A / 2 = -0.6 at both tokens of the first completion, as if of its mean; 0 at the clipped one
    loss, gradient, clipped = evaluate("gspo", [1.44, 1, 2], [1, 1, 1], [4, 4, 9])
    assert loss == pytest.approx(-1.85)
    assert clipped == [False, False, True]
    assert gradient == pytest.approx([-0.6, -0.6, 0])


def test_gspo_takes_the_ratio_over_tokens_outside_the_mask_too():
    # ratios 1 and 1.44, the second outside: s is still their geometric mean 1.2: loss -1.2/2, gradient -1.2/2 and 0
    new = torch.tensor([0.0, math.log(1.44)]).requires_grad_()
    tokens = LossTokens(new, torch.zeros(2), torch.ones(2), torch.tensor([0.5, 0.0]), torch.zeros(2, dtype=torch.long))
    loss = policy_loss(WIDE_GSPO, tokens).loss
    assert loss.item() == pytest.approx(-0.6)
    assert torch.autograd.grad(loss, new)[0].tolist() == pytest.approx([-0.6, 0.0])


def test_gspo_with_sequence_means_is_the_papers_objective():
    # J = 1/G sum_i min(s_i A_i, clip(s_i) A_i), s_i = exp(mean log-ratio); weights 1 / (G |y_i|)
    torch.manual_seed(0)
    owner = torch.tensor([0, 0, 0, 1, 1])
    old, new = torch.randn(5), torch.randn(5)
    new = (old + 0.05 * new).requires_grad_()
    other = new.detach().clone().requires_grad_()
    outcome = torch.tensor([1.0, -0.5])
    weights = torch.tensor([1 / 6] * 3 + [1 / 4] * 2)
    loss = policy_loss(WIDE_GSPO, LossTokens(new, old, outcome[owner], weights, owner)).loss
    means = torch.stack([(other - old)[:3].mean(), (other - old)[3:].mean()]).exp()
    plain = -torch.minimum(means * outcome, means.clamp(0.8, 1.3) * outcome).mean()
    loss.backward()
    plain.backward()
    assert loss.item() == pytest.approx(plain.item())
    assert new.grad is not None and other.grad is not None
    torch.testing.assert_close(new.grad, other.grad)


def test_cispo_by_hand():
    # log pi = log rho - 1;  rho 1.5 held at 1.3, rho 0.5 held at 0.8, rho 1.1 free; A 1, -1, 2
    # gradient -held A / 2 everywhere: -0.65, 0.4, -1.1
    loss, gradient, clipped = evaluate("cispo", [1.5, 0.5, 1.1], [1, -1, 2])
    terms = 1.3 * (math.log(1.5) - 1) - 0.8 * (math.log(0.5) - 1) + 1.1 * 2 * (math.log(1.1) - 1)
    assert loss == pytest.approx(-terms / 2)
    assert clipped == [True, True, False]
    assert gradient == pytest.approx([-0.65, 0.4, -1.1])


def test_reinforce_by_hand():
    # -(1 * log pi_0 - 2 * log pi_1)/2 whatever the ratio; gradient -A/2
    loss, gradient, clipped = evaluate("reinforce", [1.5, 0.5], [1, -2])
    assert loss == pytest.approx(-((math.log(1.5) - 1) - 2 * (math.log(0.5) - 1)) / 2)
    assert clipped == [False, False]
    assert gradient == pytest.approx([-0.5, 1.0])


@pytest.mark.parametrize("name", LOSSES)
def test_at_ratio_one_every_loss_has_the_policy_gradient(name: str):
    _, gradient, clipped = evaluate(name, [1, 1, 1], [1, -2, 0.5], [0, 0, 1])
    assert gradient == pytest.approx([-0.5, 1.0, -0.25])
    assert clipped == [False] * 3


def random_tokens(data: st.DataObject) -> LossTokens:
    lengths = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    draw, n = torch.Generator().manual_seed(data.draw(st.integers(0, 1000))), sum(lengths)
    old = torch.randn(n, generator=draw) - 3
    return LossTokens(
        logprobs=old + 0.4 * torch.randn(n, generator=draw),
        old_logprobs=old,
        advantages=torch.randn(n, generator=draw),
        weights=torch.rand(n, generator=draw) * (torch.rand(n, generator=draw) < 0.6),
        sequence=torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths)),
    )


def with_gradient(name: str, tokens: LossTokens, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    new = tokens.logprobs[at].clone().requires_grad_()
    part = LossTokens(new, tokens.old_logprobs[at], tokens.advantages[at], tokens.weights[at], tokens.sequence[at])
    loss = policy_loss(LOSSES[name], part).loss
    return loss.detach(), torch.autograd.grad(loss, new)[0]


@pytest.mark.parametrize("name", LOSSES)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_masked_tokens_get_no_gradient_and_neither_split_nor_order_matters(name: str, data: st.DataObject):
    tokens = random_tokens(data)
    everything = torch.arange(len(tokens.sequence))
    loss, gradient = with_gradient(name, tokens, everything)
    assert (gradient[tokens.weights == 0] == 0).all()
    order = torch.tensor(data.draw(st.permutations(everything.tolist())))
    shuffled, moved = with_gradient(name, tokens, order)
    torch.testing.assert_close(shuffled, loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(moved, gradient[order], rtol=1e-5, atol=1e-5)
    rows = [everything[tokens.sequence % 2 == k] for k in (0, 1)]  # whole completions in each of two rows
    parts = [with_gradient(name, tokens, row) for row in rows]
    torch.testing.assert_close(parts[0][0] + parts[1][0], loss, rtol=1e-5, atol=1e-5)
    for row, (_, found) in zip(rows, parts, strict=True):
        torch.testing.assert_close(found, gradient[row], rtol=1e-5, atol=1e-5)
