"""Who computes on which kind of device, decided from the settings, the number of GPUs and the estimate of memory.

    split        ranks and engines on GPUs of their own
    side by side on the same GPUs, both awake: where both fit at once
    in turns     on the same GPUs; an engine sleeps while the learner trains

`placement: auto` takes the first of these that there is room for. Side by side saves the sleep; in turns the cache is
larger. With the ranks and engines that are given, split waits for nobody's memory.
"""

from dataclasses import dataclass
from typing import Literal

from stepcoder.deploy.config.run import Config, cannot_take_turns
from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.errors import UserError
from stepcoder.words import plural

Who = Literal["both", "learner", "engines"]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where learner and engines compute. `shared`: on the same GPUs, a rank and a part of an engine on each; `sleeps`:
    an engine frees its memory there while the learner trains. `why`: for people; empty where there was no choice."""

    cuda: bool
    shared: bool = False
    sleeps: bool = False
    why: str = ""

    @property
    def device(self) -> str:
        return "cuda" if self.cuda else "cpu"

    @property
    def rank_gpus(self) -> float:
        """GPUs that a learner rank holds."""
        return 1.0 if self.cuda else 0.0

    @property
    def engine_gpus(self) -> float:
        """GPUs that each of an engine's workers holds; a shared one is its rank's."""
        return 1.0 if self.cuda and not self.shared else 0.0


def placement(
    config: BaseConfig,
    gpus: float,
    who: Who = "both",
    at_once: bool | None = None,
) -> Placement:
    """GPUs if the cluster has enough for `who`; raises UserError when they were asked for and are too few.

    `at_once`: whether a rank and its part of an engine fit into one GPU while both are awake; None where the GPUs'
    memory is not known.
    """
    if config.learner.device == "cpu" or (config.learner.device == "auto" and gpus == 0):
        return Placement(cuda=False)
    if who == "both" and isinstance(config, Config):
        return _together(config, gpus, at_once)
    engines = 0 if who == "learner" else engine_gpus(config)
    ranks = 0 if who == "engines" else config.learner.ranks
    if gpus < ranks + engines:
        raise _too_few(config, ranks, engines, gpus)
    return Placement(cuda=True)


def engine_gpus(config: BaseConfig) -> int:
    """Of all engines together."""
    return config.rollout.engines * config.rollout.tensor_parallel


def _together(config: Config, gpus: float, at_once: bool | None) -> Placement:
    ranks, engines, asked = config.learner.ranks, engine_gpus(config), config.placement
    if asked != "colocated" and gpus >= ranks + engines:
        why = f"split: of {gpus:.0f} GPUs the learner takes {ranks} and the engines {engines}, and neither waits"
        return Placement(cuda=True, why=why if asked == "auto" else "")
    if asked == "split" or gpus < ranks:
        raise _too_few(config, ranks, engines if asked != "colocated" else 0, gpus)
    few = f"{gpus:.0f} of the {ranks + engines} GPUs that learner and engines would take apart"
    fault = cannot_take_turns(config)
    if asked == "auto" and ranks == engines and (at_once or (at_once is None and ranks == 1 and fault)):
        fit = "both fit" if at_once else "both are taken to fit"
        why = f"side by side: there are {few}, and {fit} into one at once"
        return Placement(cuda=True, shared=True, why=why)
    if fault:
        raise UserError(f"{_too_few(config, ranks, engines, gpus)}\nThey can't share GPUs: {fault}.")
    why = f"colocated: there are {few}; an engine sleeps while the learner trains"
    return Placement(cuda=True, shared=True, sleeps=True, why=why if asked == "auto" else "")


def _too_few(config: BaseConfig, ranks: int, engines: int, gpus: float) -> UserError:
    wanted = f"{plural(ranks, 'learner rank')} and {plural(engines, 'GPU')} for engines"
    return UserError(
        f"learner.device = {config.learner.device}: {wanted} need {plural(ranks + engines, 'GPU')}, but there are "
        f"{gpus:.0f}. Set --learner.device cpu, fewer ranks and engines, or --ray.address of a cluster that has them."
    )
