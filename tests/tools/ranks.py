"""Two processes that are the ranks of one learner after the other: starting them takes longer than most tests."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ray

from stepcoder.learner.config import LearnerConfig
from stepcoder.learner.rank import LearnerRank, learner_environment
from stepcoder.learner.service import deal
from stepcoder.rollout.trajectory import Trajectory
from tests.tools.patience import HANG_S
from tests.tools.ports import free_port

RANKS = 2


class Seat:
    """One of the processes. It keeps one process group, which all its learners share."""

    def __init__(self, rank: int, port: int) -> None:
        self.rank, self.port = rank, port

    def build(self, model: Path, config: LearnerConfig) -> LearnerRank:
        rank = LearnerRank(self.rank, RANKS, str(model), config, seed=0, total_updates=100, temperature=1.0, cuda=False)
        rank.build("127.0.0.1", self.port)
        return rank

    def share(self, groups: Sequence[list[Trajectory]]) -> list[list[Trajectory]]:
        """This rank's groups of a step."""
        shares = deal([sum(len(t.response_ids) for t in group) for group in groups], RANKS)
        return [groups[i] for i in shares[self.rank]]

    def run(self, work: Callable[..., Any], *arguments: object) -> Any:
        return work(self, *arguments)


class Seats:
    """Both processes. Needs a Ray."""

    def __init__(self) -> None:
        self._start()

    def run(self, work: Callable[..., Any], *arguments: object) -> Any:
        """`work(seat, *arguments)` in both at once; what the first rank returns."""
        try:
            return ray.get([seat.run.remote(work, *arguments) for seat in self._actors], timeout=HANG_S)[0]
        except Exception:
            self.close()  # the other may wait for the one that failed
            self._start()
            raise

    def close(self) -> None:
        for actor in self._actors:
            ray.kill(actor)

    def _start(self) -> None:
        environment, port = {"env_vars": learner_environment(cuda=False, ranks=RANKS)}, free_port()
        actor: Any = ray.remote(Seat).options(num_cpus=0, runtime_env=environment)
        self._actors = [actor.remote(rank, port) for rank in range(RANKS)]
