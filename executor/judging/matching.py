"""Whether the items of two lists can be paired: a perfect matching, by augmenting paths (Kuhn 1955)."""

from collections.abc import Sequence


def can_be_paired(agree: Sequence[Sequence[bool]]) -> bool:
    """`agree[n][m]`: whether item n of one list may go with item m of the other; as many of each.

    Rows are kept as the bits of a number, so that a thousand items take less than a second whatever agrees.
    """
    rows = [sum(1 << place for place, fits in enumerate(row) if fits) for row in agree]
    mates: dict[int, int] = {}  # by item of the other list
    return all(_augmented(rows, mates, item) for item in range(len(rows)))


def _augmented(rows: Sequence[int], mates: dict[int, int], start: int) -> bool:
    """Whether `start` finds a mate, if others change theirs; then they have."""
    unseen, came, waiting = (1 << len(rows)) - 1, dict[int, int](), [start]
    for item in waiting:
        while found := rows[item] & unseen:
            other = (found & -found).bit_length() - 1
            unseen ^= 1 << other
            came[other] = item
            if other not in mates:
                _exchange(mates, came, other)
                return True
            waiting.append(mates[other])
    return False


def _exchange(mates: dict[int, int], came: dict[int, int], other: int) -> None:
    """Along the path that leads to `other`, which is free, each item takes the next mate."""
    held = {item: place for place, item in mates.items()}
    while True:
        item = came[other]
        before = held.get(item)
        mates[other] = item
        if before is None:
            return
        other = before
