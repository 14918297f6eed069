"""Packing: completions of one prompt share that prompt's computation, and rows hold no padding.

A row is a sequence of groups, each a prompt and completions behind it (networks/attention.py says what sees what).
Position ids go on from the prompt, so each completion is computed as if it stood alone behind its prompt. The last
token of a completion predicts nothing and is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from stepcoder.learner.networks.attention import Group

Tokens = Sequence[int] | np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One micro-batch of L input tokens that scores M response tokens.

    `select[j]` is the row position whose output predicts `targets[j]`, and `flat[j]` that token's
    place in the batch's flat vectors.
    """

    input_ids: Int[Tensor, "1 L"]
    position_ids: Int[Tensor, "1 L"]
    layout: tuple[Group, ...]
    select: Int[Tensor, " M"]
    targets: Int[Tensor, " M"]
    flat: Int[Tensor, " M"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some completions of one prompt: `items` are (response ids, flat start) pairs."""

    prompt_ids: Tokens
    items: tuple[tuple[Tokens, int], ...]

    @property
    def cost(self) -> int:
        return len(self.prompt_ids) + sum(len(ids) - 1 for ids, _ in self.items)


def pack(groups: Sequence[Piece], token_budget: int) -> list[Row]:
    """Rows of at most `token_budget` input tokens, best fit, longest first; the result depends on the input alone.

    A group over the budget is split between its completions (each part repeats the prompt); a single
    completion over the budget gets a row of its own.
    """
    pieces = [part for group in groups for part in _split(group, token_budget)]
    order = sorted(range(len(pieces)), key=lambda i: (-pieces[i].cost, i))
    bins: list[tuple[int, list[Piece]]] = []
    for i in order:
        piece = pieces[i]
        fitting = [j for j, (used, _) in enumerate(bins) if used + piece.cost <= token_budget]
        if fitting:
            best = max(fitting, key=lambda j: bins[j][0])
            bins[best] = (bins[best][0] + piece.cost, [*bins[best][1], piece])
        else:
            bins.append((piece.cost, [piece]))
    return [_row(pieces) for _, pieces in bins]


def _split(group: Piece, token_budget: int) -> list[Piece]:
    parts: list[list[tuple[Tokens, int]]] = [[]]
    used = len(group.prompt_ids)
    for ids, start in group.items:
        if parts[-1] and used + len(ids) - 1 > token_budget:
            parts.append([])
            used = len(group.prompt_ids)
        parts[-1].append((ids, start))
        used += len(ids) - 1
    return [Piece(group.prompt_ids, tuple(part)) for part in parts if part]


def _row(pieces: Sequence[Piece]) -> Row:
    ids, positions, layout, select, targets, flat = ([] for _ in range(6))
    at = 0
    for piece in pieces:
        prompt = np.asarray(piece.prompt_ids)
        last = at + len(prompt) - 1
        ids.append(prompt)
        positions.append(np.arange(len(prompt)))
        layout.append(Group(len(prompt), tuple(len(response) - 1 for response, _ in piece.items if len(response) > 1)))
        at += len(prompt)
        for response, start in piece.items:
            response = np.asarray(response)
            shown = len(response) - 1
            ids.append(response[:shown])
            positions.append(len(prompt) + np.arange(shown))
            select.append(np.concatenate([[last], at + np.arange(shown)]))
            targets.append(response)
            flat.append(start + np.arange(len(response)))
            at += shown

    def long(parts: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.concatenate(parts).astype(np.int64))

    return Row(
        long(ids)[None],
        long(positions)[None],
        tuple(layout),
        long(select),
        long(targets),
        long(flat),
    )
