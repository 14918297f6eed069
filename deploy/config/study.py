"""The file of a study: what its arms share, how they differ, how long each run is.

config: starter.yaml                 # a path relative to this file
directory: runs/study
seeds: 5
budget: {tokens: 120000}
start: {sft: sft-study.yaml}
arms:
  ppo: {curriculum: {schedule: none}, learner: {credit: all}}
  both: {}
  random: {seeds: 3, learner: {credit: random}}
"""

from typing import Any

from pydantic import Field, field_validator, model_validator

from stepcoder.settings import Settings

ARM = r"[A-Za-z0-9][A-Za-z0-9+_-]*"


class Budget(Settings):
    """How long each run is. One of the two."""

    tokens: int | None = Field(default=None, ge=1)
    """Tokens generated in training (tokens): the same work for every arm, whatever else the machine does."""
    minutes: float | None = Field(default=None, gt=0)
    """Time for steps (minutes). What a stop loses is not given back."""

    @model_validator(mode="after")
    def one_of_them(self) -> "Budget":
        if (self.tokens is None) == (self.minutes is None):
            raise ValueError("give tokens or minutes")
        return self


class Start(Settings):
    """The model that every run begins with; at most one of the two, none for that of the configuration."""

    model: str | None = None
    """A Hugging Face directory or a hub name."""
    sft: str | None = None
    """A configuration of `stepcoder sft`, relative to the study's file; it is run once, and its last model taken."""

    @model_validator(mode="after")
    def not_both(self) -> "Start":
        if self.model is not None and self.sft is not None:
            raise ValueError("give model or sft, not both")
        return self


class StudyConfig(Settings):
    """A study, but for the settings of its arms."""

    config: str
    """The configuration of `stepcoder train` that all arms share, relative to the study's file."""
    directory: str = Field(min_length=1)
    """Where everything goes: a local path, or one that all nodes see. Given again, the study goes on."""
    seeds: tuple[int, ...] = Field(default=tuple(range(5)), min_length=1)
    """Seeds of each arm: a list, or how many from 0 on. An arm may have fewer of its own."""
    budget: Budget
    start: Start = Start()
    keep_checkpoints: bool = False
    """Keep the checkpoints of runs that are done: some GB each, which no table needs."""
    settings: dict[str, Any] = {}
    """Settings of all arms, over those of the configuration."""
    arms: dict[str, dict[str, Any]] = Field(min_length=2)
    """Name -> settings of this arm, and `seeds` where it has its own. The others are compared with the first."""

    @field_validator("seeds", mode="before")
    @classmethod
    def a_count_is_a_list(cls, value: Any) -> Any:
        return seeds(value)

    @field_validator("seeds")
    @classmethod
    def each_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value) or min(value) < 0:
            raise ValueError("seeds are different numbers from 0 on")
        return value


def seeds(value: Any) -> Any:
    """`5` for 0 to 4; anything else as it is."""
    return tuple(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value
