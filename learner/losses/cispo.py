"""Clipped importance weights in place of a clipped objective."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from stepcoder.learner.losses.tokens import ClipRange, LossTokens


def cispo(tokens: LossTokens, clip: ClipRange) -> tuple[Float[Tensor, ""], Bool[Tensor, " M"]]:
    """L = -sum_t w_t sg[clip(rho_t, 1 - low, 1 + high)] A_t log pi_t   (MiniMax-M1, Chen et al. 2025, eq. 4).

    No token loses its gradient: a ratio out of range only stops growing. low = 1 is no lower bound, as in the paper.
    """
    ratio = torch.exp(tokens.logprobs - tokens.old_logprobs).detach()
    held = torch.clamp(ratio, 1 - clip.low, 1 + clip.high)
    return -(held * tokens.advantages * tokens.logprobs * tokens.weights).sum(), held != ratio
