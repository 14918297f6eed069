"""PPO's clipped surrogate, and its dual-clip form."""

import torch
from jaxtyping import Float
from torch import Tensor

from stepcoder.learner.losses.tokens import LossTokens, PolicyLoss


def ppo_clip(tokens: LossTokens, clip_low: float, clip_high: float) -> PolicyLoss:
    """Clipped surrogate (Schulman et al. 2017, eq. 7), and where the clip was active.

    L = -sum_t w_t min(rho_t A_t, clip(rho_t, 1 - low, 1 + high) A_t);  high > low is DAPO's clip-higher
    (Yu et al. 2025, section 3.1)
    """
    ratio = torch.exp(tokens.logprobs - tokens.old_logprobs)
    return clipped_surrogate(ratio, tokens, clip_low, clip_high)


def dual_clip(tokens: LossTokens, clip_low: float, clip_high: float, dual_clip: float) -> PolicyLoss:
    """PPO's surrogate, bounded below by c A_t where A_t < 0   (Ye et al. 2020, eq. 5).

    L = -sum_t w_t max(min(rho_t A_t, clip(rho_t) A_t), c A_t) for A_t < 0, else PPO's: a token that has become far more
    likely than it was, with a bad outcome, does not pull without limit.
    """
    ratio = torch.exp(tokens.logprobs - tokens.old_logprobs)
    plain = ratio * tokens.advantages
    clipped = torch.clamp(ratio, 1 - clip_low, 1 + clip_high) * tokens.advantages
    surrogate, floor = torch.minimum(plain, clipped), dual_clip * tokens.advantages
    bounded = (tokens.advantages < 0) & (surrogate < floor)
    surrogate = torch.where(bounded, floor, surrogate)
    return PolicyLoss(-(surrogate * tokens.weights).sum(), ((clipped < plain) | bounded).detach())


def clipped_surrogate(ratio: Float[Tensor, " M"], tokens: LossTokens, clip_low: float, clip_high: float) -> PolicyLoss:
    """-sum_t w_t min(ratio_t A_t, clip(ratio_t) A_t), and where the clip was active, for any kind of ratio."""
    plain = ratio * tokens.advantages
    clipped = torch.clamp(ratio, 1 - clip_low, 1 + clip_high) * tokens.advantages
    return PolicyLoss(-(torch.minimum(plain, clipped) * tokens.weights).sum(), (clipped < plain).detach())
