"""Losses over flat token vectors. The mask already says who counts; no loss decides that again.

Each returns a sum over tokens times `weights`: the normaliser is in the weights, computed once for
the whole batch, so that a loss does not depend on how the batch is split over micro-batches and ranks.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def loss_weights(
    mask: Bool[Tensor, " N"], sequence: Int[Tensor, " N"], normalizer: str, totals: "Totals"
) -> Float[Tensor, " N"]:
    """Weight of each token so that the weighted sum over all ranks is the wanted mean.

    masked_tokens: 1 / loss tokens; all_tokens: 1 / generated tokens; sequences: 1 / (loss tokens of the
    sequence x sequences that have any). A sequence with an empty mask adds nothing and makes no NaN.
    """
    weights = mask.float()
    if normalizer == "masked_tokens":
        return weights / max(totals.masked, 1)
    if normalizer == "all_tokens":
        return weights / max(totals.generated, 1)
    counts = torch.zeros(int(sequence.max()) + 1 if len(sequence) else 1).index_add_(0, sequence, weights)
    return weights / counts.clamp(min=1)[sequence] / max(totals.sequences, 1)


class Totals:
    """Counts over all ranks: loss tokens, generated tokens, sequences with at least one loss token."""

    __slots__ = ("masked", "generated", "sequences")

    def __init__(self, masked: float, generated: float, sequences: float) -> None:
        self.masked, self.generated, self.sequences = masked, generated, sequences


def ppo_clip(
    logprobs: Float[Tensor, " M"],
    old_logprobs: Float[Tensor, " M"],
    advantages: Float[Tensor, " M"],
    weights: Float[Tensor, " M"],
    clip_low: float,
    clip_high: float,
) -> tuple[Float[Tensor, ""], Bool[Tensor, " M"]]:
    """Clipped surrogate (Schulman et al. 2017, eq. 7), and where the clip was active.

    L = -sum_t w_t min(rho_t A_t, clip(rho_t, 1 - clip_low, 1 + clip_high) A_t)
    """
    ratio = torch.exp(logprobs - old_logprobs)
    plain = ratio * advantages
    clipped = torch.clamp(ratio, 1 - clip_low, 1 + clip_high) * advantages
    return -(torch.minimum(plain, clipped) * weights).sum(), (clipped < plain).detach()


def value_clip(
    values: Float[Tensor, " M"],
    old_values: Float[Tensor, " M"],
    returns: Float[Tensor, " M"],
    weights: Float[Tensor, " M"],
    clip: float,
) -> Float[Tensor, ""]:
    """Squared error with the value held near the old one, the larger of both (OpenAI baselines, ppo2)."""
    near = old_values + torch.clamp(values - old_values, -clip, clip)
    return (torch.maximum((values - returns).square(), (near - returns).square()) * weights).sum()
