"""The ranks of a learner as one: what is said of them where one is gone."""

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayActorError

from stepcoder.deploy.training.waiting import is_loss, spares_engines
from stepcoder.learner.rank import LearnerRank
from stepcoder.learner.service import LearnerService
from stepcoder.rollout.names import free
from tests.tools.learner import learner_config
from tests.tools.patience import HANG_S


class Missing(LearnerRank):
    """Rank 1 misses rank 0 before anybody else hears of its death: gloo sees it sooner than Ray does, at times."""

    def step(self, step: int, *groups: Sequence[Any]) -> dict[str, float]:
        note = Path(self._named)  # pyright: ignore[reportArgumentType]
        if self.rank == 0:
            note.with_suffix(".new").write_text(str(os.getpid()))
            note.with_suffix(".new").rename(note)
            time.sleep(HANG_S)
        while not note.exists():
            time.sleep(0.01)
        os.kill(int(note.read_text()), signal.SIGKILL)
        raise RuntimeError("Connection closed by peer")


class Service(LearnerService):
    rank_class = Missing


def test_a_rank_that_another_misses_is_lost(cluster: None, tmp_path: Path) -> None:
    service = Service(
        str(tmp_path / "rank-0"),
        learner_config().model_copy(update={"ranks": 2}),
        seed=0,
        total_updates=1,
        temperature=1.0,
    )

    async def step() -> None:
        await asyncio.wait_for(service.step(1, [], []), HANG_S)

    with pytest.raises(RayActorError) as raised:
        asyncio.run(step())
    assert is_loss(raised.value) and spares_engines(raised.value)
    service.close()
    asyncio.run(free("learner-0", "learner-1"))
