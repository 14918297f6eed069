"""Learning curves as pictures, drawn from metrics files alone."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from stepcoder.deploy.run.metrics import read_metrics
from stepcoder.deploy.shown.summary import difference, evaluations, interval, points

INK, MUTED, GRID = "#1f2933", "#616e7c", "#e4e7eb"
SPLIT_COLOURS = {"train": "#1f6feb", "heldout": "#e8590c"}
SPLIT_NAMES = {"train": "training problems", "heldout": "held-out problems"}
OTHER_COLOURS = ("#2f9e44", "#9c36b5")
RUN_COLOURS = ("#1f6feb", "#e8590c", "#2f9e44", "#9c36b5", "#616e7c", "#c92a2a")
LINES = ("-", "--", ":", "-.")


def strokes(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """How a line of each run or arm is drawn: other colours, and other dashes where all colours are taken."""
    ways = product(LINES, RUN_COLOURS)
    return {name: {"color": colour, "linestyle": line} for name, (line, colour) in zip(names, ways, strict=False)}


def smooth(values: Sequence[float], weight: float = 0.8) -> list[float]:
    """Exponential moving average, corrected for its start."""
    average, norm, out = 0.0, 0.0, []
    for value in values:
        average = weight * average + (1 - weight) * value
        norm = weight * norm + (1 - weight)
        out.append(average / norm)
    return out


def series(records: Sequence[dict[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Steps and values of the records in which `key` is a number."""
    found = [(record["step"], float(record[key])) for record in records if isinstance(record.get(key), int | float)]
    return [step for step, _ in found], [value for _, value in found]


def learning_curve(metrics_file: Path, out: Path, title: str = "StepCoder") -> Path:
    """Draw `out` (PNG). Needs at least one step or evaluation in the file."""
    from matplotlib.figure import Figure

    records = list(read_metrics(metrics_file))
    if not records:
        raise ValueError(f"{metrics_file} holds no metrics yet")
    steps = [record for record in records if "eval" not in record]
    figure = Figure(figsize=(12, 7.6), dpi=150, facecolor="white", layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 0.9))
    figure.suptitle(title, fontsize=15, fontweight="bold", color=INK, x=0.01, ha="left")
    _pass_rates(figure.add_subplot(grid[0, 0]), records)
    _training(figure.add_subplot(grid[0, 1]), steps)
    _courses(figure.add_subplot(grid[1, 0]), steps)
    _credit_and_kl(figure.add_subplot(grid[1, 1]), steps)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    return out


def sft_curve(metrics_file: Path, out: Path, title: str) -> Path:
    """Draw `out` (PNG) of a run of supervised fine-tuning: pass rates and losses."""
    from matplotlib.figure import Figure

    records = list(read_metrics(metrics_file))
    figure = Figure(figsize=(12, 4.2), dpi=150, facecolor="white", layout="constrained")
    left, right = figure.subplots(1, 2)
    figure.suptitle(title, fontsize=15, fontweight="bold", color=INK, x=0.01, ha="left")
    _pass_rates(left, records)
    _losses(right, records)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    return out


def comparison(runs: Mapping[str, Path], out: Path) -> Path:
    """Draw `out` (PNG): pass rates of several runs by split, and rewards or losses. `runs`: name -> metrics file."""
    from matplotlib.figure import Figure

    records = {name: list(read_metrics(file)) for name, file in runs.items()}
    rates = {name: evaluations(found) for name, found in records.items()}
    splits = list(dict.fromkeys(split for found in rates.values() for split in found))
    figure = Figure(figsize=(5 * (len(splits) + 1), 4.2), dpi=150, facecolor="white", layout="constrained")
    *panels, last = figure.subplots(1, len(splits) + 1, squeeze=False)[0]
    lines = strokes(records)
    for axes, split in zip(panels, splits, strict=True):
        style(axes, f"Pass rate, {SPLIT_NAMES.get(split, split)} (95% interval)", "")
        percent(axes)
        for index, (name, found) in enumerate(rates.items()):
            if not (results := found.get(split)):
                continue
            around = [interval(result) for _, result in results]
            x = [step + 0.4 * (index - (len(rates) - 1) / 2) for step, _ in results]
            y = [item.mean for item in around]
            errors = [[item.mean - item.low for item in around], [item.high - item.mean for item in around]]
            axes.errorbar(x, y, errors, **lines[name], marker="o", linewidth=2, capsize=3, elinewidth=1, label=name)
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left", frameon=False, fontsize=9)
    _rewards_or_losses(last, records, lines)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    return out


