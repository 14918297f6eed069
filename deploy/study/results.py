"""What a study has found so far: arms, their runs, and what each run's files say. Nothing is computed here.

results = read(Path("runs/study"))
for arm in results.arms:
    for run in arm.runs: run.state, run.last("heldout"), run.curve("heldout")
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from stepcoder.deploy.config.shared import HELDOUT
from stepcoder.deploy.config.sources import read_kept
from stepcoder.deploy.run.metrics import METRICS, read_metrics
from stepcoder.deploy.run.provenance import recorded
from stepcoder.deploy.study.plan import STUDY, run_directory
from stepcoder.deploy.study.statistics import Table
from stepcoder.deploy.study.trials import State, progress
from stepcoder.errors import UserError

Counts = Mapping[str, tuple[int, int]]  # problem id -> (passed, total)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One evaluation of a run, after so many steps and generated tokens; by split: pass rate, counts, each problem's
    level."""

    step: int
    tokens: int
    rates: Mapping[str, float]
    counts: Mapping[str, Counts]
    levels: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Run:
    """`rewards`: tokens generated up to a step, and the step's mean reward. `provenance`: see `run/provenance.py`."""

    arm: str
    seed: int
    path: Path
    state: State
    evaluations: tuple[Evaluated, ...]
    rewards: tuple[tuple[int, float], ...]
    provenance: tuple[Mapping[str, Any], ...]

    def last(self, split: str) -> Counts:
        """Counts by problem of the last evaluation; empty where there is none."""
        return self.evaluations[-1].counts.get(split, {}) if self.evaluations else {}

    def curve(self, split: str) -> tuple[list[int], list[float]]:
        """Tokens generated in training and pass rate, at every evaluation."""
        points = [(found.tokens, found.rates[split]) for found in self.evaluations if split in found.rates]
        return [tokens for tokens, _ in points], [rate for _, rate in points]


@dataclass(frozen=True, slots=True)
class ArmResults:
    """An arm with all of its runs, begun or not."""

    name: str
    settings: Mapping[str, Any]
    runs: tuple[Run, ...]

    @property
    def done(self) -> dict[int, Run]:
        """Its runs that are done, by seed."""
        return {run.seed: run for run in self.runs if run.state == "done"}


@dataclass(frozen=True, slots=True)
class Results:
    """`arms` in the order of the study; the first is what the others are compared with."""

    directory: Path
    config: str
    budget: Mapping[str, float]
    start: Mapping[str, str]
    arms: tuple[ArmResults, ...]

    @property
    def first(self) -> ArmResults:
        return self.arms[0]

    def against(self, name: str) -> "Results":
        """The same with another arm as what the others are compared with; UserError where there is no such arm."""
        if name not in (names := [arm.name for arm in self.arms]):
            raise UserError(f"--against {name}: the arms are {', '.join(names)}")
        return replace(self, arms=tuple(sorted(self.arms, key=lambda arm: arm.name != name)))


def read(directory: Path) -> Results:
    """Raises UserError where there is no study."""
    try:
        kept = read_kept(directory / STUDY)
        arms = tuple(
            ArmResults(
                name,
                arm["settings"],
                tuple(run_of(run_directory(directory, name, seed), name, seed) for seed in arm["seeds"]),
            )
            for name, arm in kept["arms"].items()
        )
        return Results(directory, kept["config"], kept["budget"], kept.get("start", {}), arms)
    except OSError as error:
        raise UserError(f"{directory}: no {STUDY} there ({error.strerror}); give the directory of a study") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{directory / STUDY} is not what a study writes: {error}") from None


def run_of(path: Path, arm: str, seed: int) -> Run:
    """Any run directory as a run of an arm."""
    tokens, evaluations, rewards = 0, dict[int, Evaluated](), []
    for record in sorted(read_metrics(path / METRICS), key=lambda line: (line["step"], "eval" in line)):
        if "eval" in record:
            evaluations[record["step"]] = _evaluated(record, tokens)
        elif record["step"]:
            tokens += int(record.get("tokens/generated", 0))
            rewards.append((tokens, float(record.get("reward/mean", np.nan))))
    ordered = tuple(evaluations[step] for step in sorted(evaluations))
    return Run(arm, seed, path, progress(path).state, ordered, tuple(rewards), tuple(recorded(path)))


def _evaluated(record: Mapping[str, Any], tokens: int) -> Evaluated:
    splits: Mapping[str, Any] = record["eval"]
    return Evaluated(
        int(record["step"]), tokens,
        {name: float(found["pass_rate"]) for name, found in splits.items()},
        {name: {p: (int(a), int(b)) for p, (a, b) in found["per_problem"].items()} for name, found in splits.items()},
        {name: found.get("levels", {}) for name, found in splits.items()},
    )  # fmt: skip


def table_of(runs: Mapping[int, Run], seeds: list[int], split: str, problems: list[str]) -> Table:
    """Pass rates at the end, [seeds, problems]."""
    counts = [runs[seed].last(split) for seed in seeds]
    return np.array([[own[p][0] / own[p][1] for p in problems] for own in counts]).reshape(len(seeds), len(problems))


def common_problems(runs: list[Run], split: str) -> list[str]:
    """Problems that the last evaluations of all these runs have, in order."""
    if not runs:
        return []
    shared = set.intersection(*(set(run.last(split)) for run in runs))
    return [problem for problem in runs[0].last(split) if problem in shared]


def areas(runs: Mapping[int, Run], seeds: list[int]) -> Float[np.ndarray, " S"]:
    """Learning speed: the mean held-out pass rate over the tokens of a run, straight lines between its evaluations."""
    found = []
    for seed in seeds:
        tokens, rates = runs[seed].curve(HELDOUT)
        width = tokens[-1] - tokens[0] if tokens else 0
        found.append(float(np.trapezoid(rates, tokens)) / width if width else np.nan)
    return np.array(found)
