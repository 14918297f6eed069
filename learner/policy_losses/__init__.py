"""Policy losses over flat token vectors. The mask is in the weights already; no loss decides again who counts.

Each is a pure function in a file of its own; which settings it reads is in `learner.algorithms`.
"""

from collections.abc import Callable

from jaxtyping import Bool, Float
from torch import Tensor

from learner.algorithms import PolicyLossName
from learner.policy_losses.cispo import cispo
from learner.policy_losses.gspo import gspo
from learner.policy_losses.ppo import dual_clip, ppo_clip
from learner.policy_losses.reinforce import reinforce
from learner.policy_losses.tokens import ClipRange, LossTokens

PolicyLoss = Callable[[LossTokens, ClipRange], tuple[Float[Tensor, ""], Bool[Tensor, " M"]]]

FUNCTIONS: dict[PolicyLossName, PolicyLoss] = {
    "ppo_clip": ppo_clip,
    "dual_clip": dual_clip,
    "gspo": gspo,
    "cispo": cispo,
    "reinforce": reinforce,
}
