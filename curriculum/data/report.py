"""The report of a refinement as one HTML page for a person: no other files, no network, light and dark.

The same outcome gives the same page.
"""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import get_args

from stepcoder.curriculum.data.examine import Finding
from stepcoder.curriculum.data.judge import Effort, Source
from stepcoder.curriculum.data.keep import Choices, Outcome
from stepcoder.curriculum.data.readers.record import Cause, Reason
from stepcoder.curriculum.problems.problem import Level
from stepcoder.executor.report import Ended, Verdict

_ROWS = 2000  # of the table of dropped problems: a browser searches so many at once
_WEAKEST = 50
_RANGES = 12
_STYLE = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
_SCRIPT = (Path(__file__).parent / "report.js").read_text(encoding="utf-8")

REASONS: dict[Cause, str] = {
    Reason.BAD_JSON: "the line is no JSON object",
    Reason.NON_UTF8: "bytes that are not UTF-8",
    Reason.MISSING_FIELD: "a field is missing or has a wrong type",
    Reason.NO_STATEMENT: "nothing says what is asked",
    Reason.NO_SOLUTION: "no solution",
    Reason.NO_TESTS: "no tests",
    Reason.MISSING_INPUT: "a test without an input",
    Reason.MISSING_OUTPUT: "a test without an expected output",
    Reason.COUNT_MISMATCH: "more inputs than outputs, or the reverse",
    Reason.BAD_TEST: "a test that cannot judge",
    Reason.NO_ENTRY_POINT: "nothing says which function is called",
    Reason.DUPLICATE_ID: "an id that was used before",
    Reason.DOES_NOT_COMPILE: "the solution is no valid Python",
    Reason.PYTHON2: "the solution is written in Python 2",
    Reason.MISSING_IMPORT: "the solution uses a module or name that it does not have",
    Reason.HUGE_INTEGER: "the solution converts an integer of more than 4,300 digits, which Python refuses",
    Reason.RUNTIME_ERROR: "the solution raises an exception",
    Reason.WRONG_OUTPUT: "the solution and the expected output disagree",
    Reason.NOT_JUDGED: "the sandbox failed: run again with --force",
    Reason.CONTAMINATED: "too like a problem of an evaluation set",
    Reason.DUPLICATE: "asks for the same as an earlier problem",
} | {verdict: f"the solution {verdict.told}" for verdict in Verdict if verdict.ended is Ended.LIMIT}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the page says about how it was made."""

    source: Source
    choices: Choices
    compare: str
    cpu_s: float
    memory_mib: int
    effort: Effort
    against: Sequence[str] = ()


def page(outcome: Outcome, settings: Settings) -> str:
    name = escape(settings.source.path.name)
    parts = [
        f"<header><h1>{name}</h1><p>{_summary(outcome)}</p></header>",
        _tiles(outcome),
        _reasons(outcome),
        _levels(outcome, settings.choices),
        _quality(outcome),
        _weakest(outcome),
        _dropped(outcome),
        _how(outcome, settings),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Refined: {name}</title>\n<style>\n{_STYLE}</style></head>\n<body><main>\n"
        + "\n".join(part for part in parts if part)
        + f"\n</main>\n<script>\n{_SCRIPT}</script></body></html>\n"
    )


def added_line(outcome: Outcome) -> str:
    """What the added tests see that the given ones do not, in words."""
    findings = [finding for finding, _ in outcome.kept]
    added, problems = sum(len(f.added) for f in findings), sum(bool(f.added) for f in findings)
    mutants, lines = sum(f.mutants for f in findings), sum(f.lines[1] for f in findings)
    caught = mutants - sum(len(f.survivors) for f in findings)
    executed = sum(f.lines[0] for f in findings)
    told = [
        f"{what} {(now - gain) / total:.1%} -> {now / total:.1%}"
        for what, now, gain, total in (
            ("mutants caught", caught, sum(f.gained[1] for f in findings), mutants),
            ("solution lines executed", executed, sum(f.gained[0] for f in findings), lines),
        )
        if total
    ]
    return f"{added:,} tests were added to {problems:,} problems: {', '.join(told)}"


def _summary(outcome: Outcome) -> str:
    kept = len(outcome.kept)
    text = f"<b>{kept:,}</b> of {outcome.entries:,} problems are kept ({kept / outcome.entries:.1%})"
    return text + (f", <b>{len(outcome.dropped):,}</b> are dropped." if outcome.dropped else ": nothing was dropped.")


def _tiles(outcome: Outcome) -> str:
    findings = [finding for finding, _ in outcome.kept]
    tiles = [("kept", f"{len(findings):,}"), ("dropped", f"{len(outcome.dropped):,}")]
    held_out = sum(later for _, later in outcome.kept)
    if held_out:
        tiles.append(("of the kept held out", f"{held_out:,}"))
    if findings:
        tiles.append(("tests a problem, median", f"{statistics.median(f.tests for f in findings):,.0f}"))
        tiles.append(("solution lines executed", f"{statistics.fmean(_executed(f) for f in findings):.1%}"))
    mutants = sum(f.mutants for f in findings)
    if mutants:
        killed = mutants - sum(len(f.survivors) for f in findings)
        tiles.append(("mutants caught by tests", f"{killed / mutants:.1%}"))
    if added := sum(len(f.added) for f in findings):
        tiles.append(("tests added", f"{added:,}"))
    cells = "".join(f"<div><b>{value}</b><span>{label}</span></div>" for label, value in tiles)
    return f'<section class="tiles">{cells}</section>'


def _reasons(outcome: Outcome) -> str:
    if not outcome.dropped:
        return ""
    counts = outcome.reasons
    most = max(counts.values())
    rows = "".join(
        f'<tr><td><a href="#dropped" data-reason="{reason.value}"><code>{reason.value}</code></a></td>'
        f'<td class="number">{count:,}</td>'
        f'<td class="bar"><i style="width:{100 * count / most:.1f}%"></i></td><td>{REASONS[reason]}</td></tr>'
        for reason, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    )
    return f'<section><h2>Why problems were dropped</h2><table class="reasons"><tbody>{rows}</tbody></table></section>'


def _levels(outcome: Outcome, choices: Choices) -> str:
    kept = Counter(finding.level for finding, _ in outcome.kept)
    later = Counter(finding.level for finding, later in outcome.kept if later)
    dropped = Counter(rejection.level for rejection in outcome.dropped)
    names = [*get_args(Level), *([""] if dropped[""] else [])]
    head = "<th>level</th>" + "".join(f'<th class="number">{h}</th>' for h in ("entries", "kept", "dropped", "kept"))
    head += "<th></th>" + ('<th class="number">held out</th>' if choices.held_out else "")
    rows = ""
    for name in names:
        total = kept[name] + dropped[name]
        share = kept[name] / total if total else 0.0
        rows += (
            f"<tr><td>{name or 'not known'}</td>"
            + "".join(f'<td class="number">{value:,}</td>' for value in (total, kept[name], dropped[name]))
            + f'<td class="number">{f"{share:.1%}" if total else "-"}</td>'
            + f'<td class="bar"><i style="width:{100 * share:.1f}%"></i></td>'
            + (f'<td class="number">{later[name]:,}</td>' if choices.held_out else "")
            + "</tr>"
        )
    return f"<section><h2>By level</h2><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></section>"


def _quality(outcome: Outcome) -> str:
    findings = [finding for finding, _ in outcome.kept]
    if not findings:
        return ""
    figures = [
        _histogram(
            "Solution lines that the tests execute",
            [_executed(f) for f in findings],
            [n / 10 for n in range(11)],
            "% of a solution's lines; the policy loss sees no others",
            percent=True,
        ),
        _histogram(
            "Tests a problem",
            [float(f.tests) for f in findings],
            [1, 2, 3, 4, 6, 8, 11, 16, 31, 101, float("inf")],
            "tests",
        ),
        _histogram(
            "Length of the solutions",
            [float(length) for length in outcome.lengths],
            [1, 6, 11, 16, 21, 31, 41, 61, 81, 121, float("inf")],
            "lines that are not blank",
        ),
    ]
    tried = [f for f in findings if f.mutants]
    if tried:
        without = len(findings) - len(tried)
        figures.insert(
            1,
            _histogram(
                "Mutants that the tests catch",
                [_caught(f) for f in tried],
                [n / 10 for n in range(11)],
                f"% of a problem's mutants{f'; {without:,} problems have none' if without else ''}",
                percent=True,
            ),
        )
    return f'<section><h2>Quality of the kept tests</h2><div class="figures">{"".join(figures)}</div></section>'


def _executed(finding: Finding) -> float:
    executed, total = finding.lines
    return executed / total if total else 1.0


def _caught(finding: Finding) -> float:
    return 1 - len(finding.survivors) / finding.mutants


def _histogram(title: str, values: list[float], edges: Sequence[float], unit: str, percent: bool = False) -> str:
    """Counts by half-open bins [edge, next edge); the last bin of shares holds its upper end, too."""
    counts = [0] * (len(edges) - 1)
    for value in values:
        place = sum(value >= edge for edge in edges) - 1
        counts[min(max(place, 0), len(counts) - 1)] += 1
    labels = [_bin(edges[n], edges[n + 1], percent) for n in range(len(counts))]
    width, height, top, gap = 44, 150, 22, 4
    most = max([*counts, 1])
    bars = ""
    for n, (count, label) in enumerate(zip(counts, labels, strict=True)):
        tall = height * count / most
        x, y = n * width + gap / 2, top + height - tall
        bars += f'<rect x="{x:.0f}" y="{y:.1f}" width="{width - gap}" height="{tall:.1f}" rx="2">'
        bars += f"<title>{label}: {count:,}</title></rect>"
        middle = x + (width - gap) / 2
        if count:
            bars += f'<text x="{middle:.0f}" y="{y - 5:.1f}" class="count">{count:,}</text>'
        bars += f'<text x="{middle:.0f}" y="{top + height + 15}">{label}</text>'
    total = width * len(counts)
    return (
        f'<figure><figcaption>{title}</figcaption><svg viewBox="0 0 {total} {top + height + 40}" role="img" '
        f'aria-label="{title}"><line x1="0" x2="{total}" y1="{top + height}" y2="{top + height}"/>{bars}'
        f'<text x="{total / 2:.0f}" y="{top + height + 34}" class="unit">{unit}</text></svg></figure>'
    )


def _bin(low: float, high: float, percent: bool) -> str:
    if percent:
        return f"{100 * low:.0f}–{100 * high:.0f}"
    if high == float("inf"):
        return f"{low:.0f}+"
    return f"{low:.0f}" if high - low == 1 else f"{low:.0f}–{high - 1:.0f}"


def _weakest(outcome: Outcome) -> str:
    """Problems whose tests catch or execute least. A program may pass them and be wrong."""
    findings = [f for f, _ in outcome.kept if f.missed or f.survivors]
    if not findings:
        return ""
    findings.sort(key=lambda f: (_caught(f) if f.mutants else 1.0, _executed(f), f.tests))
    mutants = any(f.mutants for f in findings)
    head = '<th>problem</th><th>level</th><th class="number">tests</th><th class="number">lines executed</th>'
    head += '<th class="number">mutants caught</th>' if mutants else ""
    head += "<th>what the tests do not see</th>"
    rows = ""
    for f in findings[:_WEAKEST]:
        rows += f"<tr><td><code>{escape(f.id)}</code></td><td>{f.level}</td><td class='number'>{f.tests:,}</td>"
        rows += f"<td class='number'>{_executed(f):.0%}</td>"
        if mutants:
            rows += f"<td class='number'>{f.mutants - len(f.survivors)} of {f.mutants}</td>"
        rows += f"<td>{_unseen(f)}</td></tr>"
    catch = "catch the fewest mutants, then " if mutants else ""
    return (
        f"<section><h2>Weakest tests</h2><p>The {min(_WEAKEST, len(findings))} kept problems whose tests {catch}"
        "execute the fewest lines of the solution: a wrong program has the best chance to pass them.</p>"
        f'<table class="weakest"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></section>'
    )


def _unseen(finding: Finding) -> str:
    parts = [f"line {line}: <code>{escape(change)}</code>" for line, change in finding.survivors]
    if finding.missed:
        parts.append(f"not executed: line{'s' if len(finding.missed) > 1 else ''} {_ranges(finding.missed)}")
    if len(parts) <= 1:
        return "".join(parts)
    return f"<details><summary>{parts[0]}</summary>{'<br>'.join(parts[1:])}</details>"


def _ranges(numbers: Sequence[int]) -> str:
    """1, 2, 3, 7 as `1-3, 7`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    told = ", ".join(f"{a}" if a == b else f"{a}–{b}" for a, b in runs[:_RANGES])
    return told + (f" and {len(runs) - _RANGES} more places" if len(runs) > _RANGES else "")


