"""What is done to a completion's reward before advantages are computed."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def overlong_penalty(lengths: Sequence[int], start: int, end: int, size: float) -> Float[Tensor, " B"]:
    """0 up to `start` tokens, -size from `end` tokens on, linear in between.

    R_length(y) = (start - |y|) / (end - start)   (DAPO, Yu et al. 2025, eq. 13, with start = L_max - L_cache and
    end = L_max)
    """
    over = (torch.tensor(lengths, dtype=torch.float32) - start) / (end - start)
    return -size * over.clamp(0, 1)
