"""Supervised fine-tuning: one update towards the answers of a batch, on packed rows like `learner.update`.

Pure of Ray and of process groups. The loss is the mean of -log pi(token) over the answer tokens
of all ranks, so that it does not depend on the split over rows and ranks; prompt tokens are never targets.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from stepcoder.learner.config import LearnerConfig
from stepcoder.learner.networks.engine import TrainedModel
from stepcoder.learner.packing import Piece, Row
from stepcoder.learner.rows import level_rows, network_inputs
from stepcoder.learner.sft.examples import Example
from stepcoder.learner.tally import Reduce, Tally


def sft_loss(logprobs: Float[Tensor, " M"], tokens: float) -> Float[Tensor, ""]:
    """A row's share of the mean negative log-likelihood over `tokens` answer tokens (nats a token)."""
    return -logprobs.sum() / tokens


@dataclass(frozen=True, slots=True, eq=False)
class SFTUpdate:
    """The policy with the settings of its update."""

    policy: TrainedModel
    config: LearnerConfig
    reduce: Reduce
    device: torch.device

    def step(self, examples: Sequence[Example]) -> dict[str, float]:
        """One update from this rank's examples; metrics are equal on every rank."""
        start, tally = time.perf_counter(), Tally()
        rows = self._rows(examples)
        answers, computed = self._total(sum(len(r.targets) for r in rows), sum(r.input_ids.numel() for r in rows))
        for row in rows:
            logprobs, entropy = self._score(row)
            self.policy.backward(sft_loss(logprobs, answers) * self.reduce.world)
            tally.add("sft/loss", -logprobs.detach().sum(), len(row.targets))
            tally.add("policy/entropy", entropy.sum(), len(row.targets))
        norm, applied = self.policy.update()
        metrics = tally.means(self.reduce)
        return metrics | {
            "grad_norm/policy": norm,
            "lr/policy": self.policy.lr(),
            "tokens/answers": answers,
            "tokens/trained": computed,
            "tokens_per_s/train": computed / (time.perf_counter() - start),
            "updates/refused": float(not applied),
        }

    @torch.no_grad()
    def validate(self, examples: Sequence[Example]) -> float:
        """The loss of all ranks' examples (nats a token); nothing is changed."""
        tally = Tally()
        for row in self._rows(examples):
            tally.add("loss", -self._score(row)[0].sum(), len(row.targets))
        return tally.means(self.reduce)["loss"]

    def _score(self, row: Row) -> tuple[Float[Tensor, " M"], ...]:
        return self.policy(*network_inputs(row, self.device))

    def _rows(self, examples: Sequence[Example]) -> list[Row]:
        pieces, start = [], 0
        for example in examples:
            items = []
            for answer in example.answers:
                items.append((answer, start))
                start += len(answer)
            pieces.append(Piece(example.prompt_ids, tuple(items)))
        return level_rows(pieces, self.config.token_budget, self.reduce)

    def _total(self, *counts: int) -> list[float]:
        return self.reduce.sum(torch.tensor(counts, dtype=torch.float64)).tolist()
