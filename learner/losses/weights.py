"""Weights of tokens in a loss, and the value loss. The mask already says who counts; no loss decides that again.

A loss is a sum over tokens times `weights`: the normaliser is in the weights, computed once for
the whole batch, so that a loss does not depend on how the batch is split over micro-batches and ranks.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def loss_weights(
    mask: Bool[Tensor, " N"],
    sequence: Int[Tensor, " N"],
    normalizer: str,
    totals: "Totals",
    constant: float | None = None,
) -> Float[Tensor, " N"]:
    """Weight of each token so that the weighted sum over all ranks is the wanted mean.

    masked_tokens: 1 / loss tokens; all_tokens: 1 / generated tokens; sequences: 1 / (loss tokens of the
    sequence x sequences that have any); constant: 1 / (`constant` tokens x completions), Dr.GRPO's (Liu et al. 2025).
    A sequence with an empty mask adds nothing and makes no NaN.
    """
    weights = mask.float()
    if normalizer == "masked_tokens":
        return weights / max(totals.masked, 1)
    if normalizer == "all_tokens":
        return weights / totals.generated
    if normalizer == "constant":
        assert constant is not None, "the constant normaliser needs its number of tokens"
        return weights / (constant * totals.completions)
    counts = torch.zeros(int(sequence.max()) + 1 if len(sequence) else 1).index_add_(0, sequence, weights)
    return weights / counts.clamp(min=1)[sequence] / max(totals.sequences, 1)


class Totals:
    """Counts over all ranks: loss tokens, generated tokens, sequences with at least one loss token, completions."""

    __slots__ = ("masked", "generated", "sequences", "completions")

    def __init__(self, masked: float, generated: float, sequences: float, completions: float) -> None:
        self.masked, self.generated, self.sequences, self.completions = masked, generated, sequences, completions


def value_clip(
    values: Float[Tensor, " M"],
    old_values: Float[Tensor, " M"],
    returns: Float[Tensor, " M"],
    weights: Float[Tensor, " M"],
    clip: float | None,
) -> Float[Tensor, ""]:
    """Squared error with the value held near the old one, the larger of both (OpenAI baselines, ppo2); the plain
    squared error without a clip."""
    if clip is None:
        return ((values - returns).square() * weights).sum()
    near = old_values + torch.clamp(values - old_values, -clip, clip)
    return (torch.maximum((values - returns).square(), (near - returns).square()) * weights).sum()
