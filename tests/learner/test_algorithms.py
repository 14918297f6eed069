"""Every algorithm as one real update of a tiny model, and the settings that are refused."""

import dataclasses
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from stepcoder.deploy.checks.footprint import STARTER_SHAPE, learner_bytes
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.recipes import RECIPES
from stepcoder.deploy.config.sft import SFTRunConfig
from stepcoder.errors import UserError
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
from tests.tools.tiny_model import build_tiny_model

FAST = OptimizerConfig(lr=1e-2)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("model"))


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            "--learner.advantage grpo --learner.advantage.lam 0.9",
            "learner.advantage.lam (command line) has no effect with learner.advantage.type grpo; it belongs to type "
            "gae",
        ),
        (
            "--learner.advantage rloo --learner.advantage.gamma 0.9",
            "it belongs to type gae or reinforce_plus_plus or reinforce_plus_plus_baseline",
        ),
        ("--learner.advantage rloo --learner.advantage.reward_baseline group", "it belongs to type gae"),
        ("--learner.advantage grpo --learner.advantage.critic.mask executed", "it belongs to type gae"),
        (
            "--learner.advantage grpo --rollout.group_size 1",
            "rollout.group_size = 1, but learner.advantage.type grpo",
        ),
        (
            "--learner.advantage.reward_baseline group --rollout.group_size 1",
            "rollout.group_size = 1, but learner.advantage.reward_baseline group compares",
        ),
        ("--learner.drop_equal_groups true --rollout.group_size 1", "learner.drop_equal_groups compares"),
        ("--refill_rounds 2", "refill_rounds = 2 has no effect without learner.drop_equal_groups"),
        (
            "--learner.loss reinforce --learner.loss.clip_high 0.3",
            "it belongs to type ppo_clip or dual_clip or gspo or cispo",
        ),
        (
            "--learner.loss.dual_clip 4",
            "learner.loss.dual_clip (command line) has no effect with learner.loss.type ppo_clip; it belongs to type "
            "dual_clip",
        ),
        ("--learner.loss gspo --learner.loss.clip_low 0.2", "set them to 0.0003 and 0.0004"),
        (
            "--learner.loss reinforce --learner.old_logprobs sampler --rollout.top_p 1",
            "with max_staleness = 1 nothing would correct",
        ),
        (
            "--learner.loss reinforce --learner.old_logprobs sampler --max_staleness 0",
            "learner.old_logprobs.type = sampler with rollout.top_p = 0.9",
        ),
        (
            "--rollout.engine transformers --rollout.kv_cache_gib 2",
            "rollout.kv_cache_gib (command line) has no effect with rollout.engine transformers; it belongs to engine "
            "vllm",
        ),
        ("--rollout.engine vlm --rollout.kv_cache_gib 2", "rollout.engine = 'vlm' (command line) is not possible"),
        ("--learner.loss.normalizer.tokens 100", "normalizer.type masked_tokens; it belongs to type constant"),
        (
            "--learner.old_logprobs sampler --learner.old_logprobs.importance_mask_high 5",
            "with learner.old_logprobs.type sampler; it belongs to type learner",
        ),
        (
            "--learner.old_logprobs sampler",
            "learner.old_logprobs.type = sampler with rollout.top_p = 0.9: the engine's log-probabilities",
        ),
        (
            "--learner.old_logprobs sampler --rollout.top_p 1 --rollout.top_k 50",
            "Set rollout.top_k to 0, or learner.old_logprobs to learner",
        ),
        ("--executor.coverage false", "learner.credit.type = fgo needs the executed lines"),
        ("--executor.coverage false --learner.credit random", "learner.credit.type = random needs"),
        (
            "--learner.credit all --learner.credit.compile_error line",
            "with learner.credit.type all; it belongs to type fgo or random",
        ),
        (
            "--learner.credit all --learner.advantage.critic.mask executed",
            "learner.advantage.critic.mask = executed has no effect",
        ),
        ("--learner.credit all --learner.kl.mask executed", "learner.kl.mask = executed has no effect"),
        ("--learner.kl none --learner.kl.mask executed", "learner.kl.type none; it belongs to type reward or loss"),
        ("--learner.kl none --learner.kl.target 0.1", "learner.kl.type none; it belongs to type reward or loss"),
        ("--learner.kl.coef 0", "for no penalty set learner.kl to none"),
        ("--learner.kl loss --learner.kl.estimator k1", "allowed is k2|k3"),
        (
            "--learner.reward.overlong linear --learner.reward.overlong.start 9 --learner.reward.overlong.end 9",
            "must be less than",
        ),
        (
            "--learner.reward.overlong linear --learner.reward.overlong.end 9999",
            "more than rollout.max_new_tokens",
        ),
        ("--learner.reward.overlong.start 9", "learner.reward.overlong.type none; it belongs to type linear"),
        ("--learner.advantage grppo", "Did you mean grpo?"),
        ("--algorithm grppo", "Did you mean grpo?"),
    ],
)
def test_settings_that_would_do_nothing_or_cannot_be_are_refused_with_their_place(arguments: str, words: str):
    with pytest.raises(UserError) as caught:
        load_config(None, arguments.split(), {})
    assert words in str(caught.value) and "command line" in str(caught.value)


