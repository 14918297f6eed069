"""Conversion of a data set to the native format: one entry in memory at a time, unusable ones told and set aside."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from stepcoder.bars import WorkProgress
from stepcoder.curriculum.data.files import LineFile, Rejection, beside, line_of, read
from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.record import Cause, Record, Rejected
from stepcoder.errors import UserError


@dataclass(slots=True)
class Converted:
    """Counts of one conversion. `styles` is by style of test; `solutions` counts those of all problems."""

    levels: Counter[str] = field(default_factory=Counter)
    styles: Counter[str] = field(default_factory=Counter)
    reasons: Counter[Cause] = field(default_factory=Counter)
    tests: int = 0
    solutions: int = 0

    @property
    def problems(self) -> int:
        return self.levels.total()


def convert(kind: str, source: Location, out: Path, progress: WorkProgress) -> Converted:
    """Writes OUT and OUT.rejected.jsonl. UserError where not one entry can be used: then nothing is written."""
    counts = Converted()
    with LineFile(out) as file, LineFile(beside(out, "rejected.jsonl")) as aside:
        progress.begin(0, 0)
        for entry in read(kind, source):
            progress.advance()
            if isinstance(entry, Rejected):
                made = Rejection(entry.reason, entry.where, entry.detail)
            else:
                made = line_of(entry.problem)
            if isinstance(made, Rejection):
                counts.reasons[made.reason] += 1
                aside.rejection(made)
            elif isinstance(entry, Record):
                file.write(made)
                counts.levels[entry.problem.level] += 1
                counts.styles[entry.problem.suite.style] += 1
                counts.tests += len(entry.problem.suite.cases)
                counts.solutions += len(entry.solutions)
        if not counts.problems:
            raise UserError(_nothing(kind, source, counts))
        file.commit()
        aside.commit()
    return counts


def _nothing(kind: str, source: Location, counts: Converted) -> str:
    if not counts.reasons:
        return f"{source}: holds no entry"
    told = ", ".join(f"{reason}: {count:,}" for reason, count in counts.reasons.most_common())
    return f"{source}: none of its {counts.reasons.total():,} entries is a problem of {kind} ({told}). Is --from right?"


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
    if not counts.reasons:
        return [kept]
    aside = Table("set aside", "entries", "share")
    for reason, count in counts.reasons.most_common():
        aside.add_row(reason.value, f"{count:,}", f"{count / total:.1%}")
    for column in aside.columns[1:]:
        column.justify = "right"
    return [kept, aside]
