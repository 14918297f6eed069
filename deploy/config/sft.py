"""The configuration of `stepcoder sft`: the parts of a run, the learner of a policy alone, and a section of its own.

The learner's defaults are the paper's for its first stage.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import yaml
from pydantic import Field, model_validator

from stepcoder.deploy.config.run import Config
from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.learner.config import AdamConfig, LearnerConfig, NoKL, OptimizerConfig, ParallelConfig, ReinforcePlusPlus
from stepcoder.settings import Settings
from stepcoder.words import plural


class SFTConfig(Settings):
    """Supervised fine-tuning on the solutions of the training problems."""

    epochs: int = Field(default=3, ge=1)
    """Passes over the training problems (passes); raised, a run goes on. Source: paper."""
    batch_size: int = Field(default=64, ge=1)
    """Problems of one update; problems with the same prompt count as one (problems). Source: paper, from memory."""
    warmup_epochs: float = Field(default=0.3, ge=0)
    """Time over which the learning rate rises from 0 (passes). Source: paper, from memory."""
    validate_every: int | None = Field(default=None, ge=1)
    """Loss of the held-out problems' solutions after every so many updates (updates); none for after every pass. Before
    the first and after the last it is always computed."""

    @model_validator(mode="after")
    def warms_up_in_time(self) -> "SFTConfig":
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"sft.warmup_epochs = {self.warmup_epochs:g} must be less than sft.epochs = {self.epochs}")
        return self


class SFTRunConfig(BaseConfig):
    """Settings of the run as a whole."""

    command: ClassVar[str] = "sft"
    length: ClassVar[str] = "sft.epochs"
    at_once: ClassVar[bool] = False
    larger: ClassVar[type[BaseConfig] | None] = Config
    instead: ClassVar[Mapping[str, str]] = {
        "subtasks_per_step": "sft.batch_size",
        "run.steps": "sft.epochs",
        "eval.every": "sft.validate_every",
        "rollout.temperature": "eval.temperature",
        "rollout.top_p": "eval.top_p",
        "rollout.top_k": "eval.top_p",
        "learner.policy.warmup_steps": "sft.warmup_epochs",
    }

    sft: SFTConfig = SFTConfig()
    learner: ParallelConfig = ParallelConfig(policy=AdamConfig(lr=2e-5, schedule="linear"))  # paper, from memory

    def about(self) -> str:
        return f"{plural(self.sft.epochs, 'pass', 'passes')} in updates of {plural(self.sft.batch_size, 'problem')}"

    def updates_per_epoch(self, examples: int) -> int:
        return -(-examples // self.sft.batch_size)

    def updates(self, examples: int) -> int:
        """The length of the run on so many examples."""
        return self.sft.epochs * self.updates_per_epoch(examples)

    def policy_alone(self, examples: int) -> LearnerConfig:
        """The learner's settings without critic and reference, its warm-up in updates."""
        warmup = round(self.sft.warmup_epochs * self.updates_per_epoch(examples))
        policy = OptimizerConfig(**self.learner.policy.model_dump(), warmup_steps=warmup)
        shared = {name: getattr(self.learner, name) for name in ParallelConfig.model_fields if name != "policy"}
        return LearnerConfig(policy=policy, advantage=ReinforcePlusPlus(), kl=NoKL(), **shared)


def root_of(file: str | Path | None) -> type[Config] | type[SFTRunConfig]:
    """The tree that a configuration file is of: with a section `sft`, that of `stepcoder sft`."""
    try:
        found = yaml.safe_load(Path(file).read_text(encoding="utf-8")) if file is not None else None
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return Config  # reading it for its values says what is wrong
    return SFTRunConfig if isinstance(found, dict) and "sft" in found else Config
