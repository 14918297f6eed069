"""Conversion of a data set to the native format: one entry in memory at a time, unusable ones told and set aside."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from stepcoder.bars import WorkProgress
from stepcoder.curriculum.data.files import LineFile, Rejection, beside, line_of, read
from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.record import HINTS, REASONS, Cause, Record, Rejected
from stepcoder.curriculum.data.settle import Settler
from stepcoder.errors import UserError
from stepcoder.executor.config import ExecutorConfig

DETAILS = 3  # entries told of each reason
_TOLD = 160  # characters


@dataclass(slots=True)
class Converted:
    """Counts of one conversion. `styles` is by style of test; `solutions` counts those of all problems, `unsolved` the
    problems without one. `repaired`: see curriculum.data.settle. `told`: the first that were set aside, by reason."""

    levels: Counter[str] = field(default_factory=Counter)
    styles: Counter[str] = field(default_factory=Counter)
    reasons: Counter[Cause] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    told: list[Rejection] = field(default_factory=list)
    tests: int = 0
    solutions: int = 0
    unsolved: int = 0

    @property
    def problems(self) -> int:
        return self.levels.total()


def convert(kind: str, source: Location, out: Path, config: ExecutorConfig, progress: WorkProgress) -> Converted:
    """Writes OUT and OUT.rejected.jsonl. UserError where not one entry can be used: then nothing is written."""
    aside = LineFile(beside(out, "rejected.jsonl"))
    with LineFile(out) as file, aside, Settler(config) as settler:
        progress.begin(0, 0)
        counts = Converted(repaired=settler.repaired)
        for entry in settler.settled(read(kind, source)):
            progress.advance()
            if isinstance(entry, Rejected):
                made = Rejection(entry.reason, entry.where, entry.detail)
            else:
                made = line_of(entry.problem)
            if isinstance(made, Rejection):
                counts.reasons[made.reason] += 1
                if counts.reasons[made.reason] <= DETAILS:
                    counts.told.append(made)
                aside.rejection(made)
            elif isinstance(entry, Record):
                file.write(made)
                counts.levels[entry.problem.level] += 1
                counts.styles[entry.problem.suite.style] += 1
                counts.tests += len(entry.problem.suite.cases)
                counts.solutions += len(entry.solutions)
                counts.unsolved += not entry.solutions
        if not counts.problems:
            raise UserError(_nothing(kind, source, counts))
        file.commit()
        aside.commit()
    return counts


def _nothing(kind: str, source: Location, counts: Converted) -> str:
    if not counts.reasons:
        return f"{source}: holds no entry"
    told = [f"{reason}: {count:,}" for reason, count in counts.reasons.most_common()]
    first = [f"  {rejection.reason}: {told_of(rejection)}" for rejection in counts.told]
    none = f"{source}: none of its {counts.reasons.total():,} entries is a problem of {kind} ({', '.join(told)})."
    return "\n".join([f"{none} Is --from right? --from auto looks at the fields.", *first])


def tables(counts: Converted) -> list[Table]:
    """What was converted by level; what was not, by reason."""
    total = counts.problems + counts.reasons.total()
    kept = Table("converted", "problems", "share", title_justify="left")
    for level in ("introductory", "interview", "competition"):
        kept.add_row(level, f"{counts.levels[level]:,}", f"{counts.levels[level] / total:.1%}")
    kept.add_section()
    kept.add_row("all", f"{counts.problems:,}", f"{counts.problems / total:.1%}")
    for column in kept.columns[1:]:
        column.justify = "right"
    return [kept, set_aside(counts.reasons, counts.told, total)] if counts.reasons else [kept]


def set_aside(reasons: Counter[Cause], told: Sequence[Rejection], total: int, done: str = "set aside") -> Table:
    """By reason: how many, what helps, and the first details."""
    table = Table(done, "entries", "share", "why, and the first of them")
    table.columns[3].overflow = "fold"
    for reason, count in reasons.most_common():
        first = [told_of(rejection) for rejection in told if rejection.reason == reason][:DETAILS]
        hint = f" ({HINTS[reason]})" if reason in HINTS else ""
        words = "\n".join(map(escape, [REASONS[reason] + hint, *first]))
        table.add_row(reason.value, f"{count:,}", f"{count / total:.1%}", words)
    for column in table.columns[1:3]:
        column.justify = "right"
    return table


def told_of(rejection: Rejection) -> str:
    """One line: the entry, and what is wrong with it."""
    where = rejection.id or rejection.where
    text = f"{where}: {rejection.detail}" if rejection.detail else where
    return text if len(text) <= _TOLD else f"{text[:_TOLD]}..."
