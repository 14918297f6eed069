"""What is done to a completion's reward before advantages are computed."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from stepcoder.learner.config import Overlong


def overlong_penalty(lengths: Sequence[int], rule: Overlong) -> Float[Tensor, " B"]:
    """0 up to `rule.start` tokens, -`rule.penalty` from `rule.end` tokens on, linear in between.

    R_length(y) = (start - |y|) / (end - start)   (DAPO, Yu et al. 2025, eq. 13, with start = L_max - L_cache and
    end = L_max)
    """
    start, end = rule.start, rule.end
    assert start is not None and end is not None, "the overlong penalty needs its lengths"
    over = (torch.tensor(lengths, dtype=torch.float32) - start) / (end - start)
    return -rule.penalty * over.clamp(0, 1)
