"""The pool over real Ray actors: verdicts, a picklable handle, and a killed actor in the middle of its programs."""

import asyncio
import os
import pickle
import signal
import time

import pytest
import ray

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool import actors
from stepcoder.executor.pool.actors import ExecutorPool, ExecutorWorker
from stepcoder.executor.report import Verdict
from stepcoder.executor.suite import Case, Suite
from stepcoder.rollout.names import free

SUITE = Suite("stdin", (Case("2", "4"),))


class Slow(ExecutorWorker):
    """It takes its time to come back, as where its node is gone."""

    def __init__(self, config: ExecutorConfig) -> None:
        if ray.get_runtime_context().was_current_actor_reconstructed:
            time.sleep(10)
        super().__init__(config)


def test_a_killed_actor_costs_nobody_a_verdict(cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors, "ExecutorWorker", Slow)
    pool = ExecutorPool(ExecutorConfig(actors=2, workers=1, cpu_s=2.0, wall_s=6.0, memory_mib=256, infra_retries=1))

    async def scenario() -> None:
        assert all(level < 4 for level in await asyncio.wait_for(pool.ready(), 60))
        copy = pickle.loads(pickle.dumps(pool))
        assert (await copy.run("print(int(input()) * 2)", SUITE)).passed
        with pytest.raises(ValueError, match="without tests"):
            await pool.run("x = 1", Suite("stdin", ()))
        programs = [f"import time\ntime.sleep(0.25)\nprint(int(input()) * {factor})" for factor in range(10)]
        running = [asyncio.ensure_future(pool.run(program, SUITE)) for program in programs]
        await asyncio.sleep(0.3)
        # Until it is back the other one has more programs than room: none is wasted on the one that is gone.
        os.kill(await pool.actors[0].pid.remote(), signal.SIGKILL)
        reports = await asyncio.wait_for(asyncio.gather(*running), 90)
        assert [r.verdict for r in reports] == [Verdict.PASSED if f == 2 else Verdict.WRONG_ANSWER for f in range(10)]
        # The actor comes back and serves again.
        await asyncio.wait_for(pool.ready(), 60)
        assert (await pool.run("print(4)", SUITE)).passed

    asyncio.run(scenario())
    pool.close()


def test_a_program_that_no_other_actor_can_take_waits_for_its_own(cluster: None) -> None:
    async def scenario() -> None:
        await free("executor-0")
        pool = ExecutorPool(ExecutorConfig(workers=1, cpu_s=2.0, memory_mib=256, infra_retries=1))
        await pool.ready()
        running = asyncio.ensure_future(pool.run("import time\ntime.sleep(0.5)\nprint(4)", SUITE))
        await asyncio.sleep(0.2)
        os.kill(await pool.actors[0].pid.remote(), signal.SIGKILL)
        report = await asyncio.wait_for(running, 90)
        pool.close()
        assert report.passed, report

    asyncio.run(scenario())
