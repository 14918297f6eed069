"""What a grading comes to: pass@k and the shares of verdicts, overall and by level.

The tally's memory grows with the problems, not with the samples. A program that the sandbox could not judge
(`infra_error`) counts among the verdicts only: it is neither a pass nor a failure.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import comb, fsum
from typing import Any

from stepcoder.executor.report import Verdict
from stepcoder.words import plural

ALL = "all"
DEFAULT_KS = (1, 5, 10)  # the k of pass@k, where none are asked for


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Unbiased estimate of the chance that one of k programs passes, 1 - C(n-c, k) / C(n, k).

    Chen et al. 2021 (arXiv 2107.03374), equation 1. ValueError unless 1 <= k <= samples.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} cannot be estimated from {plural(samples, 'sample')}")
    draws = comb(samples, k)
    return (draws - comb(samples - passed, k)) / draws  # rounded once


@dataclass(slots=True)
class Count:
    """Samples of one problem that the sandbox judged."""

    passed: int = 0
    judged: int = 0


@dataclass(slots=True)
class Tally:
    """Counts so far. `levels`: the level of each problem; `order` is theirs. `counts` are by problem."""

    levels: Mapping[str, str]
    order: Sequence[str]
    counts: dict[str, Count] = field(default_factory=dict)
    verdicts: dict[str, Counter[str]] = field(default_factory=dict)
    rewards: dict[str, float] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        """One result, as written to the file."""
        problem, verdict = record["problem_id"], record["verdict"]
        level = self.levels[problem]
        self.verdicts.setdefault(level, Counter())[verdict] += 1
        count = self.counts.setdefault(problem, Count())
        if verdict != Verdict.INFRA_ERROR:
            count.passed += verdict == Verdict.PASSED
            count.judged += 1
            self.rewards[level] = self.rewards.get(level, 0.0) + record["reward"]

    @property
    def samples(self) -> int:
        return sum(counter.total() for counter in self.verdicts.values())

    @property
    def infra_errors(self) -> int:
        return sum(counter[Verdict.INFRA_ERROR] for counter in self.verdicts.values())


def summarise(tally: Tally, ks: Sequence[int]) -> dict[str, Any]:
    """JSON data: for `all` and each level that has samples, pass@k, mean reward and verdict shares.

    pass@k is the mean over the problems with at least k judged samples; `left_out` counts the others that have any.
    It is None where no problem has k.
    """
    order = [level for level in tally.order if level in tally.verdicts]
    sampled = len(tally.counts)
    return {
        "samples": tally.samples,
        "problems": sampled,
        "problems_without_samples": len(tally.levels) - sampled,
        "levels": {name: _group(tally, order if name == ALL else [name], ks) for name in (ALL, *order)},
    }


def _group(tally: Tally, levels: Sequence[str], ks: Sequence[int]) -> dict[str, Any]:
    counts = [count for problem, count in tally.counts.items() if tally.levels[problem] in levels]
    verdicts: Counter[str] = sum((tally.verdicts[level] for level in levels), Counter())
    judged = sum(count.judged for count in counts)
    rates = {}
    for k in ks:
        estimates = [pass_at_k(count.judged, count.passed, k) for count in counts if count.judged >= k]
        rates[str(k)] = {
            "rate": fsum(estimates) / len(estimates) if estimates else None,
            "left_out": len(counts) - len(estimates),
        }
    return {
        "problems": len(counts),
        "samples": verdicts.total(),
        "pass_at_k": rates,
        "mean_reward": fsum(tally.rewards.get(level, 0.0) for level in levels) / judged if judged else None,
        "verdicts": {verdict.value: verdicts[verdict] / verdicts.total() for verdict in Verdict if verdicts[verdict]},
    }


def tables(summary: Mapping[str, Any]) -> list[Any]:
    """Two rich tables: pass@k by level, and verdicts by level."""
    from rich.table import Table

    groups: Mapping[str, Any] = summary["levels"]
    title = f"{plural(summary['samples'], 'program')}, {plural(summary['problems'], 'problem')}"
    rates = Table(title=title, caption=notes(summary))
    ks = list(next(iter(groups.values()))["pass_at_k"])
    for name in ("level", "problems", "programs", *(f"pass@{k}" for k in ks), "mean reward"):
        rates.add_column(name, justify="left" if name == "level" else "right")
    for name, group in groups.items():
        shown = [_percent(group["pass_at_k"][k]["rate"]) for k in ks]
        mean = "-" if group["mean_reward"] is None else f"{group['mean_reward']:+.3f}"
        style = "bold" if name == ALL else None
        rates.add_row(name, f"{group['problems']:,}", f"{group['samples']:,}", *shown, mean, style=style)
    verdicts = Table(title="Verdicts")
    verdicts.add_column("verdict")
    for name in groups:
        verdicts.add_column(name, justify="right")
    for verdict in groups[ALL]["verdicts"]:
        verdicts.add_row(verdict, *(_percent(group["verdicts"].get(verdict, 0.0)) for group in groups.values()))
    return [rates, verdicts]


def notes(summary: Mapping[str, Any]) -> str | None:
    """What the figures leave out, in words; None where they leave out nothing."""
    said = []
    if missing := summary["problems_without_samples"]:
        said.append(f"problems of the file without a program, left out: {missing:,}")
    for k, entry in summary["levels"][ALL]["pass_at_k"].items():
        if entry["left_out"]:
            said.append(f"problems with fewer than {k} judged programs, left out of pass@{k}: {entry['left_out']:,}")
    return "; ".join(said) or None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
