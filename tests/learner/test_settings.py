"""The learner's settings: what is refused, what each algorithm stands for, what the memory estimate counts."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from stepcoder.deploy.checks.footprint import STARTER_SHAPE, learner_bytes
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.recipes import RECIPES
from stepcoder.deploy.config.sft import SFTRunConfig
from stepcoder.errors import UserError
from stepcoder.learner.config import (
    Constant,
    LearnerConfig,
    Overlong,
    PPOClip,
    SharedCritic,
)

ROOT = Path(__file__).resolve().parents[2]


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
        (
            "--learner.advantage gae --learner.advantage.critic.warmup_steps 5 --run.steps 5",
            "learner.advantage.critic.warmup_steps = 5 leaves the policy no step to learn in: run.steps = 5",
        ),
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


def test_the_command_of_the_documentation_is_valid():
    text = (Path(__file__).resolve().parents[2] / "docs" / "algorithms.md").read_text(encoding="utf-8")
    (start,) = (
        part for part in text.split("stepcoder train --config configs/starter.yaml ") if "lora.rank" in part[:40]
    )
    command = start.split("\n\n")[0].replace("\\\n", " ")
    config = load_config(Path("configs/starter.yaml"), command.split(), {}).learner
    assert config.lora.rank == 16 and isinstance(config.critic, SharedCritic)


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
