"""A study's file as a plan: every arm with its settings and seeds, every run with its directory and command.

Reading it finds all faults of the file at once. What can only be seen in an arm's whole configuration is `check.py`.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from stepcoder.deploy.config.fields import Tree, flatten
from stepcoder.deploy.config.load import merged
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.config.sources import Given, Layer, refused, walk
from stepcoder.deploy.config.study import ARM, Budget, Start, StudyConfig, seeds
from stepcoder.errors import UserError, nearest
from stepcoder.files import read_text

STUDY = "study.yaml"
RESERVED = {
    "run.seed": "seeds", "run.directory": "directory", "run.max_tokens": "budget", "run.max_minutes": "budget",
    "model": "start.model",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Arm:
    """`layer`: what differs from the shared configuration, dotted key -> value with its place in the file."""

    name: str
    layer: Layer
    seeds: tuple[int, ...]

    @property
    def settings(self) -> dict[str, Any]:
        return {key: item.value for key, item in self.layer.items()}


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a study."""

    arm: Arm
    seed: int
    path: Path

    @property
    def name(self) -> str:
        return f"{self.arm.name}, seed {self.seed}"

    @property
    def log(self) -> Path:
        return self.path.with_name(f"{self.path.name}.log")


@dataclass(frozen=True, slots=True)
class Plan:
    """Paths are absolute. `sft`, `model`: where the runs' first weights are from; neither for the configuration's."""

    file: Path
    config: Path
    directory: Path
    arms: tuple[Arm, ...]
    budget: Budget
    model: str | None
    sft: Path | None
    keep_checkpoints: bool

    def trials(self) -> list[Trial]:
        """Seed by seed, so that whole seeds can be compared as early as can be."""
        every = sorted({seed for arm in self.arms for seed in arm.seeds})
        return [
            Trial(arm, seed, run_directory(self.directory, arm.name, seed))
            for seed in every
            for arm in self.arms
            if seed in arm.seeds
        ]

    def line(self, trial: Trial, model: str | None, minutes: float | None = None) -> list[str]:
        """The command of a run, without `stepcoder`. `minutes`: what is left of them."""
        own = {"run.seed": trial.seed, "run.directory": str(trial.path)}
        own |= {"run.max_tokens": self.budget.tokens, "run.max_minutes": minutes}
        own |= {} if model is None else {"model": model}
        return ["train", "--config", named(self.config), *words(trial.arm.settings | own)]

    def record(self) -> dict[str, Any]:
        """What `study.yaml` in the directory says."""
        start = {"sft": str(self.sft) if self.sft else None, "model": self.model}
        return {
            "config": str(self.config),
            "budget": self.budget.model_dump(exclude_none=True),
            "start": {name: value for name, value in start.items() if value is not None},
            "arms": {arm.name: {"settings": arm.settings, "seeds": list(arm.seeds)} for arm in self.arms},
        }


def run_directory(study: Path, arm: str, seed: int) -> Path:
    return study / "runs" / arm / f"seed-{seed}"


def named(file: Path) -> str:
    """A file as a command names it: relative where it lies below the working directory, which goes along with a job."""
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


def words(settings: Mapping[str, Any]) -> list[str]:
    """Settings as a command line has them."""
    found = []
    for key, value in settings.items():
        plain = isinstance(value, str | int | float) and not isinstance(value, bool)
        found += [f"--{key}", str(value) if plain else "none" if value is None else json.dumps(value)]
    return found


def load_plan(path: Path, directory: str | None = None) -> Plan:
    """`directory`: another one than the file's. Raises UserError with a line a fault."""
    try:
        text = read_text(path)
    except OSError as error:
        raise UserError(f"study file {path}: {error.strerror or error}") from None
    with refused(path):
        body, root = yaml.safe_load(text), yaml.SafeLoader(text)
        node = root.get_single_node()
    if not isinstance(body, dict) or not isinstance(node, yaml.MappingNode):
        raise UserError(f"{path}: expected 'key: value' lines, found something else.")
    if "arms" not in body:
        raise UserError(f"{path}: no study, which has `arms`. One run's settings: 'stepcoder train --config {path}'.")
    faults: list[str] = []
    config = _validated(path, body, faults)
    arms = tuple(_arms(path, root, node, config, faults)) if config is not None else ()
    if config is None or faults:
        raise UserError("\n".join(faults))
    return Plan(
        path, (path.parent / config.config).absolute(), Path(directory or config.directory).expanduser().absolute(),
        arms, config.budget, config.start.model, _beside(path, config.start), config.keep_checkpoints,
    )  # fmt: skip


