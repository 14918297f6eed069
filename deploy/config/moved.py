"""Settings of earlier versions by their old keys, and where they are now: for messages, and for runs that go on."""

from collections.abc import Collection, Mapping
from typing import Any

from stepcoder.deploy.config.fields import flatten
from stepcoder.deploy.config.recipes import ALGORITHM
from stepcoder.deploy.config.shared import BaseConfig

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
ADDED: dict[str, Any] = {
    "rollout.engine": "vllm",
    "data.hidden_tests": 0.0,
    "rollout.repair.type": "none",
    "learner.credit.truncated": True,
    "learner.credit.thinking": "code",
    "learner.loss.entropy_bonus": 0.0,
    "learner.old_logprobs.sequence_mask_low": None,
    "learner.old_logprobs.sequence_mask_high": None,
    "learner.advantage.critic.warmup_steps": 0,
    "learner.kl.reset_every": None,
    "executor.cpu_factor": 1.0,
    "executor.packages": [],
    "executor.result_kib": 1024,
}


def new_key(key: str) -> str | None:
    """Where an old setting is now; None for a key that has not moved."""
    for old, new in _SECTIONS.items():
        if key.startswith(old) and key not in MOVED:
            return new + key.removeprefix(old)
    return MOVED.get(key)


def was_section(key: str) -> bool:
    """Whether `key` was a section some of whose settings have moved."""
    return any(old.startswith(f"{key}.") for old in (*MOVED, *_SECTIONS))


def flat(settings: Mapping[str, Any], prefix: str = "", whole: Collection[str] = ()) -> dict[str, Any]:
    """Nested settings by dotted key; those in `whole` are mappings themselves."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict) and f"{prefix}{name}" not in whole:
            found |= flat(value, f"{prefix}{name}.", whole)
        else:
            found[f"{prefix}{name}"] = value
    return found


def translated(settings: Mapping[str, Any], root: type[BaseConfig]) -> dict[str, Any]:
    """What a run was started with, by the keys that `root` has today. Settings that had no effect are left out.

    What an earlier version did not know has the default of the types that the run chose.
    """
    tree, whole = flatten(root), flatten(root.larger or root)
    before = flat(settings, whole={leaf.key for leaf in (*tree.leaves, *whole.leaves) if leaf.mapping})
    earlier = any(new_key(key) for key in before)
    found = {new_key(key) or key: value for key, value in before.items()}
    found = {f"{key}.type" if key in whole.unions else key: value for key, value in found.items()}
    if earlier:
        found = _retyped(found)
    known = tree.under(tree.chosen(found))
    known.pop(ALGORITHM, None)  # never kept
    added = {key: leaf.default for key, leaf in known.items()} if earlier else ADDED
    added = {key: list(value) if isinstance(value, tuple) else value for key, value in added.items() if key in known}
    elsewhere = {*tree.keys, *whole.keys}
    return added | {key: value for key, value in found.items() if key in known or key not in elsewhere}


def _retyped(found: Mapping[str, Any]) -> dict[str, Any]:
    """With the types that earlier versions knew by another setting's value."""
    types = {
        "learner.kl.type": "none" if found.get("learner.kl.coef") == 0 else found.get("learner.kl.type"),
        "learner.reward.overlong.type": "none" if found.get("learner.reward.overlong.start") is None else "linear",
        "learner.advantage.normalize": found.get("learner.advantage.normalize"),
    }
    kept = {key: value for key, value in found.items() if key not in types}
    return kept | {key: value for key, value in types.items() if value not in (None, "auto")}
