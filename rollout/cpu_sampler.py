"""Draws tokens on a CPU by inverting the cumulative distribution: one random number a token.

vLLM's own kernel adds Gumbel noise to every logit: one random number and two logarithms an entry of the vocabulary, a
tenth of a small model's decoding. The distribution is the same, after temperature, top-k and top-p.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p

_BLOCK = 64  # entries of the vocabulary that are summed before the sums are searched


class InverseSampler(nn.Module):
    """In the place of vLLM's TopKTopPSampler, for log-probabilities of the distribution that is sampled."""

    def forward(
        self,
        logits: Float[Tensor, "B V"],
        generators: dict[int, torch.Generator],
        k: Int[Tensor, " B"] | None,
        p: Float[Tensor, " B"] | None,
    ) -> tuple[Int[Tensor, " B"], Float[Tensor, "B V"]]:
        """Sampled tokens and log-probabilities of all. `generators`: by row, those of requests with their own seed."""
        log_p = apply_top_k_top_p(logits, k, p).log_softmax(-1, dtype=torch.float32)
        uniform = torch.rand(len(logits), dtype=torch.float64)
        for row, generator in generators.items():
            uniform[row] = torch.rand((), dtype=torch.float64, generator=generator)
        return invert(log_p.exp(), uniform), log_p


def invert(p: Float[Tensor, "B V"], uniform: Float[Tensor, " B"]) -> Int[Tensor, " B"]:
    """The first token of each row at which the cumulative sum of `p` is above `uniform` (float64, in [0, 1)) times its
    total: token v with probability p_v / sum p, never one whose p is 0."""
    blocks = F.pad(p, (0, -p.shape[1] % _BLOCK)).unflatten(1, (-1, _BLOCK))
    block, left = _search(blocks.sum(-1).double(), uniform)
    token, _ = _search(blocks[torch.arange(len(p)), block].double(), left)
    return block * _BLOCK + token


def _search(mass: Float[Tensor, "B N"], uniform: Float[Tensor, " B"]) -> tuple[Int[Tensor, " B"], Float[Tensor, " B"]]:
    """The entry that `uniform` falls into, and where in it, again in [0, 1)."""
    cumulative = mass.cumsum(-1)
    point = uniform[:, None] * cumulative[:, -1:]
    entry = torch.searchsorted(cumulative, point, right=True)
    own = mass.gather(1, entry)
    inside = (point - (cumulative.gather(1, entry) - own)) / own
    return entry[:, 0], inside[:, 0].clamp(0.0, 1.0 - 2.0**-53)
