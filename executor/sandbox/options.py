"""What the parent decided for a fork server, and the descriptors that it passed."""

import json
import os
from dataclasses import astuple, dataclass, replace

from stepcoder.executor.sandbox.confinement.confine import Limits
from stepcoder.executor.sandbox.streams import Streams

_PASSED = ("control", "compiler", "trouble", "coverage", "board")


@dataclass(frozen=True, slots=True)
class Options:
    """What the parent decided: the descriptors it passed and the limits of every program."""

    level: int
    control: int
    compiler: int
    trouble: int  # a pipe: what kept a process from getting to its program
    coverage: int
    coverage_bytes: int
    board: int
    streams: Streams
    limits: Limits
    site_packages: bool
    packages: tuple[str, ...]  # modules beyond the library's to have ready

    @classmethod
    def parse(cls, text: str) -> "Options":
        data = json.loads(text)
        streams, limits = Streams(**data.pop("streams")), Limits(**data.pop("limits"))
        return cls(streams=streams, limits=limits, **data)

    def renumbered(self) -> "Options":
        """With every descriptor under the lowest number that is free: the parent's may be above a program's limit, or
        the one that another descriptor is given here, and they differ between fork servers."""
        streams = Streams(*map(_lowest, astuple(self.streams)))
        others = {name: _lowest(getattr(self, name)) for name in _PASSED}
        return replace(self, streams=streams, **others)

    def passed(self) -> tuple[int, ...]:
        """Every descriptor."""
        return (*(getattr(self, name) for name in _PASSED), *astuple(self.streams))


def _lowest(fd: int) -> int:
    """The same file under the lowest number that is free."""
    new = os.dup(fd)
    os.close(max(fd, new))
    return min(fd, new)
