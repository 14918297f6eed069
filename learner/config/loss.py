"""Policy losses: `learner.loss`. Each type has the settings that it reads, with its source's defaults.

Beside its clip range a loss has a normaliser, what the sum over its tokens is divided by: it changes the step size.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from stepcoder.settings import OWN, OwnVariant, Variant, variant


class MaskedTokens(Variant):
    """The number of loss tokens."""

    type: Literal["masked_tokens"] = "masked_tokens"


class AllTokens(Variant):
    """The number of generated tokens. Source: DAPO, Yu et al. 2025."""

    type: Literal["all_tokens"] = "all_tokens"


class Sequences(Variant):
    """Each sequence's number of loss tokens, then the number of sequences. Source: GRPO, Shao et al. 2024."""

    type: Literal["sequences"] = "sequences"


class Constant(Variant):
    """A fixed number of tokens for each completion, whatever its length. Source: Dr.GRPO, Liu et al. 2025."""

    type: Literal["constant"] = "constant"
    tokens: int | None = Field(default=None, ge=1)
    """What a completion counts for (tokens); none for rollout.max_new_tokens, as in its source."""


Normalizer = Annotated[MaskedTokens | AllTokens | Sequences | Constant, Field(discriminator="type")]


class Loss(Variant):
    """What every loss has."""

    normalizer: Normalizer = MaskedTokens()
    """What the sum over the loss's tokens is divided by; changes the step size."""
    entropy_bonus: float = Field(default=0.0, ge=0)
    """The mean entropy of the loss's tokens, with the loss's normaliser, is worth so much (loss a nat). Source: A3C,
    Mnih et al. 2016; 0 in the authors' PPO code."""

    @property
    def has_ratio(self) -> bool:
        """Whether it compares with the old log-probabilities."""
        return True

    def arguments(self) -> dict[str, Any]:
        """What the loss's function takes beside the tokens: every setting of its own."""
        return self.model_dump(exclude={"type", "normalizer", "entropy_bonus"})


class PPOClip(Loss):
    """PPO's clipped surrogate. Source: Schulman et al. 2017; paper."""

    type: Literal["ppo_clip"] = "ppo_clip"
    clip_low: float = Field(default=0.2, gt=0, le=1)
    """The ratio is clipped below at 1 - clip_low. Source: the authors' PPO code."""
    clip_high: float = Field(default=0.2, gt=0)
    """The ratio is clipped above at 1 + clip_high. Source: the authors' PPO code; clip-higher, DAPO's, is 0.28."""


class DualClip(PPOClip):
    """PPO's surrogate with a bound where the advantage is negative. Source: Ye et al. 2020."""

    type: Literal["dual_clip"] = "dual_clip"
    dual_clip: float = Field(default=3.0, gt=1)
    """A negative advantage counts at most this many times. Source: Ye et al. 2020."""


class GSPO(Loss):
    """PPO's surrogate with one ratio for a whole sequence. Source: Zheng et al. 2025."""

    type: Literal["gspo"] = "gspo"
    normalizer: Normalizer = Sequences()
    clip_low: float = Field(default=0.0003, gt=0, le=1)
    """The sequence's ratio is clipped below at 1 - clip_low. Source: Zheng et al. 2025."""
    clip_high: float = Field(default=0.0004, gt=0)
    """The sequence's ratio is clipped above at 1 + clip_high. Source: Zheng et al. 2025."""

    @model_validator(mode="after")
    def clips_something(self) -> "GSPO":
        if max(self.clip_low, self.clip_high) >= 0.1:
            raise ValueError(
                f"learner.loss.clip_low = {self.clip_low} and learner.loss.clip_high = {self.clip_high} would clip "
                "nothing with learner.loss gspo, whose ratio is a whole sequence's mean: set them to 0.0003 and 0.0004"
            )
        return self


class CISPO(Loss):
    """Clipped importance weights; no token loses its gradient. Source: MiniMax-M1, Chen et al. 2025."""

    type: Literal["cispo"] = "cispo"
    normalizer: Normalizer = AllTokens()
    clip_low: float = Field(default=1.0, gt=0, le=1)
    """The weight is clipped below at 1 - clip_low; 1 is no lower bound. Source: Chen et al. 2025."""
    clip_high: float = Field(default=0.2, gt=0)
    """The weight is clipped above at 1 + clip_high. Its source gives no value."""


class Reinforce(Loss):
    """The policy gradient without a ratio. Source: Williams 1992."""

    type: Literal["reinforce"] = "reinforce"

    @property
    def has_ratio(self) -> bool:
        return False


class OwnLoss(OwnVariant, Loss):
    """A user's own loss: a function of `LossTokens` that gives a `PolicyLoss`."""

    def arguments(self) -> dict[str, Any]:
        return self.settings


LossConfig = Annotated[
    Annotated[PPOClip, Tag("ppo_clip")]
    | Annotated[DualClip, Tag("dual_clip")]
    | Annotated[GSPO, Tag("gspo")]
    | Annotated[CISPO, Tag("cispo")]
    | Annotated[Reinforce, Tag("reinforce")]
    | Annotated[OwnLoss, Tag(OWN)],
    Discriminator(variant),
]


class LearnerLogprobs(Variant):
    """Recomputed by the learner, with importance weights for the gap to the engine that sampled."""

    type: Literal["learner"] = "learner"
    importance_cap: float | None = Field(default=2.0, gt=0)
    """Weigh a token by its probability under the learner over that under the engine that sampled it, at most this; none
    for no weight. Source: truncated importance sampling."""
    importance_mask_low: float | None = Field(default=None, gt=0, lt=1)
    """Leave out a token whose ratio of learner to engine is below this; none for no limit. Source: masked importance
    sampling (IcePop)."""
    importance_mask_high: float | None = Field(default=None, gt=1)
    """Leave out a token whose ratio of learner to engine is above this; none for no limit. Source: masked importance
    sampling (IcePop)."""

    sequence_mask_low: float | None = Field(default=None, gt=0, lt=1)
    """Leave out a completion whose geometric mean ratio of learner to engine is below this; none for no limit. Source:
    sequence-level masked importance sampling, Liu et al. 2025."""
    sequence_mask_high: float | None = Field(default=None, gt=1)
    """Leave out a completion whose geometric mean ratio of learner to engine is above this; none for no limit. Source:
    sequence-level masked importance sampling, Liu et al. 2025."""


class SamplerLogprobs(Variant):
    """The engine's own: one forward pass less; the ratio then also corrects the sampler-learner gap."""

    type: Literal["sampler"] = "sampler"


OldLogprobs = Annotated[LearnerLogprobs | SamplerLogprobs, Field(discriminator="type")]
