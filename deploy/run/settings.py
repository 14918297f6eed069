"""Which settings a run that goes on may change: those that cannot change what was already computed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepcoder.deploy.config.moved import ADDED

FORMATS = ("rollout.dtype", "learner.precision")  # what the comments at the head of CONFIG explain
# Settings that a resumed run may change: how long, how often, where, and what ends it; not what a step computes.
HARMLESS = (
    "run.directory", "run.steps", "run.max_minutes", "run.checkpoint_every", "run.keep", "run.keep_best",
    "run.best_metric", "run.trajectories_every", "sft.epochs", "sft.validate_every", "eval.", "ray.",
    "executor.workers", "executor.actors", "executor.infra_retries", "max_unjudged_share",
    "learner.guards.", "learner.ranks", "learner.zero_stage", "learner.offload.",
)  # fmt: skip


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def harmless(key: str) -> bool:
    return any(key == name or (name.endswith(".") and key.startswith(name)) for name in HARMLESS)


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """`key: old -> new` for every setting that a resumed run may not change. Settings unknown to either count too."""
    before, after = flat(old), flat(new)
    before = {key: value for key, value in ADDED.items() if key in after} | before
    changed = []
    for key in sorted(before.keys() | after.keys()):
        if not harmless(key) and before.get(key) != after.get(key):
            changed.append(f"{key}: {before.get(key)!r} -> {after.get(key)!r}")
    return changed


def renamed(file: Path, keys: Mapping[str, str]) -> str:
    """What to do about a run of an earlier version, whose file of settings has `keys` that have other names now."""
    listed = "\n  ".join(f"{old} is {new} now" for old, new in keys.items())
    return (
        f"run.directory: {file.parent} holds a run of an earlier version, whose settings have other names now:\n"
        f"  {listed}\n"
        f"To go on with it, give the same settings by these names and put what 'stepcoder ... --check' prints of them "
        f"into {file}. Or give another --run.directory for a new run."
    )
