"""What is done to a completion's reward before advantages are computed: `learner.reward`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from stepcoder.settings import Settings, Variant


class NoOverlong(Variant):
    """Length costs nothing."""

    type: Literal["none"] = "none"


class Overlong(Variant):
    """A long completion loses reward, linearly from `start` to `end`; of several turns each for its own length. Source:
    DAPO, Yu et al. 2025."""

    type: Literal["linear"] = "linear"
    start: int | None = Field(default=None, ge=0)
    """Longer completions lose reward (tokens); none for four fifths of `end`. Source: DAPO, 16,384 of 20,480."""
    end: int | None = Field(default=None, ge=1)
    """Length from which the whole penalty is paid (tokens); none for rollout.max_new_tokens. Source: DAPO."""
    penalty: float = Field(default=1.0, gt=0)
    """Largest length penalty (reward). Source: DAPO."""

    @model_validator(mode="after")
    def start_is_before_end(self) -> "Overlong":
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError(
                f"learner.reward.overlong.start = {self.start} must be less than learner.reward.overlong.end = "
                f"{self.end}"
            )
        return self


class RewardConfig(Settings):
    """What is done to a completion's reward before advantages are computed, in this order."""

    overlong: Annotated[NoOverlong | Overlong, Field(discriminator="type")] = NoOverlong()
    """What a long completion loses."""
    normalize: bool = False
    """Shift and scale rewards to mean 0, deviation 1 over the completions of the step."""
    clip: float | None = Field(default=None, gt=0)
    """Clip the reward, normalised or not, to this size (reward); none for no clip. The paper's clip value 0.8 may be
    this one."""
