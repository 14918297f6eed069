"""What ranks add up together, and means over all of them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Reduce:
    """What ranks do together. `sum` adds a float64 vector over the ranks, `max` takes the largest integer."""

    world: int
    sum: Callable[[Tensor], Tensor]
    max: Callable[[int], int]


@dataclass(slots=True)
class Tally:
    """Means that are exact over ranks: sums and counts, reduced once at the end of a step."""

    sums: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, total: float | Tensor, count: float = 1.0) -> None:
        entry = self.sums.setdefault(name, [0.0, 0.0])
        entry[0] += float(total)
        entry[1] += count

    def means(self, reduce: Reduce) -> dict[str, float]:
        names = sorted(self.sums)
        total = reduce.sum(torch.tensor([self.sums[n] for n in names], dtype=torch.float64).flatten()).view(-1, 2)
        return {n: float(s / c) if c else 0.0 for n, (s, c) in zip(names, total.tolist(), strict=True)}
