"""Attention over a packed row: a token sees its own prompt and its own completion, and no [L x L] mask exists.

A prompt and the first completion behind it are one causal sequence. The group's other completions are computed
in batches whose keys are the prompt and their own tokens; only here are they padded. transformers knows this as the
attention implementation `ATTENTION`; a model that has it is called with `layout=`, which reaches every layer. The row
is taken apart with split and put together with cat, whose gradients are each other.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AttentionInterface

from stepcoder.learner.networks.logprobs import idle_tokens

ATTENTION = "shared_prompt"
QUERY_BLOCK = 256  # completion tokens a masked product: its mask is [these, keys] and masks little in vain
SHORTEST = 0.9  # of a batch's longest completion: what is padded to it is at least so long

# What some architectures add to the scores, and this attention does not.
UNKNOWN = ("softcap", "s_aux", "position_bias", "position_biases", "alibi")


@dataclass(frozen=True, slots=True)
class Group:
    """One prompt of a row and the completions that follow it, in tokens; none is empty."""

    prompt: int
    completions: tuple[int, ...] = ()

    @property
    def segments(self) -> tuple[int, ...]:
        """Lengths of the causal sequence (prompt and first completion) and of the other completions."""
        return (self.prompt + sum(self.completions[:1]), *self.completions[1:])

    @property
    def longest(self) -> int:
        return self.prompt + max(self.completions, default=0)


def shared_prompt_attention(
    module: nn.Module,
    query: Float[Tensor, "1 H L D"],
    key: Float[Tensor, "1 G L D"],
    value: Float[Tensor, "1 G L D"],
    attention_mask: Tensor | None,
    *,
    layout: Sequence[Group],
    scaling: float | None = None,
    sliding_window: int | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Float[Tensor, "1 L H D"], None]:
    """The layers' attention over rows laid out as `layout`; H query heads share G key heads.

    Raises ValueError for what it cannot express. Under autocast it computes in autocast's type, as plain attention
    does.
    """
    _refuse(module, attention_mask, layout, sliding_window, dropout, kwargs)
    device, heads = query.device.type, key.shape[1]
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else query.dtype
    sizes = [n for group in layout for n in group.segments]
    # [G, n, H / G, D] and [G, n, D] a segment: the queries that share a key head lie beside each other
    q = query[0].to(dtype).unflatten(0, (heads, -1)).transpose(1, 2).split(sizes, dim=1)
    k, v = (x[0].to(dtype).split(sizes, dim=1) for x in (key, value))
    out, at = [], 0
    for group in layout:
        here = slice(at, at + len(group.segments))
        out += _group(group, q[here], k[here], v[here], scaling)
        at = here.stop
    return torch.cat([part.transpose(0, 1) for part in out]).flatten(1, 2)[None], None


AttentionInterface.register(ATTENTION, shared_prompt_attention)


def _group(
    group: Group, q: Sequence[Tensor], k: Sequence[Tensor], v: Sequence[Tensor], scaling: float | None
) -> list[Tensor]:
    """Outputs of a group's segments, [G, n, H / G, D] each, in their order."""
    found = {0: _causal(q[0], k[0], v[0], scaling)}
    prompt = k[0][:, : group.prompt], v[0][:, : group.prompt]
    for batch in batches(group.segments[1:]):
        members = [i + 1 for i in batch]
        parts = _completions(
            [q[i] for i in members], [k[i] for i in members], [v[i] for i in members], *prompt, scaling
        )
        found |= zip(members, parts, strict=True)
    return [found[i] for i in range(len(q))]


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of completions that are computed together: longest first, little padding."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batch and lengths[i] < SHORTEST * lengths[batch[0]]:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _causal(q: Tensor, k: Tensor, v: Tensor, scaling: float | None) -> Tensor:
    heads, length = q.shape[:2]
    if idle := idle_tokens(length, q.device):  # behind all others, so that nothing sees them
        q, k, v = (F.pad(x, (*(0, 0) * (x.ndim - 2), 0, idle)) for x in (q, k, v))
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2).flatten(0, 1)[None], k[None], v[None], is_causal=True, scale=scaling, enable_gqa=True
    )
    return out[0].unflatten(0, (heads, -1)).transpose(1, 2)[:, :length]


