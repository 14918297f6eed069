"""Packed rows with shared prompts compute what plain transformers compute for one padded sequence at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM

from stepcoder.learner.networks import attention
from stepcoder.learner.networks.architectures import PACKABLE
from stepcoder.learner.networks.attention import Group, batches, shared_prompt_attention
from stepcoder.learner.networks.heads import compute_in_fp32
from stepcoder.learner.networks.models import Critic, Policy, ValueHead, load_policy
from stepcoder.learner.packing import Piece, pack
from stepcoder.learner.rows import idle_row
from stepcoder.learner.sft.update import sft_loss
from tests.tools.packing import (
    GROUPS,
    TEMPERATURE,
    VOCABULARY,
    assert_same_gradients,
    make_pieces,
    network,
    packed,
    padded,
    tokens,
)


def compare(kind: str, *, budget: int, checkpointing: bool = False, **changes: object) -> None:
    pieces = make_pieces(GROUPS)
    size, rows = tokens(pieces), pack(pieces, budget)
    weights = torch.randn(size, generator=torch.Generator().manual_seed(1))
    ours, plain = network(kind, **changes), network(kind, "sdpa", **changes)
    if checkpointing:
        ours.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    logprobs, entropies = packed(Policy(ours, pieces=3, temperature=TEMPERATURE), rows, size)
    loss = (logprobs * weights).sum()
    loss.backward()
    alone, spread = [], []
    for logits, ids, _ in padded(plain, pieces):  # transformers' own forward, output layer and all
        log_p = torch.log_softmax(logits / TEMPERATURE, -1)
        alone.append(log_p.gather(1, ids[:, None])[:, 0])
        spread.append(-(log_p.exp() * log_p).sum(-1))
    expected = (torch.cat(alone) * weights).sum()
    expected.backward()
    torch.testing.assert_close(logprobs, torch.cat(alone), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropies, torch.cat(spread), rtol=1e-5, atol=1e-5)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert_same_gradients(ours, plain)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("budget", [48, 90, 1000], ids=["groups split", "several a row", "one row"])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
def test_loss_and_gradients_are_those_of_padded_sequences(
    kind: str, budget: int, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "QUERY_BLOCK", 6)  # long completions take several products
    pieces = make_pieces(GROUPS)
    rows = pack(pieces, budget)
    assert any(len(row.layout) > 1 for row in rows)
    assert (len(rows) == 1) == (budget == 1000) and (sum(len(r.layout) for r in rows) > len(GROUPS)) == (budget == 48)
    compare(kind, budget=budget, checkpointing=checkpointing)


@pytest.mark.parametrize("kind", sorted(PACKABLE - {"llama", "qwen2", "gpt2"}))
def test_every_accepted_architecture_is_exact(kind: str) -> None:
    compare(kind, budget=90)


def test_fine_tuning_has_the_loss_of_transformers_own_forward(tmp_path: Path) -> None:
    network("granite", tie_word_embeddings=False).save_pretrained(tmp_path)
    policy = load_policy(tmp_path, torch.float32, 1)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    ids = torch.randint(3, VOCABULARY, (1, 12), generator=torch.Generator().manual_seed(0))
    (row,) = pack([Piece(ids[0, :4].numpy(), ((ids[0, 4:].numpy(), 0),))], 100)
    logprobs, _ = policy(row.input_ids, row.position_ids, row.layout, row.select, row.targets)
    labels = torch.where(torch.arange(12) < 4, -100, ids)
    assert float(sft_loss(logprobs, 8)) == pytest.approx(float(plain(ids, labels=labels).loss), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_are_computed_in_fp32_whatever_the_products_are(dtype: torch.dtype) -> None:
    (row,) = pack(make_pieces([(9, [12])]), 100)
    critic = Critic(network("llama").to(dtype).get_decoder(), autocast=dtype == torch.float32)
    nn.init.normal_(critic.head.weight)
    inputs = (row.input_ids, row.position_ids, row.layout, row.select)
    seen: list[Tensor] = []
    critic.head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    values = critic(*inputs)
    weight, bias = critic.head.weight.double(), critic.head.bias.double()
    torch.testing.assert_close(values.double(), (seen[0].double() @ weight.T + bias)[:, 0], rtol=1e-5, atol=1e-5)
    head = ValueHead(32, dtype, detach=False)
    nn.init.normal_(head.linear.weight)
    with torch.autocast("cpu", torch.bfloat16):
        found = head(seen[0])
    torch.testing.assert_close(
        found.double(), (seen[0].double() @ head.linear.weight.double().T)[:, 0], rtol=1e-5, atol=1e-5
    )
    values.sum().backward()
    assert critic.head.weight.grad is not None and critic.head.weight.grad.dtype == dtype


@pytest.mark.parametrize("kind", ["llama", "phi", "gpt2"])
def test_an_output_layer_in_fp32_rounds_less_than_one_under_autocast(kind: str) -> None:
    pieces = make_pieces(GROUPS)
    rows, model, size = pack(pieces, 90), network(kind), tokens(pieces)
    hidden: list[Tensor] = []
    model.get_output_embeddings().register_forward_pre_hook(lambda _, args: hidden.append(args[0]))
    same = packed(Policy(model, 1, autocast=True), rows, size)[0]
    exact, head = torch.zeros(size), model.get_output_embeddings()
    for row, states in zip(rows, hidden, strict=True):
        logits = states.double() @ head.weight.double().T + (0 if head.bias is None else head.bias.double())
        exact[row.flat] = torch.log_softmax(logits, -1).gather(1, row.targets[:, None])[:, 0].float()
    compute_in_fp32(head)
    ours = packed(Policy(model, 1, autocast=True), rows, size)[0]
    assert (ours - exact).abs().max() < 1e-4 < (same - exact).abs().max()
    ours.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())


def test_heads_that_share_no_keys_and_heads_that_share_one() -> None:
    compare("llama", budget=90, num_key_value_heads=4)
    compare("llama", budget=90, num_key_value_heads=1, head_dim=12)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_critic_sees_what_it_sees_alone(kind: str) -> None:
    pieces = make_pieces(GROUPS)
    size = tokens(pieces)
    weights = torch.randn(size, generator=torch.Generator().manual_seed(1))
    ours, plain = network(kind), network(kind, "sdpa")
    critic = Critic(ours.get_decoder())
    nn.init.normal_(critic.head.weight)
    values = torch.zeros(size)
    for row in pack(pieces, 90):
        values[row.flat] = critic(row.input_ids, row.position_ids, row.layout, row.select)
    (values * weights).sum().backward()
    alone = torch.cat([critic.head(hidden)[:, 0] for hidden, _, _ in padded(plain.get_decoder(), pieces)])
    torch.testing.assert_close(values, alone, rtol=1e-5, atol=1e-5)
    (alone * weights).sum().backward()
    assert_same_gradients(ours.get_decoder(), plain.get_decoder())


def test_under_autocast_packing_adds_no_error_to_that_of_bf16() -> None:
    pieces = make_pieces(GROUPS)
    rows, model, size = pack(pieces, 90), network("llama"), tokens(pieces)
    exact = packed(Policy(model, 3), rows, size)[0]
    rounded = packed(Policy(model, 3, autocast=True), rows, size)[0]
    plain, alone = network("llama", "sdpa"), []
    with torch.autocast("cpu", torch.bfloat16):
        for logits, ids, _ in padded(plain, pieces):
            log_p = torch.log_softmax(logits.float(), -1)
            alone.append(log_p.gather(1, ids[:, None])[:, 0])
    usual = (torch.cat(alone) - exact).square().mean().sqrt()
    assert 0 < (rounded - exact).square().mean().sqrt() < 1.5 * usual
    rounded.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())


def test_a_row_that_scores_nothing_is_computed_and_moves_nothing() -> None:
    row, model = idle_row(), network("gpt2")
    logprobs, entropies = Policy(model, 2)(row.input_ids, row.position_ids, row.layout, row.select, row.targets)
    assert logprobs.shape == entropies.shape == (0,)
    logprobs.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


class Sizes(TorchDispatchMode):
    """Shapes of every tensor that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.shapes |= {tuple(x.shape) for x in (out if isinstance(out, tuple | list) else [out]) if torch.is_tensor(x)}
        return out


