"""KL estimators and the adaptive coefficient."""

import math

import pytest
import torch

from stepcoder.learner.kl import KL_ESTIMATORS, KLFactor


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # log-ratios pi over reference: 0.5, 0, -1
        ("k1", [0.5, 0.0, -1.0]),
        ("k2", [0.125, 0.0, 0.5]),
        ("k3", [math.exp(-0.5) - 1 + 0.5, 0.0, math.e - 1 - 1]),
    ],
)
def test_estimators_by_hand(name: str, expected: list[float]):
    found = KL_ESTIMATORS[name](torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([-1.5, -2.0, -2.0]))
    assert found.tolist() == pytest.approx(expected)


# A policy over three tokens and its reference; expectations are exact sums over the tokens.
POLICY, REFERENCE = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.4, 0.4, 0.2])


def test_k1_and_k3_have_the_divergence_as_their_mean():
    # 0.5 log(5/4) + 0.3 log(3/4) + 0 = 0.1116 - 0.0863 = 0.02527
    exact = 0.5 * math.log(1.25) + 0.3 * math.log(0.75)
    for name in ("k1", "k3"):
        per_token = KL_ESTIMATORS[name](POLICY.log(), REFERENCE.log())
        assert (POLICY * per_token).sum().item() == pytest.approx(exact, abs=1e-6)


def test_as_a_loss_k2_has_the_penaltys_gradient_and_k1_has_none():
    logits = POLICY.log().requires_grad_()
    logprobs = torch.log_softmax(logits, -1)
    (exact,) = torch.autograd.grad((logprobs.exp() * (logprobs - REFERENCE.log())).sum(), logits)

    def expected_gradient(name: str) -> torch.Tensor:
        """Of sampled tokens' terms: the expectation is over fixed probabilities, as in training."""
        logprobs = torch.log_softmax(logits, -1)
        return torch.autograd.grad((POLICY * KL_ESTIMATORS[name](logprobs, REFERENCE.log())).sum(), logits)[0]

    torch.testing.assert_close(expected_gradient("k2"), exact, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(expected_gradient("k1"), torch.zeros(3), rtol=0, atol=1e-6)
    assert exact.abs().max() > 0.01


def test_the_coefficient_follows_its_target():
    # target 0.1, gain 0.1: KL 0.11 is 10% over -> 1.01; 0.5 is far over, counted as 20% -> 1.01 * 1.02;
    # 0.09 is 10% under -> * 0.99; a negative estimate is far under -> * 0.98; not a number changes nothing
    factor, expected = KLFactor(), 1.0
    for kl, change in ((0.11, 1.01), (0.5, 1.02), (0.1, 1.0), (0.09, 0.99), (-0.3, 0.98), (math.nan, 1.0)):
        factor.follow(kl, 0.1, 0.1)
        expected *= change
        assert factor.value == pytest.approx(expected)
