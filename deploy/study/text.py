"""A study's tables as text and as Markdown: the same cells, so that neither says more than the other."""

import math
from collections.abc import Callable, Sequence

from stepcoder.deploy.config.shared import HELDOUT, TRAIN
from stepcoder.deploy.shown.summary import points
from stepcoder.deploy.study.comparison import Choice, Entry, Row, choices, rows
from stepcoder.deploy.study.results import Results
from stepcoder.words import plural

SPLITS = {HELDOUT: "Held-out", TRAIN: "Training"}
Cells = Sequence[Sequence[str]]  # the first row is the head


def tables(results: Results) -> list[tuple[str, Cells]]:
    """Title and cells of each table that there is data for: held-out problems, training problems, each of their levels.

    A table for each, so that no line is wider than a page.
    """
    found = rows(results)
    return [(_title(choice, results.first.name), _table(found, choice)) for choice in choices(results)]


def _title(choice: Choice, first: str) -> str:
    split, level = choice
    return f"{SPLITS[split]} problems{f', {level}' if level else ''}: pass rate, and difference from {first}"


def _table(found: Sequence[Row], choice: Choice) -> Cells:
    fast = choice == (HELDOUT, None) and any(row.speed is not None for row in found)
    cells = [["arm", "runs", "pass rate", "difference", "p", *(["learning speed"] if fast else [])]]
    for row in found:
        runs = f"{len(row.seeds)}" if len(row.seeds) == row.planned else f"{len(row.seeds)} of {row.planned}"
        cells.append([row.name, runs, *_cells(row.entries.get(choice)), *([_speed(row.speed)] if fast else [])])
    return cells


def _cells(entry: Entry | None) -> list[str]:
    if entry is None:
        return ["-", "-", "-"]
    change = "-" if entry.difference is None else points(entry.difference, signed=True)
    return [points(entry.mean), change, "-" if entry.p is None else p_text(entry.p)]


def p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _speed(entry: Entry | None) -> str:
    if entry is None:
        return "-"
    return points(entry.mean if entry.difference is None else entry.difference, signed=entry.difference is not None)


def notes(results: Results) -> list[str]:
    """What a reader of the tables has to know."""
    found = rows(results)
    lines = [
        "95 % intervals over seeds and problems, both drawn; a difference is paired by both, and its p is adjusted for "
        "all arms of its column (Holm). Learning speed: mean held-out pass rate over a run's tokens, then differences "
        "from the first arm, over seeds alone."
    ]
    if any(len(row.seeds) == 1 for row in found):
        lines.append("One seed says nothing of other seeds: an arm with one has no interval and no p.")
    for row in found:
        entry = next((e for (_, level), e in row.entries.items() if level is None and e.detectable is not None), None)
        if entry is not None and entry.detectable is not None and not math.isnan(entry.detectable):
            size = f"{100 * entry.detectable:.1f} points"
            lines.append(f"{row.name}: {plural(len(row.seeds), 'seed')} would find a true difference of {size} (80 %).")
    return [*lines, *_mixed(results)]


def _mixed(results: Results) -> list[str]:
    """Runs of one table that are not of one kind."""
    runs = [run for arm in results.arms for run in arm.done.values()]
    commits = {line.get("commit") for run in runs for line in run.provenance} - {None}
    dirty = any(line.get("dirty") for run in runs for line in run.provenance)
    by_seed = {
        seed: {line.get("cpu") for r in runs if r.seed == seed for line in r.provenance} for seed in _seeds(results)
    }
    told = []
    if len(commits) > 1:
        told.append(f"Runs of {plural(len(commits), 'commit')}: {', '.join(sorted(c[:7] for c in commits if c))}.")
    elif commits:
        told.append(f"Commit {min(c for c in commits if c)[:7]}{', changed' if dirty else ''}.")
    limit = results.budget.get("tokens", 0)
    short = [f"{run.arm}, seed {run.seed}" for run in runs if run.rewards and run.rewards[-1][0] < limit]
    if short:
        told.append(f"Ended by run.steps before {limit:,} tokens: {'; '.join(short)}.")
    for seed, cpus in by_seed.items():
        if len(cpus) > 1:
            told.append(f"Seed {seed} was computed on several kinds of processor: {', '.join(sorted(map(str, cpus)))}.")
    return told


def _seeds(results: Results) -> list[int]:
    return sorted({run.seed for arm in results.arms for run in arm.runs})


def as_text(results: Results) -> str:
    return _rendered(results, lambda title: title, _plain)


def as_markdown(results: Results) -> str:
    return _rendered(results, lambda title: f"**{title}**", _markdown)


def _rendered(results: Results, titled: Callable[[str], str], render: Callable[[Cells], str]) -> str:
    found = tables(results)
    if not found:
        total = sum(len(arm.runs) for arm in results.arms)
        return f"none of {plural(total, 'run')} is done yet\n"
    parts = [f"{titled(title)}\n\n{render(cells)}" for title, cells in found]
    return "\n\n".join([*parts, "\n".join(notes(results))]) + "\n"


def _plain(cells: Cells) -> str:
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in _numbered(row, widths)
        ).rstrip()
        for row in cells
    )


def _numbered(row: Sequence[str], widths: Sequence[int]) -> Sequence[tuple[int, tuple[str, int]]]:
    return list(enumerate(zip(row, widths, strict=True)))


def _markdown(cells: Cells) -> str:
    head, *body = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([head, "|" + "---|" * len(cells[0]), *body])
