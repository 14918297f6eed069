"""Every algorithm as one real update of a tiny model."""

import dataclasses
from pathlib import Path

import pytest
import torch

from stepcoder.learner.batch import build_batch
from stepcoder.learner.config import (
    CISPO,
    FGO,
    GRPO,
    GSPO,
    RLOO,
    AllTokens,
    Constant,
    DrGRPO,
    DualClip,
    LearnerConfig,
    LearnerLogprobs,
    LossKL,
    MaskedTokens,
    NoKL,
    OptimizerConfig,
    Overlong,
    PPOClip,
    RandomCredit,
    Reinforce,
    ReinforcePlusPlus,
    ReinforcePlusPlusBaseline,
    RewardConfig,
    RewardKL,
    SamplerLogprobs,
    SeparateCritic,
    Sequences,
)
from stepcoder.learner.rank import LearnerRank
from stepcoder.rollout.trajectory import Trajectory
from tests.tools.learner import learner_config, make_groups, make_rank, with_critic

FAST = OptimizerConfig(lr=1e-2)


ALGORITHMS: dict[str, dict[str, object]] = {
    "PPO": {},
    "PPO, dual clip": dict(loss=DualClip(clip_high=0.28), old_logprobs=SamplerLogprobs()),
    "PPO, mask of values and KL": dict(
        advantage=with_critic(critic=SeparateCritic(optimizer=FAST, mask="executed", value_clip=None)),
        kl=RewardKL(mask="executed"),
    ),
    "GRPO": dict(advantage=GRPO(), loss=PPOClip(normalizer=Sequences()), kl=LossKL(coef=0.04, mask="executed")),
    "Dr.GRPO": dict(advantage=DrGRPO(), loss=PPOClip(normalizer=Constant(tokens=14)), kl=NoKL()),
    "RLOO": dict(advantage=RLOO(), loss=Reinforce()),
    "REINFORCE++": dict(advantage=ReinforcePlusPlus(gamma=0.99), kl=RewardKL(coef=0.01)),
    "REINFORCE++-baseline": dict(
        advantage=ReinforcePlusPlusBaseline(), kl=LossKL(coef=0.01, estimator="k2", mask="executed")
    ),
    "DAPO": dict(
        advantage=GRPO(),
        loss=PPOClip(clip_high=0.28, normalizer=AllTokens()),
        reward=RewardConfig(overlong=Overlong(start=6, end=12)),
        kl=NoKL(),
    ),
    "GSPO": dict(advantage=GRPO(), loss=GSPO(clip_low=0.09, clip_high=0.09), old_logprobs=SamplerLogprobs(), kl=NoKL()),
    "CISPO": dict(
        advantage=GRPO(),
        loss=CISPO(normalizer=MaskedTokens()),
        old_logprobs=LearnerLogprobs(importance_mask_low=0.01, importance_mask_high=50),
        reward=RewardConfig(normalize=True, clip=0.8),
        kl=NoKL(),
    ),
}


def with_both_outcomes(seed: int = 0) -> list[list[Trajectory]]:
    """Groups in which not all completions have the same reward."""
    return [
        [dataclasses.replace(t, reward={0: 1.0, 1: -0.6}.get(t.sample, t.reward)) for t in group]
        for group in make_groups(seed=seed)
    ]


def moved_rank(model: Path, config: LearnerConfig) -> LearnerRank:
    """A learner whose policy has left the reference, as after some steps."""
    rank, draw = make_rank(model, config), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in rank._network.model.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=draw))
    return rank


def policy_weights(rank: LearnerRank) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in rank._network.model.named_parameters()}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_update_moves_the_policy_by_its_loss_tokens_alone_however_it_is_split_and_ordered(model: Path, name: str):
    config = learner_config(**ALGORITHMS[name], token_budget=1024)
    whole = moved_rank(model, config)
    start = policy_weights(whole)
    scored: list[torch.Tensor] = []

    def keep(module: object, inputs: object, output: tuple[torch.Tensor, ...]) -> None:
        if output[0].requires_grad:
            output[0].retain_grad()
            scored.append(output[0])

    hook = whole.policy.module.register_forward_hook(keep)
    groups = with_both_outcomes()
    metrics = whole.step(1, *groups)
    hook.remove()
    assert any(not torch.equal(start[key], p) for key, p in policy_weights(whole).items())
    assert metrics["updates/refused"] == 0 and metrics["policy/loss"] != 0
    if isinstance(config.kl, LossKL):
        assert metrics["kl/loss"] > 0.01 * config.kl.coef

    has_critic = config.advantage.type == "gae"
    assert (whole.critic is not None) == has_critic == ("value/loss" in metrics) == ("grad_norm/critic" in metrics)

    batch = build_batch([t for group in groups for t in group], FGO(), step=1, seed=0)
    (row,) = whole._update._rows(batch, range(len(batch.lengths)))
    (logprobs,) = scored
    credit = batch.credit[row.flat]
    assert logprobs.grad is not None
    assert (logprobs.grad[~credit] == 0).all()
    assert (logprobs.grad[credit] != 0).any()

    rows = moved_rank(model, learner_config(**ALGORITHMS[name], token_budget=24))
    split = rows.step(1, *(group[::-1] for group in with_both_outcomes()[::-1]))
    for key in ("policy/loss", "grad_norm/policy", "kl/loss", "value/loss", "policy/clip_share"):
        if key in metrics:
            assert split[key] == pytest.approx(metrics[key], rel=1e-4, abs=1e-6), key


