"""Weights of tokens in a loss, and the value loss. The mask already says who counts; no loss decides that again.

A loss is a sum over tokens times `weights`: the normaliser is in the weights, computed once for
the whole batch, so that a loss does not depend on how the batch is split over micro-batches and ranks.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from stepcoder.learner.config import AllTokens, Constant, MaskedTokens, Normalizer


def loss_weights(
    mask: Bool[Tensor, " N"],
    sequence: Int[Tensor, " N"],
    normalizer: Normalizer,
    totals: "Totals",
) -> Float[Tensor, " N"]:
    """Weight of each token so that the weighted sum over all ranks is the wanted mean.

    masked_tokens: 1 / loss tokens; all_tokens: 1 / generated tokens; sequences: 1 / (loss tokens of the
    sequence x sequences that have any); constant: 1 / (its tokens x completions), Dr.GRPO's (Liu et al. 2025).
    A sequence with an empty mask adds nothing and makes no NaN.
    """
    weights = mask.float()
    if isinstance(normalizer, MaskedTokens):
        return weights / max(totals.masked, 1)
    if isinstance(normalizer, AllTokens):
        return weights / totals.generated
    if isinstance(normalizer, Constant):
        assert normalizer.tokens is not None, "the constant normaliser needs its number of tokens"
        return weights / (normalizer.tokens * totals.completions)
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


def whole_completions(
    gaps: Sequence[Tensor], lengths: Sequence[int], low: float | None, high: float | None
) -> Bool[Tensor, " B"]:
    """Completions whose geometric mean ratio exp((1 / n) sum_t (log pi_old - log pi_sampler)) is within the limits.

    `gaps` are the sums, `lengths` the n. Source: sequence-level masked importance sampling with a geometric mean, Liu
    et al. 2025 ("When Speed Kills Stability").
    """
    means = torch.stack([gap / n for gap, n in zip(gaps, lengths, strict=True)]) if gaps else torch.zeros(0)
    ratio = means.exp()
    return (ratio >= (low or 0.0)) & (ratio <= (high or torch.inf))


def sampler_correction(
    old: Float[Tensor, " N"],
    sampler: Float[Tensor, " N"],
    cap: float | None,
    low: float | None = None,
    high: float | None = None,
) -> Float[Tensor, " N"]:
    """Truncated importance weights min(rho, cap), rho = pi_old / pi_sampler; 0 where rho is
    below `low` or above `high`.

    What was sampled came from the engine's numbers, which are those of another kernel and, with max_staleness, of older
    weights. Without a cap a token weighs 1 within the limits. A masked token still counts in the normaliser.
    """
    ratio = torch.exp(old - sampler)
    weights = torch.ones_like(old) if cap is None else ratio.clamp(max=cap)
    outside = (ratio < (low or 0.0)) | (ratio > (high or torch.inf))
    return torch.where(outside, torch.zeros_like(weights), weights)
