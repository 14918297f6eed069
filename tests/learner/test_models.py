"""LoRA adapters and a critic on the policy's trunk, on tiny real models: exact against plain computations."""

import copy
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

from stepcoder.deploy.checks.footprint import STARTER_SHAPE, learner_bytes
from stepcoder.deploy.config.load import load_config
from stepcoder.errors import UserError
from stepcoder.learner.advantages.common import gae, token_rewards
from stepcoder.learner.batch import build_batch
from stepcoder.learner.config import (
    FGO,
    GAE,
    RLOO,
    AllCredit,
    LearnerLogprobs,
    LoRAConfig,
    NoKL,
    OffloadConfig,
    OptimizerConfig,
    ParallelConfig,
    SharedCritic,
)
from stepcoder.learner.networks import state
from stepcoder.learner.networks.adapters import add_adapters, plain_weights, without_adapters
from stepcoder.learner.networks.engine import TrainedModel
from stepcoder.learner.rank import LearnerRank
from stepcoder.rollout.trajectory import Trajectory
from tests.learner.test_update import plain_ppo
from tests.tools.learner import learner_config, make_groups, make_rank
from tests.tools.tiny_model import build_tiny_model

LORA = LoRAConfig(rank=4)
SHARED = GAE(critic=SharedCritic())
DETACHED = GAE(critic=SharedCritic(detach=True))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from a second thread, and lose much to it on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("model"))


def full_weights(rank: LearnerRank) -> dict[str, torch.Tensor]:
    """What the engines would be sent."""
    return {name: tensor.clone() for name, tensor in rank._full_weights()}


def loaded(folder: Path) -> dict[str, torch.Tensor]:
    saved = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return {name: p.detach() for name, p in saved.named_parameters()}


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


# -- a critic on the policy's trunk ----------------------------------------------------------------------------------

# One row, so that sums are in the same order; gradients as they are, since the head's would count in their norm.
WHOLE = dict(
    kl=NoKL(),
    credit=AllCredit(),
    old_logprobs=LearnerLogprobs(importance_cap=None),
    policy=OptimizerConfig(lr=1e-2, max_grad_norm=1e9),
    token_budget=1024,
    logprob_chunk=1024,
)


@pytest.mark.parametrize("detach", [False, True], ids=["through", "detached"])
def test_a_shared_trunk_is_one_loss_of_one_network(model: Path, detach: bool):
    """Against a plain model with a linear head on its last hidden state, and one AdamW for both."""
    torch.manual_seed(1)
    rank = make_rank(model, learner_config(advantage=GAE(critic=SharedCritic(detach=detach)), **WHOLE))
    start = loaded(model)
    causal = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, attn_implementation="sdpa")
    head = torch.nn.Linear(causal.config.hidden_size, 1)
    rank._network.value_head.linear.load_state_dict(head.state_dict())
    groups = make_groups()
    flat = [t for group in groups for t in group]
    lengths, rewards = [len(t.response_ids) for t in flat], [t.reward for t in flat]

    seen = []
    handle = causal.lm_head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    parts = []
    for t in flat:
        ids = torch.tensor([*t.prompt_ids, *t.response_ids]).long()[None]
        scored = torch.log_softmax(causal(ids).logits[0, len(t.prompt_ids) - 1 : -1], -1)
        parts.append(scored.gather(1, torch.tensor(t.response_ids).long()[:, None])[:, 0])
    handle.remove()
    hidden = torch.cat([h[0, len(t.prompt_ids) - 1 : -1] for h, t in zip(seen, flat, strict=True)])
    values = head(hidden.detach() if detach else hidden)[:, 0]
    old = values.detach()
    policy_loss, _ = plain_ppo(torch.cat(parts), old, rewards, lengths)
    advantages = [
        gae(token_rewards(torch.zeros(len(v)), r), v, 1.0, 0.95)
        for v, r in zip(old.split(lengths), rewards, strict=True)
    ]
    value_loss = (values - (torch.cat(advantages) + old)).square().mean()
    adam = torch.optim.AdamW([*causal.parameters(), *head.parameters()], lr=1e-2, betas=(0.9, 0.95), weight_decay=0.0)
    (policy_loss + 0.5 * value_loss).backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in (*causal.parameters(), *head.parameters())])
    adam.step()

    metrics = rank.step(1, *groups)
    assert metrics["policy/loss"] == pytest.approx(policy_loss.item(), rel=1e-4, abs=1e-6)
    assert metrics["value/loss"] == pytest.approx(value_loss.item(), rel=1e-5)
    assert metrics["grad_norm/policy"] == pytest.approx(norm.item(), rel=1e-5)
    ours = dict(rank._network.model.named_parameters())
    for name, p in causal.named_parameters():
        assert (ours[name] - p).norm() <= 1e-3 * (p - start[name]).norm(), name
    torch.testing.assert_close(rank._network.value_head.linear.weight, head.weight, rtol=1e-4, atol=1e-6)


