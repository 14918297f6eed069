"""What a policy loss sees: the tokens of one row, whole completions."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LossTokens:
    """M tokens. `weights` hold mask, normaliser and importance weight, so a loss is a sum over tokens; `sequence[j]`
    names the completion of token j. Gradients flow through `logprobs` alone."""

    logprobs: Float[Tensor, " M"]
    old_logprobs: Float[Tensor, " M"]
    advantages: Float[Tensor, " M"]
    weights: Float[Tensor, " M"]
    sequence: Int[Tensor, " M"]


@dataclass(frozen=True, slots=True, eq=False)
class PolicyLoss:
    """The loss, a sum over tokens, and the tokens at which its clip was active."""

    loss: Float[Tensor, ""]
    clipped: Bool[Tensor, " M"]
