"""Advantage estimators: `learner.advantage`. Each type has the settings that it reads, with its source's defaults.

The critic is a part of `gae`, the only estimator that has one.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from stepcoder.learner.config.optimizer import OptimizerConfig
from stepcoder.settings import OWN, OwnVariant, Variant, variant


class Critic(Variant):
    """What every value model has."""

    value_clip: float | None = Field(default=0.2, gt=0)
    """Clip range of the value change within one step; none for no clip. Source: the authors' PPO code."""
    mask: Literal["all", "executed"] = "all"
    """Tokens in the value loss: all generated ones, or only those of the policy loss."""
    loss_weight: float = Field(default=0.5, gt=0)
    """Factor of the value loss."""


class SeparateCritic(Critic):
    """A network of its own that starts as the policy, with an optimiser of its own. Source: paper."""

    type: Literal["separate"] = "separate"
    warmup_steps: int = Field(default=0, ge=0)
    """In the run's first so many steps the critic alone learns, and the policy stays as it is (steps). Source: value
    pretraining, VC-PPO, Yuan et al. 2025."""
    layers: int | None = Field(default=None, ge=1)
    """Use only the model's first layers (layers); none for all."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=1.5e-6)  # paper


class SharedCritic(Critic):
    """A scalar head on the policy's last hidden state, trained in the same pass by the policy's optimiser."""

    type: Literal["shared"] = "shared"
    detach: bool = False
    """The value loss trains the head alone. Else its gradient reaches the policy's weights too, from tokens outside
    the policy's mask as well (see mask). Source: TRL's value head, false."""


CriticConfig = Annotated[SeparateCritic | SharedCritic, Field(discriminator="type")]


class Advantage(Variant):
    """What every estimator has."""

    group: ClassVar[bool] = False  # whether it compares a subtask's completions, and so needs two

    normalize: Literal["batch", "none"] = "none"
    """batch: shift and scale advantages to mean 0, deviation 1 over the loss tokens of the step; those that are centred
    by group already are scaled alone, to mean square 1."""
    clip: float | None = Field(default=None, gt=0)
    """Clip the advantage, normalised or not, to this size; none for no clip."""

    @property
    def centred(self) -> bool:
        """Whether advantages are already compared within each group, so that their zero means something."""
        return self.group

    def arguments(self) -> dict[str, Any]:
        """What the estimator's function takes beside the completions."""
        return {}


class GAE(Advantage):
    """Generalised advantage estimation with a critic, as in PPO. Source: Schulman et al. 2016; paper."""

    type: Literal["gae"] = "gae"
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount per token. Source: the authors' PPO code."""
    lam: float = Field(default=0.95, ge=0, le=1)
    """GAE lambda. Source: the authors' PPO code."""
    reward_baseline: Literal["none", "group"] = "none"
    """group: subtract from each reward the mean of the subtask's other completions: the critic then explains only the
    rest. Pays while the critic knows little. Source: RLOO, Ahmadian et al. 2024."""
    normalize: Literal["batch", "none"] = "batch"
    critic: CriticConfig = SeparateCritic()
    """The value model."""

    @property
    def centred(self) -> bool:
        return self.reward_baseline == "group"

    def arguments(self) -> dict[str, Any]:
        return {"gamma": self.gamma, "lam": self.lam}


class GRPO(Advantage):
    """Reward less the group's mean, over the group's deviation. Source: Shao et al. 2024 (DeepSeekMath)."""

    group = True
    type: Literal["grpo"] = "grpo"


class DrGRPO(Advantage):
    """Reward less the group's mean. Source: Liu et al. 2025."""

    group = True
    type: Literal["dr_grpo"] = "dr_grpo"


class RLOO(Advantage):
    """Reward less the mean of the group's others. Source: Ahmadian et al. 2024."""

    group = True
    type: Literal["rloo"] = "rloo"


class ReinforcePlusPlus(Advantage):
    """Returns to go, normalised over the batch. Source: REINFORCE++, Hu et al. 2025."""

    type: Literal["reinforce_plus_plus"] = "reinforce_plus_plus"
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount per token."""
    normalize: Literal["batch", "none"] = "batch"

    def arguments(self) -> dict[str, Any]:
        return {"gamma": self.gamma}


class ReinforcePlusPlusBaseline(Advantage):
    """The same with the group's mean as baseline, for several completions of a prompt. Source: Hu et al. 2025."""

    group = True
    type: Literal["reinforce_plus_plus_baseline"] = "reinforce_plus_plus_baseline"
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount per token."""
    normalize: Literal["batch", "none"] = "batch"

    def arguments(self) -> dict[str, Any]:
        return {"gamma": self.gamma}


class OwnAdvantage(OwnVariant, Advantage):
    """A user's own estimator: a function of `Completions` that gives one advantage a token."""

    def arguments(self) -> dict[str, Any]:
        return self.settings


AdvantageConfig = Annotated[
    Annotated[GAE, Tag("gae")]
    | Annotated[GRPO, Tag("grpo")]
    | Annotated[DrGRPO, Tag("dr_grpo")]
    | Annotated[RLOO, Tag("rloo")]
    | Annotated[ReinforcePlusPlus, Tag("reinforce_plus_plus")]
    | Annotated[ReinforcePlusPlusBaseline, Tag("reinforce_plus_plus_baseline")]
    | Annotated[OwnAdvantage, Tag(OWN)],
    Discriminator(variant),
]