def test_a_head_of_zeros_leaves_the_policy_what_it_is_beside_a_second_network(model: Path):
    """At the first step all values are 0, and a head of zeros sends no gradient down; from the second on it does."""
    found = {}
    for name, advantage in (("separate", GAE()), ("shared", SHARED), ("detached", DETACHED)):
        rank = make_rank(model, learner_config(advantage=advantage, **WHOLE))
        assert ("grad_norm/critic" in rank.step(1, *make_groups(seed=1))) == (name == "separate")
        first = full_weights(rank)
        rank.step(2, *make_groups(seed=2))
        found[name] = first, full_weights(rank)
    separate, shared, detached = found.values()
    assert separate[0].keys() == shared[0].keys()  # the head is not published
    for name, p in separate[0].items():
        assert torch.equal(p, shared[0][name]) and torch.equal(p, detached[0][name]), name
    assert any((p - detached[1][name]).abs().max() > 1e-3 for name, p in shared[1].items())


@pytest.mark.parametrize(
    ("advantage", "moves"),
    [
        (SHARED, True),
        (DETACHED, False),
        (GAE(critic=SharedCritic(mask="executed")), False),
    ],
    ids=["through", "detached", "masked"],
)
def test_only_a_value_loss_that_goes_through_moves_the_policy_where_no_token_was_executed(
    model: Path, advantage, moves
):
    rank = make_rank(model, learner_config(advantage=advantage, kl=NoKL()))
    torch.nn.init.normal_(rank._network.value_head.linear.weight)
    groups, start = make_groups(), full_weights(rank)
    for t in (t for group in groups for t in group):
        t.executed[:] = False
    rank.step(1, *groups)
    assert any(not torch.equal(p, start[name]) for name, p in full_weights(rank).items()) == moves


# -- every combination, to the checkpoint and back -------------------------------------------------------------------

COMBINATIONS: dict[str, dict[str, object]] = {
    "LoRA": dict(lora=LORA),
    "LoRA, no critic": dict(lora=LORA, advantage=RLOO(), kl=NoKL()),
    "LoRA, shared, checkpointing": dict(lora=LORA, advantage=SHARED, gradient_checkpointing=True),
    "LoRA, shared, bf16": dict(lora=LORA, advantage=SHARED, precision="bf16"),
    "LoRA, shared, autocast, ZeRO 1": dict(lora=LORA, advantage=SHARED, precision="autocast", zero_stage=1),
    "LoRA, bf16, ZeRO 2": dict(lora=LORA, precision="bf16", zero_stage=2),
    "LoRA, shared, bf16, ZeRO 3, checkpointing": dict(
        lora=LORA, advantage=SHARED, precision="bf16", zero_stage=3, gradient_checkpointing=True
    ),
    "shared, bf16, ZeRO 1": dict(advantage=SHARED, precision="bf16", zero_stage=1),
    "shared, bf16, ZeRO 2, checkpointing": dict(
        advantage=SHARED, precision="bf16", zero_stage=2, gradient_checkpointing=True
    ),
    "bf16, ZeRO 3, checkpointing": dict(precision="bf16", zero_stage=3, gradient_checkpointing=True),
    "ZeRO 1, optimiser aside": dict(zero_stage=1, offload=OffloadConfig(optimizer=True)),
    "bf16, ZeRO 2, optimiser aside": dict(precision="bf16", zero_stage=2, offload=OffloadConfig(optimizer=True)),
    "ZeRO 3, weights aside": dict(zero_stage=3, offload=OffloadConfig(parameters=True)),
    "shared, bf16, ZeRO 3, all aside": dict(
        advantage=SHARED, precision="bf16", zero_stage=3, offload=OffloadConfig(optimizer=True, parameters=True)
    ),
}


