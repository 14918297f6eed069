"""Group sequence policy optimisation: one ratio for a whole completion."""

import torch

from stepcoder.learner.losses.ppo import clipped_surrogate
from stepcoder.learner.losses.tokens import LossTokens, PolicyLoss


def gspo(tokens: LossTokens, clip_low: float, clip_high: float) -> PolicyLoss:
    """PPO's surrogate with the sequence's ratio in place of the token's   (Zheng et al. 2025, eqs. 5, 7, 13, 14).

    s_i = exp(1/|y_i| sum_t (log pi - log pi_old)),  s_it = sg[s_i] pi_t / sg[pi_t]
    L = -sum_it w_it min(s_it A_it, clip(s_it, 1 - low, 1 + high) A_it)

    The paper's GSPO-token form: value and gradient are GSPO's where a completion has one advantage, and each
    token's mask and advantage still count. s_i is over all tokens of the completion, in the loss or not; its value
    alone is used, so tokens outside the mask get no gradient. With the normaliser `sequences` this is the paper's mean.
    """
    change = (tokens.logprobs - tokens.old_logprobs).detach()
    size = int(tokens.sequence.max()) + 1 if len(tokens.sequence) else 1
    total = torch.zeros(size, dtype=change.dtype, device=change.device).index_add_(0, tokens.sequence, change)
    mean = (total / torch.bincount(tokens.sequence, minlength=size))[tokens.sequence]
    ratio = torch.exp(mean + tokens.logprobs - tokens.logprobs.detach())
    return clipped_surrogate(ratio, tokens, clip_low, clip_high)
