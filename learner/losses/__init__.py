"""Policy losses over flat token vectors. The mask is in the weights already; no loss decides again who counts.

Each is a pure function in a file of its own; which settings it reads is in `learner.algorithms`.
"""

from collections.abc import Callable

from jaxtyping import Bool, Float
from torch import Tensor

from stepcoder.learner.algorithms import PolicyLossName
from stepcoder.learner.losses.cispo import cispo
from stepcoder.learner.losses.gspo import gspo
from stepcoder.learner.losses.ppo import dual_clip, ppo_clip
from stepcoder.learner.losses.reinforce import reinforce
from stepcoder.learner.losses.tokens import ClipRange, LossTokens

PolicyLoss = Callable[[LossTokens, ClipRange], tuple[Float[Tensor, ""], Bool[Tensor, " M"]]]

FUNCTIONS: dict[PolicyLossName, PolicyLoss] = {
    "ppo_clip": ppo_clip,
    "dual_clip": dual_clip,
    "gspo": gspo,
    "cispo": cispo,
    "reinforce": reinforce,
}
