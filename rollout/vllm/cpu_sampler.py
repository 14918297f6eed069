"""Draws tokens on a CPU by inverting the cumulative distribution: one random number a token, no sort of the vocabulary.

vLLM's own sampler adds Gumbel noise to every logit (one random number and two logarithms an entry of the vocabulary),
sorts the whole vocabulary for top-p, and ranks the drawn token. Here the probabilities are computed once, and a
truncated distribution is searched among its most likely tokens alone. The distribution drawn from is the same.

Invariant: the reported log-probability is that of the token under the *untruncated* distribution after temperature.
A policy-gradient ratio compares the learner's full softmax with the same function of the weights that sampled: with
top-p or top-k the two agree as long as the weights do. Under the truncated distribution it is larger by minus the
logarithm of the kept mass, at every position, which would read as a change of the policy. A weight from the sampled
to the learner's distribution would need that factor, between top-p and 1; it is left out, as a constant would be.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from vllm.v1.outputs import LogprobsTensors, SamplerOutput
from vllm.v1.sample.metadata import SamplingMetadata
from vllm.v1.sample.sampler import Sampler

_BLOCKS = 128  # groups of the vocabulary that are summed before the sums are searched
_MEMBERS = 32  # entries of a group whose maximum is looked at before they are
_FIRST = 16  # most likely tokens that a truncated distribution is first looked for in; 16 times as many at each turn
_GREEDY = 1e-5  # temperatures below are greedy, as vLLM has it


class InverseSampler(Sampler):
    """In the place of vLLM's Sampler, for requests that want the sampled token's log-probability and no other."""

    def forward(
        self,
        logits: Float[Tensor, "B V"],
        sampling_metadata: SamplingMetadata,
        predict_bonus_token: bool = False,
        logprobs_mode_override: object = None,
    ) -> SamplerOutput:
        wanted = sampling_metadata
        if wanted.max_num_logprobs not in (None, 0) or wanted.logprob_token_ids:
            raise ValueError("the CPU sampler reports the sampled token's log-probability only: ask for logprobs=0")
        # penalties, bad words, min-p: each returns its argument when no request uses it
        logits = self.apply_logits_processors(logits.float(), wanted, predict_bonus_token)
        greedy = None if wanted.all_random else logits.argmax(-1)
        if wanted.temperature is not None:
            heat = wanted.temperature
            logits = logits.div_(torch.where(heat < _GREEDY, 1.0, heat)[:, None]) if (heat != 1.0).any() else logits
            for processor in wanted.logitsprocs.argmax_invariant:
                logits = processor.apply(logits)
        p = logits.softmax(-1)
        if wanted.all_greedy:
            assert greedy is not None
            token = greedy
        else:
            token = draw(logits, p, uniform(len(p), wanted.generators), wanted.top_k, wanted.top_p)
            if greedy is not None and wanted.temperature is not None:
                token = torch.where(wanted.temperature < _GREEDY, greedy, token)
        ids = token.int()[:, None]
        rank = torch.zeros_like(token)  # nobody reads it
        return SamplerOutput(ids, LogprobsTensors(ids, p.gather(1, token[:, None]).log(), rank))


def uniform(count: int, generators: dict[int, torch.Generator]) -> Float[Tensor, " B"]:
    """One number in [0, 1) a row. `generators`: by row, those of requests with their own seed."""
    numbers = torch.rand(count, dtype=torch.float64)
    for row, generator in generators.items():
        numbers[row] = torch.rand((), dtype=torch.float64, generator=generator)
    return numbers


def draw(
    logits: Float[Tensor, "B V"],
    p: Float[Tensor, "B V"],
    uniform: Float[Tensor, " B"],
    top_k: Int[Tensor, " B"] | None,
    top_p: Float[Tensor, " B"] | None,
) -> Int[Tensor, " B"]:
    """A token a row. `p` is `logits`' softmax; a row is truncated where its `top_k` < V or its `top_p` < 1."""
    rows, vocabulary = p.shape
    k = torch.full((rows,), vocabulary) if top_k is None else top_k.long().clamp(1, vocabulary)
    mass = torch.ones(rows) if top_p is None else top_p
    cut = (k < vocabulary) | (mass < 1.0)
    if not cut.any():
        return invert(p, uniform)
    tokens = torch.empty(rows, dtype=torch.long)
    if not cut.all():
        tokens[~cut] = invert(p[~cut], uniform[~cut])
    left, count = cut.nonzero()[:, 0], _FIRST
    while len(left):
        values, ids = largest(logits if len(left) == rows else logits[left], min(count, vocabulary))
        kept, sure = nucleus(values, p[left[:, None], ids], k[left], mass[left], vocabulary)
        drawn = _search(kept[sure], uniform[left[sure]]).entry
        tokens[left[sure]] = ids[sure].gather(1, drawn[:, None])[:, 0]
        left, count = left[~sure], 16 * count
    return tokens


