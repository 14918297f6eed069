"""Every setting of the learner, with its default, unit and source.

"paper" is Dou et al. 2024 (arXiv 2402.01391) or the code of the same group; "ours" is a decision of this project.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

STRICT = ConfigDict(extra="forbid", frozen=True)


class OptimizerConfig(BaseModel):
    """AdamW with linear warm-up, then a constant or linearly falling learning rate."""

    model_config = STRICT

    lr: float = Field(default=5e-7, gt=0, description="Peak learning rate. Source: paper, policy.")
    warmup_steps: int = Field(
        default=0, ge=0, description="Updates over which the rate rises from 0 (updates). Source: ours."
    )
    schedule: Literal["constant", "linear"] = Field(
        default="constant",
        description="Rate after the warm-up: constant, or falling linearly to 0 at the last step. Source: ours.",
    )
    beta1: float = Field(default=0.9, ge=0, lt=1, description="Adam's first-moment decay.")
    beta2: float = Field(default=0.95, ge=0, lt=1, description="Adam's second-moment decay. Source: ours.")
    eps: float = Field(default=1e-8, gt=0, description="Adam's denominator constant.")
    weight_decay: float = Field(default=0.0, ge=0, description="Decoupled weight decay. Source: ours.")
    max_grad_norm: float = Field(default=1.0, gt=0, description="Gradients are scaled down to this global L2 norm.")


class CriticConfig(BaseModel):
    """The value model: the policy's architecture and initial weights, with a scalar head."""

    model_config = STRICT

    layers: int | None = Field(
        default=None,
        ge=1,
        description="Use only the model's first layers (layers); none for all. Source: ours.",
    )
    optimizer: OptimizerConfig = Field(
        default_factory=lambda: OptimizerConfig(lr=1.5e-6),
        description="The critic's own optimiser. Source: paper, lr 1.5e-6.",
    )
    value_clip: float = Field(
        default=0.2, gt=0, description="Clip range of the value change within one step. Source: paper's group."
    )
    mask: Literal["all", "executed"] = Field(
        default="all",
        description="Tokens in the value loss: all generated ones, or only those of the policy loss. Source: ours.",
    )
    loss_weight: float = Field(default=0.5, gt=0, description="Factor of the value loss. Source: ours.")


class PPOConfig(BaseModel):
    """Advantages and the clipped policy loss."""

    model_config = STRICT

    gamma: float = Field(default=1.0, gt=0, le=1, description="Discount per token. Source: paper's group.")
    lam: float = Field(default=0.95, ge=0, le=1, description="GAE lambda. Source: paper's group.")
    clip_low: float = Field(
        default=0.2, gt=0, lt=1, description="The ratio is clipped below at 1 - clip_low. Source: paper's group."
    )
    clip_high: float = Field(
        default=0.2, gt=0, description="The ratio is clipped above at 1 + clip_high. Source: paper's group."
    )
    epochs: int = Field(default=1, ge=1, description="Passes over one step's trajectories (passes). Source: ours.")
    minibatches: int = Field(
        default=1,
        ge=1,
        description="Optimiser updates in one pass, each on its share of the groups (updates). Source: ours.",
    )
    reward_baseline: Literal["none", "group"] = Field(
        default="none",
        description="group: subtract from each reward the mean of the subtask's other completions: the critic then "
        "explains only the rest. Pays while the critic knows little. Source: RLOO, Ahmadian et al. 2024.",
    )
    normalize_advantage: bool = Field(
        default=True,
        description="Shift and scale advantages to mean 0, deviation 1 over the loss tokens of the step. Source: ours.",
    )
    advantage_clip: float | None = Field(
        default=None, gt=0, description="Clip the normalised advantage to this size; none for no clip."
    )
    normalizer: Literal["masked_tokens", "all_tokens", "sequences"] = Field(
        default="masked_tokens",
        description="The policy loss is divided by: loss tokens, generated tokens, or each sequence by its own loss "
        "tokens and then by the number of sequences. Changes the step size. Source: ours.",
    )
    old_logprobs: Literal["learner", "sampler"] = Field(
        default="learner",
        description="Log-probabilities in the ratio's denominator: recomputed by the learner, or the engine's own (one "
        "forward pass less; the ratio then also corrects the sampler-learner gap). Source: ours.",
    )
    importance_cap: float | None = Field(
        default=2.0,
        gt=0,
        description="With old_logprobs learner: weigh a token by its probability under the learner over that under the "
        "engine that sampled it, at most this; none for no weight. Source: truncated importance sampling.",
    )


class KLConfig(BaseModel):
    """Penalty for leaving the frozen reference model."""

    model_config = STRICT

    coef: float = Field(
        default=0.05,
        ge=0,
        description="Beta of the token-level penalty in the reward; 0 drops the reference model. Source: paper.",
    )


class CreditConfig(BaseModel):
    """Which generated tokens take part in the policy loss."""

    model_config = STRICT

    tokens: Literal["fgo", "all", "random"] = Field(
        default="fgo",
        description="fgo: tokens that a unit test executed (paper); all: every one; random: as many per sequence as "
        "fgo, at random (control).",
    )
    compile_error: Literal["all", "prefix", "line", "none"] = Field(
        default="all",
        description="Tokens of a program that does not compile: all, up to the error line, that line only, or none. "
        "Source: ours.",
    )


class LearnerConfig(BaseModel):
    """The DeepSpeed learner: policy, critic, reference."""

    model_config = STRICT

    ranks: int = Field(
        default=1, ge=1, description="Learner processes; one a GPU, or CPU processes over gloo (processes)."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where the learner computes; auto takes GPUs if there are any."
    )
    precision: Literal["fp32", "autocast", "bf16"] = Field(
        default="autocast",
        description="fp32 throughout; autocast: fp32 weights, bf16 products; bf16: bf16 weights, fp32 master copy in "
        "the optimiser.",
    )
    zero_stage: Literal[0, 1, 2, 3] = Field(
        default=0, description="DeepSpeed ZeRO stage: what is split over the ranks."
    )
    gradient_checkpointing: bool = Field(
        default=False, description="Recompute activations in the backward pass: less memory, a third more time."
    )
    token_budget: int = Field(
        default=1024, ge=16, description="Tokens in one micro-batch; a longer group of completions is split (tokens)."
    )
    logprob_chunk: int = Field(
        default=512, ge=1, description="About so many response tokens of a micro-batch have logits at a time (tokens)."
    )
    policy: OptimizerConfig = Field(default_factory=OptimizerConfig, description="The policy's optimiser.")
    critic: CriticConfig = Field(default_factory=CriticConfig, description="The value model.")
    ppo: PPOConfig = Field(default_factory=PPOConfig, description="Advantages and loss.")
    kl: KLConfig = Field(default_factory=KLConfig, description="Penalty towards the reference.")
    credit: CreditConfig = Field(default_factory=CreditConfig, description="Tokens that take the policy loss.")
    max_bad_steps: int = Field(
        default=3, ge=1, description="Stop after this many refused steps in a row: loss or gradient not finite (steps)."
    )
    rendezvous_timeout_s: float = Field(
        default=120.0, gt=0, description="Deadline for learner processes to find each other (seconds)."
    )

    @model_validator(mode="after")
    def parts_agree(self) -> "LearnerConfig":
        if self.precision == "bf16" and self.zero_stage == 0:
            raise ValueError(
                "learner.precision bf16 needs learner.zero_stage 1, 2 or 3, which keep the fp32 master copy"
            )
        return self
