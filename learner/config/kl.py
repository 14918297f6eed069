"""The penalty for leaving the frozen reference model: `learner.kl`. Without it no reference is loaded.

The estimators are those of Schulman, "Approximating KL divergence", 2020: k1 the log-ratio, k2 half its square, k3
never negative and unbiased.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from stepcoder.settings import Variant


class NoKL(Variant):
    """No penalty and no reference."""

    type: Literal["none"] = "none"


class Penalty(Variant):
    """What both places of the penalty have."""

    coef: float = Field(default=0.05, gt=0)
    """Factor beta of the penalty. Source: paper."""
    mask: Literal["all", "executed"] = "all"
    """Tokens with the penalty: all generated ones, or only those of the policy loss."""
    target: float | None = Field(default=None, gt=0)
    """Let beta follow this KL per token, the logged kl/reference (nats); none keeps beta fixed. Source: Ziegler et al.
    2019."""
    reset_every: int | None = Field(default=None, ge=1)
    """After every so many steps the policy, as it then is, becomes the reference (steps); none keeps the start. Source:
    ProRL, Liu et al. 2025 (arXiv 2505.24864)."""
    gain: float = Field(default=0.1, gt=0, le=1)
    """With a target: beta changes by at most a fifth of this share in a step. Source: Ziegler et al."""

    @field_validator("coef", mode="before")
    @classmethod
    def zero_is_a_type(cls, value: Any) -> Any:
        if str(value) in ("0", "0.0"):
            raise ValueError("for no penalty set learner.kl to none")
        return value


class RewardKL(Penalty):
    """A penalty in each token's reward. Source: paper."""

    type: Literal["reward"] = "reward"
    estimator: Literal["k1", "k2", "k3"] = "k1"
    """k1: log-ratio; k2: half its square; k3: never negative and unbiased. Source: paper, k1."""


class LossKL(Penalty):
    """A term of the loss, with the policy loss's normaliser. Source: GRPO, Shao et al. 2024."""

    type: Literal["loss"] = "loss"
    estimator: Literal["k2", "k3"] = "k3"
    """k2: half the log-ratio's square; k3: never negative and unbiased. k1 is no loss, its gradient is 0 in
    expectation. Source: GRPO, k3."""


KLConfig = Annotated[NoKL | RewardKL | LossKL, Field(discriminator="type")]
