"""What tells a hung engine from a slow one."""

import os
import subprocess
import sys
import time

import psutil

from stepcoder.rollout.pulse import computed

SPIN_S = 3.0


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
