"""Whether an engine still answers, told apart from one that computes for long: a hung process wants no processor.

Asked again and again, from the actor that owns the engine and so beside its processes.
"""

import asyncio
import time
from pathlib import Path

import psutil

from stepcoder.rollout.config import HeartbeatConfig
from stepcoder.rollout.engine import Engine, EngineDied

_LOOK_S = 1.0  # longest wait of one look for the answer
_IDLE = 0.02  # of a core: what threads that only wait take


class Pulse:
    """One engine's. A question stays open over any number of looks until it is answered."""

    def __init__(self, engine: Engine, limits: HeartbeatConfig) -> None:
        self._engine, self._limits = engine, limits
        self._question: asyncio.Task[None] | None = None
        self._asked = self._computed = 0.0

    async def look(self, updating: bool = False) -> bool:
        """Whether the engine has answered. Raises EngineDied where its process is gone or hangs.

        While it takes new weights (`updating`) it need not answer: that has its own deadline.
        """
        if self._question is None:
            self._question = asyncio.create_task(self._engine.ping())
            self._restart()
        question = self._question
        await asyncio.wait([question], timeout=_LOOK_S)
        if question.done():
            if self._question is question:  # else another look has heard it too
                self._question = None
            question.result()
            return True
        if updating:
            self._restart()
        self._judge()
        return False

    def _restart(self) -> None:
        self._asked, self._computed = time.monotonic(), computed()

    def _judge(self) -> None:
        silent = time.monotonic() - self._asked
        idle = computed() - self._computed < _IDLE * silent
        if silent > self._limits.hung_s or (idle and silent > self._limits.silent_s):
            raise EngineDied(f"the engine has answered nothing for {silent:.0f} s" + " and computes nothing" * idle)


def computed() -> float:
    """Seconds of processor time that the processes below this one have taken, or have waited for: beside other work an
    engine may get hardly any."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            total += sum(process.cpu_times()[:2]) + _waited(process.pid)
        except psutil.Error:  # it has just ended
            continue
    return total


def _waited(pid: int) -> float:
    """Seconds that its threads were ready to run and had no processor; 0 where the system does not say."""
    waited = 0
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            waited += int(thread.read_text().split()[1])
        except (OSError, IndexError):  # it has just ended
            continue
    return waited / 1e9


def end_engine() -> None:
    """Kill the processes below this one, stopped ones too."""
    for process in psutil.Process().children(recursive=True):
        try:
            process.kill()
        except psutil.Error:
            continue