def _completions(
    q: list[Tensor], k: list[Tensor], v: list[Tensor], prompt_k: Tensor, prompt_v: Tensor, scaling: float | None
) -> Iterable[Tensor]:
    """Completions behind one prompt, as a batch of B with C tokens: the queries of a key head are rows of one product.

    The batch is the second dimension and the key heads are the first, so that everything is copied once.
    """
    shared, count, start = q[0].shape[2], len(q), prompt_k.shape[1]
    width = len(q[0][0]) + idle_tokens(len(q[0][0]), q[0].device)
    idle = idle_tokens(start, q[0].device)  # keys behind all others; each query's mask hides them
    queries = _padded(q, width).unflatten(1, (count, width)).flatten(2, 3)  # [G, B, C * H / G, D]
    keys = _padded(k, width + idle, prompt_k).unflatten(1, (count, -1))  # [G, B, P + C, D]
    values = _padded(v, width + idle, prompt_v).unflatten(1, (count, -1))
    out = []
    for at, block in enumerate(queries.split(QUERY_BLOCK * shared, dim=2)):
        seen = start + at * QUERY_BLOCK
        rows = block.shape[2] // shared
        end = seen + rows + idle
        mask = _visible(seen, rows, end, shared, block.dtype, block.device)
        out.append(
            F.scaled_dot_product_attention(block, keys[:, :, :end], values[:, :, :end], attn_mask=mask, scale=scaling)
        )
    whole = out[0] if len(out) == 1 else torch.cat(out, 2)
    lengths = [n for x in q for n in (x.shape[1], width - x.shape[1])]
    return whole.unflatten(2, (width, shared)).flatten(1, 2).split(lengths, dim=1)[::2]


def _padded(parts: list[Tensor], width: int, prefix: Tensor | None = None) -> Tensor:
    """[G, count * (prefix + width), ...]: each part behind the prefix and followed by zeros."""
    pieces = []
    for part in parts:
        pieces += [] if prefix is None else [prefix]
        pieces.append(part)
        if part.shape[1] < width:
            pieces.append(part.new_zeros(part.shape[0], width - part.shape[1], *part.shape[2:]))
    return torch.cat(pieces, 1)


@lru_cache(maxsize=8)
def _visible(seen: int, count: int, width: int, shared: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """What is added to the scores of `count` tokens, `shared` queries each, behind `seen` of `width` keys: 0 or -inf.

    Kept, so that all layers share it; with rows of a length that kernels on GPUs like.
    """
    bias = torch.zeros(count, -(-width // 16) * 16, dtype=dtype, device=device)
    hidden = torch.ones_like(bias, dtype=torch.bool).triu(seen + 1)
    return bias.masked_fill_(hidden, -torch.inf).repeat_interleave(shared, 0)[:, :width]


def _refuse(
    module: nn.Module,
    attention_mask: Tensor | None,
    layout: Sequence[Group],
    sliding_window: int | None,
    dropout: float,
    kwargs: dict[str, Any],
) -> None:
    name = type(module).__name__
    if attention_mask is not None:
        raise ValueError(f"{name} got a mask; a packed row is described by its layout alone")
    if dropout or not getattr(module, "is_causal", True):
        raise ValueError(f"{name} has dropout or is not causal; packed rows are exact for neither")
    if added := [key for key in UNKNOWN if kwargs.get(key) is not None]:
        raise ValueError(f"{name} uses {', '.join(added)}, which packed rows do not express")
    if sliding_window is not None and (longest := max(g.longest for g in layout)) > sliding_window:
        raise ValueError(f"{name} sees {sliding_window} tokens; a prompt and its completion have {longest}")
