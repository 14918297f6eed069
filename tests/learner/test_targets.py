"""What an update makes of a batch before and around its losses, against numbers worked out by hand."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from stepcoder.learner.batch import Batch, build_batch, token_positions
from stepcoder.learner.config import (
    FGO,
    GRPO,
    RLOO,
    AdvantageConfig,
    Constant,
    DrGRPO,
    DualClip,
    LearnerLogprobs,
    LossKL,
    NoKL,
    Normalizer,
    Overlong,
    PPOClip,
    RandomCredit,
    ReinforcePlusPlus,
    ReinforcePlusPlusBaseline,
    RewardConfig,
    RewardKL,
    SamplerLogprobs,
    SeparateCritic,
)
from stepcoder.learner.config.loss import AllTokens, MaskedTokens, Sequences
from stepcoder.learner.masks import credit_mask
from stepcoder.learner.tally import Reduce, Tally
from stepcoder.learner.update import PolicyUpdate, Targets, Weights
from stepcoder.rollout.trajectory import Trajectory
from tests.tools.learner import learner_config, make_groups, make_rank, with_critic


def completion(ticket: int, sample: int, reward: float, executed: list[int]) -> Trajectory:
    n, (any_group,) = len(executed), make_groups(groups=1, completions=1)
    return dataclasses.replace(
        any_group[0],
        ticket=ticket,
        sample=sample,
        reward=reward,
        response_ids=np.arange(n, dtype=np.int32) + 3 + 10 * (2 * ticket + sample),
        logprobs=np.full(n, -2.0, np.float32),
        executed=np.array(executed, bool),
        code=np.ones(n, bool),
        token_lines=np.ones(n, np.int32),
    )


# Prompt 0: two tokens, of which the first takes the loss, and one that does not; prompt 1: two that both do.
TRAJECTORIES = [completion(0, 0, 1.0, [1, 0]), completion(0, 1, 0.0, [0]), completion(1, 0, -1.0, [1, 1])]
OTHER_RANK = torch.tensor([1.0, 5.0, 25.0], dtype=torch.float64)  # moments of one more number, 5


@pytest.fixture(scope="module")
def whole(model: Path) -> PolicyUpdate:
    rank = make_rank(model, learner_config())
    rank.step(1, *make_groups())  # a new critic says 0 everywhere
    return rank._update


@pytest.fixture
def batch() -> Batch:
    return build_batch(TRAJECTORIES, FGO(), step=1, seed=0)


def changed(update: PolicyUpdate, **settings: object) -> PolicyUpdate:
    return dataclasses.replace(update, config=learner_config(**(dict(kl=NoKL()) | settings)))


def with_other_rank(update: PolicyUpdate, add: Callable[[Tensor], Tensor]) -> PolicyUpdate:
    return dataclasses.replace(update, reduce=Reduce(2, add, lambda n: n))


def test_a_batch_is_laid_end_to_end(batch: Batch):
    assert batch.starts == (0, 2, 3) and batch.lengths == (2, 1, 2)
    assert batch.credit.tolist() == [True, False, False, True, True]
    assert batch.rewards.tolist() == [1.0, 0.0, -1.0]
    assert token_positions(batch, [2, 0]).tolist() == [3, 4, 0, 1]
    random_credit = build_batch(make_groups()[0], RandomCredit(), step=3, seed=5).credit
    masks = [credit_mask(t, RandomCredit(), step=3, seed=5) for t in make_groups()[0]]
    assert random_credit.tolist() == np.concatenate(masks).tolist()


@pytest.mark.parametrize(
    ("normalizer", "policy", "everywhere"),
    [
        (MaskedTokens(), [1 / 3, 0, 0, 1 / 3, 1 / 3], [1 / 5] * 5),  # 3 loss tokens of 5
        (AllTokens(), [1 / 5, 0, 0, 1 / 5, 1 / 5], [1 / 5] * 5),
        # two completions have loss tokens, 1 and 2; all three have tokens, 2, 1 and 2
        (Sequences(), [1 / 2, 0, 0, 1 / 4, 1 / 4], [1 / 6, 1 / 6, 1 / 3, 1 / 6, 1 / 6]),
        (Constant(tokens=10), [1 / 30, 0, 0, 1 / 30, 1 / 30], [1 / 30] * 5),  # three completions of ten
    ],
)
def test_weights_of_the_three_losses(
    whole: PolicyUpdate, batch: Batch, normalizer: Normalizer, policy: list[float], everywhere: list[float]
):
    settings = dict(loss=PPOClip(normalizer=normalizer))
    weights = changed(whole, **settings)._weights(batch, [0, 1, 2])
    assert weights.policy.tolist() == pytest.approx(policy)
    assert weights.kl.tolist() == pytest.approx(everywhere)
    assert weights.value.tolist() == pytest.approx([1 / 5] * 5)  # a mean over tokens, whatever the policy's normaliser
    masked = changed(
        whole, **settings, kl=RewardKL(mask="executed"), advantage=with_critic(critic=SeparateCritic(mask="executed"))
    )
    weights = masked._weights(batch, [0, 1, 2])
    assert weights.kl.tolist() == pytest.approx(policy)
    assert weights.value.tolist() == pytest.approx([1 / 3, 0, 0, 1 / 3, 1 / 3])
    # the same number of everything on another rank
    twice = with_other_rank(changed(whole, **settings), lambda v: 2 * v)
    assert twice._weights(batch, [0, 1, 2]).policy.tolist() == pytest.approx([w / 2 for w in policy])


def test_a_minibatch_counts_its_own_tokens_alone(whole: PolicyUpdate, batch: Batch):
    # the first two completions: three tokens, one of which takes the loss
    for normalizer, expected in ((MaskedTokens(), 1), (AllTokens(), 1 / 3), (Sequences(), 1)):
        weights = changed(whole, loss=PPOClip(normalizer=normalizer))._weights(batch, [0, 1])
        assert weights.policy.tolist() == pytest.approx([expected, 0, 0, 0, 0]), normalizer
        assert weights.value.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0, 0])


def test_rewards_in_the_order_of_their_settings(whole: PolicyUpdate, batch: Batch):
    # lengths 2, 1, 2, penalty from 1 to 3 tokens up to 0.4: 1 - 0.2, 0, -1 - 0.2
    penalty = RewardConfig(overlong=Overlong(start=1, end=3, penalty=0.4))
    assert changed(whole, reward=penalty)._rewards(batch).tolist() == pytest.approx([0.8, 0, -1.2])
    # clipped to 0.9, then less the other completion of prompt 0; prompt 1 has no other
    clipped = penalty.model_copy(update={"clip": 0.9})
    update = changed(whole, reward=clipped, advantage=with_critic(reward_baseline="group"))
    assert update._rewards(batch).tolist() == pytest.approx([0.8, -0.8, -0.9])
    # 1, 0, -1 here and 5 on another rank: mean 5/4, deviation sqrt(27/4 - 25/16) = sqrt(83)/4: (4 r - 5)/sqrt(83)
    update = with_other_rank(changed(whole, reward=RewardConfig(normalize=True)), lambda v: v + OTHER_RANK)
    assert update._rewards(batch).tolist() == pytest.approx([(4 * r - 5) / 83**0.5 for r in (1, 0, -1)])


def test_penalties_of_the_kl_in_the_reward(whole: PolicyUpdate, batch: Batch):
    # d = 0.5, 0, -1, 1, 2; coefficient 0.1, k2: -0.1 d^2/2
    reference = torch.tensor([-1.5, -1.0, 0.0, -2.0, -3.0])
    old, expected = torch.full((5,), -1.0), [-0.0125, 0, -0.05, -0.05, -0.2]

    def penalties(kl: RewardKL | LossKL) -> list[float]:
        return changed(whole, kl=kl)._penalties(batch, old, reference).tolist()

    assert penalties(RewardKL(coef=0.1, estimator="k2")) == pytest.approx(expected)
    masked = RewardKL(coef=0.1, estimator="k2", mask="executed")
    assert penalties(masked) == pytest.approx([-0.0125, 0, 0, -0.05, -0.2])
    assert penalties(LossKL(coef=0.1, estimator="k2")) == [0.0] * 5
    update = changed(whole, kl=RewardKL(coef=0.1, estimator="k2", target=1.0))
    update.kl_factor.value = 3.0  # the adaptive coefficient
    assert update._penalties(batch, old, reference).tolist() == pytest.approx([3 * x for x in expected])
    update.kl_factor.value = 1.0


def test_untrusted_coverage_is_counted_and_takes_every_token(whole: PolicyUpdate):
    forged = [TRAJECTORIES[0], dataclasses.replace(TRAJECTORIES[1], coverage_trusted=False), TRAJECTORIES[2]]
    batch = build_batch(forged, FGO(), step=1, seed=0)
    _, metrics = targets(whole, batch)
    assert metrics["executed_share"] == pytest.approx(4 / 5)
    assert metrics["coverage/untrusted_share"] == pytest.approx(1 / 3)


def targets(whole: PolicyUpdate, batch: Batch, **settings: object) -> tuple[Targets, dict[str, float]]:
    update, tally = changed(whole, **settings), Tally()
    found = update._targets(batch, update._rows(batch, range(3)), tally)
    return found, tally.means(update.reduce)


# Every token's return is its completion's reward.
RETURNS = with_critic(gamma=1.0, lam=1.0)


def test_advantages_are_normalised_over_loss_tokens_and_then_clipped(whole: PolicyUpdate, batch: Batch):
    plain, metrics = targets(whole, batch, advantage=RETURNS.model_copy(update={"normalize": "none"}))
    values = plain.old_values
    assert values is not None and plain.returns is not None and values.abs().max() > 0.01
    assert plain.returns.tolist() == pytest.approx([1, 1, 0, -1, -1], abs=1e-5)
    torch.testing.assert_close(plain.advantages, plain.returns - values)
    assert metrics["value/error"] == pytest.approx(float((plain.returns - values).abs().mean()))
    assert metrics["value/mean"] == pytest.approx(float(values.mean()))
    assert metrics["executed_share"] == pytest.approx(3 / 5) and metrics["coverage/untrusted_share"] == 0
    assert plain.completion.tolist() == [0, 0, 1, 2, 2]
    # mean and deviation of the three loss tokens, for all five; the critic's returns stay what they were
    counted = plain.advantages[[0, 3, 4]]
    expected = (plain.advantages - counted.mean()) / counted.std(unbiased=False)
    found, _ = targets(whole, batch, advantage=RETURNS)
    torch.testing.assert_close(found.advantages, expected, rtol=1e-4, atol=1e-5)
    assert found.returns is not None
    torch.testing.assert_close(found.returns, plain.returns)
    found, _ = targets(whole, batch, advantage=RETURNS.model_copy(update={"clip": 0.5}))
    assert expected.min() < -0.5 and expected.max() > 0.5
    torch.testing.assert_close(found.advantages, expected.clamp(-0.5, 0.5), rtol=1e-4, atol=1e-5)


# A group that passes and fails, and one that fails throughout; failing completions are longer. No critic yet says
# anything, and there is no KL penalty.
UNEVEN = [
    completion(0, 0, 1.0, [1]),
    completion(0, 1, -0.6, [1, 1, 1]),
    completion(1, 0, -0.6, [1, 1, 1]),
    completion(1, 1, -0.6, [1, 1]),
]
# Less the other completion: 1.6, three times -1.6, then 0. Their mean over nine tokens is -3.2/9, not 0; their mean
# square (4 * 1.6^2)/9, its root 3.2/3. Less the mean itself, half of both: the quotient is the same.
SCALED = [1.5, -1.5, -1.5, -1.5, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "advantage",
    [
        with_critic(reward_baseline="group", lam=1.0),
        ReinforcePlusPlusBaseline(),
        RLOO(normalize="batch"),
        DrGRPO(normalize="batch"),
        GRPO(normalize="batch"),
    ],
    ids=["group baseline", "reinforce_plus_plus_baseline", "rloo", "dr_grpo", "grpo"],
)
@pytest.mark.parametrize("reward", [RewardConfig(), RewardConfig(normalize=True)], ids=["plain", "normalised"])
def test_a_group_that_always_fails_gets_nothing(model: Path, advantage: AdvantageConfig, reward: RewardConfig):
    rank = make_rank(model, learner_config())  # its critic says 0 everywhere
    batch = build_batch(UNEVEN, FGO(), step=1, seed=0)
    update = changed(rank._update, advantage=advantage, reward=reward)
    found = update._targets(batch, update._rows(batch, range(4)), Tally())
    assert found.advantages.tolist() == pytest.approx(SCALED, rel=1e-5)
    assert found.advantages.tolist()[4:] == [0.0] * 5


def test_without_a_comparison_within_the_group_the_mean_over_tokens_is_the_baseline(model: Path):
    # returns 1 and eight of -0.6: mean -3.8/9, so that plain PPO and REINFORCE++ push every failure down
    rank = make_rank(model, learner_config())
    batch = build_batch(UNEVEN, FGO(), step=1, seed=0)
    for advantage in (with_critic(lam=1.0), ReinforcePlusPlus()):
        update = changed(rank._update, advantage=advantage)
        found = update._targets(batch, update._rows(batch, range(4)), Tally()).advantages
        assert float(found.mean()) == pytest.approx(0, abs=1e-6) and (found[1:] < 0).all()


def test_old_logprobs_are_the_learners_or_the_engines_and_the_correction_is_between_them(
    whole: PolicyUpdate, batch: Batch
):
    ours, _ = targets(whole, batch, old_logprobs=LearnerLogprobs(importance_cap=None))
    assert (ours.old_logprobs - batch.sampler_logprobs).abs().min() > 1e-3
    assert ours.correction.tolist() == [1.0] * 5
    theirs, metrics = targets(whole, batch, old_logprobs=SamplerLogprobs())
    assert theirs.old_logprobs.tolist() == [-2.0] * 5 and theirs.correction.tolist() == [1.0] * 5
    assert not any(key.startswith("correction/") for key in metrics)
    # learner over engine 3, 1/2, 1, 4, 1, cap 2: two of five are held; then limits that leave two out
    batch = dataclasses.replace(batch, sampler_logprobs=ours.old_logprobs - torch.tensor([3, 0.5, 1, 4, 1]).log())
    capped, metrics = targets(whole, batch)
    assert capped.correction.tolist() == pytest.approx([2, 0.5, 1, 2, 1])
    assert metrics["correction/capped_share"] == pytest.approx(2 / 5) and "correction/masked_share" not in metrics
    limits = LearnerLogprobs(importance_mask_low=0.6, importance_mask_high=3.5)
    masked, metrics = targets(whole, batch, old_logprobs=limits)
    assert masked.correction.tolist() == pytest.approx([2, 0, 1, 0, 1])
    assert metrics["correction/masked_share"] == pytest.approx(2 / 5)


def losses(whole: PolicyUpdate, correction: list[float], **settings: object) -> tuple[float, float, float]:
    """Policy, KL and value loss of three tokens: ratios 1.5, 0.5, 2, A 1, -1, -1, log pi - log pi_ref 0.5, 0, -1."""
    update = changed(whole, **settings)
    old = torch.full((3,), -1.0)
    new = old + torch.tensor([1.5, 0.5, 2.0]).log()
    weights = Weights(policy=torch.full((3,), 0.5), value=torch.full((3,), 0.25), kl=torch.tensor([1.0, 0.0, 0.5]))
    reference = new - torch.tensor([0.5, 0.0, -1.0])
    found = Targets(
        old, torch.zeros(3), reference, torch.tensor([1.0, -1.0, -1.0]), torch.ones(3), torch.tensor(correction),
        torch.zeros(3, dtype=torch.long), torch.zeros(3), torch.ones(3, dtype=torch.bool),
    )  # fmt: skip
    at, values = torch.arange(3), torch.tensor([0.5, 0.1, 1.0])
    kl, critic = update.config.kl, update.config.critic
    assert isinstance(kl, LossKL) and critic is not None
    return (
        float(update._policy_loss(new, found, weights, at).loss),
        float(update._kl_loss(kl, new, reference, weights, at)),
        float(update._value_loss(critic.value_clip, values, found, weights, at)),
    )


def test_settings_reach_the_losses(whole: PolicyUpdate):
    kl = LossKL(coef=0.1, estimator="k2")
    # range [0.9, 1.3]: min(1.5, 1.3) = 1.3;  min(-0.5, -0.9) = -0.9;  min(-2, -1.3) = -2
    # corrections 1, 2, 0.5 and weight 1/2: -(1.3 - 1.8 - 1)/2 = 0.75
    # k2 0.125, 0, 0.5 with weights 1, 0, 0.5 and the coefficient: 0.0375
    # returns 1, old values 0, clip 0.2: 0.64, 0.81, 0.64 with weight 1/4: 0.5225
    loss = PPOClip(clip_low=0.1, clip_high=0.3)
    assert losses(whole, [1, 2, 0.5], loss=loss, kl=kl) == pytest.approx((0.75, 0.0375, 0.5225))
    # dual clip at 1.2: -2 is held at -1.2;  without a value clip: (0.25 + 0.81 + 0)/4
    loss = DualClip(clip_low=0.1, clip_high=0.3, dual_clip=1.2)
    advantage = with_critic(critic=SeparateCritic(value_clip=None))
    found = losses(whole, [1, 2, 0.5], loss=loss, kl=kl, advantage=advantage)
    assert found == pytest.approx((0.55, 0.0375, 0.265))


def test_a_token_without_weight_cannot_make_the_kl_infinite(whole: PolicyUpdate):
    # what was told between turns may be all but impossible to the policy: exp(199) is no number of fp32
    kl = LossKL(coef=0.1, estimator="k3")
    logprobs = torch.tensor([-1.0, -200.0], requires_grad=True)
    weights = Weights(policy=torch.zeros(2), value=torch.zeros(2), kl=torch.tensor([0.5, 0.0]))
    reference = torch.tensor([-1.5, -1.0])
    loss = changed(whole, kl=kl)._kl_loss(kl, logprobs, reference, weights, torch.arange(2))
    assert float(loss) == pytest.approx(0.05 * (math.exp(-0.5) - 1 + 0.5))
    loss.backward()
    # its derivative: 1 - exp(-0.5)
    assert logprobs.grad is not None and logprobs.grad.tolist() == pytest.approx([0.05 * (1 - math.exp(-0.5)), 0])


def test_every_step_epoch_and_seed_has_its_own_minibatches(whole: PolicyUpdate):
    groups = make_groups(groups=8, completions=2)
    batch = build_batch([t for group in groups for t in group], FGO(), step=1, seed=0)

    def split(step: int, epoch: int, seed: int = 0) -> tuple[tuple[int, ...], ...]:
        update = dataclasses.replace(changed(whole, minibatches=2), seed=seed)
        parts = tuple(tuple(part) for part in update._minibatches(batch, step, epoch))
        assert sorted(i for part in parts for i in part) == list(range(16))
        assert all(i ^ 1 in part for part in parts for i in part)  # whole groups: 0 with 1, 2 with 3, ...
        return parts

    assert split(1, 0) == split(1, 0)
    assert len({split(1, 0), split(1, 1), split(2, 0), split(1, 0, seed=1)}) == 4


def test_the_value_losss_weight_scales_the_critics_gradient(model: Path):
    norms = []
    for weight in (0.5, 1.0):
        rank = make_rank(model, learner_config(advantage=with_critic(critic=SeparateCritic(loss_weight=weight))))
        norms.append(rank.step(1, *make_groups())["grad_norm/critic"])
    assert norms[1] == pytest.approx(2 * norms[0], rel=1e-5)
