"""Which subtasks are drawn, and which groups make the next step: pure bookkeeping, the same for every max_staleness.

Life of a subtask: drawn, sent to the engines, its group found, taken by a step.

A step takes groups in the order in which their subtasks were drawn, so that what a run learns from and draws next
depends on its seed and its samples, never on which group was faster. While a step's groups are awaited, those of
`staleness` further steps are drawn: every step takes `wanted` groups or more, so that none is trained on more than
`staleness` updates after it was drawn. A group that is older nevertheless, since an engine had missed an update, is
forgotten, counted, and written anew.

Where groups without spread are left out, a step goes on into the groups that follow: by as many as it lacks, in at most
`rounds` rounds. Then as many more are drawn.

    window.begin(version)                            # a step, after the weights `version`
    while True:                                      # a round
        window.add(draw(window.missing))
        for subtask in window.to_send(ahead): send(subtask)
        while not window.there: window.put(written)
        if not window.extend(): break
    step = window.take()
"""

from collections.abc import Iterable
from dataclasses import dataclass

from stepcoder.curriculum.subtask import Subtask
from stepcoder.deploy.training.refill import lacking
from stepcoder.rollout.service import IssuedGroup
from stepcoder.rollout.trajectory import Unjudged


@dataclass(frozen=True, slots=True)
class Written:
    """A subtask and its group. `sent`, `came`: when it went to the engines, when its group was there (s)."""

    subtask: Subtask
    group: IssuedGroup | Unjudged
    sent: float = 0.0
    came: float = 0.0


class Window:
    """`wanted`: groups of a step. `drawn`: subtasks that a checkpoint kept."""

    def __init__(self, wanted: int, staleness: int, rounds: int, drawn: Iterable[Subtask] = ()) -> None:
        self.wanted, self.staleness, self.rounds = wanted, staleness, rounds
        self.under_way: list[Subtask] = list(drawn)  # drawn and not taken, in order
        self.sent = 0  # the first so many of them went to the engines
        self._there = 0  # the first so many of them are found
        self._found: dict[int, Written] = {}  # by ticket
        self._version = self._extent = self._rounds_left = 0
        self.too_old = 0
        """Groups that were forgotten, since the step began."""

    def begin(self, version: int) -> list[Subtask]:
        """The step after the weights `version`. Returns subtasks to send again."""
        self._version, self._extent, self._rounds_left = version, self.wanted, self.rounds
        old = [written.subtask for written in self._found.values() if self._is_old(written)]
        for subtask in old:
            del self._found[subtask.ticket]
        self.too_old, self._there = len(old), 0
        self._count()
        return old

    @property
    def missing(self) -> int:
        """Subtasks that are to be drawn now."""
        return max(self._extent + self.staleness * self.wanted - len(self.under_way), 0)

    def add(self, subtasks: Iterable[Subtask]) -> None:
        self.under_way += subtasks

    def to_send(self, ahead: int) -> list[Subtask]:
        """Those that the step needs and that were not sent yet, and those of `ahead` further steps."""
        end = min(self._extent + ahead * self.wanted, len(self.under_way))
        before, self.sent = self.sent, max(self.sent, end)
        return self.under_way[before : self.sent]

    def put(self, written: Written) -> bool:
        """A group came. False where it is too old: its subtask is to be sent again."""
        if self._is_old(written):
            self.too_old += 1
            return False
        self._found[written.subtask.ticket] = written
        self._count()
        return True

    @property
    def there(self) -> bool:
        """Whether all groups are found that the step is to have by now."""
        return self._there >= self._extent

    @property
    def awaited(self) -> int:
        """How many of them are not."""
        return self._extent - sum(subtask.ticket in self._found for subtask in self.under_way[: self._extent])

    @property
    def found(self) -> int:
        """Groups that no step has taken."""
        return len(self._found)

    def extend(self) -> bool:
        """Once its groups are there: whether the step is made longer, since it lacks some with spread."""
        groups = [self._found[subtask.ticket].group for subtask in self.under_way[: self._extent]]
        further = lacking([group for group in groups if isinstance(group, IssuedGroup)], self.wanted)
        if not further or not self._rounds_left:
            return False
        self._extent, self._rounds_left = self._extent + further, self._rounds_left - 1
        return True

    def take(self) -> list[Written]:
        """The step's groups, in order; they are no longer under way."""
        taken, self.under_way = self.under_way[: self._extent], self.under_way[self._extent :]
        self.sent, self._there = self.sent - len(taken), self._there - len(taken)
        return [self._found.pop(subtask.ticket) for subtask in taken]

    def _is_old(self, written: Written) -> bool:
        group = written.group
        return isinstance(group, IssuedGroup) and self._version - group.summary.oldest_version > self.staleness

    def _count(self) -> None:
        while self._there < len(self.under_way) and self.under_way[self._there].ticket in self._found:
            self._there += 1
