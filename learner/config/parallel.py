"""How the learner's networks are held and computed, whatever they learn from."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from stepcoder.learner.config.optimizer import AdamConfig
from stepcoder.settings import Settings


class LoRAConfig(Settings):
    """Low-rank adapters on the policy, in fp32, over weights that stay as they are. Without them all weights are
    trained. With them the reference is the policy without its adapters: no second copy."""

    rank: int | None = Field(default=None, ge=1)
    """Rank r of each adapter; none trains all weights. Adapters want a learner.policy.lr some ten times higher.
    Source: LoRA, Hu et al. 2021."""
    alpha: float = Field(default=32.0, gt=0)
    """An adapter's product counts alpha / rank times. Source: LoRA; TRL's value."""
    targets: tuple[str, ...] = Field(default=("all-linear",), min_length=1)
    """Linear layers with an adapter, by name (q_proj, v_proj, ...); all-linear for each but the output layer.
    Source: QLoRA, Dettmers et al. 2023."""

    @field_validator("targets", mode="before")
    @classmethod
    def one_name_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def settings_agree(self) -> "LoRAConfig":
        if "all-linear" in self.targets and len(self.targets) > 1:
            raise ValueError("learner.lora.targets holds all-linear and names of layers: give the one or the others")
        for name in ("alpha", "targets"):
            value, default = getattr(self, name), type(self).model_fields[name].default
            if self.rank is None and value != default:
                raise ValueError(
                    f"learner.lora.{name} = {value} has no effect without learner.lora.rank: give a rank, or set it "
                    f"back to {default}"
                )
        return self


class OffloadConfig(Settings):
    """What waits in main memory instead of on the learner's GPU; slower, for models that do not fit."""

    optimizer: bool = False
    """Adam's moments, the fp32 master copy and the update itself: in main memory, on the CPU's cores. Needs
    learner.zero_stage 1, 2 or 3."""
    parameters: bool = False
    """Weights, the reference's too, fetched layer by layer when they are needed. Needs learner.zero_stage 3."""


class ParallelConfig(Settings):
    """The DeepSpeed learner: the policy alone."""

    ranks: int = Field(default=1, ge=1)
    """Learner processes; one a GPU, or CPU processes over gloo (processes)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the learner computes; auto takes GPUs if there are any."""
    precision: Literal["auto", "fp32", "autocast", "bf16"] = "auto"
    """fp32 throughout; autocast: fp32 weights, bf16 products; bf16: bf16 weights, fp32 master copy in the optimiser;
    auto: autocast on GPUs, which a Ray cluster that is joined is taken to have unless learner.device is cpu, else the
    faster of fp32 and autocast on this machine, measured."""
    output_precision: Literal["same", "fp32"] = "same"
    """Output layer of policy and reference: same as the rest, or multiplied in fp32, also under autocast and over bf16
    weights: log-probabilities are then rounded by 0.0033 nats instead of 0.0053, and the product is several times
    slower where bf16 is computed in hardware."""
    zero_stage: Literal[0, 1, 2, 3] = 0
    """DeepSpeed ZeRO stage: what is split over the ranks; under 3 the reference too."""
    offload: OffloadConfig = OffloadConfig()
    gradient_checkpointing: bool = False
    """Recompute activations of policy and critic in the backward pass: less memory, a third more time."""
    token_budget: int = Field(default=1024, ge=16)
    """Tokens in one micro-batch; a longer group of completions is split (tokens)."""
    logprob_chunk: int = Field(default=512, ge=1)
    """About so many response tokens of a micro-batch have logits at a time (tokens)."""
    max_bad_steps: int = Field(default=3, ge=1)
    """Stop after this many refused steps in a row: loss or gradient not finite (steps)."""
    rendezvous_timeout_s: float = Field(default=120.0, gt=0)
    """Deadline for learner processes to find each other (seconds)."""
    policy: AdamConfig = AdamConfig()
    lora: LoRAConfig = LoRAConfig()

    @model_validator(mode="after")
    def fits_the_stage(self) -> "ParallelConfig":
        adapters_alone = self.lora.rank is not None and not self.has_second_network
        if self.precision == "bf16" and self.zero_stage == 0 and not adapters_alone:
            raise ValueError(
                "learner.precision bf16 needs learner.zero_stage 1, 2 or 3, which keep the fp32 master copy"
            )
        if self.offload.optimizer and self.zero_stage == 0:
            raise ValueError("learner.offload.optimizer needs learner.zero_stage 1, 2 or 3")
        if self.offload.parameters and self.zero_stage != 3:
            raise ValueError("learner.offload.parameters needs learner.zero_stage 3, which splits the weights")
        return self

    @property
    def has_second_network(self) -> bool:
        """Whether there is a critic that is a network of its own."""
        return False

    @property
    def critic_layers(self) -> int | None:
        """How many layers a critic of its own keeps; None for all of them."""
        return None

    @property
    def has_reference(self) -> bool:
        """Whether a KL penalty needs the reference model."""
        return False
