"""What the loss used of each completion, for whoever looks at a run afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from torch import Tensor

from stepcoder.learner.batch import Batch


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """One trajectory of R response tokens, named by ticket and sample. None where there is no such network.

    `advantages` are normalised and clipped as configured. `credit` marks the tokens that took the policy loss.
    `learner_logprobs` are the learner's when a token met the loss for the first time in the step, NaN where it met
    none. `reference_logprobs` and `values` are from before the step.
    """

    ticket: int
    sample: int
    advantages: Float32[np.ndarray, " R"]
    credit: Bool[np.ndarray, " R"]
    learner_logprobs: Float32[np.ndarray, " R"]
    reference_logprobs: Float32[np.ndarray, " R"] | None
    values: Float32[np.ndarray, " R"] | None


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """Metrics, equal on every rank, and what the loss used of this rank's trajectories."""

    metrics: dict[str, float]
    trained: tuple[Trained, ...]


def trained(
    batch: Batch, advantages: Tensor, logprobs: Tensor, reference: Tensor | None, values: Tensor | None
) -> tuple[Trained, ...]:
    """Flat [N] vectors of a batch, completion by completion."""

    def parts(flat: Tensor | None) -> Sequence[np.ndarray | None]:
        return [None] * len(batch.lengths) if flat is None else [part.numpy() for part in batch.per_sequence(flat)]

    columns = zip(
        batch.trajectories, *map(parts, (advantages, batch.credit, logprobs, reference, values)), strict=True
    )  # fmt: skip
    return tuple(Trained(t.ticket, t.sample, *found) for t, *found in columns)  # type: ignore[arg-type]
