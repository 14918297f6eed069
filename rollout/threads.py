"""How many threads compute: of the cores that this process may use, which can be fewer than the machine's."""

import os
from pathlib import Path


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def engine_threads(configured: int) -> int:
    """Of an engine on CPUs; `configured` is `rollout.cpu_threads`."""
    return configured or cores()


def shares_cores(configured: int) -> bool:
    """Whether an engine computes with fewer threads while other programs want the cores."""
    return configured == 0 and cores() > 1 and Path("/proc/self/schedstat").exists()


def learner_threads(ranks: int) -> int:
    """Of one of `ranks` learner processes on a machine."""
    return max(1, cores() // ranks)
