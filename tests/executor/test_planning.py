"""Which thread plans a suite."""

import threading

import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging.plan import Plan, plan
from stepcoder.executor.pool import local
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.suite import Case, Suite

DOUBLE = "print(int(input()) * 2)\n"
SUITE = Suite("stdin", (Case("2", "4"), Case("3", "6")))


def test_a_suite_may_be_planned_by_the_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the server has it done, whose event loop is not to wait for a large one."""
    threads: list[str] = []

    def planned(suite: Suite) -> Plan:
        threads.append(threading.current_thread().name)
        return plan(suite)

    monkeypatch.setattr(local, "plan", planned)
    with LocalPool(ExecutorConfig(workers=1)) as pool:
        with pytest.raises(ValueError, match="without tests"):
            pool.submit(DOUBLE, Suite("stdin", ()), later=True).result()
        assert pool.submit(DOUBLE, SUITE, later=True).result().passed
        assert threads == ["executor-slot-0"] * 2
        assert pool.run(DOUBLE, Suite("stdin", SUITE.cases[:1])).passed
    assert threads[2] == threading.current_thread().name
