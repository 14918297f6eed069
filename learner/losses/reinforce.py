"""The policy gradient without a ratio."""

import torch

from stepcoder.learner.losses.tokens import LossTokens, PolicyLoss


def reinforce(tokens: LossTokens) -> PolicyLoss:
    """L = -sum_t w_t A_t log pi_t   (Williams 1992); nothing is ever clipped.

    Exact for one update a step. Further ones (minibatches, epochs) train on what older weights sampled, uncorrected.
    """
    loss = -(tokens.advantages * tokens.logprobs * tokens.weights).sum()
    return PolicyLoss(loss, torch.zeros_like(tokens.logprobs, dtype=torch.bool))
