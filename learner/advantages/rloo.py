"""REINFORCE with the other completions as baseline."""

from jaxtyping import Float
from torch import Tensor

from stepcoder.learner.advantages.common import without_group_mean
from stepcoder.learner.advantages.completions import Completions


def rloo(completions: Completions) -> Float[Tensor, " N"]:
    """A_i = R_i - 1/(k-1) sum_{j != i} R_j, at every token of i   (Ahmadian et al. 2024, eq. 7).

    A completion is not in its own baseline, so the gradient stays unbiased.
    """
    return completions.on_tokens(without_group_mean(completions.scores(), completions.groups))
