"""Who computes on which kind of device, decided from the settings and the number of GPUs alone."""

from dataclasses import dataclass
from typing import Literal

from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.errors import UserError
from stepcoder.words import plural

Who = Literal["both", "learner", "engines"]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where learner and engines compute. `shared`: one learner rank and one engine on the same GPU."""

    cuda: bool
    shared: bool = False

    @property
    def device(self) -> str:
        return "cuda" if self.cuda else "cpu"

    @property
    def gpu_share(self) -> float:
        """GPUs of a learner rank, and of each of an engine's workers."""
        return 0.5 if self.shared else 1.0 if self.cuda else 0.0


def placement(config: BaseConfig, gpus: float, who: Who = "both") -> Placement:
    """GPUs if the cluster has enough for `who`; raises UserError when they were asked for and are too few."""
    if config.learner.device == "cpu" or (config.learner.device == "auto" and gpus == 0):
        return Placement(cuda=False)
    engines = 0 if who == "learner" else config.rollout.engines * config.rollout.tensor_parallel
    ranks = 0 if who == "engines" else config.learner.ranks
    if gpus >= ranks + engines:
        return Placement(cuda=True)
    if gpus >= 1 and ranks == engines == 1:
        return Placement(cuda=True, shared=True)
    wanted = f"{plural(ranks, 'learner rank')} and {plural(engines, 'GPU')} for engines"
    raise UserError(
        f"learner.device = {config.learner.device}: {wanted} need {ranks + engines} GPUs, but there are "
        f"{gpus:.0f}. Set --learner.device cpu, fewer ranks and engines, or --ray.address of a cluster that has them."
    )