def _beside(path: Path, start: Start) -> Path | None:
    return None if start.sft is None else (path.parent / start.sft).absolute()


def _validated(path: Path, body: dict[str, Any], faults: list[str]) -> StudyConfig | None:
    try:
        return StudyConfig.model_validate(body)
    except ValidationError as error:
        for item in error.errors():
            key = ".".join(map(str, item["loc"])) or "the file"
            said = item["msg"].removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                close = nearest(key, list(StudyConfig.model_fields))
                said = "unknown" + (f"; did you mean {close[0]}?" if close else "")
            faults.append(f"{path}: {key}: {said[0].lower()}{said[1:]}")
        return None


def _arms(
    path: Path, loader: yaml.SafeLoader, root: yaml.MappingNode, config: StudyConfig, faults: list[str]
) -> Iterator[Arm]:
    tree = flatten(Config)
    shared = _layers(path, loader, _child(loader, root, "settings"), tree, "settings", config, faults)
    arms = _child(loader, root, "arms")
    for name in config.arms:
        where, node = f"arm {name}", _child(loader, arms, name)
        if not re.fullmatch(ARM, name):
            faults.append(f"{path}: {where}: a name has letters, digits, -, + and _ only, since it names a folder")
        own = config.arms[name].get("seeds")
        chosen = config.seeds if own is None else _seeds(path, where, own, config, faults)
        layers = _layers(path, loader, node, tree, where, config, faults)
        yield Arm(name, merged([*shared, *layers], tree, Config.recipes), chosen)


def _child(loader: yaml.SafeLoader, node: yaml.Node | None, name: str) -> yaml.MappingNode | None:
    """The mapping below `name`, without its `seeds`."""
    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in node.value:
        if str(loader.construct_object(key)) == name and isinstance(value, yaml.MappingNode):
            kept = [pair for pair in value.value if loader.construct_object(pair[0]) != "seeds"]
            return yaml.MappingNode(value.tag, kept, value.start_mark, value.end_mark)
    return None


def _layers(
    path: Path, loader: yaml.SafeLoader, node: yaml.MappingNode | None, tree: Tree, where: str, config: StudyConfig,
    faults: list[str],
) -> list[Layer]:  # fmt: skip
    """The settings of a mapping; those that are the study's own to give are faults."""
    if node is None:
        return []
    try:
        layers = walk(path, loader, node, tree)
    except UserError as error:
        faults.extend(f"{where}: {line}" for line in str(error).splitlines())
        return []
    for layer in layers:
        for key in RESERVED.keys() & layer.keys():
            faults.append(f"{layer[key].origin}: {where}: {key} is the study's: give {RESERVED[key]} instead")
    return layers


def _seeds(path: Path, where: str, value: Any, config: StudyConfig, faults: list[str]) -> tuple[int, ...]:
    found = seeds(value)
    if not isinstance(found, list | tuple) or not found or not set(found) <= set(config.seeds):
        every = ", ".join(map(str, config.seeds))
        faults.append(f"{path}: {where}: seeds {value!r} are not among the study's ({every})")
        return ()
    return tuple(found)


def study_layer(plan: Plan, seed: int, model: str | None) -> Layer:
    """What a study adds to an arm's settings."""
    own = {"run.seed": seed, "run.directory": os.fspath(plan.directory / "runs")}
    own |= {"run.max_tokens": plan.budget.tokens, "run.max_minutes": plan.budget.minutes}
    own |= {} if model is None else {"model": model}
    return {key: Given(value, f"{plan.file}") for key, value in own.items()}
