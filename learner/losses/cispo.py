"""Clipped importance weights in place of a clipped objective."""

import torch

from stepcoder.learner.losses.tokens import LossTokens, PolicyLoss


def cispo(tokens: LossTokens, clip_low: float, clip_high: float) -> PolicyLoss:
    """L = -sum_t w_t sg[clip(rho_t, 1 - low, 1 + high)] A_t log pi_t   (MiniMax-M1, Chen et al. 2025, eq. 4).

    No token loses its gradient: a ratio out of range only stops growing. low = 1 is no lower bound, as in the paper.
    """
    ratio = torch.exp(tokens.logprobs - tokens.old_logprobs).detach()
    held = torch.clamp(ratio, 1 - clip_low, 1 + clip_high)
    loss = -(held * tokens.advantages * tokens.logprobs * tokens.weights).sum()
    return PolicyLoss(loss, held != ratio)
