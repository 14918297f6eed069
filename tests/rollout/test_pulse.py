"""What tells a hung engine from a slow one."""

import asyncio
import os
import subprocess
import sys
import time
from typing import Any

import psutil
import pytest

from stepcoder.rollout import pulse as rollout_pulse
from stepcoder.rollout import worker as rollout_worker
from stepcoder.rollout.config import HeartbeatConfig
from stepcoder.rollout.engine import EngineDied
from stepcoder.rollout.pulse import Pulse, computed
from stepcoder.rollout.worker import RolloutWorker

SPIN_S = 3.0


class Answering:
    """An engine of which nothing but a sign of life is asked."""

    async def ping(self) -> None:
        await asyncio.sleep(0.05)


def test_two_who_look_at_once_both_hear_the_answer() -> None:
    """The one who looks all the time, and who examines after an update that failed."""

    async def looked() -> list[bool]:
        engine: Any = Answering()
        pulse = Pulse(engine, HeartbeatConfig())
        return [answer for _ in range(2) for answer in await asyncio.gather(pulse.look(), pulse.look())]

    assert asyncio.run(looked()) == [True] * 4


class Hanging(Answering):
    """An engine that gives no sign of life; `pauses`: but for its answer that it has paused."""

    def __init__(self, *, pauses: bool) -> None:
        self.pauses = pauses

    async def ping(self) -> None:
        await asyncio.Event().wait()

    async def start_update(self) -> None:
        if not self.pauses:
            await self.ping()

    async def finish_update(self, version: int) -> None: ...


def worker(engine: Hanging) -> Any:
    """Without its constructor, which loads a model."""
    made: Any = RolloutWorker.__new__(RolloutWorker)
    made._engine, made._waits = engine, False
    made._pulse = Pulse(made._engine, HeartbeatConfig(silent_s=0.1))
    return made


def test_an_engine_hangs_until_it_has_paused_for_new_weights_and_waits_until_it_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Below this process are those of other tests, too: they may compute, and are not to be killed.
    monkeypatch.setattr(rollout_pulse, "computed", lambda: 0.0)
    monkeypatch.setattr(rollout_worker, "end_engine", lambda: None)

    async def scenario() -> None:
        hanging = worker(Hanging(pauses=False))
        update = asyncio.create_task(hanging.start_update())
        with pytest.raises(EngineDied, match="computes nothing"):
            await asyncio.wait_for(hanging.beat(True), 60)
        update.cancel()

        waiting = worker(Hanging(pauses=True))
        await waiting.start_update()
        assert not await waiting.beat(True)
        with pytest.raises(EngineDied):  # an update that has failed waits no more
            await waiting.beat(False)
        await waiting.finish_update(1)
        with pytest.raises(EngineDied):
            await waiting.beat(True)

    asyncio.run(scenario())


def test_a_process_that_gets_no_processor_counts_as_one_that_computes() -> None:
    """It has the lowest priority on a core that this process takes."""
    cores = os.sched_getaffinity(0)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        try:
            psutil.Process(child.pid).cpu_affinity([min(cores)])
            psutil.Process(child.pid).nice(19)
            os.sched_setaffinity(0, {min(cores)})
            before, begun = computed(), time.monotonic()
            while time.monotonic() < begun + SPIN_S:
                pass
            assert computed() - before > 0.1 * SPIN_S
        finally:
            os.sched_setaffinity(0, cores)
            child.kill()
