"""The learner's step on tiny real models: exact against plain computations."""

import dataclasses
import math
from itertools import product
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from stepcoder.learner import losses as policy_losses
from stepcoder.learner.config import FGO, AllCredit, LearnerLogprobs, NoKL, OffloadConfig, SamplerLogprobs
from stepcoder.learner.networks import state
from stepcoder.learner.networks.attention import ATTENTION
from stepcoder.learner.networks.models import Policy
from stepcoder.learner.packing import Piece, pack
from tests.tools.learner import learner_config, make_groups, make_rank, plain_ppo


@pytest.mark.parametrize("credit", ["off", "all ones"])
def test_without_mask_and_kl_a_step_is_plain_ppo_bit_for_bit(model: Path, credit: str):
    groups = make_groups()
    if credit == "all ones":
        for group in groups:
            for t in group:
                t.executed[:] = True
    config = learner_config(
        kl=NoKL(),
        credit=AllCredit() if credit == "off" else FGO(),
        old_logprobs=LearnerLogprobs(importance_cap=None),
        token_budget=1024,
        logprob_chunk=1024,
    )
    rank = make_rank(model, config)
    causal = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, attn_implementation=ATTENTION)
    adam = torch.optim.AdamW(causal.parameters(), lr=config.policy.lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True)

    pieces, start = [], 0
    for group in groups:
        items = []
        for t in group:
            items.append((t.response_ids, start))
            start += len(t.response_ids)
        pieces.append(Piece(group[0].prompt_ids, tuple(items)))
    (row,) = pack(pieces, 1024)
    scored, _ = Policy(causal, 1)(row.input_ids, row.position_ids, row.layout, row.select, row.targets)
    order = torch.argsort(row.flat)
    flat = [t for group in groups for t in group]
    lengths = [len(t.response_ids) for t in flat]
    # the critic's head is zero at first, so every value is 0
    loss, value_loss = plain_ppo(scored[order], torch.zeros(start), [t.reward for t in flat], lengths)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(causal.parameters(), config.policy.max_grad_norm)
    adam.step()

    metrics = rank.step(1, *groups)
    assert metrics["policy/loss"] == loss.item()
    assert metrics["value/loss"] == value_loss.item()
    ours = dict(rank._network.model.named_parameters())
    for name, p in causal.named_parameters():
        assert torch.equal(ours[name], p), name


def held(rank) -> dict[tuple[str, str, str], torch.Tensor]:
    """Whole weights and moments of both networks, under any ZeRO stage."""
    return {
        (network, name, what): tensor.detach().clone()
        for network, trained in (("policy", rank.policy), ("critic", rank.critic))
        for name, what, tensor in state.gather(trained.engine)
    }


def weights(rank) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in rank._network.model.named_parameters()} | {
        f"critic.{n}": p.detach().clone() for n, p in rank.critic.module.named_parameters()
    }


def test_tokens_outside_the_mask_do_not_move_the_policy(model: Path):
    before = make_groups()
    after = make_groups()
    for group in after:
        for t in group:
            t.executed[:] = False
    rank = make_rank(model, learner_config(kl=NoKL()))
    start = weights(rank)
    rank.step(1, *after)
    assert all(torch.equal(v, start[n]) for n, v in weights(rank).items() if not n.startswith("critic."))
    rank.step(2, *before)
    assert not all(torch.equal(v, start[n]) for n, v in weights(rank).items() if not n.startswith("critic."))


def test_the_loss_does_not_depend_on_the_split_into_micro_batches(model: Path):
    results = []
    for budget in (16, 48, 1024):
        rank = make_rank(model, learner_config(token_budget=budget))
        results.append((rank.step(1, *make_groups()), weights(rank)))
    for metrics, found in results[1:]:
        assert metrics["policy/loss"] == pytest.approx(results[0][0]["policy/loss"], rel=1e-5, abs=1e-7)
        assert metrics["grad_norm/policy"] == pytest.approx(results[0][0]["grad_norm/policy"], rel=1e-4)
        assert metrics["value/loss"] == pytest.approx(results[0][0]["value/loss"], rel=1e-5)
        assert found.keys() == results[0][1].keys()


