"""What refinement keeps: reads entries and findings side by side, decides, and writes the outputs.

It is short beside the running of the entries (curriculum.data.judge) and always done anew, so that its choices may be
changed. Invariant: the outputs are a function of the data, the choices and the findings.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from stepcoder.bars import WorkProgress
from stepcoder.curriculum.data.duplicates import Duplicates, asked
from stepcoder.curriculum.data.examine import NO_SOLUTION, Finding, refined
from stepcoder.curriculum.data.files import LineFile, Rejection, beside, line_of, read
from stepcoder.curriculum.data.near_duplicates import EvaluationTexts
from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.record import Cause, Reason, Record, Rejected
from stepcoder.curriculum.data.refinement import Refinement
from stepcoder.errors import UserError
from stepcoder.executor.pool.local import LocalPool

_HASHES = 1 << 64


@dataclass(frozen=True, slots=True)
class Kept:
    """A problem that is kept. `length`: lines of its solution that are not blank."""

    finding: Finding
    held_out: bool
    length: int


@dataclass(slots=True)
class Outcome:
    """What refinement did, in the order of the entries."""

    entries: int = 0
    kept: list[Kept] = field(default_factory=list)
    dropped: list[Rejection] = field(default_factory=list)

    @property
    def reasons(self) -> Counter[Cause]:
        return Counter(rejection.reason for rejection in self.dropped)


def evaluation_texts(files: Sequence[tuple[str, Location]], threshold: float) -> EvaluationTexts:
    """The statements of evaluation sets, each a kind and a file. UserError where one holds no problem."""
    texts = EvaluationTexts(threshold)
    for kind, path in files:
        problems = [entry.problem for entry in read(kind, path) if isinstance(entry, Record)]
        if not problems:
            raise UserError(f"--against: {path} holds no problem of {kind}; give its format as KIND:FILE")
        for problem in problems:
            texts.add(problem.id, asked(problem))
    return texts


def sort_out(
    job: Refinement, findings: Iterable[Finding], against: EvaluationTexts, pool: LocalPool, progress: WorkProgress
) -> Outcome:
    """Writes OUT.rejected.jsonl and, unless nothing is kept, OUT and, for a split, the held-out file."""
    source, choices, outcome = job.source, job.choices, Outcome()
    aside, rest = LineFile(beside(job.out, "rejected.jsonl")), LineFile(held_out_file(job.out))
    with LineFile(job.out) as file, aside, rest, Duplicates(pool) as duplicates:
        progress.begin(0, source.entries)
        for entry, finding in zip(read(source.kind, source.path), findings, strict=True):
            outcome.entries += 1
            progress.advance()
            if choices.unsolved and finding.solution == NO_SOLUTION:
                finding = replace(finding, reason=None)
            made = _decided(entry, finding, against, duplicates if choices.duplicates else None)
            if isinstance(made, Rejection):
                outcome.dropped.append(made)
                aside.rejection(made)
                continue
            later = held_out(finding.id, choices.held_out, choices.salt)
            (rest if later else file).write(made.line)
            outcome.kept.append(Kept(finding, later, made.length))
        aside.commit()
        for written in (file, rest) if choices.held_out else (file,):
            if outcome.kept:
                written.commit()
            else:
                written.path.unlink(missing_ok=True)  # of other choices
    return outcome


def held_out(id: str, share: float, salt: str = "") -> bool:
    """Whether a problem is one of the share (0 to 1) that is held out. A larger share only adds problems.

    A hash of the id alone decides, so that adding problems moves none of the others.
    """
    digest = hashlib.blake2b(f"{salt}\0{id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * _HASHES


def held_out_file(out: Path) -> Path:
    """`problems.jsonl.gz` becomes `problems.heldout.jsonl.gz`."""
    stem, dot, suffixes = out.name.partition(".")
    return out.with_name(f"{stem}.heldout{dot}{suffixes}")


class _Written(NamedTuple):
    line: str
    length: int


def _decided(
    entry: Record | Rejected, finding: Finding, against: EvaluationTexts, duplicates: "Duplicates | None"
) -> _Written | Rejection:
    """The line that is written and the length of the solution, or why the problem is dropped."""
    nothing = Rejection(Reason.NOT_JUDGED, finding.where, finding.detail, finding.id, finding.level)
    if finding.reason is not None or isinstance(entry, Rejected):
        return replace(nothing, reason=finding.reason or Reason.NOT_JUDGED)
    problem = refined(entry, finding)
    line = line_of(problem)
    if isinstance(line, Rejection):
        return replace(line, where=finding.where)
    found = against.contaminates(asked(problem))
    if found is not None:
        detail = f"has {found.share:.0%} of the statement of {found.name}"
        return replace(nothing, reason=Reason.CONTAMINATED, detail=detail)
    copied = duplicates.earlier(problem, line) if duplicates else None
    if copied is not None:
        return replace(nothing, reason=Reason.DUPLICATE, detail=copied)
    return _Written(line, sum(1 for text in problem.solution.split("\n") if text.strip()))
