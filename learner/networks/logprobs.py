"""Log-probabilities and entropies of given tokens from hidden states, a part of the tokens at a time.

The matrix [tokens x vocabulary] never exists for more than one part: each part's logits are computed, reduced to two
numbers a token and dropped, and computed again for its gradient.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

_ENTROPY_ROWS = 64  # tokens whose p log p exists at a time
_ROUND = 32  # tokens that a bf16 product on a CPU is filled up to a multiple of


def idle_tokens(tokens: int, device: torch.device) -> int:
    """How many tokens fill `tokens` up for autocast on a CPU; 0 elsewhere.

    oneDNN keeps what it compiled for each number of rows that it ever multiplied: 0.6 GiB after 200 of them, of four
    layers' products; and attention what it compiled for each length: 1.2 GiB after 400.
    """
    rounded = device.type == "cpu" and torch.is_autocast_enabled("cpu")
    return -tokens % _ROUND if rounded else 0


def chunked_logprobs(
    head: nn.Module,
    hidden: Float[Tensor, "M D"],
    targets: Int[Tensor, " M"],
    pieces: int,
    temperature: float = 1.0,
    *,
    entropy_gradient: bool = False,
) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
    """Log-probability of each target and entropy (nats) of softmax(head(hidden) / temperature), fp32.

    Gradients flow through the entropy too where `entropy_gradient` says so.

    Always `pieces` parts, of equal size as far as that goes; of one part the logits are kept for the gradient.
    """

    def score(h: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        idle = idle_tokens(len(t), h.device)
        found: Any = _Score.apply(head(F.pad(h, (0, 0, 0, idle))), F.pad(t, (0, idle)), temperature, entropy_gradient)
        return found[0][: len(t)], found[1][: len(t)]

    def recomputed(h: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return checkpoint(score, h, t, use_reentrant=False)  # type: ignore[return-value]

    again = pieces > 1 and torch.is_grad_enabled() and hidden.requires_grad
    parts = zip(hidden.tensor_split(pieces), targets.tensor_split(pieces), strict=True)
    found = [(recomputed if again else score)(h, t) for h, t in parts]
    return torch.cat([f[0] for f in found]), torch.cat([f[1] for f in found])


class _Score(torch.autograd.Function):
    """(logits, targets, temperature, whether entropies have a gradient) -> (log-probabilities, entropies).

    One fp32 matrix beside the logits: the gradient takes its place. So one backward pass only."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, temperature: float, entropy_gradient: bool
    ) -> tuple[Tensor, Tensor]:
        if temperature != 1.0:
            logits = logits.float() / temperature
        log_p = torch.log_softmax(logits, -1, dtype=torch.float32)
        entropy = torch.cat([-(part.exp() * part).sum(-1) for part in log_p.split(_ENTROPY_ROWS)])
        ctx.save_for_backward(log_p, targets, entropy)
        ctx.temperature, ctx.entropy_gradient = temperature, entropy_gradient
        if not entropy_gradient:
            ctx.mark_non_differentiable(entropy)
        return log_p.gather(1, targets[:, None])[:, 0], entropy

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """d log p(target) / d logits = (1[target] - p) / temperature; d H / d logits = -p (log p + H) / temperature."""
        log_p, targets, entropy = ctx.saved_tensors
        scale = gradients[0][:, None] / ctx.temperature
        if ctx.entropy_gradient:
            worth = gradients[1][:, None] / ctx.temperature
            rows = (part.split(_ENTROPY_ROWS) for part in (log_p, scale, worth, entropy[:, None]))
            for part, s, w, h in zip(*rows, strict=True):
                part.copy_(-part.exp() * (s + w * (part + h)))
            gradient = log_p
        else:
            gradient = log_p.exp_().mul_(-scale)
        return gradient.scatter_add_(1, targets[:, None], scale), None, None, None
