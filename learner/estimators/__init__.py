"""Advantage estimators: from the rewards of one step's completions to one number a token.

Each is a pure function of `Episodes`, in a file of its own; what it needs is in `learner.algorithms`.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from learner.algorithms import EstimatorName
from learner.estimators.episodes import Episodes
from learner.estimators.gae import gae_with_critic
from learner.estimators.grpo import dr_grpo, grpo
from learner.estimators.reinforce import reinforce_plus_plus, reinforce_plus_plus_baseline
from learner.estimators.rloo import rloo

FUNCTIONS: dict[EstimatorName, Callable[[Episodes], Float[Tensor, " N"]]] = {
    "gae": gae_with_critic,
    "grpo": grpo,
    "dr_grpo": dr_grpo,
    "rloo": rloo,
    "reinforce_plus_plus": reinforce_plus_plus,
    "reinforce_plus_plus_baseline": reinforce_plus_plus_baseline,
}