def test_rewards_and_penalties_are_what_the_settings_say(model: Path):
    config = learner_config(
        advantage=RLOO(), reward=RewardConfig(normalize=True, clip=0.8), kl=RewardKL(mask="executed")
    )
    update = make_rank(model, config)._update
    batch = build_batch([t for group in with_both_outcomes() for t in group], FGO(), step=1, seed=0)
    plain = batch.rewards
    shaped = ((plain - plain.mean()) / plain.std(unbiased=False)).clamp(-0.8, 0.8)
    torch.testing.assert_close(update._rewards(batch), shaped, rtol=1e-5, atol=1e-6)
    penalties = update._penalties(batch, torch.full((batch.tokens,), -1.0), torch.full((batch.tokens,), -1.5))
    torch.testing.assert_close(penalties, -0.05 * 0.5 * batch.credit.float())


@pytest.mark.parametrize(
    "change",
    [
        dict(kl=LossKL(coef=0.5)),
        dict(advantage=ReinforcePlusPlus(gamma=0.5)),
        dict(old_logprobs=LearnerLogprobs(importance_mask_low=0.5, importance_mask_high=2)),
    ],
    ids=["KL in the loss", "discount", "importance limits"],
)
def test_an_option_reaches_the_gradient(model: Path, change: dict[str, object]):
    base: dict[str, object] = dict(advantage=ReinforcePlusPlus(), kl=NoKL())
    norms = []
    for fields in (base, base | change):
        metrics = moved_rank(model, learner_config(**fields)).step(1, *with_both_outcomes())
        norms.append(metrics["grad_norm/policy"])
        assert 0 < metrics.get("correction/masked_share", 0.5) < 1
    assert norms[1] != pytest.approx(norms[0], rel=1e-3)


def test_a_step_without_groups_changes_nothing(model: Path):
    config = learner_config(
        advantage=GRPO(),
        minibatches=2,
        kl=RewardKL(coef=0.02, target=0.1),
        reward=RewardConfig(normalize=True),
    )
    rank = make_rank(model, config)
    rank.step(1, *with_both_outcomes())
    start, factor = policy_weights(rank), rank._update.kl_factor.value
    assert rank.step(2)["updates/total"] == 0
    assert rank._update.kl_factor.value == factor
    assert all(torch.equal(p, start[key]) for key, p in policy_weights(rank).items())


def test_a_checkpoint_without_critic_and_with_a_moving_coefficient_resumes_bit_for_bit(model: Path, tmp_path: Path):
    config = learner_config(advantage=RLOO(), kl=LossKL(target=0.5))
    straight = make_rank(model, config)
    for step in (1, 2, 3):
        last = straight.step(step, *with_both_outcomes(seed=step))
    stopped = make_rank(model, config)
    stopped.step(1, *with_both_outcomes(seed=1))
    stopped.save(str(tmp_path / "checkpoint"))
    assert not (tmp_path / "checkpoint" / "learner" / "critic").exists()
    resumed = make_rank(model, config)
    resumed.load(str(tmp_path / "checkpoint"))
    for step in (2, 3):
        again = resumed.step(step, *with_both_outcomes(seed=step))
    assert again["kl/coef"] == last["kl/coef"] != 0.05
    expected = policy_weights(straight)
    assert all(torch.equal(p, expected[key]) for key, p in policy_weights(resumed).items())


def test_random_credit_is_as_many_tokens_for_every_estimator(model: Path):
    found = {}
    for credit in (FGO(), RandomCredit()):
        config = learner_config(advantage=GRPO(), kl=NoKL(), credit=credit)
        found[credit.type] = make_rank(model, config).step(1, *with_both_outcomes())
    assert found["fgo"]["executed_share"] == found["random"]["executed_share"]
    assert found["fgo"]["policy/loss"] != found["random"]["policy/loss"]
    drawn = [make_rank(model, config, seed).step(step, *with_both_outcomes()) for step, seed in ((2, 0), (1, 1))]
    assert len({line["policy/loss"] for line in [found["random"], *drawn]}) == 3  # anew for each step and seed
