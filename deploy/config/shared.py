"""What every run has, whatever it trains on: `stepcoder train` and `stepcoder sft` compose their trees from it.

Defaults are the published ones where the paper gives them and live only in these models; a YAML file holds what
differs. The tree is frozen: what a run was started with is what its run directory says.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from stepcoder.curriculum.config import PromptsConfig
from stepcoder.curriculum.problems.problem import Level
from stepcoder.executor.config import ProgramConfig
from stepcoder.learner.config import ParallelConfig
from stepcoder.rollout.config import EngineConfig
from stepcoder.settings import Settings

LoggerName = Literal["tensorboard", "wandb", "mlflow"]


class DataConfig(Settings):
    """The problems: to train on, and held out for evaluation."""

    train: tuple[str, ...] = Field(default=("starter:train",), min_length=1)
    """Files of problems in the native format (.jsonl, .jsonl.gz), or starter:train."""
    heldout: tuple[str, ...] = ("starter:heldout",)
    """Files of problems that are evaluated, never trained on; may be empty."""
    levels: tuple[Level, ...] = Field(default=("introductory", "interview", "competition"), min_length=1)
    """Use only problems of these levels, to train on and held out (levels)."""
    limit: int | None = Field(default=None, ge=1)
    """Use only the first so many problems of each of the two (problems); none for all."""

    hidden_tests: float = Field(default=0.0, ge=0, lt=1)
    """Keep this share of each training problem's tests out of the reward, but never all (fraction); programs that pass
    the others and fail these are counted. Those that the statement shows are the last to be hidden."""

    @field_validator("train", "heldout", "levels", mode="before")
    @classmethod
    def one_file_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class PlaceConfig(Settings):
    """Where a run lives and what it keeps."""

    directory: str = Field(default="runs/default", min_length=1)
    """The run's directory: a local path or any fsspec URI (s3://bucket/run). Given again, it resumes."""
    seed: int = Field(default=0, ge=0)
    """Seed of problem order, sampling and every random mask."""
    checkpoint_every: int = Field(default=10, ge=1)
    """A checkpoint after every so many steps, and after the last (steps)."""
    keep: int = Field(default=2, ge=1)
    """Newest checkpoints kept; older ones are deleted (checkpoints)."""
    loggers: tuple[LoggerName, ...] = ("tensorboard",)
    """Where a run's numbers go beside metrics.jsonl: tensorboard (in the run directory), wandb, mlflow. The last two
    need the extra of their name, and take their own environment variables. One that fails never stops a run."""
    project: str = Field(default="stepcoder", min_length=1)
    """What the run belongs to at wandb (project) and mlflow (experiment)."""
    grace_s: float = Field(default=25.0, ge=0)
    """After SIGTERM, how long the step under way and a checkpoint may take (seconds); 0 for an end at once, without
    one. What sends the signal must wait for longer: Kubernetes and Slurm give 30 s unless told."""


class PassRateConfig(Settings):
    """Pass rate at full generation, no prefix given, on training and held-out problems."""

    at_start: bool = True
    """Evaluate before the first step."""
    at_end: bool = True
    """Evaluate after the last step."""
    samples: int = Field(default=8, ge=1)
    """Completions of each problem (completions); more of them, a smaller standard error."""
    temperature: float = Field(default=0.2, ge=0, le=2)
    """Sampling temperature; 0 is greedy. Source: paper, from memory."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus of the sampler (probability). Source: paper, from memory."""
    train_limit: int | None = Field(default=None, ge=1)
    """Evaluate only so many training problems, always the same (problems); none for all."""


class RayConfig(Settings):
    """The Ray cluster that the run's actors live on."""

    address: str | None = None
    """Cluster to join: host:port, ray://host:port or auto; none starts one on this machine, or joins the one that a
    submitted job runs in."""
    num_cpus: int | None = Field(default=None, ge=1)
    """Logical cores offered when a cluster is started (cores); none for the machine's."""
    dashboard: bool = False
    """Start the dashboard with a cluster of our own."""
    dashboard_host: str = "127.0.0.1"
    """Address that the dashboard listens on."""
    dashboard_port: int = Field(default=8265, ge=1, le=65535)
    """Port that the dashboard listens on. Source: Ray."""
    worker_logs: bool = False
    """Show what the actors print in this terminal too; Ray's log files always have it."""
    gpus_deadline_s: float = Field(default=300.0, gt=0)
    """Longest wait for a busy cluster to free the GPUs of all ranks and engines (seconds)."""
    start_deadline_s: float = Field(default=1800.0, gt=0)
    """Longest wait for engines and learner to load, and for each later call to a service but a step (seconds)."""
    step_deadline_s: float = Field(default=14400.0, gt=0)
    """Longest wait for the groups of a step, and for training on them (seconds); what is not done then is restarted."""
    restarts_per_hour: int = Field(default=3, ge=0)
    """Restarts of the services from the newest checkpoint, after the loss of an actor or a node, within any hour
    (count); one more ends the run."""
    env_vars: dict[str, str] = {}
    """Environment variables of every actor, such as NCCL_SOCKET_IFNAME or HF_HOME. Those of the driver that begin with
    HF_, NCCL_ or STEPCODER_ reach the actors of a joined cluster without being named here."""
    object_store_mib: int | None = Field(default=None, ge=80)
    """Shared memory of a started cluster's object store (MiB); none for Ray's choice."""


class BaseConfig(Settings):
    """Settings of the run as a whole."""

    command: ClassVar[str]  # the `stepcoder` command that takes this tree
    length: ClassVar[str]  # the setting that makes a finished run go on
    at_once: ClassVar[bool]  # whether learner and engines compute in one phase
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # what `algorithm` may name
    larger: ClassVar["type[BaseConfig] | None"] = None  # another command's tree, whose settings have no effect here
    instead: ClassVar[Mapping[str, str]] = {}  # of those, keys and sections that have a counterpart here

    model: str = Field(default="smollm2-135m", min_length=1)
    """The policy's start and the frozen reference: smollm2-135m, a Hugging Face directory, or a hub name."""
    max_unjudged_share: float = Field(default=0.5, ge=0, lt=1)
    """A group with a program that the sandbox could not judge (infra_error, after executor.infra_retries) is left out;
    above this share of a step's or an evaluation's groups the run stops (fraction)."""
    data: DataConfig = DataConfig()
    run: PlaceConfig = PlaceConfig()
    eval: PassRateConfig = PassRateConfig()
    curriculum: PromptsConfig = PromptsConfig()
    rollout: EngineConfig = EngineConfig.model_validate({})
    executor: ProgramConfig = ProgramConfig.model_validate({})
    learner: ParallelConfig = ParallelConfig()
    ray: RayConfig = RayConfig()

    @model_validator(mode="after")
    def a_prompt_leaves_room(self) -> Self:
        prompt, new = self.curriculum.prompt.max_prompt_tokens, self.rollout.max_new_tokens
        if prompt + new > self.rollout.max_model_len:
            raise ValueError(
                f"rollout.max_model_len = {self.rollout.max_model_len} is less than "
                f"curriculum.prompt.max_prompt_tokens {prompt} + rollout.max_new_tokens {new} = {prompt + new}"
            )
        return self

    def about(self) -> str:
        """What the run computes, in half a line."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Every setting, nested, as JSON has it."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """Short hash of every setting, for manifests."""
        text = json.dumps(self.settings(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
