"""A study as a picture: learning curves over generated tokens with bands, and differences with their intervals."""

from pathlib import Path
from typing import Any

from stepcoder.deploy.config.shared import HELDOUT, TRAIN
from stepcoder.deploy.shown.plot import GRID, INK, MUTED, SPLIT_NAMES, percent, strokes, style
from stepcoder.deploy.study.comparison import Row, band, rows
from stepcoder.deploy.study.results import Results


def draw(results: Results, out: Path) -> Path:
    """Write `out` (PNG); raises ValueError where no run is done."""
    from matplotlib.figure import Figure

    found = [row for row in rows(results) if row.seeds]
    if not found:
        raise ValueError("no run is done yet")
    lines = strokes(arm.name for arm in results.arms)
    figure = Figure(figsize=(13.5, 4.4), dpi=150, facecolor="white", layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _curves(left, results, HELDOUT, lines)
    _curves(middle, results, TRAIN, lines)
    _differences(right, found, results.first.name, lines)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Software": None})
    return out


def _curves(axes: Any, results: Results, split: str, lines: dict[str, dict[str, str]]) -> None:
    from matplotlib.ticker import MaxNLocator

    style(axes, f"Pass rate, {SPLIT_NAMES[split]}", "")
    axes.set_xlabel("tokens generated in training; bands: 95 % over seeds", color=MUTED)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    percent(axes)
    for arm in results.arms:
        if (found := band(arm, split)) is not None:
            label = f"{arm.name} ({len(arm.done)})"
            axes.plot(found.tokens, found.mean, **lines[arm.name], linewidth=2, label=label)
            shade = lines[arm.name]["color"]
            axes.fill_between(found.tokens, found.low, found.high, color=shade, alpha=0.12, linewidth=0)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", frameon=False, fontsize=8)


def _differences(axes: Any, found: list[Row], first: str, lines: dict[str, dict[str, str]]) -> None:
    style(axes, f"Difference from {first}, held-out (points, 95 %)", "")
    axes.set_xlabel("points", color=MUTED)
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    others = [row for row in found if (e := row.entries.get((HELDOUT, None))) is not None and e.difference is not None]
    for place, row in enumerate(reversed(others)):
        change = row.entries[HELDOUT, None].difference
        assert change is not None
        axes.plot([100 * change.low, 100 * change.high], [place] * 2, **lines[row.name], linewidth=2)
        axes.plot([100 * change.mean], [place], "o", color=lines[row.name]["color"], markersize=7)
    axes.set_yticks(range(len(others)), [row.name for row in reversed(others)], color=INK)
    axes.set_ylim(-0.6, max(len(others), 1) - 0.4)
