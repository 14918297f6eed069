"""In which order problems are drawn: without replacement within an epoch, from the seed and the epoch number alone.

Invariant: an epoch's order is a pure function of (seed, epoch, copies), so a run's place in it is two integers.
"""

import numpy as np
from jaxtyping import Int

# Keeps this random stream apart from others that are made from the same seed.
_STREAM = 0x5A


def epoch_order(seed: int, epoch: int, copies: Int[np.ndarray, " N"]) -> Int[np.ndarray, " M"]:
    """Indices of one epoch in a random order; index i occurs `copies[i]` times (M is their sum)."""
    slots = np.repeat(np.arange(len(copies), dtype=np.int32), copies)
    return np.random.default_rng([_STREAM, seed, epoch]).permutation(slots)
