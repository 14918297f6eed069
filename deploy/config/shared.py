"""What every run has, whatever it trains on: `stepcoder train` and `stepcoder sft` compose their trees from it.

Defaults are the published ones where the paper gives them and live only in these models; a YAML file holds what
differs. The tree is frozen: what a run was started with is what its run directory says.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from stepcoder.curriculum.config import PromptsConfig
from stepcoder.curriculum.problems.problem import Level
from stepcoder.executor.config import ProgramConfig
from stepcoder.executor.grading.summary import DEFAULT_KS
from stepcoder.learner.config import ParallelConfig
from stepcoder.rollout.config import EngineConfig, HeartbeatConfig
from stepcoder.settings import Settings

TRAIN, HELDOUT = "train", "heldout"  # what evaluations call the training problems, and held-out ones without a name
LoggerName = Literal["tensorboard", "wandb", "mlflow"]


class DataConfig(Settings):
    """The problems: to train on, and held out for evaluation."""

    train: tuple[str, ...] = Field(default=("starter:train",), min_length=1)
    """Files of problems (.jsonl, .jsonl.gz), or starter:train. One in another format is FORMAT:FILE, as in heldout."""
    heldout: tuple[str, ...] | dict[str, tuple[str, ...]] = ("starter:heldout",)
    """Problems that are evaluated, never trained on: files, which make one set, or several sets by name, as
    {mbpp: mbpp:mbpp.jsonl, mine: mine.jsonl}; may be empty. A file in another format is FORMAT:FILE (see 'stepcoder
    data convert --help'); livecodebench:FILE,since=2024-08-01,until=2025-01-31 takes the problems of these days."""
    levels: tuple[Level, ...] = Field(default=("introductory", "interview", "competition"), min_length=1)
    """Use only problems of these levels, to train on and held out (levels)."""
    limit: int | None = Field(default=None, ge=1)
    """Use only the first so many problems to train on, and of each held-out set (problems); none for all."""

    hidden_tests: float = Field(default=0.0, ge=0, lt=1)
    """Keep this share of each training problem's tests out of the reward, but never all (fraction); programs that pass
    the others and fail these are counted. Those that the statement shows are the last to be hidden."""

    @field_validator("train", "heldout", "levels", mode="before")
    @classmethod
    def one_file_is_a_list(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: (files,) if isinstance(files, str) else files for name, files in value.items()}
        return (value,) if isinstance(value, str) else value

    @field_validator("heldout")
    @classmethod
    def sets_have_names_and_files(cls, value: Any) -> Any:
        for name, files in value.items() if isinstance(value, dict) else ():
            if name == TRAIN:
                raise ValueError(f"{TRAIN} is what the training problems are called; give the set another name")
            if not re.fullmatch(r"[\w.+-]+", name):
                raise ValueError(f"the name {name!r} has more than letters, digits, '.', '+', '-' and '_'")
            if not files:
                raise ValueError(f"the set {name} has no file; leave it out")
        return value

    @property
    def heldout_sets(self) -> dict[str, tuple[str, ...]]:
        """The files of each held-out set by its name."""
        if isinstance(self.heldout, dict):
            return self.heldout
        return {HELDOUT: self.heldout} if self.heldout else {}


class PlaceConfig(Settings):
    """Where a run lives and what it keeps."""

    directory: str = Field(default="runs/default", min_length=1)
    """The run's directory: a local path or any fsspec URI (s3://bucket/run). Given again, it resumes."""
    seed: int = Field(default=0, ge=0, le=(1 << 32) - 1)
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
    grace_s: float = Field(default=25.0, ge=0, le=86_400)
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
    k: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """pass@k for these k, at most eval.samples, by the unbiased estimator (completions); empty: those of 1, 5 and 10
    that there are samples for. Source: Chen et al. 2021."""
    greedy: bool = False
    """Also write one greedy completion of each problem, counted for itself."""
    programs: bool = True
    """Keep every program of an evaluation, as JSON lines in evaluations/ of the run directory."""
    train_limit: int | None = Field(default=None, ge=0)
    """Evaluate only so many training problems, always the same (problems); none for all."""

    @field_validator("k", mode="before")
    @classmethod
    def one_k_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) else value

    @model_validator(mode="after")
    def there_are_samples_for_k(self) -> Self:
        if self.k and max(self.k) > self.samples:
            raise ValueError(
                f"eval.k = {max(self.k)} is more than eval.samples = {self.samples}: pass@k needs k samples of a "
                "problem; raise eval.samples, or lower eval.k"
            )
        if self.temperature == 0 and self.samples > 1:
            raise ValueError(
                f"eval.temperature = 0 is greedy: all of eval.samples = {self.samples} would be the same. Set "
                "eval.samples to 1, or raise eval.temperature and set eval.greedy for one greedy completion beside them"
            )
        return self

    @property
    def ks(self) -> tuple[int, ...]:
        """The k of pass@k."""
        return self.k or tuple(k for k in DEFAULT_KS if k <= self.samples)


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
    """Losses of the learner, and as many of each engine, that are made good within any hour (count); one more ends the
    run."""
    heartbeat: HeartbeatConfig = HeartbeatConfig()
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
