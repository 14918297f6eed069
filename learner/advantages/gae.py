"""Generalised advantage estimation, with a critic."""

import torch
from jaxtyping import Float
from torch import Tensor

from stepcoder.learner.advantages.common import gae, token_rewards
from stepcoder.learner.advantages.completions import Completions


def gae_with_critic(completions: Completions, gamma: float, lam: float) -> Float[Tensor, " N"]:
    """delta_t = r_t + gamma V_{t+1} - V_t,  A_t = delta_t + gamma lambda A_{t+1}   (Schulman et al. 2016, eq. 16).

    r_t is the KL penalty, and at the last token the completion's reward too. The whole completion counts, whatever
    the mask of the loss.
    """
    assert completions.values is not None, "this estimator needs a critic"
    advantages = torch.zeros_like(completions.values)
    for span, reward in zip(completions.spans(), completions.rewards, strict=True):
        rewards = token_rewards(completions.penalties[span], reward)
        advantages[span] = gae(rewards, completions.values[span], gamma, lam)
    return advantages
