"""REINFORCE++: returns to go, normalised over the whole batch instead of within a prompt (Hu et al. 2025).

The normalisation over the loss tokens of all ranks comes after, in the update (`learner.advantage.normalize`):
mean 0 and deviation 1 without a baseline, scaled alone with one.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from stepcoder.learner.advantages.common import gae, group_mean, token_rewards
from stepcoder.learner.advantages.completions import Completions


def reinforce_plus_plus(completions: Completions, gamma: float) -> Float[Tensor, " N"]:
    """A_t = sum_{s >= t} gamma^(s-t) r_s, with r_s the KL penalty and, at the last token, the completion's reward."""
    return _returns_to_go(completions, completions.rewards, gamma)


def reinforce_plus_plus_baseline(completions: Completions, gamma: float) -> Float[Tensor, " N"]:
    """The same with each reward less the mean of its group, itself included: for several completions of a prompt."""
    rewards = completions.rewards.double()
    return _returns_to_go(completions, (rewards - group_mean(rewards, completions.members())).float(), gamma)


def _returns_to_go(completions: Completions, rewards: Float[Tensor, " B"], gamma: float) -> Float[Tensor, " N"]:
    """GAE with lambda 1 and no critic."""
    advantages = torch.zeros_like(completions.penalties)
    for span, reward in zip(completions.spans(), rewards, strict=True):
        tokens = token_rewards(completions.penalties[span], reward)
        advantages[span] = gae(tokens, torch.zeros_like(tokens), gamma, 1.0)
    return advantages
