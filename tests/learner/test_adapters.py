"""LoRA adapters on tiny real models: exact against plain computations."""

import copy
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

from stepcoder.learner.batch import build_batch
from stepcoder.learner.config import (
    FGO,
    LoRAConfig,
    NoKL,
)
from stepcoder.learner.networks import state
from stepcoder.learner.networks.adapters import add_adapters, plain_weights, without_adapters
from stepcoder.learner.rank import LearnerRank
from stepcoder.rollout.trajectory import Trajectory
from tests.tools.learner import (
    LORA,
    SHARED,
    learner_config,
    loaded,
    make_groups,
    make_rank,
)


@torch.no_grad()
def logprobs(causal: torch.nn.Module, groups: list[list[Trajectory]]) -> torch.Tensor:
    """Log-probabilities of all response tokens by a plain model, one sequence at a time."""
    alone = []
    for t in (t for group in groups for t in group):
        ids = torch.tensor([*t.prompt_ids, *t.response_ids]).long()[None]
        scores = torch.log_softmax(causal(ids).logits[0, len(t.prompt_ids) - 1 : -1], -1)
        alone.append(scores.gather(1, torch.tensor(t.response_ids).long()[:, None])[:, 0])
    return torch.cat(alone)


def scores(rank: LearnerRank, groups: list[list[Trajectory]]):
    batch = build_batch([t for group in groups for t in group], FGO(), step=1, seed=0)
    return rank._update._score(rank._update._rows(batch, range(len(batch.lengths))), batch.tokens)


# -- adapters --------------------------------------------------------------------------------------------------------


def test_with_adapters_the_base_stays_and_is_the_reference_while_the_policy_moves(model: Path):
    groups = make_groups(seed=7)
    rank, base = make_rank(model, learner_config(lora=LORA)), loaded(model)
    untrained = scores(make_rank(model, learner_config(kl=NoKL())), groups).logprobs
    before = scores(rank, groups)
    assert torch.equal(before.logprobs, untrained) and torch.equal(before.reference, untrained)
    for step in (1, 2):
        assert rank.step(step, *make_groups(seed=step))["updates/refused"] == 0
    after = scores(rank, groups)
    assert torch.equal(after.reference, untrained)
    assert (after.logprobs - untrained).abs().mean() > 0.01
    weights = list(plain_weights(rank._network.model))
    assert all(torch.equal(w.parameter, base[w.name]) for w in weights)
    moved = {w.name for w in weights if not torch.equal(w.value(), base[w.name])}
    assert moved == {w.name for w in weights if w.adapter is not None} and len(moved) == 2 * 7
    trained = {name for name, p in rank.policy.module.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * 2 * 7 and all("lora_" in name for name in trained)


SIZES = dict(vocab_size=300, hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
ROPE = dict(intermediate_size=64, num_key_value_heads=2, max_position_embeddings=128)


@pytest.mark.parametrize("targets", [("all-linear",), None], ids=["all linear", "two"])
@pytest.mark.parametrize(
    ("network", "two"),
    [
        (lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES, **ROPE)), ("q_proj", "mlp.down_proj")),
        (
            lambda: GPT2LMHeadModel(GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=4, n_positions=128)),
            ("c_attn", "mlp.c_proj"),
        ),
    ],
    ids=["qwen2", "gpt2"],
)
def test_merged_weights_are_a_plain_model_with_the_same_log_probabilities(network, two, targets):
    torch.manual_seed(0)
    plain = network().eval()
    adapted = copy.deepcopy(plain)
    add_adapters(adapted, LoRAConfig(rank=3, alpha=12, targets=targets or two))
    with torch.no_grad():
        for p in adapted.parameters():
            if p.requires_grad:
                p.add_(0.2 * torch.randn(p.shape))
    merged = {w.name: w.value() for w in plain_weights(adapted)}
    assert [(n, p.shape) for n, p in merged.items()] == [(n, p.shape) for n, p in plain.named_parameters()]
    changed = {n for n, p in plain.named_parameters() if not torch.equal(merged[n], p)}
    assert len(changed) == sum(w.adapter is not None for w in plain_weights(adapted)) > 0
    if targets is None:
        assert all(n.removesuffix(".weight").endswith(two) for n in changed) and len(changed) == 4
    groups = make_groups(vocabulary=300)
    expected, untrained = logprobs(adapted, groups), logprobs(plain, groups)
    assert (expected - untrained).abs().max() > 0.1
    with without_adapters(adapted):
        assert torch.equal(logprobs(adapted, groups), untrained)
    assert torch.equal(logprobs(adapted, groups), expected)
    plain.load_state_dict(merged, strict=False)
    torch.testing.assert_close(logprobs(plain, groups), expected, rtol=1e-5, atol=1e-5)


def test_a_target_that_the_model_has_not_is_refused_with_those_it_has(model: Path):
    with pytest.raises(ValueError, match="no linear layer 'w_q'; it has down_proj, .*q_proj"):
        make_rank(model, learner_config(lora=LoRAConfig(rank=4, targets=("q_proj", "w_q"))))


def test_the_output_layer_is_no_target(model: Path):
    with pytest.raises(ValueError, match="no linear layer 'lm_head'"):
        make_rank(model, learner_config(lora=LoRAConfig(rank=4, targets=("lm_head",))))


def test_a_checkpoint_of_adapters_holds_no_weight_of_the_model(model: Path, tmp_path: Path):
    rank = make_rank(model, learner_config(lora=LORA, advantage=SHARED))
    rank.save(str(tmp_path))
    whole, _ = state.read(tmp_path / "learner" / "policy")
    assert set(whole) == {name for name, p in rank.policy.module.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    "other",
    [{}, dict(lora=LORA, advantage=SHARED), dict(lora=LoRAConfig(rank=4, targets=("q_proj",)))],
    ids=["none", "and a head", "fewer"],
)
def test_a_checkpoint_of_other_adapters_is_refused(model: Path, tmp_path: Path, other: dict[str, object]):
    make_rank(model, learner_config(lora=LORA)).save(str(tmp_path))
    with pytest.raises(
        ValueError, match="not of this model with these learner.lora and learner.advantage.critic settings"
    ):
        make_rank(model, learner_config(**other)).load(str(tmp_path))