@pytest.mark.parametrize("checkpointing", [False, True])
def test_no_matrix_of_tokens_by_tokens_or_tokens_by_vocabulary_exists(checkpointing: bool) -> None:
    pieces = make_pieces([(30, [40] * 6), (25, [33, 32, 31])])
    (row,) = pack(pieces, 1000)
    model, parts = network("llama"), 8
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    with Sizes() as seen:
        loss, _ = Policy(model, parts)(row.input_ids, row.position_ids, row.layout, row.select, row.targets)
        loss.sum().backward()
    length, scored = row.input_ids.numel(), len(row.targets)
    chunk = -(-scored // parts)
    weights = {tuple(p.shape) for p in model.parameters()} | {tuple(p.shape)[::-1] for p in model.parameters()}
    by_vocabulary = [s for s in seen.shapes - weights if VOCABULARY in s]
    assert by_vocabulary and all(np.prod(s) <= chunk * VOCABULARY for s in by_vocabulary)
    assert not [s for s in seen.shapes if sum(n >= length // 2 for n in s) > 1]


lengths = st.lists(st.integers(1, 12), min_size=1, max_size=6)
some_groups = st.lists(st.tuples(st.integers(1, 20), lengths), min_size=1, max_size=8)


@settings(deadline=None, max_examples=60)
@given(groups=some_groups, budget=st.integers(16, 60), order=st.randoms(use_true_random=False))
def test_every_token_is_scored_once_within_the_budget_in_any_order(groups, budget: int, order) -> None:
    pieces = make_pieces(groups)
    rows = pack(pieces, budget)
    assert sorted(torch.cat([r.flat for r in rows]).tolist()) == list(range(tokens(pieces)))
    longest = max(p + n - 1 for p, ns in groups for n in ns)
    sizes = [r.input_ids.numel() for r in rows]
    assert all(n <= max(budget, longest) for n in sizes)
    assert [sum(sum(g.segments) for g in r.layout) for r in rows] == sizes
    ids = {start + j: t for p in pieces for found, start in p.items for j, t in enumerate(found)}
    assert all(ids[f] == t for r in rows for f, t in zip(r.flat.tolist(), r.targets.tolist(), strict=True))
    shuffled = order.sample(pieces, len(pieces))
    assert sorted(r.input_ids.numel() for r in pack(shuffled, budget)) == sorted(sizes)


def test_the_order_of_groups_changes_no_number() -> None:
    pieces, model = make_pieces(GROUPS), network("llama")
    with torch.no_grad():
        forward, back = (packed(Policy(model, 1), pack(p, 60), tokens(pieces))[0] for p in (pieces, pieces[::-1]))
    torch.testing.assert_close(forward, back, rtol=1e-5, atol=1e-6)


def test_a_row_lays_completions_behind_their_prompt() -> None:
    (row,) = pack([Piece([1, 2], (([5, 6, 7], 0), ([8, 9], 3), ([4], 5))), Piece([3], (([5], 6),))], 100)
    # the last token of each completion predicts nothing and is left out
    assert row.input_ids.tolist() == [[1, 2, 5, 6, 8, 3]]
    assert row.position_ids.tolist() == [[0, 1, 2, 3, 2, 0]]
    assert row.layout == (Group(2, (2, 1)), Group(1))
    assert row.select.tolist() == [1, 2, 3, 1, 4, 1, 5]
    assert row.targets.tolist() == [5, 6, 7, 8, 9, 4, 5]
    assert row.flat.tolist() == [0, 1, 2, 3, 4, 5, 6]


@settings(deadline=None, max_examples=60)
@given(
    layout=st.lists(
        st.builds(Group, st.integers(1, 9), st.lists(st.integers(1, 11), max_size=5).map(tuple)), min_size=1, max_size=4
    ),
    shared=st.integers(1, 3),
    block=st.integers(1, 12),
)
def test_attention_is_that_of_a_dense_mask(layout: list[Group], shared: int, block: int) -> None:
    torch.manual_seed(0)
    prompt_of, completion_of = [], []
    for g, group in enumerate(layout):
        for c, n in enumerate((group.prompt, *group.completions)):
            prompt_of += [g] * n
            completion_of += [c] * n
    prompts, completions = torch.tensor(prompt_of), torch.tensor(completion_of)
    visible = (prompts[:, None] == prompts) & ((completions[:, None] == completions) | (completions == 0))
    length, heads = len(prompts), 2
    q = torch.randn(1, heads * shared, length, 4, dtype=torch.float64, requires_grad=True)
    k, v = (torch.randn(1, heads, length, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "QUERY_BLOCK", block)
        ours, _ = shared_prompt_attention(nn.Module(), q, k, v, None, layout=layout, scaling=0.3)
    dense = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=visible.tril(), scale=0.3, enable_gqa=True
    ).transpose(1, 2)
    torch.testing.assert_close(ours, dense, rtol=1e-10, atol=1e-12)
    weight = torch.randn_like(dense)
    for a, b in zip(*(torch.autograd.grad((x * weight).sum(), (q, k, v)) for x in (ours, dense)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_completions_are_batched_with_those_of_like_length() -> None:
    assert list(batches([10, 100, 92, 9, 74, 100])) == [[1, 5, 2], [4], [0, 3]]
    assert list(batches([])) == []
