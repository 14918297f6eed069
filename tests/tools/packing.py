"""Tiny networks of every architecture, and their scores in packed rows and one padded sequence at a time."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from stepcoder.learner.networks.attention import ATTENTION
from stepcoder.learner.packing import Piece, Row

VOCABULARY, TEMPERATURE = 300, 0.7
SIZES = dict(
    vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    intermediate_size=48, max_position_embeddings=128, pad_token_id=0, bos_token_id=1, eos_token_id=2,
)  # fmt: skip
SPECIAL = {
    "gpt2": {"n_inner": 48, "scale_attn_by_inverse_layer_idx": True},
    "gemma": {"head_dim": 8}, "qwen3": {"head_dim": 8}, "smollm3": {"no_rope_layers": [1, 0]},
    "granite": dict(logits_scaling=6.0, embedding_multiplier=3.0, residual_multiplier=0.4, attention_multiplier=0.2),
}  # fmt: skip
# prompt length, lengths of the completions: single tokens, one completion, more than fits in a row
GROUPS = ((9, (12, 1, 7, 5, 3)), (4, (1,)), (14, (21, 20, 1, 16, 2, 2)), (3, (6,)), (11, (1, 1, 4)))


def network(kind: str, implementation: str = ATTENTION, **changes: object) -> PreTrainedModel:
    """A tiny random model; equal weights whatever the attention."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **(SIZES | SPECIAL.get(kind, {}) | {"initializer_range": 0.2} | changes))
    for name in ("embd_pdrop", "attn_pdrop", "resid_pdrop"):
        if hasattr(config, name):
            setattr(config, name, 0.0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=implementation).train()
    for p in model.parameters():  # biases and norms too, so that none hides a fault
        with torch.no_grad():
            p.add_(torch.randn_like(p) * 0.05)
    return model


def make_pieces(groups: Sequence[tuple[int, Sequence[int]]], seed: int = 0) -> list[Piece]:
    draw, pieces, start = np.random.default_rng(seed), [], 0
    for prompt, lengths in groups:
        items = []
        for n in lengths:
            items.append((draw.integers(3, VOCABULARY, n), start))
            start += n
        pieces.append(Piece(draw.integers(3, VOCABULARY, prompt), tuple(items)))
    return pieces


def tokens(pieces: Sequence[Piece]) -> int:
    return sum(len(ids) for piece in pieces for ids, _ in piece.items)


def packed(net: nn.Module, rows: Sequence[Row], size: int) -> tuple[Tensor, Tensor]:
    logprobs, entropies = torch.zeros(size), torch.zeros(size)
    for row in rows:
        a, b = net(row.input_ids, row.position_ids, row.layout, row.select, row.targets)
        logprobs[row.flat], entropies[row.flat] = a, b
    return logprobs, entropies


def padded(trunk: PreTrainedModel, pieces: Sequence[Piece]) -> Iterator[tuple[Tensor, Tensor, Piece]]:
    """(output of `trunk`, all of the model or a part, at the response's places, its ids) for each completion, alone and
    padded to the longest."""
    longest = max(len(p.prompt_ids) + len(ids) for p in pieces for ids, _ in p.items)
    for piece in pieces:
        for ids, _ in piece.items:
            shown = torch.tensor([*piece.prompt_ids, *ids])
            row = torch.nn.functional.pad(shown, (0, longest - len(shown)))[None]
            mask = (torch.arange(longest) < len(shown)).long()[None]
            out = trunk(input_ids=row, attention_mask=mask, use_cache=False)[0][0]
            yield out[len(piece.prompt_ids) - 1 : len(shown) - 1], torch.tensor(ids), piece


def assert_same_gradients(ours: nn.Module, plain: nn.Module) -> None:
    expected = dict(plain.named_parameters())
    assert expected
    for name, p in ours.named_parameters():
        assert p.grad is not None and expected[name].grad is not None, name
        error, size = float((p.grad - expected[name].grad).norm()), float(expected[name].grad.norm())
        assert error <= 1e-5 * size, (name, error, size)
