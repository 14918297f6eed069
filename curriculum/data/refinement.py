"""A refinement as data: what is refined, how far it is looked into, and what is then kept."""

from dataclasses import dataclass
from pathlib import Path

from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.soundness import Preference
from stepcoder.executor.config import ExecutorConfig

CONTAMINATION = 0.6


@dataclass(frozen=True, slots=True)
class Source:
    """A data set that was read to its end."""

    kind: str
    path: Location
    entries: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Effort:
    """Which solution is kept, and how many mutants of it are run at most."""

    preference: Preference = "first"
    mutants: int = 0


@dataclass(frozen=True, slots=True)
class Choices:
    """What is kept; may be changed without running anything again.

    `duplicates`: whether near-duplicates are dropped. `contamination`: the share of a statement's runs of words that
    makes a problem too like it. `held_out`: the share of each level's problems, 0 to 1; `salt` gives another split.
    `unsolved`: whether problems without a solution are kept.
    """

    duplicates: bool = True
    contamination: float = CONTAMINATION
    held_out: float = 0.0
    salt: str = ""
    unsolved: bool = False


@dataclass(frozen=True, slots=True)
class Refinement:
    """`out` is the file of problems that are kept; others are beside it."""

    source: Source
    out: Path
    config: ExecutorConfig
    effort: Effort
    choices: Choices
