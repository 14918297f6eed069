"""How far the policy is from the reference: estimators, and a coefficient that follows a target."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

# How far one step's error counts, as in Ziegler et al. 2019.
ERROR_LIMIT = 0.2


def k1(logprobs: Float[Tensor, " M"], reference: Float[Tensor, " M"]) -> Float[Tensor, " M"]:
    """log pi - log pi_ref: unbiased, of either sign   (Schulman, "Approximating KL divergence", 2020).

    Right in the reward; its own gradient is 0 in expectation, so it is no loss.
    """
    return logprobs - reference


def k2(logprobs: Float[Tensor, " M"], reference: Float[Tensor, " M"]) -> Float[Tensor, " M"]:
    """(log pi - log pi_ref)^2 / 2: biased, never negative (Schulman 2020). As a loss its gradient is that of the KL
    penalty, for tokens that the policy sampled."""
    return 0.5 * (logprobs - reference).square()


def k3(logprobs: Float[Tensor, " M"], reference: Float[Tensor, " M"]) -> Float[Tensor, " M"]:
    """x - 1 - log x with x = pi_ref / pi: unbiased, never negative (Schulman 2020); the loss of GRPO (Shao et al. 2024,
    eq. 4)."""
    change = reference - logprobs
    return torch.exp(change) - 1 - change


KL_ESTIMATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"k1": k1, "k2": k2, "k3": k3}


@dataclass(slots=True)
class KLFactor:
    """What the configured coefficient is multiplied with: 1 unless it follows a target. Part of a checkpoint."""

    value: float = 1.0

    def follow(self, kl: float, target: float, gain: float) -> None:
        """beta <- beta (1 + gain e), e = clip(KL / target - 1, -0.2, 0.2)   (Ziegler et al. 2019, section 2.2).

        A KL that is not finite changes nothing.
        """
        if math.isfinite(kl):
            self.value *= 1 + gain * max(-ERROR_LIMIT, min(ERROR_LIMIT, kl / target - 1))