def _rewards_or_losses(
    axes: Any, records: Mapping[str, Sequence[dict[str, Any]]], drawn: Mapping[str, Mapping[str, str]]
) -> None:
    """Rewards where a run has any; runs of supervised fine-tuning alone show their losses."""

    def lines(key: str) -> dict[str, tuple[list[int], list[float]]]:
        return {name: line for name, found in records.items() if (line := series(found, key))[0]}

    rewards, losses = lines("reward/mean"), lines("sft/loss")
    if not rewards and not losses:
        style(axes, "While training", "")
        return _empty(axes, "no step yet")
    title = "Mean reward while training, with prefixes" if rewards else "Loss on the tokens of solutions (nats a token)"
    style(axes, title, "")
    for name, (x, y) in (rewards or losses).items():
        axes.plot(x, y, **drawn[name], alpha=0.2, linewidth=1)
        axes.plot(x, smooth(y), **drawn[name], linewidth=2, label=name)
    axes.legend(loc="best", frameon=False, fontsize=9)


def _losses(axes: Any, records: Sequence[dict[str, Any]]) -> None:
    style(axes, "Loss on the tokens of solutions", "nats a token")
    for key, split, marker in (("sft/loss", "train", ""), ("sft/validation_loss", "heldout", "o")):
        x, loss = series(records, key)
        axes.plot(x, loss, color=SPLIT_COLOURS[split], linewidth=2, marker=marker, label=SPLIT_NAMES[split])
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper right", frameon=False, fontsize=9)


def style(axes: Any, title: str, ylabel: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_ylabel(ylabel, color=MUTED)
    axes.set_xlabel("step", color=MUTED)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)


def _empty(axes: Any, what: str) -> None:
    axes.text(0.5, 0.5, what, transform=axes.transAxes, ha="center", va="center", color=MUTED)
    axes.set_yticks([])
    axes.set_xticks([])


