"""Packed rows with shared prompts compute what plain transformers compute for one padded sequence at a time."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from stepcoder.learner.networks import attention
from stepcoder.learner.networks.architectures import PACKABLE, require_packable
from stepcoder.learner.networks.attention import ATTENTION, Group, batches, shared_prompt_attention
from stepcoder.learner.networks.heads import compute_in_fp32, require_own_logits
from stepcoder.learner.networks.models import Critic, Policy, ValueHead, load_policy
from stepcoder.learner.packing import Piece, Row, pack
from stepcoder.learner.rows import idle_row
from stepcoder.learner.sft.update import sft_loss

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


@pytest.mark.parametrize("kind", sorted(PACKABLE))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_accepted_architectures_output_layer_is_its_own(kind: str, dtype: torch.dtype) -> None:
    model = network(kind).to(dtype)
    trunk = model.get_decoder()
    require_own_logits(model)
    assert model.get_decoder() is trunk


def test_a_model_that_changes_its_logits_by_itself_is_refused_when_it_is_loaded() -> None:
    model = network("llama")
    forward = model.forward

    def capped(**inputs: object) -> object:  # as remote code may do, whatever it calls the option
        out = forward(**inputs)
        out.logits = 2 * torch.tanh(out.logits / 2)
        return out

    model.forward = capped
    with pytest.raises(ValueError, match="a llama model changes its logits"):
        require_own_logits(model)


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        ("llama", dict(logits_scaling=8.0)),
        ("gemma", dict(final_logit_softcapping=30.0)),
        ("qwen2", dict(logit_scale=0.0625)),
        ("mistral", dict(lm_head_multiplier=0.5)),
        ("llama", dict(dim_model_base=256)),
    ],
)
def test_an_option_of_the_output_layer_that_nobody_honours_is_refused(kind: str, option: dict[str, float]) -> None:
    name, value = next(iter(option.items()))
    assert f"{name} = {value} in its config.json changes its logits" in refusal(kind, **option)
    require_packable(AutoConfig.for_model("granite", logits_scaling=8.0), 64)
    require_packable(AutoConfig.for_model(kind, **{name: None}), 64)


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

    def __torch_dispatch__(self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None) -> object:  # type: ignore[override]
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


def refusal(kind: str, longest: int | None = None, **settings: object) -> str:
    with pytest.raises(ValueError) as error:
        require_packable(AutoConfig.for_model(kind, **settings), longest)
    return str(error.value)


def test_architectures_that_packing_cannot_express_are_refused() -> None:
    for kind in ("bloom", "mpt", "mamba2", "falcon_h1", "gemma2", "gpt_oss", "recurrent_gemma"):
        assert f"a {kind} model" in refusal(kind) and "qwen2" in refusal(kind)
    assert "encoder-decoder" in refusal("t5")
    assert "use_bidirectional_attention" in refusal("gemma", use_bidirectional_attention=True)
    assert "add_cross_attention" in refusal("gpt2", add_cross_attention=True)


def test_a_sliding_window_is_refused_when_a_sequence_can_be_longer() -> None:
    assert "64 tokens (sliding_window)" in refusal("mistral", 65, sliding_window=64)
    assert "may have 65" in refusal("qwen2", 65, use_sliding_window=True, sliding_window=64, max_window_layers=0)
    require_packable(AutoConfig.for_model("mistral", sliding_window=64), 64)
    require_packable(AutoConfig.for_model("mistral", sliding_window=None), 10**6)
    require_packable(AutoConfig.for_model("qwen2", use_sliding_window=False, sliding_window=64), 65)


def test_positions_whose_angles_depend_on_other_sequences_are_refused() -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    assert "(dynamic) changes" in refusal("llama", 129, max_position_embeddings=128, rope_parameters=rope)
    require_packable(AutoConfig.for_model("llama", max_position_embeddings=128, rope_parameters=rope), 128)
    long = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "rope_theta": 1e4}
    sizes = SIZES | {"original_max_position_embeddings": 64, "rope_parameters": long}
    assert "longer than 64" in refusal("phi3", 65, **sizes)


def test_a_window_that_nobody_asked_about_is_refused_in_the_layer() -> None:
    model = network("mistral", sliding_window=16)
    (row,) = pack(make_pieces([(9, [12])]), 100)
    with pytest.raises(ValueError, match="sees 16 tokens; a prompt and its completion have 20"):
        Policy(model, 1)(row.input_ids, row.position_ids, row.layout, row.select, row.targets)


@pytest.mark.parametrize("window", [1, 5, 16])
@pytest.mark.parametrize("critic", [False, True])
def test_tokens_that_only_fill_a_row_are_no_sequence(window: int, critic: bool) -> None:
    model = network("mistral", sliding_window=window)
    prompt = window // 2 + 1
    (row,) = pack(make_pieces([(prompt, [window - prompt + 1])]), 100)
    assert row.layout[0].longest == window  # the last token is only predicted
    inputs = (row.input_ids, row.position_ids, row.layout, row.select)
    if critic:
        Critic(model.get_decoder(), autocast=True)(*inputs).sum().backward()
    else:
        Policy(model, 1, autocast=True)(*inputs, row.targets)[0].sum().backward()