def test_what_the_engines_and_the_executor_give_is_accepted():
    on_policy = "--learner.loss reinforce --learner.old_logprobs sampler --max_staleness 0"
    for arguments in (
        f"{on_policy} --rollout.top_p 1",
        f"{on_policy} --learner.kl none",  # nothing compares with the engine's numbers
        "--learner.old_logprobs sampler --rollout.engine transformers --rollout.top_k 50 --learner.device cuda",
        "--learner.old_logprobs sampler --rollout.top_p 1 --rollout.temperature 0.7",
        "--executor.coverage false --learner.credit all",
        "--learner.old_logprobs learner --rollout.top_p 0.9 --rollout.top_k 50",
        "--learner.old_logprobs sampler --rollout.top_p 0.9 --learner.device cpu",
    ):
        load_config(None, arguments.split(), {})
    fine_tuning = load_config(ROOT / "configs" / "sft-starter.yaml", ["--executor.coverage", "false"], {}, SFTRunConfig)
    assert not fine_tuning.executor.coverage  # nothing masks there


def test_all_faults_of_a_learner_are_named_at_once():
    with pytest.raises(ValidationError) as caught:
        LearnerConfig.model_validate(
            {
                "advantage": {"type": "gae", "critic": {"type": "separate", "mask": "executed"}},
                "credit": {"type": "all"},
                "kl": {"type": "reward", "mask": "executed"},
            }
        )
    assert all(key in str(caught.value) for key in ("learner.advantage.critic.mask", "learner.kl.mask"))


# What each name stands for: its estimator, loss and normaliser, and its KL penalty.
PUBLISHED = {
    "ppo": ("gae", "ppo_clip", "masked_tokens", "reward"),
    "grpo": ("grpo", "ppo_clip", "sequences", "loss"),
    "dr_grpo": ("dr_grpo", "ppo_clip", "constant", "none"),
    "rloo": ("rloo", "ppo_clip", "masked_tokens", "reward"),
    "reinforce_plus_plus": ("reinforce_plus_plus", "ppo_clip", "masked_tokens", "reward"),
    "reinforce_plus_plus_baseline": ("reinforce_plus_plus_baseline", "ppo_clip", "masked_tokens", "loss"),
    "dapo": ("grpo", "ppo_clip", "all_tokens", "none"),
    "gspo": ("grpo", "gspo", "sequences", "none"),
    "cispo": ("grpo", "cispo", "all_tokens", "none"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_an_algorithm_is_one_line_and_the_published_one(name: str):
    config = load_config(ROOT / "configs" / "starter.yaml", ["--algorithm", name], {})
    learner = config.learner
    parts = (learner.advantage.type, learner.loss.type, learner.loss.normalizer.type, learner.kl.type)
    assert parts == PUBLISHED[name]
    assert learner.old_logprobs.type == "sampler" and learner.minibatches == 2  # no part of an algorithm
    assert (learner.drop_equal_groups, config.refill_rounds) == ((True, 3) if name == "dapo" else (False, 0))
    assert (learner.has_reference, learner.critic is not None) == (learner.kl.type != "none", name == "ppo")
    if isinstance(learner.loss, PPOClip):
        assert (learner.loss.clip_low, learner.loss.clip_high) == (0.2, 0.28 if name == "dapo" else 0.2)
    settled = learner.for_length(96)
    assert settled.loss.normalizer == (Constant(tokens=96) if name == "dr_grpo" else learner.loss.normalizer)
    assert (settled.reward.overlong == Overlong(start=76, end=96)) == (name == "dapo")


def test_the_memory_estimate_has_no_critic_where_there_is_none():
    with_critic, without = (
        learner_bytes(load_config(None, ["--learner.advantage", name], {}), STARTER_SHAPE) for name in ("gae", "grpo")
    )
    # weights, gradients and two moments of a second network, 4 bytes each
    assert with_critic - without == pytest.approx(16 * STARTER_SHAPE.parameters, rel=1e-6)
