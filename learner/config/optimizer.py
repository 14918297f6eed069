"""AdamW and its learning rate."""

from typing import Literal

from pydantic import Field

from stepcoder.settings import Settings


class AdamConfig(Settings):
    """AdamW, with a constant or falling learning rate."""

    lr: float = Field(default=5e-7, gt=0)
    """Peak learning rate. Source: paper, policy."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Rate after the warm-up: constant, or falling to 0 at the last step, linearly or as half a cosine."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Adam's first-moment decay."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """Adam's second-moment decay."""
    eps: float = Field(default=1e-8, gt=0)
    """Adam's denominator constant."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this global L2 norm."""


class OptimizerConfig(AdamConfig):
    """AdamW with linear warm-up, then a constant or falling learning rate."""

    warmup_steps: int = Field(default=0, ge=0)
    """Updates over which the rate rises from 0 (updates)."""
