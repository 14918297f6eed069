"""The configuration of `stepcoder sft`: the tree of `stepcoder train`, less what has no effect, and one section more.

The learner's defaults are the paper's for its first stage, and those of a policy alone: no critic, no reference.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import yaml
from pydantic import BaseModel, Field, model_validator

from stepcoder.curriculum.config import CurriculumConfig
from stepcoder.deploy.config.run import STRICT, Config
from stepcoder.learner.config import KLConfig, LearnerConfig, OptimizerConfig, PPOConfig


class SFTConfig(BaseModel):
    """Supervised fine-tuning on the solutions of the training problems."""

    model_config = STRICT

    epochs: int = Field(
        default=3, ge=1, description="Passes over the training problems (passes); raised, a run goes on. Source: paper."
    )
    batch_size: int = Field(
        default=64,
        ge=1,
        description="Problems of one update; problems with the same prompt count as one (problems). Source: paper, "
        "recalled.",
    )
    warmup_epochs: float = Field(
        default=0.3,
        ge=0,
        description="Time over which the learning rate rises from 0 (passes). Source: paper, recalled.",
    )
    validate_every: int | None = Field(
        default=None,
        ge=1,
        description="Loss of the held-out problems' solutions after every so many updates (updates); none for after "
        "every pass. Before the first and after the last it is always computed. Source: ours.",
    )

    @model_validator(mode="after")
    def warms_up_in_time(self) -> "SFTConfig":
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"sft.warmup_epochs = {self.warmup_epochs:g} must be less than sft.epochs = {self.epochs}")
        return self


class SFTRunConfig(Config):
    """Settings of the run as a whole."""

    command: ClassVar[str] = "sft"
    length: ClassVar[str] = "sft.epochs"
    at_once: ClassVar[bool] = False
    unread: ClassVar[Mapping[str, str]] = {
        "subtasks_per_step": "sft.batch_size",
        "max_staleness": "",
        "run.steps": "sft.epochs",
        "run.max_minutes": "",
        "run.trajectories_every": "",
        **{name: "" for name in ("refill_rounds", "run.keep_best", "run.best_metric")},
        "eval.every": "sft.validate_every",
        **{f"curriculum.{name}": "" for name in CurriculumConfig.model_fields if name != "prompt"},
        **{f"rollout.{name}": "" for name in ("group_size", "weights_deadline_s")},
        **{f"rollout.{name}": f"eval.{name}" for name in ("temperature", "top_p")},
        "rollout.top_k": "eval.top_p",
        "executor.reward": "",
        "learner.policy.warmup_steps": "sft.warmup_epochs",
        **{f"learner.{name}": "" for name in ("critic", "reward", "ppo", "kl", "credit", "guards")},
    }

    sft: SFTConfig = Field(default=SFTConfig(), description="Supervised fine-tuning.")
    learner: LearnerConfig = Field(
        default=LearnerConfig(
            policy=OptimizerConfig(lr=2e-5, schedule="linear"),  # paper, recalled
            ppo=PPOConfig(estimator="reinforce_plus_plus"),
            kl=KLConfig(coef=0.0),
        ),
        description="Training.",
    )

    def updates_per_epoch(self, examples: int) -> int:
        return -(-examples // self.sft.batch_size)

    def measured(self, examples: int) -> "SFTRunConfig":
        """With the lengths that are given in passes as updates: `run.steps`, `learner.policy.warmup_steps`."""
        each = self.updates_per_epoch(examples)
        policy = self.learner.policy.model_copy(update={"warmup_steps": round(self.sft.warmup_epochs * each)})
        learner = self.learner.model_copy(update={"policy": policy})
        run = self.run.model_copy(update={"steps": self.sft.epochs * each})
        return self.model_copy(update={"learner": learner, "run": run})


def root_of(file: str | Path | None) -> type[Config]:
    """The tree that a configuration file is of: with a section `sft`, that of `stepcoder sft`."""
    try:
        found = yaml.safe_load(Path(file).read_text(encoding="utf-8")) if file is not None else None
    except (OSError, ValueError, yaml.YAMLError):
        return Config  # reading it for its values says what is wrong
    return SFTRunConfig if isinstance(found, dict) and "sft" in found else Config
