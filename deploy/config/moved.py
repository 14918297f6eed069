"""Settings of earlier versions by their old keys, and where they are now: for messages alone."""

from collections.abc import Mapping
from typing import Any

MOVED = {
    "learner.ppo.estimator": "learner.advantage.type",
    "learner.ppo.loss": "learner.loss.type",
    "learner.ppo.gamma": "learner.advantage.gamma",
    "learner.ppo.lam": "learner.advantage.lam",
    "learner.ppo.clip_low": "learner.loss.clip_low",
    "learner.ppo.clip_high": "learner.loss.clip_high",
    "learner.ppo.dual_clip": "learner.loss.dual_clip",
    "learner.ppo.epochs": "learner.epochs",
    "learner.ppo.minibatches": "learner.minibatches",
    "learner.ppo.drop_equal_groups": "learner.drop_equal_groups",
    "learner.ppo.reward_baseline": "learner.advantage.reward_baseline",
    "learner.ppo.normalize_advantage": "learner.advantage.normalize",
    "learner.ppo.advantage_clip": "learner.advantage.clip",
    "learner.ppo.normalizer": "learner.loss.normalizer.type",
    "learner.ppo.normalizer_tokens": "learner.loss.normalizer.tokens",
    "learner.ppo.old_logprobs": "learner.old_logprobs.type",
    "learner.ppo.importance_cap": "learner.old_logprobs.importance_cap",
    "learner.ppo.importance_mask_low": "learner.old_logprobs.importance_mask_low",
    "learner.ppo.importance_mask_high": "learner.old_logprobs.importance_mask_high",
    "learner.critic.kind": "learner.advantage.critic.type",
    "learner.kl.place": "learner.kl.type",
    "learner.credit.tokens": "learner.credit.type",
    "learner.reward.overlong_start": "learner.reward.overlong.start",
    "learner.reward.overlong_end": "learner.reward.overlong.end",
    "learner.reward.overlong_penalty": "learner.reward.overlong.penalty",
    "curriculum.rho": "curriculum.schedule.rho",
    "curriculum.visit_cap": "curriculum.schedule.visit_cap",
    "curriculum.step_back": "curriculum.schedule.step_back",
    "curriculum.linear_subtasks": "curriculum.schedule.subtasks",
    "curriculum.learnability_floor": "curriculum.sampling.floor",
}
_SECTIONS = {"learner.critic.": "learner.advantage.critic.", "curriculum.level_weights.": "curriculum.sampling."}


# What a setting that there was not yet did in earlier versions.
ADDED: dict[str, Any] = {"rollout.engine": "vllm"}


def new_key(key: str) -> str | None:
    """Where an old setting is now; None for a key that has not moved."""
    for old, new in _SECTIONS.items():
        if key.startswith(old) and key not in MOVED:
            return new + key.removeprefix(old)
    return MOVED.get(key)


def was_section(key: str) -> bool:
    """Whether `key` was a section some of whose settings have moved."""
    return any(old.startswith(f"{key}.") for old in (*MOVED, *_SECTIONS))


def moved(settings: Mapping[str, Any]) -> dict[str, str]:
    """Old key -> new key for the moved settings among these, by dotted key."""
    return {key: new for key in settings if (new := new_key(key)) is not None}