def _dropped(outcome: Outcome) -> str:
    if not outcome.dropped:
        return ""
    rows = "".join(
        f'<tr data-reason="{d.reason.value}"><td><code>{d.reason.value}</code></td>'
        f"<td>{f'<code>{escape(d.id)}</code><br>' if d.id else ''}<small>{escape(d.where)}</small></td>"
        f"<td>{d.level}</td><td>{escape(d.detail)}</td></tr>"
        for d in outcome.dropped[:_ROWS]
    )
    options = "".join(
        f'<option value="{reason.value}">{reason.value} ({count:,})</option>'
        for reason, count in sorted(outcome.reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    )
    more = len(outcome.dropped) - _ROWS
    note = f"<p>{more:,} more are in the file of rejected problems.</p>" if more > 0 else ""
    return (
        f'<section id="dropped"><details open><summary><h2>Dropped problems</h2></summary><div class="tools">'
        f'<input id="search" type="search" placeholder="search id, place and detail" aria-label="search">'
        f'<select id="reason" aria-label="reason"><option value="">all reasons</option>{options}</select>'
        f'<output id="shown">{min(len(outcome.dropped), _ROWS):,} shown</output></div>'
        "<table><thead><tr><th>reason</th><th>problem</th><th>level</th><th>detail</th></tr></thead>"
        f'<tbody id="rows">{rows}</tbody></table>{note}</details></section>'
    )


def _how(outcome: Outcome, settings: Settings) -> str:
    choices, effort = settings.choices, settings.effort
    facts = [
        f"{settings.source.entries:,} entries read as <code>{settings.source.kind}</code>, SHA-256 of the data "
        f"<code>{settings.source.sha256[:16]}</code>",
        f"a solution passes within {settings.cpu_s:g} s of CPU time a test and {settings.memory_mib:,} MiB, outputs "
        f"compared as <code>{settings.compare}</code>; of several solutions the one kept is the "
        + {"first": "first", "shortest": "shortest", "conditionals": "one with most conditionals"}[effort.preference]
        + " that passes",
        "duplicates: a problem is dropped where its statement or solution is much like an earlier one's, and each "
        "one's solution passes the other's tests"
        if choices.duplicates
        else "duplicates were not looked for",
    ]
    if settings.against:
        names = ", ".join(f"<code>{escape(name)}</code>" for name in settings.against)
        facts.append(
            f"contaminated: a statement has {choices.contamination:.0%} or more of the runs of eight words of a "
            f"statement in {names}"
        )
    if effort.mutants:
        facts.append(
            f"mutants: up to {effort.mutants} programs a problem that differ from the solution in one constant or "
            "comparison; some behave like the solution, so that no tests can catch them"
        )
    if effort.added:
        facts.append(
            f"added: up to {effort.added} tests a problem, on changed inputs with the solution's answer, where they "
            f"see what no other test sees; an input may be one that the statement rules out. {added_line(outcome)}"
        )
    if choices.held_out:
        facts.append(f"held out: {choices.held_out:.0%} of the problems, chosen by a hash of the id")
    return f"<section><h2>How this was made</h2><ul>{''.join(f'<li>{fact}</li>' for fact in facts)}</ul></section>"
