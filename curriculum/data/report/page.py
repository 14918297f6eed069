"""The report of a refinement as one HTML page for a person: no other files, no network, light and dark.

The same outcome gives the same page. Whatever a data set holds is text on it, never markup.
"""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from stepcoder.curriculum.data.examine import Finding
from stepcoder.curriculum.data.keep import Outcome
from stepcoder.curriculum.data.readers.record import REASONS
from stepcoder.curriculum.data.refinement import Refinement
from stepcoder.curriculum.problems.problem import Level
from stepcoder.pages import environment
from stepcoder.words import plural

_ROWS = 2000  # of the table of dropped problems: a browser searches so many at once
_WEAKEST = 50
_RANGES = 12
_HEIGHT, _BIN = 150, 44  # of the highest bar, of a bar with the gap beside it
_TENTHS = [n / 10 for n in range(11)]
_PREFERRED = {"first": "first", "shortest": "shortest", "conditionals": "one with most conditionals"}


def page(outcome: Outcome, job: Refinement, against: Sequence[str] = ()) -> str:
    """`against` names the evaluation sets that were looked at."""
    findings = [kept.finding for kept in outcome.kept]
    reasons = sorted(outcome.reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    templates = environment(Path(__file__).parent)
    return templates.get_template("page.html").render(
        name=job.source.path.name,
        entries=outcome.entries,
        kept=len(findings),
        dropped=len(outcome.dropped),
        tiles=_tiles(outcome, findings),
        reasons=reasons,
        most=max(outcome.reasons.values(), default=1),
        words=REASONS,
        levels=_levels(outcome),
        histograms=_histograms(outcome, findings) if findings else [],
        mutants=any(f.mutants for f in findings if f.missed or f.survivors),
        weakest=_weakest(findings),
        rows=outcome.dropped[:_ROWS],
        preferred=_PREFERRED[job.effort.preference],
        against=against,
        source=job.source,
        config=job.config,
        choices=job.choices,
        effort=job.effort,
    )


@dataclass(frozen=True, slots=True)
class _Tile:
    label: str
    value: str


def _tiles(outcome: Outcome, findings: list[Finding]) -> list[_Tile]:
    tiles = [_Tile("kept", f"{len(findings):,}"), _Tile("dropped", f"{len(outcome.dropped):,}")]
    if held_out := sum(kept.held_out for kept in outcome.kept):
        tiles.append(_Tile("of the kept held out", f"{held_out:,}"))
    if findings:
        tiles.append(_Tile("tests a problem, median", f"{statistics.median(f.tests for f in findings):,.0f}"))
        tiles.append(_Tile("solution lines executed", f"{statistics.fmean(_executed(f) for f in findings):.1%}"))
    if mutants := sum(f.mutants for f in findings):
        caught = mutants - sum(len(f.survivors) for f in findings)
        tiles.append(_Tile("mutants caught by tests", f"{caught / mutants:.1%}"))
    return tiles


@dataclass(frozen=True, slots=True)
class _Level:
    """Counts of one level; entries that tell no level have no name."""

    name: str
    kept: int
    dropped: int
    held_out: int

    @property
    def entries(self) -> int:
        return self.kept + self.dropped

    @property
    def share(self) -> float:
        return self.kept / self.entries if self.entries else 0.0


def _levels(outcome: Outcome) -> list[_Level]:
    kept = Counter(kept.finding.level for kept in outcome.kept)
    later = Counter(kept.finding.level for kept in outcome.kept if kept.held_out)
    dropped = Counter(rejection.level for rejection in outcome.dropped)
    names = [*get_args(Level), *([""] if dropped[""] else [])]
    return [_Level(name, kept[name], dropped[name], later[name]) for name in names]


# -- quality of the tests ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Bin:
    """A bar, in the units of the drawing."""

    label: str
    count: int
    left: int
    height: float


@dataclass(frozen=True, slots=True)
class _Histogram:
    title: str
    unit: str
    bins: list[_Bin]

    @property
    def width(self) -> int:
        return _BIN * len(self.bins)


def _histograms(outcome: Outcome, findings: list[Finding]) -> list[_Histogram]:
    executed = _histogram(
        "Solution lines that the tests execute",
        [_executed(f) for f in findings],
        _TENTHS,
        "% of a solution's lines; the policy loss sees no others",
        percent=True,
    )
    tests = _histogram(
        "Tests a problem",
        [float(f.tests) for f in findings],
        [1, 2, 3, 4, 6, 8, 11, 16, 31, 101, float("inf")],
        "tests",
    )
    lengths = _histogram(
        "Length of the solutions",
        [float(kept.length) for kept in outcome.kept],
        [1, 6, 11, 16, 21, 31, 41, 61, 81, 121, float("inf")],
        "lines that are not blank",
    )
    tried = [f for f in findings if f.mutants]
    if not tried:
        return [executed, tests, lengths]
    without = len(findings) - len(tried)
    unit = f"% of a problem's mutants{f'; without any: {without:,}' if without else ''}"
    caught = _histogram("Mutants that the tests catch", [_caught(f) for f in tried], _TENTHS, unit, percent=True)
    return [executed, caught, tests, lengths]


def _executed(finding: Finding) -> float:
    executed, total = finding.lines
    return executed / total if total else 1.0


def _caught(finding: Finding) -> float:
    return 1 - len(finding.survivors) / finding.mutants


def _histogram(title: str, values: list[float], edges: Sequence[float], unit: str, percent: bool = False) -> _Histogram:
    """Counts by half-open bins [edge, next edge); the last bin of shares holds its upper end, too."""
    counts = [0] * (len(edges) - 1)
    for value in values:
        place = sum(value >= edge for edge in edges) - 1
        counts[min(max(place, 0), len(counts) - 1)] += 1
    most = max([*counts, 1])
    bins = [
        _Bin(_label(edges[n], edges[n + 1], percent), count, n * _BIN + 2, _HEIGHT * count / most)
        for n, count in enumerate(counts)
    ]
    return _Histogram(title, unit, bins)


def _label(low: float, high: float, percent: bool) -> str:
    if percent:
        return f"{100 * low:.0f}–{100 * high:.0f}"
    if high == float("inf"):
        return f"{low:.0f}+"
    return f"{low:.0f}" if high - low == 1 else f"{low:.0f}–{high - 1:.0f}"


@dataclass(frozen=True, slots=True)
class _Unseen:
    text: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class _Weak:
    """A kept problem whose tests do not see all of its solution."""

    id: str
    level: str
    tests: int
    executed: float
    caught: str
    unseen: list[_Unseen]


def _weakest(findings: list[Finding]) -> list[_Weak]:
    """Problems whose tests catch or execute least. A program may pass them and be wrong."""
    weak = [f for f in findings if f.missed or f.survivors]
    weak.sort(key=lambda f: (_caught(f) if f.mutants else 1.0, _executed(f), f.tests))
    return [
        _Weak(f.id, f.level, f.tests, _executed(f), f"{f.mutants - len(f.survivors)} of {f.mutants}", _unseen(f))
        for f in weak[:_WEAKEST]
    ]


def _unseen(finding: Finding) -> list[_Unseen]:
    parts = [_Unseen(f"line {line}: ", change) for line, change in finding.survivors]
    if finding.missed:
        s = "s" if len(finding.missed) > 1 else ""
        parts.append(_Unseen(f"not executed: line{s} {_ranges(finding.missed)}"))
    return parts


def _ranges(numbers: Sequence[int]) -> str:
    """1, 2, 3, 7 as `1-3, 7`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    told = ", ".join(f"{a}" if a == b else f"{a}–{b}" for a, b in runs[:_RANGES])
    return told + (f" and {plural(len(runs) - _RANGES, 'more place')}" if len(runs) > _RANGES else "")