def test_a_checkpoint_resumes_bit_for_bit(model: Path, tmp_path: Path):
    config = learner_config(epochs=2, minibatches=2)
    straight = make_rank(model, config)
    for step in (1, 2, 3):
        last = straight.step(step, *make_groups(seed=step))
    stopped = make_rank(model, config)
    stopped.step(1, *make_groups(seed=1))
    stopped.save(str(tmp_path / "checkpoint"))
    resumed = make_rank(model, config, seed=99)
    resumed._update = dataclasses.replace(resumed._update, seed=0)
    resumed.load(str(tmp_path / "checkpoint"))
    for step in (2, 3):
        again = resumed.step(step, *make_groups(seed=step))
    timeless = {k for k in last if not k.startswith(("seconds/", "tokens_per_s/"))}
    assert {k: last[k] for k in timeless} == {k: again[k] for k in timeless}
    expected = weights(straight)
    assert all(torch.equal(v, expected[n]) for n, v in weights(resumed).items())


def test_a_saved_policy_loads_in_transformers(model: Path, tmp_path: Path):
    rank = make_rank(model, learner_config())
    rank.step(1, *make_groups())
    rank.save(str(tmp_path / "checkpoint"))
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint" / "policy", dtype=torch.float32)
    ours = dict(rank._network.model.named_parameters())
    for name, p in loaded.named_parameters():
        assert torch.equal(ours[name], p), name


ASIDE = OffloadConfig(optimizer=True)
ENGINES: dict[str, dict[str, object]] = {
    f"ZeRO {stage}{', offload' * offload}{', bf16' * bf16}": dict(zero_stage=stage)
    | (dict(offload=ASIDE) if offload else {})
    | (dict(precision="bf16") if bf16 else {})
    for stage, offload, bf16 in product((0, 1, 2, 3), (False, True), (False, True))
    if stage or not (offload or bf16)
}


@pytest.mark.parametrize("name", ENGINES)
def test_an_update_with_a_gradient_that_is_not_finite_is_refused(model: Path, name: str):
    rank = make_rank(model, learner_config(**ENGINES[name]))
    rank.step(1, *make_groups())
    start = held(rank)
    poisoned = make_groups(seed=5)
    poisoned[0][0].logprobs[:] = math.nan
    sampler = learner_config(**ENGINES[name], old_logprobs=SamplerLogprobs())
    update = dataclasses.replace(rank._update, config=sampler)
    metrics = update.step(2, [t for group in poisoned for t in group]).metrics
    assert metrics["updates/refused"] == 1.0
    assert start and all(torch.equal(v, start[n]) for n, v in held(rank).items())
    assert rank.step(3, *make_groups(seed=6))["updates/refused"] == 0.0


@pytest.mark.parametrize("name", ENGINES)
def test_an_update_with_a_loss_that_is_not_finite_is_refused_though_its_gradient_is_finite(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    plain = policy_losses.FUNCTIONS["ppo_clip"]

    def infinite(*arguments, **settings):  # no input was found that makes the loss infinite, its gradient finite
        found = plain(*arguments, **settings)
        return dataclasses.replace(found, loss=found.loss + math.inf)

    config = learner_config(**ENGINES[name], minibatches=2)
    rank, untouched = (make_rank(model, config) for _ in range(2))
    with monkeypatch.context() as patch:
        patch.setitem(policy_losses.FUNCTIONS, "ppo_clip", infinite)
        assert rank.step(1, *make_groups())["updates/refused"] == 2.0
    # neither network has moved, nor has a moment: the next step is as if the refused one had not been
    metrics, expected = (r.step(2, *make_groups(seed=6)) for r in (rank, untouched))
    assert metrics["updates/refused"] == 0.0
    assert metrics["grad_norm/policy"] == expected["grad_norm/policy"]
    rank.save(str(tmp_path / "refused"))
    untouched.save(str(tmp_path / "untouched"))
    for network in ("policy", "critic"):
        (ours, _), (theirs, _) = (state.read(tmp_path / n / "learner" / network) for n in ("refused", "untouched"))
        for tensor in theirs:
            assert all(torch.equal(ours[tensor][k], theirs[tensor][k]) for k in theirs[tensor]), (network, tensor)
