"""How often and in which order problems are drawn: without replacement within an epoch.

Invariant: an epoch's order is a pure function of (seed, epoch, expected), so a run's place in it is two integers, and
`expected` only has to be remembered where it depends on outcomes (learnability).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float64, Int32

from stepcoder.curriculum.config import Levels
from stepcoder.curriculum.problems.problem import Problem

# Keep these random streams apart from others that are made from the same seed.
_ORDER, _ROUNDING = 0x5A, 0x5B


def epoch_order(seed: int, epoch: int, expected: Float64[np.ndarray, " N"]) -> Int32[np.ndarray, " M"]:
    """Indices of one epoch in a random order.

    Index i occurs `expected[i]` times: a fraction is rounded up with a chance of just that fraction.
    """
    copies = np.floor(expected)
    part = expected - copies
    if part.any():
        copies += np.random.default_rng([_ROUNDING, seed, epoch]).random(len(part)) < part
    slots = np.repeat(np.arange(len(expected), dtype=np.int32), copies.astype(np.int64))
    return np.random.default_rng([_ORDER, seed, epoch]).permutation(slots)


def by_level(problems: Iterable[Problem], weights: Levels) -> Float64[np.ndarray, " N"]:
    """Expected draws in an epoch by level. ValueError where no problem would ever be drawn."""
    times = weights.model_dump(exclude={"type"})
    found = [problem.level for problem in problems]
    if not any(times[level] for level in found):
        told = ", ".join(sorted(set(found)))
        raise ValueError(f"sampling: the weights are 0 for every level that the problems have ({told}); raise one")
    return np.array([times[level] for level in found], np.float64)


def learnability(
    rate: Float64[np.ndarray, " N"], visits: Int32[np.ndarray, " N"], alpha: float, floor: float
) -> Float64[np.ndarray, " N"]:
    """Expected draws in an epoch, 1 on average, in proportion to floor + (1 - floor) 4 p (1 - p).

    p (1 - p) is the variance of a completion's success: what has p near 0 or 1 teaches little. The moving rate begins
    at 0; its missing weight (1 - alpha)^visits is given to p = 1/2, so that a stage never tried has the full weight.
    Source: arXiv 2408.15099 (sampling for learnability); floor and smoothing are ours.
    """
    p = rate + 0.5 * (1.0 - alpha) ** visits
    weight = floor + (1.0 - floor) * 4.0 * p * (1.0 - p)
    return weight / weight.mean()


def hashed(*parts: Any) -> np.ndarray:
    """Even 64-bit numbers from integers or arrays of them, broadcast; equal parts give equal numbers.

    A counter-based stream for many draws at once. Source: the finaliser of SplitMix64 (Steele et al., OOPSLA 2014).
    """
    with np.errstate(over="ignore"):
        mixed = np.zeros(1, np.uint64)
        for part in parts:
            mixed = mixed + np.asarray(part).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed = mixed ^ (mixed >> np.uint64(31))
    return mixed
