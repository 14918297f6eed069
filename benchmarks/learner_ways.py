"""The same completions laid out and scored in three ways: packed, padded, and packed under a dense mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Work:
    """What every way has to do."""

    model: str
    prompts: int
    prompt_tokens: int
    completions: int
    completion_tokens: int
    equal: bool
    seed: int
    precision: str
    checkpointing: bool
    chunk: int
    token_budget: int
    padded_batch: int = 16
    device: str = "cpu"

    def lengths(self) -> list[list[int]]:
        """Completion lengths a prompt; unequal ones are uniform between half and one and a half of the mean."""
        n, shape = self.completion_tokens, (self.prompts, self.completions)
        if self.equal:
            return np.full(shape, n).tolist()
        return np.random.default_rng(self.seed).integers(n // 2, n + n // 2, shape, endpoint=True).tolist()

    @property
    def tokens(self) -> int:
        return self.prompts * self.prompt_tokens + sum(map(sum, self.lengths()))

    @property
    def needed(self) -> int:
        return self.tokens - self.prompts * self.completions


def pieces(work: Work, vocabulary: int) -> list[Any]:
    """Random tokens, the same for every way."""
    from stepcoder.learner.packing import Piece

    draw, found, start = np.random.default_rng(work.seed), [], 0
    for lengths in work.lengths():
        items = []
        for n in lengths:
            items.append((draw.integers(0, vocabulary, n), start))
            start += n
        found.append(Piece(draw.integers(0, vocabulary, work.prompt_tokens), tuple(items)))
    return found


def load_packed(work: Work, path: Path) -> Any:
    from stepcoder.learner.networks.models import load_policy

    return load_policy(path, **precision(work), checkpointing=work.checkpointing)


def load_dense(work: Work, path: Path) -> Any:
    """transformers' own attention, with the mask in the layout's place."""
    policy = load_packed(work, path)
    policy.model.set_attn_implementation("sdpa")
    decoder = policy.model.get_decoder()
    policy.model.get_decoder = lambda: lambda layout, **inputs: decoder(attention_mask=layout, **inputs)
    return policy


def load_padded(work: Work, path: Path) -> Any:
    """Plain transformers; only the log-probabilities are taken as the learner takes them."""
    from transformers import AutoModelForCausalLM

    from stepcoder.learner.networks.models import Policy

    settings = precision(work)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=settings.pop("dtype"), attn_implementation="sdpa").train()
    if work.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    decoder = model.get_decoder()

    class Rows:
        """What Policy reads of the trunk's answer: the rows laid end to end."""

        def __init__(self, input_ids: Any, **_: Any) -> None:
            self.last_hidden_state = decoder(input_ids=input_ids, use_cache=False).last_hidden_state.flatten(0, 1)[None]

    model.get_decoder = lambda: Rows
    return Policy(model, **settings)


def packed(work: Work, vocabulary: int) -> list[tuple[Any, ...]]:
    """Micro-batches: Policy's inputs, and the places of their response tokens among all."""
    from stepcoder.learner.packing import pack

    rows = pack(pieces(work, vocabulary), work.token_budget)
    return [(r.input_ids, r.position_ids, r.layout, r.select, r.targets, r.flat) for r in rows]


def dense(work: Work, vocabulary: int) -> list[tuple[Any, ...]]:
    import torch

    def mask(layout: Sequence[Any]) -> Any:
        prompt = torch.cat([torch.full((g.prompt + sum(g.completions),), p) for p, g in enumerate(layout)])
        parts = [(c, n) for g in layout for c, n in enumerate((g.prompt, *g.completions))]
        completion = torch.cat([torch.full((n,), c) for c, n in parts])
        same = (completion[:, None] == completion) | (completion == 0)
        return ((prompt[:, None] == prompt) & same).tril()[None, None]

    return [(ids, positions, mask(layout), *rest) for ids, positions, layout, *rest in packed(work, vocabulary)]


def padded(work: Work, vocabulary: int) -> list[tuple[Any, ...]]:
    """`padded_batch` sequences at a time, those of like length together."""
    import torch

    sequences = [
        (np.concatenate([p.prompt_ids, ids[:-1]]), len(p.prompt_ids) - 1, ids, start)
        for p in pieces(work, vocabulary)
        for ids, start in p.items
    ]
    sequences.sort(key=lambda s: -len(s[0]))
    batches = []
    for first in range(0, len(sequences), work.padded_batch):
        batch = sequences[first : first + work.padded_batch]
        longest = len(batch[0][0])
        ids = np.stack([np.pad(s, (0, longest - len(s))) for s, *_ in batch])
        select = [i * longest + at + np.arange(len(r)) for i, (_, at, r, _) in enumerate(batch)]
        flat = [start + np.arange(len(r)) for *_, r, start in batch]
        joined = (torch.from_numpy(np.concatenate(x)) for x in (select, [r for _, _, r, _ in batch], flat))
        batches.append((torch.from_numpy(ids), torch.zeros(1), (), *joined))
    return batches


WAYS = {"packed": (load_packed, packed), "padded": (load_padded, padded), "dense": (load_dense, dense)}


def precision(work: Work) -> dict[str, Any]:
    import torch

    scored = work.token_budget  # tokens a micro-batch, as the learner counts its chunks
    return {"dtype": torch.float32, "pieces": -(-scored // work.chunk), "autocast": work.precision == "autocast"}
