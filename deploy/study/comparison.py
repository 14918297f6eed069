"""Arms compared: means, and differences from the first arm, paired by seed and problem, with 95 % intervals.

Only runs that are done count. A difference takes the seeds that both arms have and the problems that all those runs
were evaluated on. Nothing here is random: the same reports give the same numbers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stepcoder.deploy.config.shared import HELDOUT, TRAIN
from stepcoder.deploy.shown.summary import Interval
from stepcoder.deploy.study.results import ArmResults, Results, Run, areas, common_problems, table_of
from stepcoder.deploy.study.statistics import UPPER, crossed, detectable, holm, p_value, paired

Choice = tuple[str, str | None]  # a split, and one of its levels or None for all


@dataclass(frozen=True, slots=True)
class Entry:
    """One arm in one column. `difference` and `p` are None for the first arm, and where no seed is common.

    One seed says nothing of others: there are no bounds then, and no `p`. `detectable`: the true difference that as
    many seeds and problems would find with 80 % power.
    """

    mean: Interval
    difference: Interval | None = None
    p: float | None = None
    detectable: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """`seeds`: of its runs that are done; `planned`: how many there will be. `entries`: by column; a column without
    data is absent. `speed`: mean held-out pass rate over the run's tokens, and the difference."""

    name: str
    seeds: tuple[int, ...]
    planned: int
    entries: Mapping[Choice, Entry]
    speed: Entry | None


def choices(results: Results) -> list[Choice]:
    """Columns: held-out and training problems, then each of their levels."""
    found = dict[Choice, None]()
    runs = [run for arm in results.arms for run in arm.done.values()]
    for split in (HELDOUT, TRAIN):
        if any(run.last(split) for run in runs):
            found[split, None] = None
    for split, _ in list(found):
        levels = {level for run in runs for level in run.evaluations[-1].levels.get(split, {}).values()}
        order = [level for level in ("introductory", "interview", "competition") if level in levels]
        if len(order) > 1:
            found |= {(split, level): None for level in order}
    return list(found)


def rows(results: Results) -> list[Row]:
    columns = choices(results)
    made = [_row(results.first, arm, columns) for arm in results.arms]
    return _adjusted(made)


def _row(first: ArmResults, arm: ArmResults, columns: Sequence[Choice]) -> Row:
    entries = {choice: entry for choice in columns if (entry := _entry(first, arm, choice)) is not None}
    return Row(arm.name, tuple(sorted(arm.done)), len(arm.runs), entries, _speed(first, arm))


def _entry(first: ArmResults, arm: ArmResults, choice: Choice) -> Entry | None:
    split, level = choice
    seeds = sorted(seed for seed, run in arm.done.items() if run.last(split))
    problems = _problems([arm.done[seed] for seed in seeds], split, level)
    if not problems:
        return None
    mean = crossed(table_of(arm.done, seeds, split, problems))
    mean = Interval(mean.mean, max(mean.low, 0.0), min(mean.high, 1.0))
    both = [seed for seed in seeds if seed in first.done and first.done[seed].last(split)]
    if arm is first or not both:
        return Entry(mean)
    shared = _problems([*(arm.done[s] for s in both), *(first.done[s] for s in both)], split, level)
    if not shared:
        return Entry(mean)
    one, other = (table_of(side.done, both, split, shared) for side in (first, arm))
    if len(both) < 2:
        return Entry(mean, paired(one, other))
    return Entry(mean, paired(one, other), p_value(one, other), detectable(other - one))


def _problems(runs: list[Run], split: str, level: str | None) -> list[str]:
    found = common_problems(runs, split)
    if level is None or not runs:
        return found
    levels = runs[0].evaluations[-1].levels.get(split, {})
    return [problem for problem in found if levels.get(problem) == level]


def _speed(first: ArmResults, arm: ArmResults) -> Entry | None:
    """Over seeds alone: a run's curve is one number."""
    seeds = [seed for seed in sorted(arm.done) if len(arm.done[seed].evaluations) > 1]
    found = areas(arm.done, seeds)
    if not seeds or np.isnan(found).any():
        return None
    both = [seed for seed in seeds if seed in first.done and len(first.done[seed].evaluations) > 1]
    if arm is first or not both:
        return Entry(over_seeds(found))
    one, other = areas(first.done, both), areas(arm.done, both)
    return Entry(over_seeds(found), over_seeds(other - one))


def over_seeds(values: np.ndarray) -> Interval:
    """Mean of one number a seed with Student's interval; NaN bounds for one seed."""
    from scipy.stats import t

    mean, count = float(values.mean()), len(values)
    if count < 2:
        return Interval(mean, math.nan, math.nan)
    half = float(t.ppf(UPPER, count - 1)) * float(values.std(ddof=1)) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half)


def _adjusted(made: list[Row]) -> list[Row]:
    """With the p values of a column adjusted for all arms in it (Holm)."""
    found = {row.name: dict(row.entries) for row in made}
    for choice in {choice for row in made for choice in row.entries}:
        raw = {name: own[choice].p for name, own in found.items() if choice in own}
        known = {name: p for name, p in raw.items() if p is not None}
        for name, p in holm(known).items():
            entry = found[name][choice]
            found[name][choice] = Entry(entry.mean, entry.difference, p, entry.detectable)
    return [Row(row.name, row.seeds, row.planned, found[row.name], row.speed) for row in made]


@dataclass(frozen=True, slots=True)
class Band:
    """A learning curve: mean over seeds at each number of generated tokens, with its interval over seeds."""

    tokens: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


POINTS = 21


def band(arm: ArmResults, split: str) -> Band | None:
    """Over the tokens that all its runs that are done have come to; None without evaluations in between."""
    curves = [run.curve(split) for run in arm.done.values()]
    curves = [curve for curve in curves if len(curve[0]) > 1]
    if not curves:
        return None
    grid = np.linspace(0, min(tokens[-1] for tokens, _ in curves), POINTS)
    values = np.array([np.interp(grid, tokens, rates) for tokens, rates in curves])
    found = [over_seeds(column) for column in values.T]
    return Band(
        tuple(grid.tolist()), tuple(i.mean for i in found),
        tuple(i.mean if math.isnan(i.low) else max(i.low, 0.0) for i in found),
        tuple(i.mean if math.isnan(i.high) else min(i.high, 1.0) for i in found),
    )  # fmt: skip