def largest(logits: Float[Tensor, "R V"], n: int) -> tuple[Float[Tensor, "R N"], Int[Tensor, "R N"]]:
    """The n largest of each row, falling, and their places; which of equal ones is not defined.

    All of them are in the n groups with the largest maxima: whatever is in another is at most each of these n. A group
    is every (V / 32)-th entry, so that the maxima are taken at the full width of the CPU's registers.
    """
    vocabulary = logits.shape[1]
    if vocabulary % _MEMBERS or n * _MEMBERS > vocabulary // 2:
        return logits.topk(n)
    members = logits.unflatten(1, (_MEMBERS, -1))
    groups = members.amax(1).topk(n, sorted=False).indices
    offsets = torch.arange(0, vocabulary, vocabulary // _MEMBERS)
    ids = (groups[:, None, :] + offsets[None, :, None]).flatten(1)
    values, places = logits.gather(1, ids).topk(n)
    return values, ids.gather(1, places)


def nucleus(
    values: Float[Tensor, "R N"],
    p: Float[Tensor, "R N"],
    k: Int[Tensor, " R"],
    mass: Float[Tensor, " R"],
    vocabulary: int,
) -> tuple[Float[Tensor, "R N"], Bool[Tensor, " R"]]:
    """Probabilities (float64, 0 for dropped tokens) of the N most likely tokens, and the rows in which that is sure.

    `values`: their logits, falling. As vLLM has it: first the k largest and their equals are kept; of these the fewest,
    from the top, that hold `mass` of what these hold. Which of equal ones it is that the mass still needs is not
    defined. A row is sure when no token outside of the N can be kept.
    """
    n = values.shape[1]
    last = values.gather(1, k.clamp(max=n)[:, None] - 1)
    inside = values >= last
    p = torch.where(inside, p.double(), 0.0)
    total = torch.where(k <= n, p.sum(-1), 1.0)
    sums = p.cumsum(-1)
    target = torch.where(mass < 1.0, mass.double() * total, torch.inf)  # at 1 nothing is cut, whatever a sum rounds to
    kept = inside & (sums - p < target[:, None])
    kept[:, 0] = True
    complete_k = (k < n) & (values[:, -1] < last[:, 0])
    complete_p = (k >= vocabulary) & (sums[:, -1] >= target)
    sure = complete_k | complete_p | (n == vocabulary)
    return torch.where(kept, p, 0.0), sure


def invert(p: Float[Tensor, "B V"], uniform: Float[Tensor, " B"]) -> Int[Tensor, " B"]:
    """A token of each row: v with probability p_v / sum p, never one whose p is 0.

    It is the one at which the cumulative sum is above `uniform` (float64, in [0, 1)) times the total. The sum runs over
    every N-th token from 0, then from 1 and so on, N the vocabulary by 128: whole rows are added, at full width.
    """
    if short := -p.shape[1] % _BLOCKS:
        p = torch.nn.functional.pad(p, (0, short))
    members = p.unflatten(1, (_BLOCKS, -1))  # adding whole rows of it uses the full width of the CPU's registers
    block = _search(members.sum(1).double(), uniform)
    token = _search(members[torch.arange(len(p)), :, block.entry].double(), block.inside)
    return token.entry * members.shape[2] + block.entry


class _Found(NamedTuple):
    """Of each row the entry that a number falls into, and where in it, again in [0, 1)."""

    entry: Int[Tensor, " B"]
    inside: Float[Tensor, " B"]


def _search(mass: Float[Tensor, "B N"], uniform: Float[Tensor, " B"]) -> _Found:
    cumulative = mass.cumsum(-1)
    point = uniform[:, None] * cumulative[:, -1:]
    entry = torch.searchsorted(cumulative, point, right=True)
    own = mass.gather(1, entry)
    inside = (point - (cumulative.gather(1, entry) - own)) / own
    return _Found(entry[:, 0], inside[:, 0].clamp(0.0, 1.0 - 2.0**-53))
