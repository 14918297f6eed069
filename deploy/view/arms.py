"""The arms of a study: which runs belong together, and how sure their means and differences are.

A study is a directory with `study.yaml` and `runs/ARM/seed-N/`. An arm is a table of pass rates, seeds by problems.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from stepcoder.deploy.shown.summary import Interval
from stepcoder.deploy.study.statistics import Table, crossed
from stepcoder.deploy.view.files import Files
from stepcoder.deploy.view.run import Run

STUDY = "study.yaml"
_NAME = re.compile(r"[\w+-]{1,80}", re.ASCII)
Shares = dict[str, float]  # problem id -> share of its completions that passed


def study_runs(place: str) -> list[tuple[str, str]] | None:
    """(arm, place of a run) of every run that has been begun, in the study's order; None where this is no study."""
    files = Files(place)
    try:
        kept = yaml.safe_load(files.tail(STUDY, 0))
        arms = {str(name): list(arm["seeds"]) for name, arm in kept["arms"].items()}
    except OSError:
        return None
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError):
        return []
    found = [(arm, f"runs/{arm}/seed-{seed}") for arm, seeds in arms.items() for seed in seeds
             if _NAME.fullmatch(arm) and type(seed) is int]  # fmt: skip
    return [(arm, f"{place.rstrip('/')}/{run}") for arm, run in found if files.names(run)]


def by_arm(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs of a study by their arm; empty for others."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        if run.arm:
            found.setdefault(run.arm, []).append(run)
    return found


def shares(result: dict[str, Any]) -> Shares:
    """Of one evaluation."""
    table = result.get("per_problem")
    found = {}
    for problem, counts in table.items() if isinstance(table, dict) else ():
        if isinstance(counts, list) and len(counts) == 2 and all(type(n) is int for n in counts) and counts[1] > 0:
            found[str(problem)] = counts[0] / counts[1]
    return found


def table(seeds: Sequence[Shares]) -> Table:
    """Of the problems that all seeds have."""
    common = [problem for problem in seeds[0] if all(problem in seed for seed in seeds)] if seeds else []
    return np.array([[seed[problem] for problem in common] for seed in seeds]).reshape(len(seeds), len(common))


def mean(found: Table) -> Interval | None:
    """The mean with its 95 % interval; None without a problem."""
    if not found.size:
        return None
    return crossed(found)


def difference(first: Sequence[tuple[str, Shares]], other: Sequence[tuple[str, Shares]]) -> Interval | None:
    """`other` less `first`, each seed and problem against itself; (seed, shares) a run. None without a common one."""
    one, two = dict(first), dict(other)
    seeds = [seed for seed in one if seed in two]
    pairs = [{p: two[seed][p] - one[seed][p] for p in one[seed] if p in two[seed]} for seed in seeds]
    return mean(table(pairs)) if pairs else None


@dataclass(frozen=True, slots=True)
class Row:
    """An arm in one split: `seeds` that were evaluated, the mean, the difference from the first arm, and by level."""

    arm: str
    seeds: int
    mean: Interval
    difference: Interval | None
    levels: dict[str, float]


def comparison(runs: Sequence[Run]) -> dict[str, list[Row]]:
    """Split -> a row an arm, of each run's last evaluation."""
    arms = by_arm(runs)
    splits = dict.fromkeys(split for run in runs if run.arm for split in run.evaluations())
    found: dict[str, list[Row]] = {}
    for split in splits:
        last = {arm: [(_seed(run), run.evaluations()[split][-1][1]) for run in own if split in run.evaluations()]
                for arm, own in arms.items()}  # fmt: skip
        results = {arm: [(seed, shares(result)) for seed, result in own] for arm, own in last.items()}
        first = next(iter(results))
        for arm, own in results.items():
            if own and (around := mean(table([one for _, one in own]))) is not None:
                apart = None if arm == first else difference(results[first], own)
                found.setdefault(split, []).append(
                    Row(arm, len(own), around, apart, _levels([result for _, result in last[arm]]))
                )
    return found


def _seed(run: Run) -> str:
    return run.place.rstrip("/").rsplit("/", 1)[-1]


def _levels(results: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Mean over the seeds of each level's pass rate."""
    tables = [result.get("by_level") for result in results]
    found: dict[str, list[float]] = {}
    for one in tables:
        for level, rate in one.items() if isinstance(one, dict) else ():
            if isinstance(rate, float | int) and math.isfinite(rate):
                found.setdefault(str(level), []).append(float(rate))
    return {level: sum(rates) / len(rates) for level, rates in found.items()}
