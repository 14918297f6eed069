"""Advantage estimators: from the rewards of one step's completions to one number a token.

Each is a pure function of `Episodes`, in a file of its own; what it needs is in `learner.algorithms`.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from stepcoder.learner.advantages.episodes import Episodes
from stepcoder.learner.advantages.gae import gae_with_critic
from stepcoder.learner.advantages.grpo import dr_grpo, grpo
from stepcoder.learner.advantages.reinforce import reinforce_plus_plus, reinforce_plus_plus_baseline
from stepcoder.learner.advantages.rloo import rloo
from stepcoder.learner.algorithms import EstimatorName

FUNCTIONS: dict[EstimatorName, Callable[[Episodes], Float[Tensor, " N"]]] = {
    "gae": gae_with_critic,
    "grpo": grpo,
    "dr_grpo": dr_grpo,
    "rloo": rloo,
    "reinforce_plus_plus": reinforce_plus_plus,
    "reinforce_plus_plus_baseline": reinforce_plus_plus_baseline,
}
