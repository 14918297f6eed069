"""The whole configuration of a run: one tree, composed of each part's own settings.

Defaults are the published ones where the paper gives them and live only in these models; a YAML file holds what
differs. The tree is frozen: what a run was started with is what its run directory says.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from stepcoder.curriculum.config import CurriculumConfig
from stepcoder.curriculum.problems.problem import Level
from stepcoder.executor.config import ExecutorConfig
from stepcoder.learner.algorithms import ESTIMATORS
from stepcoder.learner.config import LearnerConfig
from stepcoder.rollout.config import RolloutConfig

STRICT = ConfigDict(extra="forbid", frozen=True)


Section = TypeVar("Section", bound=BaseModel)


def defaults(model: type[Section]) -> Section:
    return model.model_validate({})


def _unsampled(config: "Config") -> list[str]:
    """What the learner is to use of the engines or the executor, and these do not give."""
    faults, rollout, tokens = [], config.rollout, config.learner.credit.tokens
    if "learner.credit" not in config.unread and tokens != "all" and not config.executor.coverage:
        faults.append(
            f"learner.credit.tokens = {tokens} needs the executed lines, which executor.coverage = false does not "
            "record: no token would take the loss. Set executor.coverage to true, or learner.credit.tokens to all"
        )
    read = "learner.ppo" not in config.unread and config.learner.ppo.old_logprobs == "sampler"
    if read and config.learner.device != "cpu":  # the engine's sampler for CPUs gives those of the whole distribution
        for name, value, neutral in (("top_p", rollout.top_p, 1.0), ("top_k", rollout.top_k, 0)):
            if value != neutral:
                faults.append(
                    f"learner.ppo.old_logprobs = sampler with rollout.{name} = {value}: the engine's log-probabilities "
                    "on a GPU are those of the truncated distribution, the learner's of the whole one, so that "
                    "their ratio is no ratio of policies. "
                    f"Set rollout.{name} to {neutral}, or learner.ppo.old_logprobs to learner, or learner.device to cpu"
                )
    return faults


class DataConfig(BaseModel):
    """The problems: to train on, and held out for evaluation."""

    model_config = STRICT

    train: tuple[str, ...] = Field(
        default=("starter:train",),
        min_length=1,
        description="Files of problems in the native format (.jsonl, .jsonl.gz), or starter:train. Source: ours.",
    )
    heldout: tuple[str, ...] = Field(
        default=("starter:heldout",),
        description="Files of problems that are evaluated, never trained on; may be empty. Source: ours.",
    )
    levels: tuple[Level, ...] = Field(
        default=("introductory", "interview", "competition"),
        min_length=1,
        description="Use only problems of these levels, to train on and held out (levels). Source: ours.",
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        description="Use only the first so many problems of each of the two (problems); none for all. Source: ours.",
    )

    @field_validator("train", "heldout", "levels", mode="before")
    @classmethod
    def one_file_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class RunConfig(BaseModel):
    """Where a run lives, how long it is, and what it keeps."""

    model_config = STRICT

    directory: str = Field(
        default="runs/default",
        min_length=1,
        description="The run's directory: a local path or any fsspec URI (s3://bucket/run). Given again, it resumes. "
        "Source: ours.",
    )
    steps: int = Field(
        default=100, ge=1, description="Length of the run (steps: generate, train, publish weights). Source: ours."
    )
    max_minutes: float | None = Field(
        default=None,
        gt=0,
        description="Take no further step when it, its checkpoint and the final evaluation would not end within so "
        "many minutes of the command's start (minutes); none for run.steps alone. The same command goes on, for as "
        "long again. A learning rate that falls to run.steps does not reach its end. Source: ours.",
    )
    seed: int = Field(
        default=0, ge=0, description="Seed of problem order, sampling and every random mask. Source: ours."
    )
    checkpoint_every: int = Field(
        default=10,
        ge=1,
        description="A checkpoint after every so many steps, and after the last (steps). Source: ours.",
    )
    keep: int = Field(
        default=2, ge=1, description="Newest checkpoints kept; older ones are deleted (checkpoints). Source: ours."
    )
    keep_best: int = Field(
        default=1,
        ge=0,
        description="Checkpoints with the highest run.best_metric that are kept beside the newest (checkpoints). "
        "Source: ours.",
    )
    best_metric: str = Field(
        default="eval/heldout/pass_rate",
        min_length=1,
        description="What the best checkpoint has most of: eval/heldout/pass_rate or eval/train/pass_rate (checkpoints "
        "that were evaluated, see eval.every), or a name in metrics.jsonl such as reward/mean (mean of the last "
        "run.checkpoint_every steps). Source: ours.",
    )
    trajectories_every: int = Field(
        default=1,
        ge=0,
        description="Write every so many steps' trajectories to Parquet (steps); 0 for never. Source: ours.",
    )


class EvalConfig(BaseModel):
    """Pass rate at full generation, no prefix given, on training and held-out problems."""

    model_config = STRICT

    every: int = Field(
        default=0, ge=0, description="Evaluate after every so many steps (steps); 0 for none in between. Source: ours."
    )
    at_start: bool = Field(default=True, description="Evaluate before the first step. Source: ours.")
    at_end: bool = Field(default=True, description="Evaluate after the last step. Source: ours.")
    samples: int = Field(
        default=8,
        ge=1,
        description="Completions of each problem (completions); more of them, a smaller standard error. Source: ours.",
    )
    temperature: float = Field(
        default=0.2, ge=0, le=2, description="Sampling temperature; 0 is greedy. Source: paper, recalled."
    )
    top_p: float = Field(
        default=0.95, gt=0, le=1, description="Nucleus of the sampler (probability). Source: paper, recalled."
    )
    train_limit: int | None = Field(
        default=None,
        ge=1,
        description="Evaluate only so many training problems, always the same (problems); none for all. Source: ours.",
    )


class RayConfig(BaseModel):
    """The Ray cluster that the run's actors live on."""

    model_config = STRICT

    address: str | None = Field(
        default=None,
        description="Cluster to join: host:port, ray://host:port or auto; none starts one on this machine, or joins "
        "the one that a submitted job runs in. Source: ours.",
    )
    num_cpus: int | None = Field(
        default=None,
        ge=1,
        description="Logical cores offered when a cluster is started (cores); none for the machine's. Source: ours.",
    )
    dashboard: bool = Field(default=False, description="Start the dashboard with a cluster of our own. Source: ours.")
    dashboard_host: str = Field(default="127.0.0.1", description="Address that the dashboard listens on. Source: ours.")
    dashboard_port: int = Field(
        default=8265, ge=1, le=65535, description="Port that the dashboard listens on. Source: Ray."
    )
    worker_logs: bool = Field(
        default=False,
        description="Show what the actors print in this terminal too; Ray's log files always have it. Source: ours.",
    )
    object_store_mib: int | None = Field(
        default=None,
        ge=80,
        description="Shared memory of a started cluster's object store (MiB); none for Ray's choice. Source: ours.",
    )


