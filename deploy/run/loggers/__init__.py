"""Where a run's numbers go beside metrics.jsonl: one file a logger.

A logger is made once, is given every step's numbers by their joined names, and is closed. Whatever it raises is told
once and counted; it never reaches the run.
"""

import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stepcoder.deploy.config.shared import LoggerName

log = logging.getLogger(__name__)


class Logger(Protocol):
    """What a file of this folder makes with `make(about)`."""

    def write(self, step: int, numbers: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class About:
    """The run that is logged. `resumed_step`: steps already done; `redone`: whether later ones were written before.

    `place` is its path or URI, `settings` its configuration by dotted keys.
    """

    folder: Path
    place: str = ""
    project: str = "stepcoder"
    resumed_step: int = 0
    redone: bool = False
    settings: Mapping[str, Any] | None = None


class Guarded:
    """A logger whose failures stay here, and are counted."""

    def __init__(self, name: str, make: Callable[[], Logger]) -> None:
        self.name, self.failures = name, 0
        self._logger: Logger | None = None
        self._attempt(lambda: setattr(self, "_logger", make()))

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        if (logger := self._logger) is not None:
            self._attempt(lambda: logger.write(step, numbers))

    def close(self) -> None:
        if (logger := self._logger) is not None:
            self._attempt(logger.close)
        if self.failures > 1:
            log.warning("run.loggers: %s failed %d times in this run", self.name, self.failures)

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # whatever the library and its server are about
            self.failures += 1
            if self.failures == 1:
                log.warning("run.loggers: %s fails (%s: %s); the run goes on, metrics.jsonl has every number",
                            self.name, type(error).__name__, error)  # fmt: skip


def make(names: Sequence[LoggerName], about: About) -> list[Guarded]:
    """One that cannot be made has failed once, and takes nothing."""
    return [Guarded(name, lambda name=name: _module(name).make(about)) for name in names]


def _module(name: str) -> Any:
    return importlib.import_module(f"{__name__}.to_{name}")
