"""Every algorithm as one real update of a tiny model, and the settings that are refused."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from stepcoder.deploy.checks.footprint import STARTER_SHAPE, learner_bytes
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.config.sft import SFTRunConfig
from stepcoder.errors import UserError
from stepcoder.learner.algorithms import ESTIMATORS
from stepcoder.learner.batch import build_batch
from stepcoder.learner.config import (
    CreditConfig,
    CriticConfig,
    KLConfig,
    LearnerConfig,
    OptimizerConfig,
    PPOConfig,
    RewardConfig,
)
from stepcoder.learner.masks import CreditRule
from stepcoder.learner.rank import LearnerRank
from stepcoder.rollout.trajectory import Trajectory
from tests.tools.learner import learner_config, make_groups, make_rank
from tests.tools.tiny_model import build_tiny_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("model"))


ALGORITHMS: dict[str, dict[str, object]] = {
    "PPO": {},
    "PPO, dual clip": dict(ppo=PPOConfig(loss="dual_clip", clip_high=0.28, old_logprobs="sampler")),
    "PPO, mask of values and KL": dict(
        critic=CriticConfig(optimizer=OptimizerConfig(lr=1e-2), mask="executed", value_clip=None),
        kl=KLConfig(coef=0.05, mask="executed"),
    ),
    "GRPO": dict(
        ppo=PPOConfig(estimator="grpo", normalizer="sequences"),
        kl=KLConfig(coef=0.04, place="loss", estimator="k3", mask="executed"),
    ),
    "Dr.GRPO": dict(
        ppo=PPOConfig(estimator="dr_grpo", normalizer="constant", normalizer_tokens=14), kl=KLConfig(coef=0)
    ),
    "RLOO": dict(ppo=PPOConfig(estimator="rloo", loss="reinforce"), kl=KLConfig(coef=0.05)),
    "REINFORCE++": dict(ppo=PPOConfig(estimator="reinforce_plus_plus", gamma=0.99), kl=KLConfig(coef=0.01)),
    "REINFORCE++-baseline": dict(
        ppo=PPOConfig(estimator="reinforce_plus_plus_baseline"),
        kl=KLConfig(coef=0.01, place="loss", estimator="k2", mask="executed"),
    ),
    "DAPO": dict(
        ppo=PPOConfig(estimator="grpo", clip_high=0.28, normalizer="all_tokens"),
        reward=RewardConfig(overlong_start=6, overlong_end=12),
        kl=KLConfig(coef=0),
    ),
    "GSPO": dict(
        ppo=PPOConfig(
            estimator="grpo", loss="gspo", clip_low=0.09, clip_high=0.09, normalizer="sequences", old_logprobs="sampler"
        ),
        kl=KLConfig(coef=0),
    ),
    "CISPO": dict(
        ppo=PPOConfig(estimator="grpo", loss="cispo", clip_low=1, importance_mask_low=0.01, importance_mask_high=50),
        reward=RewardConfig(normalize=True, clip=0.8),
        kl=KLConfig(coef=0),
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
    if config.kl.place == "loss":
        assert metrics["kl/loss"] > 0.01 * config.kl.coef

    has_critic = ESTIMATORS[config.ppo.estimator].critic
    assert (whole.critic is not None) == has_critic == ("value/loss" in metrics) == ("grad_norm/critic" in metrics)

    batch = build_batch([t for group in groups for t in group], CreditRule(), step=1, seed=0)
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
        ppo=PPOConfig(estimator="rloo"), reward=RewardConfig(normalize=True, clip=0.8), kl=KLConfig(mask="executed")
    )
    update = make_rank(model, config)._update
    batch = build_batch([t for group in with_both_outcomes() for t in group], CreditRule(), step=1, seed=0)
    plain = batch.rewards
    shaped = ((plain - plain.mean()) / plain.std(unbiased=False)).clamp(-0.8, 0.8)
    torch.testing.assert_close(update._rewards(batch), shaped, rtol=1e-5, atol=1e-6)
    penalties = update._penalties(batch, torch.full((batch.tokens,), -1.0), torch.full((batch.tokens,), -1.5))
    torch.testing.assert_close(penalties, -0.05 * 0.5 * batch.credit.float())


@pytest.mark.parametrize(
    "change",
    [
        dict(kl=KLConfig(coef=0.5, place="loss", estimator="k3")),
        dict(ppo=PPOConfig(estimator="reinforce_plus_plus", gamma=0.5)),
        dict(ppo=PPOConfig(estimator="reinforce_plus_plus", importance_mask_low=0.5, importance_mask_high=2)),
    ],
    ids=["KL in the loss", "discount", "importance limits"],
)
def test_an_option_reaches_the_gradient(model: Path, change: dict[str, object]):
    base = dict(ppo=PPOConfig(estimator="reinforce_plus_plus"), kl=KLConfig(coef=0))
    norms = []
    for fields in (base, base | change):
        metrics = moved_rank(model, learner_config(**fields)).step(1, *with_both_outcomes())
        norms.append(metrics["grad_norm/policy"])
        assert 0 < metrics.get("correction/masked_share", 0.5) < 1
    assert norms[1] != pytest.approx(norms[0], rel=1e-3)


def test_a_step_without_groups_changes_nothing(model: Path):
    config = learner_config(
        ppo=PPOConfig(estimator="grpo", minibatches=2),
        kl=KLConfig(coef=0.02, target=0.1),
        reward=RewardConfig(normalize=True),
    )
    rank = make_rank(model, config)
    rank.step(1, *with_both_outcomes())
    start, factor = policy_weights(rank), rank._update.kl_factor.value
    assert rank.step(2)["updates/total"] == 0
    assert rank._update.kl_factor.value == factor
    assert all(torch.equal(p, start[key]) for key, p in policy_weights(rank).items())


def test_a_checkpoint_without_critic_and_with_a_moving_coefficient_resumes_bit_for_bit(model: Path, tmp_path: Path):
    kl = KLConfig(coef=0.05, place="loss", estimator="k3", target=0.5)
    config = learner_config(ppo=PPOConfig(estimator="rloo"), kl=kl)
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
    for tokens in ("fgo", "random"):
        config = learner_config(
            ppo=PPOConfig(estimator="grpo"), kl=KLConfig(coef=0), credit=CreditConfig(tokens=tokens)
        )
        found[tokens] = make_rank(model, config).step(1, *with_both_outcomes())
    assert found["fgo"]["executed_share"] == found["random"]["executed_share"]
    assert found["fgo"]["policy/loss"] != found["random"]["policy/loss"]
    drawn = [make_rank(model, config, seed).step(step, *with_both_outcomes()) for step, seed in ((2, 0), (1, 1))]
    assert len({line["policy/loss"] for line in [found["random"], *drawn]}) == 3  # anew for each step and seed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            "--learner.ppo.estimator grpo --learner.ppo.lam 0.9",
            "lam = 0.9 has no effect with learner.ppo.estimator grpo",
        ),
        ("--learner.ppo.estimator rloo --learner.ppo.gamma 0.9", "gamma = 0.9 has no effect"),
        ("--learner.ppo.estimator rloo --learner.ppo.reward_baseline group", "reward_baseline = group has no effect"),
        (
            "--learner.ppo.estimator grpo --rollout.group_size 1",
            "rollout.group_size = 1, but learner.ppo.estimator grpo",
        ),
        (
            "--learner.ppo.reward_baseline group --rollout.group_size 1",
            "rollout.group_size = 1, but learner.ppo.reward_baseline group compares",
        ),
        ("--learner.ppo.drop_equal_groups true --rollout.group_size 1", "learner.ppo.drop_equal_groups compares"),
        ("--refill_rounds 2", "refill_rounds = 2 has no effect without learner.ppo.drop_equal_groups"),
        ("--learner.ppo.loss reinforce --learner.ppo.clip_high 0.3", "clip_high = 0.3 has no effect"),
        ("--learner.ppo.dual_clip 4", "dual_clip = 4.0 has no effect with learner.ppo.loss ppo_clip"),
        ("--learner.ppo.loss gspo", "set them to 0.0003 and 0.0004"),
        ("--learner.ppo.loss reinforce --learner.ppo.old_logprobs sampler", "nothing would correct"),
        ("--learner.ppo.normalizer constant", "needs learner.ppo.normalizer_tokens"),
        ("--learner.ppo.normalizer_tokens 100", "has no effect with learner.ppo.normalizer masked_tokens"),
        ("--learner.ppo.old_logprobs sampler --learner.ppo.importance_mask_high 5", "need learner.ppo.old_logprobs"),
        (
            "--learner.ppo.old_logprobs sampler",
            "learner.ppo.old_logprobs = sampler with rollout.top_p = 0.9: the engine's log-probabilities",
        ),
        (
            "--learner.ppo.old_logprobs sampler --rollout.top_p 1 --rollout.top_k 50",
            "Set rollout.top_k to 0, or learner.ppo.old_logprobs to learner",
        ),
        ("--executor.coverage false", "learner.credit.tokens = fgo needs the executed lines"),
        ("--executor.coverage false --learner.credit.tokens random", "learner.credit.tokens = random needs"),
        (
            "--learner.credit.tokens all --learner.credit.compile_error line",
            "learner.credit.compile_error = line has no effect with learner.credit.tokens all",
        ),
        ("--learner.credit.tokens all --learner.critic.mask executed", "learner.critic.mask = executed has no effect"),
        ("--learner.credit.tokens all --learner.kl.mask executed", "learner.kl.mask = executed has no effect"),
        ("--learner.kl.coef 0 --learner.kl.mask executed", "learner.kl.mask = executed has no effect with learner.kl"),
        (
            "--learner.ppo.estimator grpo --learner.critic.mask executed",
            "learner.critic.mask = executed has no effect with learner.ppo.estimator grpo",
        ),
        ("--learner.kl.place loss", "take k2 or k3"),
        ("--learner.kl.coef 0 --learner.kl.target 0.1", "learner.kl.target needs a learner.kl.coef above 0"),
        ("--learner.reward.overlong_start 9", "give both or none"),
        ("--learner.reward.overlong_start 9 --learner.reward.overlong_end 9", "must be less than"),
        ("--learner.reward.overlong_start 9 --learner.reward.overlong_end 9999", "more than rollout.max_new_tokens"),
        ("--learner.ppo.estimator grppo", "Did you mean grpo?"),
    ],
)
def test_settings_that_would_do_nothing_or_cannot_be_are_refused_with_their_place(arguments: str, words: str):
    with pytest.raises(UserError) as caught:
        load_config(None, arguments.split(), {})
    assert words in str(caught.value) and "command line" in str(caught.value)


def test_what_the_engines_and_the_executor_give_is_accepted():
    for arguments in (
        "--learner.ppo.old_logprobs sampler --rollout.top_p 1 --rollout.temperature 0.7",
        "--executor.coverage false --learner.credit.tokens all",
        "--learner.ppo.old_logprobs learner --rollout.top_p 0.9 --rollout.top_k 50",
        "--learner.ppo.old_logprobs sampler --rollout.top_p 0.9 --learner.device cpu",
    ):
        load_config(None, arguments.split(), {})
    fine_tuning = load_config(ROOT / "configs" / "sft-starter.yaml", ["--executor.coverage", "false"], {}, SFTRunConfig)
    assert not fine_tuning.executor.coverage  # nothing masks there


def test_all_faults_of_an_algorithm_are_named_at_once():
    with pytest.raises(ValidationError) as caught:
        LearnerConfig(ppo=PPOConfig(estimator="grpo", gamma=0.9, loss="gspo"), kl=KLConfig(place="loss"))
    assert all(key in str(caught.value) for key in ("gamma", "clip_low", "learner.kl.estimator"))


def test_the_recipes_of_the_documentation_are_valid_and_differ():
    text = (ROOT / "docs" / "algorithms.md").read_text(encoding="utf-8")
    commands = re.findall(r"`stepcoder train --config (\S+) (--[^`]+)`", text)
    configs = [load_config(ROOT / file, arguments.split(), {}) for file, arguments in commands]
    assert {config.learner.ppo.estimator for config in configs} == set(ESTIMATORS) - {"gae"}
    assert len({config.digest() for config in configs}) == len(configs) == 8


def test_the_memory_estimate_has_no_critic_where_there_is_none():
    with_critic, without = (
        learner_bytes(load_config(None, ["--learner.ppo.estimator", name], {}), STARTER_SHAPE)
        for name in ("gae", "grpo")
    )
    # weights, gradients and two moments of a second network, 4 bytes each
    assert with_critic - without == pytest.approx(16 * STARTER_SHAPE.parameters, rel=1e-6)


def test_a_lambda_of_one_is_what_estimators_without_a_critic_do():
    config = load_config(None, ["--learner.ppo.estimator", "grpo", "--learner.ppo.lam", "1.0"], {})
    assert not config.learner.has_critic and not config.learner.whitens
    assert Config().learner.has_critic and Config().learner.whitens