class Config(BaseModel):
    """Settings of the run as a whole."""

    model_config = STRICT
    command: ClassVar[str] = "train"  # the `stepcoder` command that takes this tree
    length: ClassVar[str] = "run.steps"  # the setting that makes a finished run go on
    unread: ClassVar[Mapping[str, str]] = {}  # keys and sections without an effect there -> what has it, or ""
    at_once: ClassVar[bool] = True  # whether learner and engines compute in one phase

    model: str = Field(
        default="smollm2-135m",
        min_length=1,
        description="The policy's start and the frozen reference: smollm2-135m, a Hugging Face directory, or a hub "
        "name. Source: ours.",
    )
    subtasks_per_step: int = Field(
        default=512,
        ge=1,
        description="Subtasks of a step; each gets rollout.group_size completions (subtasks). Source: ours.",
    )
    max_staleness: Literal[0, 1] = Field(
        default=1,
        description="Weight updates that a trajectory may be behind (updates): 0 is strict on-policy, 1 generates the "
        "next step while this one trains. Source: ours.",
    )
    refill_rounds: int = Field(
        default=0,
        ge=0,
        description="With learner.ppo.drop_equal_groups: generate groups of further subtasks in place of those left "
        "out, in at most so many rounds a step (rounds); 0 for no replacement. Source: DAPO's dynamic sampling.",
    )
    max_unjudged_share: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="A group with a program that the sandbox could not judge (infra_error, after "
        "executor.infra_retries) is left out; above this share of a step's or an evaluation's groups the run stops "
        "(fraction). Source: ours.",
    )
    data: DataConfig = Field(default=defaults(DataConfig), description="Problems.")
    run: RunConfig = Field(default=defaults(RunConfig), description="Directory and length.")
    eval: EvalConfig = Field(default=defaults(EvalConfig), description="Evaluation.")
    curriculum: CurriculumConfig = Field(default=defaults(CurriculumConfig), description="What is tried next.")
    rollout: RolloutConfig = Field(default=defaults(RolloutConfig), description="Generation.")
    executor: ExecutorConfig = Field(default=defaults(ExecutorConfig), description="Running programs.")
    learner: LearnerConfig = Field(default=defaults(LearnerConfig), description="Training.")
    ray: RayConfig = Field(default=defaults(RayConfig), description="Cluster.")

    @model_validator(mode="after")
    def parts_agree(self) -> "Config":
        """Settings of different parts that are each possible and together are not."""
        share = self.subtasks_per_step // self.learner.ranks
        if self.learner.ppo.minibatches > share:
            raise ValueError(
                f"learner.ppo.minibatches = {self.learner.ppo.minibatches} is more than the {share} groups that each "
                f"learner rank gets in a step (subtasks_per_step {self.subtasks_per_step} over learner.ranks "
                f"{self.learner.ranks})"
            )
        ppo, group = self.learner.ppo, self.rollout.group_size
        if group < 2 and (self.learner.centred or ppo.drop_equal_groups):
            asked = f"estimator {ppo.estimator}" if ESTIMATORS[ppo.estimator].group else "reward_baseline group"
            asked = "drop_equal_groups" if ppo.drop_equal_groups else asked
            raise ValueError(
                f"rollout.group_size = {group}, but learner.ppo.{asked} compares a subtask's completions: give 2 or "
                "more"
            )
        if self.refill_rounds and not ppo.drop_equal_groups:
            raise ValueError(
                f"refill_rounds = {self.refill_rounds} has no effect without learner.ppo.drop_equal_groups true"
            )
        if faults := _unsampled(self):
            raise ValueError("; ".join(faults))
        end = self.learner.reward.overlong_end
        if end is not None and end > self.rollout.max_new_tokens:
            raise ValueError(
                f"learner.reward.overlong_end = {end} is more than rollout.max_new_tokens "
                f"{self.rollout.max_new_tokens}: no completion would pay the whole penalty"
            )
        prompt, new = self.curriculum.prompt.max_prompt_tokens, self.rollout.max_new_tokens
        if prompt + new > self.rollout.max_model_len:
            raise ValueError(
                f"rollout.max_model_len = {self.rollout.max_model_len} is less than "
                f"curriculum.prompt.max_prompt_tokens {prompt} + rollout.max_new_tokens {new} = {prompt + new}"
            )
        return self

    def settings(self) -> dict[str, Any]:
        """Every setting that has an effect, nested, as JSON has it."""

        def read(section: dict[str, Any], prefix: str) -> dict[str, Any]:
            return {
                name: read(value, f"{prefix}{name}.") if isinstance(value, dict) else value
                for name, value in section.items()
                if f"{prefix}{name}" not in self.unread
            }

        return read(self.model_dump(mode="json"), "")

    def digest(self) -> str:
        """Short hash of every setting, for manifests."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
