"""Rows as ranks compute them: as many on every rank, as the networks take them."""

from collections.abc import Sequence
from typing import Any

import torch

from stepcoder.learner.networks.attention import Group
from stepcoder.learner.packing import Piece, Row, pack
from stepcoder.learner.tally import Reduce


def level_rows(pieces: Sequence[Piece], token_budget: int, reduce: Reduce) -> list[Row]:
    """Packed rows, as many on every rank."""
    rows = pack(pieces, token_budget)
    return rows + [idle_row()] * (reduce.max(len(rows)) - len(rows))


def network_inputs(row: Row, device: torch.device) -> tuple[Any, ...]:
    """What policy and reference take of a row; the critic takes no targets, which come last."""
    ids, positions, select, targets = (t.to(device) for t in (row.input_ids, row.position_ids, row.select, row.targets))
    return ids, positions, row.layout, select, targets


def idle_row() -> Row:
    """A row that scores nothing, for a rank that has run out while others compute."""
    one, none = torch.zeros(1, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    return Row(one[None], one[None], (Group(1),), none, none, none)
