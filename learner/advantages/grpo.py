"""Group-relative advantages: a completion against the mean of its group."""

from jaxtyping import Float, Int
from torch import Tensor

from stepcoder.learner.advantages.common import group_mean
from stepcoder.learner.advantages.completions import Completions

EPS = 1e-6


def grpo(completions: Completions) -> Float[Tensor, " N"]:
    """A_i = (R_i - mean) / (std + 1e-6) over the completions of one prompt, at every token of i.

    DeepSeekMath (Shao et al. 2024, section 4.1.2), whose KL penalty is in the loss. std is the sample deviation
    (n - 1), as in TRL and verl; the paper does not say which. Equal rewards get exactly 0. Penalties in the reward are
    centred and not divided: where rewards are equal, their spread is all there is, and would become 1 however small.
    """
    members = completions.members()
    rewards = _less_mean(completions.rewards.double(), members)
    penalties = _less_mean(completions.scores() - completions.rewards.double(), members)
    count = members.bincount(minlength=1)[members]
    squares = group_mean(rewards.square(), members) * count / (count - 1).clamp(min=1)
    return completions.on_tokens(rewards / (squares.sqrt() + EPS) + penalties)


def dr_grpo(completions: Completions) -> Float[Tensor, " N"]:
    """A_i = R_i - mean, at every token of i: GRPO without its division by the deviation, which favours prompts that
    are nearly always or nearly never solved   (Liu et al. 2025, "Understanding R1-Zero-like training").

    The other half of that paper is the loss's normaliser: `constant`.
    """
    return completions.on_tokens(_less_mean(completions.scores(), completions.members()))


def _less_mean(scores: Float[Tensor, " B"], members: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Score less the group's mean. In double precision the sum of equal single-precision rewards is exact, so that
    they leave exactly 0, not a rounding error for `grpo` to divide by next to nothing."""
    return scores - group_mean(scores, members)