def percent(axes: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _colour(split: str, index: int) -> str:
    return SPLIT_COLOURS.get(split, OTHER_COLOURS[index % len(OTHER_COLOURS)])


def _lift(value: float, found: Any) -> float:
    """How far (points) to move a start label away from the first split's where the two would lie on each other."""
    gap = value - next(iter(found.values()))[0][1]["pass_rate"]
    return 0.0 if abs(gap) > 0.04 else (7.0 if gap > 0 else -7.0)


def _pass_rates(axes: Any, records: Sequence[dict[str, Any]]) -> None:
    style(axes, "Pass rate at full generation (evaluation, 95% interval)", "")
    found = evaluations(records)
    if not found:
        return _empty(axes, "no evaluation yet")
    last = max(record["step"] for record in records)
    for index, (split, results) in enumerate(found.items()):
        colour = _colour(split, index)
        around = [interval(result) for _, result in results]
        x = [step + (index - (len(found) - 1) / 2) * max(last, 1) * 0.008 for step, _ in results]
        y = [item.mean for item in around]
        errors = [[item.mean - item.low for item in around], [item.high - item.mean for item in around]]
        label = SPLIT_NAMES.get(split, split)
        if len(results) > 1:
            change = difference(results[0][1]["per_problem"], results[-1][1]["per_problem"])
            label += f": {points(change, signed=True)}"
        axes.errorbar(
            x,
            y,
            yerr=errors,
            color=colour,
            marker="o",
            markersize=6,
            linewidth=2,
            capsize=4,
            elinewidth=1.3,
            label=label,
        )
        lift = 0.0 if index == 0 else _lift(y[0], found)
        for step, value, place in ((x[0], y[0], "right"), (x[-1], y[-1], "left"))[: len(results)]:
            offset = -9 if place == "right" else 9
            axes.annotate(
                f"{value:.0%}", (step, value), (offset, lift if place == "right" else 0),
                textcoords="offset points", ha=place, va="center", color=colour, fontweight="bold",
            )  # fmt: skip
    top = max(interval(result).high for results in found.values() for _, result in results)
    axes.set_ylim(0, min(1.0, top * 1.35 + 0.02))
    axes.margins(x=0.12)
    axes.legend(loc="upper left", frameon=False, fontsize=9)
    percent(axes)


def _training(axes: Any, steps: Sequence[dict[str, Any]]) -> None:
    style(axes, "While training (prefixes given as the curriculum has it)", "")
    x, rate = series(steps, "pass_rate")
    if not x:
        return _empty(axes, "no step yet")
    axes.plot(x, rate, color="#1f6feb", alpha=0.22, linewidth=1)
    axes.plot(x, smooth(rate), color="#1f6feb", linewidth=2, label="passed (left)")
    axes.set_ylim(0, 1)
    percent(axes)
    other = axes.twinx()
    x, reward = series(steps, "reward/mean")
    other.plot(x, reward, color="#2f9e44", alpha=0.22, linewidth=1)
    other.plot(x, smooth(reward), color="#2f9e44", linewidth=2, label="mean reward (right)")
    other.set_ylim(-1, 1)
    other.tick_params(colors=MUTED, length=0)
    other.spines[:].set_visible(False)
    handles = [*axes.get_legend_handles_labels()[0], *other.get_legend_handles_labels()[0]]
    axes.legend(handles=handles, loc="upper left", frameon=False, fontsize=9, ncols=2)


def _courses(axes: Any, steps: Sequence[dict[str, Any]]) -> None:
    style(axes, "Curriculum: problems by stage (0 is full generation)", "")
    found = [(record["step"], record["curriculum/histogram"]) for record in steps if record.get("curriculum/histogram")]
    if not found:
        return _empty(axes, "no curriculum in this run")
    from matplotlib import colormaps

    stages = sorted({int(stage) for _, histogram in found for stage in histogram})
    totals = [sum(histogram.values()) or 1 for _, histogram in found]
    shares = [
        [histogram.get(str(stage), 0) / total for (_, histogram), total in zip(found, totals, strict=True)]
        for stage in stages
    ]
    palette = colormaps["YlGnBu"]
    colours = [palette(0.85 - 0.65 * index / max(1, len(stages) - 1)) for index in range(len(stages))]
    x = [step for step, _ in found]
    if len(x) == 1:
        x, shares = [x[0], x[0] + 1], [[share[0], share[0]] for share in shares]
    axes.stackplot(
        x, shares, colors=colours, labels=[f"stage {stage}" for stage in stages], linewidth=0.4, edgecolor="white"
    )
    axes.set_ylim(0, 1)
    axes.set_xlim(x[0], x[-1])
    axes.legend(loc="lower right", fontsize=8, framealpha=0.85, edgecolor="none", ncols=min(4, len(stages)))
    percent(axes)


def _credit_and_kl(axes: Any, steps: Sequence[dict[str, Any]]) -> None:
    style(axes, "Executed tokens and distance from the reference", "")
    x, share = series(steps, "executed_share")
    if not x:
        return _empty(axes, "no step yet")
    axes.plot(x, share, color="#9c36b5", alpha=0.22, linewidth=1)
    axes.plot(x, smooth(share), color="#9c36b5", linewidth=2, label="tokens that a test executed (left)")
    axes.set_ylim(0, 1)
    percent(axes)
    handles = axes.get_legend_handles_labels()[0]
    x, kl = series(steps, "kl/reference")
    if x:
        other = axes.twinx()
        other.plot(x, kl, color="#e8590c", linewidth=2, label="KL to the reference, nats/token (right)")
        other.set_ylim(min(0.0, min(kl)), max(max(kl) * 1.6, 1e-3))
        other.tick_params(colors=MUTED, length=0)
        other.spines[:].set_visible(False)
        handles += other.get_legend_handles_labels()[0]
    axes.legend(handles=handles, loc="center left", frameon=False, fontsize=9)
