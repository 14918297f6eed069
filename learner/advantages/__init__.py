"""Advantage estimators: from the rewards of one step's completions to one number a token.

Each is a pure function of `Completions` and its own settings, in a file of its own; `learner.config.advantage` has the
settings. A user's own is a function of the same kind: `learner.advantage: {type: package.module:function}`.
"""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from stepcoder.learner.advantages.completions import Completions
from stepcoder.learner.advantages.gae import gae_with_critic
from stepcoder.learner.advantages.grpo import dr_grpo, grpo
from stepcoder.learner.advantages.reinforce import reinforce_plus_plus, reinforce_plus_plus_baseline
from stepcoder.learner.advantages.rloo import rloo
from stepcoder.learner.config import AdvantageConfig, OwnAdvantage
from stepcoder.own import own, trial

FUNCTIONS: Mapping[str, Callable[..., Float[Tensor, " N"]]] = {
    "gae": gae_with_critic,
    "grpo": grpo,
    "dr_grpo": dr_grpo,
    "rloo": rloo,
    "reinforce_plus_plus": reinforce_plus_plus,
    "reinforce_plus_plus_baseline": reinforce_plus_plus_baseline,
}


def estimate(config: AdvantageConfig, completions: Completions) -> Float[Tensor, " N"]:
    """One advantage a token, before any normalisation. ValueError for a user's own that gives anything else."""
    if not isinstance(config, OwnAdvantage):
        return FUNCTIONS[config.type](completions, **config.arguments())
    found = own(config.type, "the estimator")(completions, **config.arguments())
    if not isinstance(found, Tensor) or found.shape != completions.penalties.shape:
        shown = f"the shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        tokens = len(completions.penalties)
        raise ValueError(f"the estimator {config.type} gives {shown}, not one number for each of {tokens} tokens")
    return found.float()


def check(config: AdvantageConfig) -> None:
    """ValueError where a user's own estimator cannot be used: it is tried on two groups of two completions."""
    if not isinstance(config, OwnAdvantage):
        return
    example = Completions(torch.tensor([1.0, -0.3, -0.6, -0.6]), torch.zeros(7), None, (2, 1, 3, 1), (0, 0, 1, 1))
    with trial(f"the estimator {config.type}"):
        found = estimate(config, example)
    if not found.isfinite().all():
        raise ValueError(f"the estimator {config.type} gives {found.tolist()} for an example: not all finite")
