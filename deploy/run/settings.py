"""Which settings a run that goes on may change: those that cannot change what was already computed."""

from collections.abc import Mapping
from typing import Any

from stepcoder.deploy.config.moved import flat
from stepcoder.deploy.config.run import RunConfig
from stepcoder.deploy.config.shared import HELDOUT

FORMATS = ("rollout.dtype", "learner.precision")  # what the comments at the head of CONFIG explain
# Settings that a resumed run may change: how long, how often, where, and what ends it; not what a step computes.
HARMLESS = (
    "run.directory", "run.steps", "run.max_minutes", "run.max_tokens", "run.checkpoint_every", "run.keep",
    "run.keep_best", "run.best_metric", "run.trajectories_", "run.grace_s", "run.loggers", "run.project", "sft.epochs",
    "sft.validate_every", "eval.", "ray.",
    "executor.workers", "executor.actors", "executor.infra_retries", "max_unjudged_share", "placement",
    "rollout.enforce_eager", "rollout.gpu_cache_gib", "rollout.max_num_batched_tokens",
    "rollout.gpu_memory_utilization", "rollout.kept_",
    "learner.guards.", "learner.ranks", "learner.zero_stage", "learner.offload.",
)  # fmt: skip


def best_metric(settings: Mapping[str, Any]) -> str:
    """`run.best_metric`; the held-out problems in it are those of the first set, where sets have names."""
    metric = str(settings.get("run", {}).get("best_metric", RunConfig.model_fields["best_metric"].default))
    sets = settings.get("data", {}).get("heldout")
    if isinstance(sets, dict) and sets and HELDOUT not in sets:
        return metric.replace(f"eval/{HELDOUT}/", f"eval/{next(iter(sets))}/")
    return metric


def harmless(key: str) -> bool:
    return any(key == name or (name[-1] in "._" and key.startswith(name)) for name in HARMLESS)


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """`key: old -> new` for every setting that a resumed run may not change. Settings unknown to either count too."""
    before, after = flat(old), flat(new)
    changed = []
    for key in sorted(before.keys() | after.keys()):
        if not harmless(key) and before.get(key) != after.get(key):
            changed.append(f"{key}: {before.get(key)!r} -> {after.get(key)!r}")
    return changed
