"""Details of the learner that are off by default: each by hand, on a tiny real model where one is needed."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from stepcoder.learner.batch import build_batch
from stepcoder.learner.config import (
    FGO,
    GRPO,
    LearnerLogprobs,
    LossKL,
    NoKL,
    OptimizerConfig,
    PPOClip,
    RewardKL,
    SamplerLogprobs,
    SeparateCritic,
)
from stepcoder.learner.losses.weights import whole_completions
from stepcoder.learner.networks.engine import learning_rate_factor
from stepcoder.learner.networks.logprobs import chunked_logprobs
from stepcoder.learner.rank import LearnerRank
from stepcoder.learner.tally import Tally
from tests.tools.learner import LORA, learner_config, make_groups, make_rank, with_critic

CRITIC = SeparateCritic(warmup_steps=2, optimizer=OptimizerConfig(lr=1e-2))


def weights(rank: LearnerRank) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in rank._network.model.named_parameters()}


def critic(rank: LearnerRank) -> torch.Tensor:
    assert rank.critic is not None
    return torch.cat([p.detach().flatten().clone() for p in rank.critic.module.parameters()])


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_in_its_first_steps_the_critic_alone_learns(model: Path) -> None:
    rank = make_rank(model, learner_config(advantage=with_critic(critic=CRITIC), kl=NoKL()))
    start, values = weights(rank), critic(rank)
    for step in (1, 2):
        metrics = rank.step(step, *make_groups(seed=step))
        assert same(weights(rank), start) and not torch.equal(critic(rank), values)
        assert metrics["lr/policy"] == 0 and "grad_norm/policy" not in metrics and metrics["grad_norm/critic"] > 0
        assert {"policy/loss", "gap/logprob_abs_mean", "policy/entropy"} < metrics.keys()
        values = critic(rank)
    metrics = rank.step(3, *make_groups(seed=3))
    assert not same(weights(rank), start) and metrics["lr/policy"] > 0 and metrics["grad_norm/policy"] > 0


def test_a_coefficient_that_follows_a_target_waits_for_the_policy(model: Path) -> None:
    # while the critic alone learns there is no KL that a lower coefficient could raise
    kl = RewardKL(coef=0.1, target=1.0)
    rank = make_rank(model, learner_config(advantage=with_critic(critic=CRITIC), kl=kl))
    coefficients = [rank.step(step, *make_groups(seed=step))["kl/coef"] for step in (1, 2, 3, 4)]
    assert coefficients == pytest.approx([0.1, 0.1, 0.1, 0.098])


def test_the_schedule_of_the_policy_is_as_long_as_it_learns(model: Path) -> None:
    # 100 updates, four of them in the critic's two steps: 96 to fall to 0 in
    linear = OptimizerConfig(lr=1.0, schedule="linear")
    config = learner_config(advantage=with_critic(critic=CRITIC), kl=NoKL(), policy=linear, epochs=2)
    rank = make_rank(model, config)
    for step in (1, 2):
        rank.step(step, *make_groups())
    assert rank.policy.lr() == 1.0
    rank.step(3, *make_groups())
    assert rank.policy.lr() == pytest.approx(94 / 96)


def test_the_cosine_schedule_by_hand() -> None:
    # 2 updates of warm-up, 10 in all: 8 to fall in; after 4 of them the half, after 2 cos(pi/4), at the end 0
    rule = OptimizerConfig(schedule="cosine", warmup_steps=2)
    found = [learning_rate_factor(rule, update, 10) for update in (0, 1, 2, 4, 6, 10, 12)]
    assert found == pytest.approx([1 / 3, 2 / 3, 1, (1 + math.cos(math.pi / 4)) / 2, 0.5, 0, 0])


def test_gradient_of_the_entropy_is_autograds() -> None:
    draw = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(5, 7, bias=False)
    hidden = torch.randn(6, 5, generator=draw).requires_grad_()
    targets = torch.randint(0, 7, (6,), generator=draw)
    a, b = torch.randn(6, generator=draw), torch.randn(6, generator=draw)

    def gradient(loss: torch.Tensor) -> list[torch.Tensor]:
        return list(torch.autograd.grad(loss, [hidden, head.weight]))

    log_p = torch.log_softmax(head(hidden) / 0.8, -1)
    entropies = -(log_p.exp() * log_p).sum(-1)
    expected = gradient((a * log_p.gather(1, targets[:, None])[:, 0]).sum() + (b * entropies).sum())
    for pieces in (1, 2):
        scored, entropy = chunked_logprobs(head, hidden, targets, pieces, 0.8, entropy_gradient=True)
        torch.testing.assert_close(entropy, entropies)
        found = gradient((a * scored).sum() + (b * entropy).sum())
        for ours, plain in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, plain)
    _, entropy = chunked_logprobs(head, hidden, targets, 1, 0.8)
    assert not entropy.requires_grad


def test_an_entropy_bonus_alone_makes_the_policy_less_certain(model: Path) -> None:
    groups = make_groups()
    for group in groups:
        for i, t in enumerate(group):  # no group teaches anything else
            group[i] = dataclasses.replace(t, reward=1.0)
    config = learner_config(advantage=GRPO(), kl=NoKL(), loss=PPOClip(entropy_bonus=0.5))
    rank = make_rank(model, config)
    entropies = [rank.step(step, *groups)["policy/entropy"] for step in range(1, 5)]
    assert entropies == sorted(entropies) and entropies[-1] > entropies[0]
    still = make_rank(model, learner_config(advantage=GRPO(), kl=NoKL()))
    start = weights(still)
    still.step(1, *groups)
    assert same(weights(still), start)


def test_completions_far_from_the_engine_are_left_out_whole() -> None:
    # mean log ratios 0.5, -0.5 and 0.1; with n = 2, 4 and 1: ratios 1.65, 0.61 and 1.11
    gaps = [torch.tensor(g) for g in (1.0, -2.0, 0.1)]
    assert whole_completions(gaps, (2, 4, 1), 0.7, 1.5).tolist() == [False, False, True]
    assert whole_completions(gaps, (2, 4, 1), None, 1.5).tolist() == [False, True, True]
    assert whole_completions(gaps, (2, 4, 1), 0.7, None).tolist() == [True, False, True]
    assert whole_completions([], (), 0.7, None).tolist() == []


def test_a_completion_that_is_left_out_has_no_weight_and_is_counted(model: Path) -> None:
    group = make_groups(groups=1, completions=2)[0]
    rule = LearnerLogprobs(importance_cap=None, sequence_mask_low=0.5, sequence_mask_high=2.0)
    rank = make_rank(model, learner_config(advantage=GRPO(), kl=NoKL(), old_logprobs=rule))
    update = rank._update
    batch = build_batch(group, FGO(), step=1, seed=0)
    old = batch.sampler_logprobs.clone()
    first = slice(0, batch.lengths[0])
    old[first] += 1.0  # each token e times as likely to the learner: 2.7 on average, above 2
    tally = Tally()
    found = update._correction(batch, old, tally)
    assert found[first].tolist() == [0.0] * batch.lengths[0] and (found[batch.lengths[0] :] == 1).all()
    assert tally.means(update.reduce)["correction/sequences_masked"] == 0.5


@pytest.mark.parametrize("staleness", [LearnerLogprobs(), SamplerLogprobs()])
def test_the_reference_is_the_policy_again_after_so_many_steps(
    staleness: LearnerLogprobs | SamplerLogprobs, model: Path, tmp_path: Path
) -> None:
    config = learner_config(kl=LossKL(reset_every=2), old_logprobs=staleness)
    rank = make_rank(model, config)
    start = weights(rank)

    def reference(rank: LearnerRank) -> dict[str, torch.Tensor]:
        return {name.removeprefix("model."): p.detach() for name, p in rank.reference.named_parameters()}

    def step(number: int) -> None:
        rank.step(number, *make_groups(seed=number))

    step(1), step(2)
    assert same(reference(rank), start)
    after_two = weights(rank)
    step(3)  # before it: the policy of two steps
    assert same(reference(rank), after_two) and not same(weights(rank), after_two)
    rank.save(str(tmp_path / "checkpoint"))
    again = make_rank(model, config)
    again.load(str(tmp_path / "checkpoint"))
    assert same(reference(again), after_two)
    step(4)
    again.step(4, *make_groups(seed=4))
    assert same(weights(again), weights(rank))


def test_a_reference_without_a_copy_of_its_own_cannot_be_reset() -> None:
    with pytest.raises(ValueError, match="reset_every is not possible with learner.lora.rank"):
        learner_config(kl=LossKL(reset_every=2), lora=LORA)
    with pytest.raises(ValueError, match="reset_every is not possible with zero_stage 3"):
        learner_config(kl=LossKL(reset_every=2), zero_stage=3)
