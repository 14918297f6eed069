"""Settings of the rollout service: the engines, how they sample, and how weights reach them."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from stepcoder.settings import Only, Settings, Variant

VLLM = Only("engine", "vllm")


class HeartbeatConfig(Settings):
    """When an engine counts as lost, and is replaced."""

    every_s: float = Field(default=5.0, gt=0)
    """Pause between two heartbeats of an engine (seconds)."""

    silent_s: float = Field(default=20.0, gt=0)
    """An engine that answers nothing for so long and wants no processor time meanwhile hangs, as does an actor that
    answers nothing for so long (seconds)."""

    hung_s: float = Field(default=300.0, gt=0)
    """An engine that answers nothing for so long hangs, whatever it computes (seconds)."""


class EngineConfig(Settings):
    """The engines, and how long their completions are."""

    engine: Literal["vllm", "transformers"] = "vllm"
    """What generates. transformers is a plain loop over the Hugging Face model, to compare with: slow, one completion
    at a time, without a key-value cache that completions share."""

    engines: int = Field(default=1, ge=1)
    """Rollout actors, one engine each."""

    tensor_parallel: Annotated[int, VLLM] = Field(default=1, ge=1)
    """Devices that share one engine."""

    max_new_tokens: int = Field(default=1024, ge=1)
    """Longest completion (tokens). Source: StepCoder."""

    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ("\n```",)
    """Strings that end a completion (kept in it). Used by the prefill prompt form; an instruct reply opens with a
    fence and ends with its end token."""

    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Number format of the engines' weights and of weights on their way; auto: bfloat16 on GPUs, which a Ray cluster
    that is joined is taken to have, else the fastest sound one of this machine, measured."""

    max_model_len: int = Field(default=2048, ge=16)
    """Longest prompt and completion together (tokens)."""

    max_num_seqs: Annotated[int, VLLM] = Field(default=128, ge=1)
    """Completions decoded at once by an engine."""

    block_size: Annotated[int, VLLM] = Field(default=32, ge=16)
    """Key-value cache block (tokens); prompts share whole blocks only."""

    kv_cache_gib: Annotated[int, VLLM] = Field(default=2, ge=1)
    """Memory of an engine's key-value cache without a GPU (GiB)."""

    gpu_memory_utilization: Annotated[float, VLLM] = Field(default=0.85, gt=0.0, le=1.0)
    """Share of a GPU's memory that an engine takes."""

    gpu_cache_gib: Annotated[float | None, VLLM] = Field(default=None, gt=0.0)
    """Memory of an engine's key-value cache on each of its GPUs (GiB); none: what gpu_memory_utilization leaves, or, on
    a GPU that learner and engine share, what the estimate leaves."""

    max_num_batched_tokens: Annotated[int | None, VLLM] = Field(default=None, ge=16)
    """Tokens of prompts and completions that an engine computes at once on GPUs; none for 8192."""

    enforce_eager: Annotated[bool | None, VLLM] = None
    """Run without compilation and CUDA graphs; none: yes on CPUs, where it starts in 16 s instead of 76 s and is 15%
    slower, no on GPUs."""

    cpu_threads: int = Field(default=0, ge=0)
    """Threads of an engine without a GPU; 0 takes every core that the process may use, and fewer while
    other programs want them. With several engines on a node give each its share."""

    def eager(self, device: str) -> bool:
        """Whether an engine on "cpu" or "cuda" runs without compilation."""
        return device == "cpu" if self.enforce_eager is None else self.enforce_eager

    @property
    def batched_tokens(self) -> int:
        """Of an engine on GPUs; a prompt and its completion fit into it."""
        return self.max_num_batched_tokens or max(8192, self.max_model_len)

    @model_validator(mode="after")
    def engine_reads_what_is_set(self) -> "EngineConfig":
        for name, rule in self.unread().items():
            value, default = getattr(self, name), type(self).model_fields[name].default
            if value != default:
                raise ValueError(
                    f"rollout.{name} = {value} needs rollout.engine {rule.value}; {self.engine} does not read it"
                )
        return self

    @model_serializer(mode="wrap")
    def what_is_read(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the settings that the engine does not read."""
        unread = self.unread()
        return {name: value for name, value in dump(self).items() if name not in unread}


class NoRepair(Variant):
    """One completion, one program."""

    type: Literal["none"] = "none"


class Turns(Variant):
    """After a failure the model is told the verdict, the failing input and the exception, and tries again. All turns
    are one trajectory. Evaluations have one turn."""

    type: Literal["turns"] = "turns"
    turns: int = Field(default=3, ge=2)
    """Most attempts at a program (turns); fewer where rollout.max_model_len leaves no room for another."""
    reward: Literal["end", "turn"] = "end"
    """end: the last program's reward, at the last token; turn: at the end of each turn what its program gained over the
    one before, which sums to the same."""
    chars: int = Field(default=400, ge=1)
    """Longest failing input, and exception, that is told (characters)."""


class RolloutConfig(EngineConfig):
    """How completions are generated."""

    group_size: int = Field(default=16, ge=1)
    """Completions of one subtask. Source: StepCoder."""

    temperature: float = Field(default=0.8, gt=0.0, le=2.0)
    """Sampling temperature; the learner's logits get it too. Source: StepCoder."""

    top_p: float = Field(default=0.9, gt=0.0, le=1.0)
    """Nucleus mass kept when sampling. Source: StepCoder."""

    top_k: int = Field(default=0, ge=0)
    """Most likely tokens kept when sampling; 0 keeps all."""

    repair: Annotated[NoRepair | Turns, Field(discriminator="type")] = NoRepair()
    """Whether a model may try again after a failure."""

    weights_deadline_s: float = Field(default=300.0, gt=0.0)
    """Longest wait for one step of a weight update (s)."""

    kept_tests: int = Field(default=16, ge=0)
    """Tests that a trajectory keeps for a person to read, the first that failed among them (tests)."""

    kept_chars: int = Field(default=400, ge=0)
    """Longest input, expected output, answer, output and exception of a test that is kept (characters)."""
