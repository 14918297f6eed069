"""What tells a hung engine from a slow one."""

import asyncio
import os
import subprocess
import sys
import time
from typing import Any

import psutil

from stepcoder.rollout.config import HeartbeatConfig
from stepcoder.rollout.pulse import Pulse, computed

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
