"""What is wrong with the arms of a study, all of it, before anything starts.

Free memory is no part of it: what is free now says nothing of the hour in which a run starts. The run looks itself.
"""

import os
from collections.abc import Mapping
from typing import Any

from stepcoder.deploy.checks.preflight import check_lasting, preflight
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.moved import flat, translated
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.config.sft import SFTRunConfig
from stepcoder.deploy.config.sources import NOT_SETTINGS, PREFIX, read_kept
from stepcoder.deploy.run.directory import CONFIG
from stepcoder.deploy.run.settings import FORMATS, differences
from stepcoder.deploy.study.plan import Arm, Plan, study_layer
from stepcoder.errors import UserError

# What decides which problems are compared, and how: the same in all arms.
COMPARED = ("eval.", "data.heldout", "data.levels", "executor.")


def environment() -> dict[str, str]:
    """The environment of a study's runs: without settings, which a study's file alone gives."""
    return {k: v for k, v in os.environ.items() if not k.startswith(PREFIX) or k in NOT_SETTINGS}


def check(plan: Plan, start: str | None = None, here: bool = True) -> dict[str, Config]:
    """Every arm's configuration, with the first of its seeds; raises UserError with all faults.

    `start`: the model that the fine-tuning made, once there is one; until then its own start stands for it. Without
    `here` the runs compute on a cluster, whose machines and files are not seen from this one.
    """
    faults: list[str] = []
    model = start or plan.model
    if plan.sft is not None and start is None:
        try:
            fine_tuning = load_config(plan.sft, [], {}, root=SFTRunConfig)
            if here:
                preflight(fine_tuning, writes=False, memory=False)
            model = fine_tuning.model
        except UserError as error:
            faults += [f"start.sft: {line}" for line in str(error).splitlines()]
    configs = {arm.name: found for arm in plan.arms if (found := _configured(plan, arm, model, faults)) is not None}
    for name, config in configs.items():
        faults += [f"arm {name}: {fault}" for fault in _unfit(config)]
    faults += _alike(configs) + _changed(plan, configs)
    if not faults:
        for name, config in configs.items():
            try:
                preflight(config, memory=False) if here else check_lasting(config, submitted=True)
            except UserError as error:
                faults += [f"arm {name}: {line}" for line in str(error).splitlines()]
    if faults:
        raise UserError("\n".join(_shared(faults, len(plan.arms))))
    return configs


def _configured(plan: Plan, arm: Arm, model: str | None, faults: list[str]) -> Config | None:
    try:
        return load_config(plan.config, [], {}, over=[arm.layer, study_layer(plan, arm.seeds[0], model)])
    except UserError as error:
        faults += [f"arm {arm.name}: {line}" for line in str(error).splitlines()]
        return None


def _unfit(config: Config) -> list[str]:
    """What a study cannot work with."""
    settings, faults = flat(config.settings()), []
    for key in FORMATS:
        if settings[key] == "auto":
            faults.append(f"{key} = auto is chosen anew on each machine; set it, so that all runs have one format")
    if not config.eval.at_end:
        faults.append("eval.at_end = false leaves nothing to compare; set it to true")
    if not config.data.heldout:
        faults.append("data.heldout is empty, and held-out problems are what arms are compared on")
    return faults


def _alike(configs: Mapping[str, Config]) -> list[str]:
    """Arms that are the same, or whose evaluations are not."""
    faults, seen = [], dict[str, str]()
    first = next(iter(configs), "")
    settings = {name: flat(config.settings()) for name, config in configs.items()}
    for name, own in settings.items():
        digest = str(sorted((key, str(value)) for key, value in own.items() if key != "run.seed"))
        if digest in seen:
            faults.append(f"arm {name} is the same as arm {seen[digest]}: give a setting in which they differ")
        seen.setdefault(digest, name)
        for key in sorted(own.keys() | settings[first].keys()):
            if key.startswith(COMPARED) and own.get(key) != settings[first].get(key):
                faults.append(f"arm {name}: {key} differs from arm {first}'s, so that they can't be compared")
    return faults


def _changed(plan: Plan, configs: Mapping[str, Config]) -> list[str]:
    """Runs that were begun with other settings than those of today."""
    faults = []
    for trial in plan.trials():
        file = trial.path / CONFIG
        if trial.arm.name in configs and file.is_file():
            before, now = translated(read_kept(file), Config), configs[trial.arm.name].settings()
            now["run"] |= {"seed": trial.seed}
            now["model"] = before.get("model")  # checked by the study: one start
            changed = differences(before, now) + _also(before, flat(now))
            faults += [f"{trial.path} was begun with other settings: {line}" for line in changed]
    if faults:
        faults.append("Set them back to go on, or give another directory for a new study.")
    return faults


def _also(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What a run that goes on may change, and a study may not."""
    return [
        f"{key}: {before.get(key)!r} -> {value!r}"
        for key, value in now.items()
        if key.startswith(("eval.", "run.max_tokens", "run.steps")) and before.get(key) != value
    ]


def _shared(faults: list[str], arms: int) -> list[str]:
    """What all arms have in common is said once."""
    bare = [fault.partition(": ")[2] for fault in faults if fault.startswith("arm ")]
    common = {text for text in bare if bare.count(text) == arms > 1}
    kept = [fault for fault in faults if not fault.startswith("arm ") or fault.partition(": ")[2] not in common]
    return [f"all arms: {text}" for text in dict.fromkeys(bare) if text in common] + kept