def partition_everything(settings: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """DeepSpeed leaves tensors of a tiny model's size whole under ZeRO 3, so that nothing would be gathered."""

    def partitioned(self: TrainedModel, config: ParallelConfig) -> dict[str, Any]:
        found = settings(self, config)
        found["zero_optimization"]["stage3_param_persistence_threshold"] = 0
        return found

    return partitioned


@pytest.mark.parametrize("name", COMBINATIONS)
def test_it_trains_publishes_saves_and_resumes_exactly(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setattr(TrainedModel, "_settings", partition_everything(TrainedModel._settings))
    config, start = learner_config(**COMBINATIONS[name]), loaded(model)
    straight = make_rank(model, config)
    assert straight.step(1, *make_groups(seed=1))["updates/refused"] == 0
    straight.save(str(tmp_path))
    sent = full_weights(straight)
    assert [(n, p.shape) for n, p in sent.items()] == [(n, p.shape) for n, p in start.items()]
    assert sum(not torch.equal(p.float(), start[n]) for n, p in sent.items()) >= 14
    exported = loaded(tmp_path / "policy")
    assert exported.keys() == sent.keys() and all(torch.equal(p.float(), exported[n]) for n, p in sent.items())
    assert {file.name for file in (tmp_path / "policy").glob("*.safetensors")} == {"model.safetensors"}
    assert not (tmp_path / "policy" / "adapter_config.json").exists()
    last = straight.step(2, *make_groups(seed=2))

    resumed = make_rank(model, config, seed=99)
    resumed._update = dataclasses.replace(resumed._update, seed=0)
    resumed.load(str(tmp_path))
    assert all(torch.equal(p, sent[n]) for n, p in full_weights(resumed).items())
    again = resumed.step(2, *make_groups(seed=2))
    timeless = {k for k in last if not k.startswith(("seconds/", "tokens_per_s/"))}
    assert {k: last[k] for k in timeless} == {k: again[k] for k in timeless}
    expected = full_weights(straight)
    assert all(torch.equal(p, expected[n]) for n, p in full_weights(resumed).items())
    assert any(not torch.equal(p, sent[n]) for n, p in expected.items())


def test_what_is_set_aside_is_where_deepspeed_keeps_it_in_main_memory(model: Path):
    for stage in (1, 2, 3):
        config = learner_config(zero_stage=stage, offload=OffloadConfig(optimizer=True, parameters=stage == 3))
        engine = make_rank(model, config).policy.engine
        assert engine.zero_cpu_offload() and (engine.zero_offload_param() is not None) == (stage == 3)
        assert not make_rank(model, learner_config(zero_stage=stage)).policy.engine.zero_cpu_offload()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_offload_changes_where_an_update_is_made_and_not_what_it_does(
    model: Path, monkeypatch: pytest.MonkeyPatch, stage: int, precision: str
):
    monkeypatch.setattr(TrainedModel, "_settings", partition_everything(TrainedModel._settings))
    start, found = loaded(model), []
    for aside in (False, True):
        offload = OffloadConfig(optimizer=aside, parameters=aside and stage == 3)
        rank = make_rank(model, learner_config(zero_stage=stage, precision=precision, offload=offload))
        for step in (1, 2):
            assert rank.step(step, *make_groups(seed=step))["updates/refused"] == 0
        found.append(full_weights(rank))
    for name, weight in found[0].items():
        moved = (weight.float() - start[name]).norm()
        assert moved > 0 and (found[1][name].float() - weight.float()).norm() <= 0.02 * moved, name


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


# -- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--learner.lora.alpha 16", "learner.lora.alpha = 16.0 has no effect without learner.lora.rank"),
        ("--learner.lora.targets q_proj", "has no effect without learner.lora.rank"),
        ("--learner.lora.rank 8 --learner.lora.targets [all-linear,q_proj]", "give the one or the others"),
        ("--learner.advantage.critic.detach true", "critic.type separate; it belongs to type shared"),
        (
            "--learner.advantage.critic shared --learner.advantage.critic.layers 2",
            "learner.advantage.critic.layers (command line) has no effect with learner.advantage.critic.type shared; "
            "it belongs to type separate",
        ),
        (
            "--learner.advantage.critic shared --learner.advantage.critic.optimizer.lr 1e-4",
            "no effect with learner.advantage.critic.type shared",
        ),
        (
            "--learner.advantage.critic shared --learner.advantage grpo",
            "no effect with learner.advantage.type grpo; it belongs to type gae",
        ),
        ("--learner.offload.optimizer true", "learner.offload.optimizer needs learner.zero_stage 1, 2 or 3"),
        ("--learner.offload.parameters true --learner.zero_stage 2", "offload.parameters needs learner.zero_stage 3"),
        ("--learner.precision bf16 --learner.lora.rank 8", "needs learner.zero_stage 1, 2 or 3"),
    ],
)
def test_settings_that_would_do_nothing_or_cannot_be_are_refused(arguments: str, words: str):
    with pytest.raises(UserError) as caught:
        load_config(None, arguments.split(), {})
    assert words in str(caught.value) and "command line" in str(caught.value)


def test_the_command_of_the_documentation_is_valid():
    text = (Path(__file__).resolve().parents[2] / "docs" / "algorithms.md").read_text(encoding="utf-8")
    (start,) = (
        part for part in text.split("stepcoder train --config configs/starter.yaml ") if "lora.rank" in part[:40]
    )
    command = start.split("\n\n")[0].replace("\\\n", " ")
    config = load_config(Path("configs/starter.yaml"), command.split(), {}).learner
    assert config.lora.rank == 16 and isinstance(config.critic, SharedCritic)


def test_the_memory_estimate_knows_adapters_and_a_shared_trunk():
    def estimate(arguments: str) -> float:
        return learner_bytes(load_config(None, arguments.split(), {}), STARTER_SHAPE)

    whole, shared = estimate(""), estimate("--learner.advantage.critic shared")
    # weights, gradients and two moments of a second network, 4 bytes each
    assert whole - shared == pytest.approx(16 * STARTER_SHAPE.parameters, rel=1e-6)
    adapters = estimate("--learner.advantage.critic shared --learner.lora.rank 8")
    # 16 bytes a weight and a reference of 4 are gone; the model stays and is merged for a checkpoint, 4 bytes a weight
    # each; the adapters have 2.44 million numbers
    assert shared - adapters == pytest.approx(12 * STARTER_SHAPE.parameters - 16 * 2_442_240, rel=0.01)
