"""Limits that a problem brings: below the executor's, and those of its own tests only."""

from collections.abc import Iterator

import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Verdict
from stepcoder.executor.suite import Case, Limits, Suite

BUSY = "import time\nn = float(input())\nwhile time.process_time() < n: pass\nprint(1)"
LARGE = "a = bytearray(int(input()) << 20)\nprint(1)"


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool(ExecutorConfig(workers=1, cpu_s=3.0, memory_mib=256)) as pool:
        yield pool


def verdict(pool: LocalPool, program: str, given: str, **limits: float) -> Verdict:
    found = Limits(**limits)  # pyright: ignore[reportArgumentType]
    return pool.run(program, Suite("stdin", (Case(given, "1"),), limits=found)).verdict


def test_cpu_time(pool: LocalPool) -> None:
    assert verdict(pool, BUSY, "0.8", cpu_s=0.3) is Verdict.TIMEOUT
    assert verdict(pool, BUSY, "0.8", cpu_s=2.5) is Verdict.PASSED
    assert verdict(pool, BUSY, "0.8") is Verdict.PASSED
    assert verdict(pool, BUSY, "60", cpu_s=100) is Verdict.TIMEOUT  # the executor's is a cap


def test_a_factor(pool: LocalPool) -> None:
    with LocalPool(pool.config.model_copy(update={"cpu_factor": 5.0})) as slower:
        assert verdict(slower, BUSY, "0.8", cpu_s=0.3) is Verdict.PASSED


def test_memory(pool: LocalPool) -> None:
    assert verdict(pool, LARGE, "100", memory_mib=64) is Verdict.MEMORY_LIMIT
    assert verdict(pool, LARGE, "100") is Verdict.PASSED
    assert verdict(pool, LARGE, "40", memory_mib=64) is Verdict.PASSED
    assert verdict(pool, LARGE, "600", memory_mib=4096) is Verdict.MEMORY_LIMIT
    assert verdict(pool, "import ctypes\n" + LARGE, "100", memory_mib=64) is Verdict.MEMORY_LIMIT
