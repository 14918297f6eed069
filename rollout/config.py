"""Settings of the rollout service: the engines, how they sample, and how weights reach them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EngineConfig(BaseModel):
    """The engines, and how long their completions are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engines: int = Field(default=1, ge=1, description="Rollout actors, one vLLM engine each (count). Source: ours.")
    tensor_parallel: int = Field(default=1, ge=1, description="Devices that share one engine (count). Source: ours.")
    max_new_tokens: int = Field(default=1024, ge=1, description="Longest completion (tokens). Source: paper.")
    stop: tuple[str, ...] = Field(
        default=("\n```",),
        description="Strings that end a completion (kept in it). Used by the prefill prompt form; an instruct reply "
        "opens with a fence and ends with its end token. Source: ours.",
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        default="auto",
        description="Number format of the engines' weights and of weights on their way; auto: bfloat16 on GPUs, which "
        "a Ray cluster that is joined is taken to have, else the fastest sound one of this machine, measured. "
        "Source: ours.",
    )
    max_model_len: int = Field(
        default=2048, ge=16, description="Longest prompt and completion together (tokens). Source: ours."
    )
    max_num_seqs: int = Field(
        default=128, ge=1, description="Completions decoded at once by an engine (count). Source: ours."
    )
    block_size: int = Field(
        default=32, ge=16, description="Key-value cache block (tokens); prompts share whole blocks only. Source: ours."
    )
    kv_cache_gib: int = Field(
        default=2,
        ge=1,
        description="Memory of an engine's key-value cache without a GPU (GiB). Source: ours, measured.",
    )
    gpu_memory_utilization: float = Field(
        default=0.85, gt=0.0, le=1.0, description="Share of a GPU's memory that an engine takes. Source: ours."
    )
    enforce_eager: bool = Field(
        default=True,
        description="Run without compilation: starts in 16 s instead of 76 s, 15% slower on CPU. Turn off for long "
        "runs on GPUs. Source: ours, measured.",
    )
    cpu_threads: int = Field(
        default=0,
        ge=0,
        description="Threads of an engine without a GPU (count); 0 takes every core that the process may use. With "
        "several engines on a node give each its share. Source: ours.",
    )


class RolloutConfig(EngineConfig):
    """How completions are generated. The one home of these defaults."""

    group_size: int = Field(default=16, ge=1, description="Completions of one subtask (count). Source: paper.")
    temperature: float = Field(
        default=0.8, gt=0.0, le=2.0, description="Sampling temperature; the learner's logits get it too. Source: paper."
    )
    top_p: float = Field(default=0.9, gt=0.0, le=1.0, description="Nucleus mass kept when sampling. Source: paper.")
    top_k: int = Field(
        default=0, ge=0, description="Most likely tokens kept when sampling (count); 0 keeps all. Source: ours."
    )
    weights_deadline_s: float = Field(
        default=300.0, gt=0.0, description="Longest wait for one step of a weight update (s). Source: ours."
    )
