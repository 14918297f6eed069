"""Pass rates with their uncertainty, and the table at the end of a run.

A pass rate is the mean over problems of each problem's share of passing completions. Its standard error is taken over
problems (completions of one problem are a cluster, not independent draws). A difference between two evaluations is
paired: each problem against itself.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepcoder.deploy.run.faults import FAULTS, read_faults, told
from stepcoder.deploy.run.metrics import read_metrics, tokens_generated
from stepcoder.executor.grading.summary import pass_at_k
from stepcoder.words import plural

Z95 = 1.959963984540054  # two-sided 95% point of the normal distribution
Counts = Mapping[str, Sequence[int]]  # problem id -> [passed, total]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95% interval, as fractions (0.15 is 15 points)."""

    mean: float
    low: float
    high: float

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error (sample deviation over root n); the error of fewer than two values is NaN."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return mean, math.nan
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)


def sampling_error(counts: Counts) -> float:
    """Standard error of the pass rate on exactly these problems: only the draw of completions is random.

    Root of the sum over problems of p(1-p)/(k-1) over n: the unbiased variance of each problem's mean of k.
    """
    variances = []
    for passed, total in counts.values():
        share = passed / total
        variances.append(share * (1 - share) / (total - 1) if total > 1 else math.nan)
    return math.sqrt(math.fsum(variances)) / len(variances)


def evaluation(counts: Counts, levels: Mapping[str, str], ks: Sequence[int] = ()) -> dict[str, Any]:
    """What a metrics file keeps of one evaluated split. `levels` gives each problem's level.

    `stderr` is over problems, `sampling_stderr` for these very problems. `ks`: the k of pass@k; those above the fewest
    completions of a problem are left out.
    """
    if not counts:
        raise ValueError("an evaluation needs at least one problem")
    shares = {problem: passed / total for problem, (passed, total) in counts.items()}
    rate, stderr = mean_and_error(list(shares.values()))
    by_level: dict[str, list[float]] = {}
    for problem, share in shares.items():
        by_level.setdefault(levels[problem], []).append(share)
    return {
        "pass_rate": rate,
        "stderr": stderr,
        "sampling_stderr": sampling_error(counts),
        "n_problems": len(counts),
        "n_samples": sum(total for _, total in counts.values()),
        "by_level": {level: math.fsum(found) / len(found) for level, found in sorted(by_level.items())},
        "per_problem": {problem: [int(passed), int(total)] for problem, (passed, total) in counts.items()},
        "levels": {problem: levels[problem] for problem in counts},
    } | _pass_at(counts, ks)


def _pass_at(counts: Counts, ks: Sequence[int]) -> dict[str, Any]:
    """pass@k by k, the mean over problems, and its standard error over problems."""
    fewest = min(total for _, total in counts.values())
    usable = [k for k in ks if k <= fewest]
    found = {k: mean_and_error([pass_at_k(total, passed, k) for passed, total in counts.values()]) for k in usable}
    if not found:
        return {}
    return {
        "pass_at_k": {str(k): rate for k, (rate, _) in found.items()},
        "pass_at_k_stderr": {str(k): error for k, (_, error) in found.items()},
    }


def interval(result: Mapping[str, Any]) -> Interval:
    """The pass rate of an evaluated split with its 95% interval, cut to 0 .. 1."""
    rate, stderr = result["pass_rate"], result["stderr"]
    half = Z95 * stderr if isinstance(stderr, float) and math.isfinite(stderr) else math.nan
    return Interval(rate, max(0.0, rate - half), min(1.0, rate + half))


def difference(before: Counts, after: Counts) -> Interval:
    """Change in pass rate with its 95% interval, paired over the problems that both evaluations have."""
    common = [problem for problem in before if problem in after]
    if not common:
        raise ValueError("the two evaluations have no problem in common")
    changes = [after[name][0] / after[name][1] - before[name][0] / before[name][1] for name in common]
    mean, stderr = mean_and_error(changes)
    return Interval(mean, mean - Z95 * stderr, mean + Z95 * stderr)


def evaluations(records: Iterable[Mapping[str, Any]]) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    """Split -> [(step, result)] by step; of two evaluations of one step the later line counts."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for record in records:
        for split, result in record.get("eval", {}).items():
            found.setdefault(split, {})[int(record["step"])] = result
    return {split: sorted(results.items()) for split, results in found.items()}


def points(estimate: Interval, signed: bool = False) -> str:
    """`34.2 % [31.0, 37.4]`, or `+15.1 points [12.0, 18.2]`."""
    sign = "+" if signed else ""
    unit = " points" if signed else " %"
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return f"{100 * estimate.mean:{sign}.1f}{unit}"
    return f"{100 * estimate.mean:{sign}.1f}{unit} [{100 * estimate.low:{sign}.1f}, {100 * estimate.high:{sign}.1f}]"


def report(metrics_file: Path) -> dict[str, Any]:
    """First and last evaluation of each split, their paired difference, and what the run cost; for report.json.

    `seconds_per_step` is the sum of a step's phases, more than the clock says where generation overlaps training.
    `seconds_to_first_evaluation` goes from the start of the command that made it to its first prompt.
    """
    records = list(read_metrics(metrics_file))
    steps = [record for record in records if "eval" not in record and record["step"]]
    splits = {}
    for split, results in evaluations(records).items():
        (first_step, first), (last_step, last) = results[0], results[-1]
        entry: dict[str, Any] = {"first_step": first_step, "last_step": last_step}
        for name, result in (("before", first), ("after", last)):
            around = interval(result)
            entry[name] = {
                "pass_rate": around.mean, "low": around.low, "high": around.high,
                "sampling_stderr": result.get("sampling_stderr"), "by_level": result["by_level"],
                "n_problems": result["n_problems"], "n_samples": result["n_samples"],
            }  # fmt: skip
        if len(results) > 1:
            change = difference(first["per_problem"], last["per_problem"])
            entry["difference"] = {"mean": change.mean, "low": change.low, "high": change.high}
        splits[split] = entry
    seconds = [step_seconds(record) for record in steps]
    begun = next((record["start_seconds/total"] for record in records if "start_seconds/total" in record), None)
    return {
        "faults": told(read_faults(metrics_file.with_name(FAULTS))),
        "steps": max((int(record["step"]) for record in steps), default=0),
        "tokens_generated": tokens_generated(steps),
        "tokens_trained": sum(int(record.get("tokens/trained", 0)) for record in steps),
        "seconds_per_step": math.fsum(seconds) / len(seconds) if seconds else None,
        "seconds_to_first_evaluation": begun,
        "splits": splits,
    }


def step_seconds(record: Mapping[str, Any]) -> float:
    """How long the phases of a step took together."""
    return math.fsum(value for key, value in record.items() if _is_phase(key, value))


def _is_phase(key: str, value: Any) -> bool:
    """What the learner reports of itself is a part of the training phase."""
    return key.startswith("seconds/") and not key.startswith("seconds/learner_") and isinstance(value, float)


def table(result: Mapping[str, Any]) -> Any:
    """A rich table of `report`'s result: one row a split, then its levels."""
    from rich.table import Table

    kind = "generated" if result["tokens_generated"] else "trained"
    title = (
        f"Pass rate at full generation, {plural(result['steps'], 'step')}, {result[f'tokens_{kind}']:,} {kind} tokens"
    )
    view = Table(
        title=title, caption="95% intervals over problems; the difference is paired, each problem against itself"
    )
    for name in ("problems", "before", "after", "difference"):
        view.add_column(name, justify="left" if name == "problems" else "right")
    for split, entry in result["splits"].items():
        before, after = (Interval(e["pass_rate"], e["low"], e["high"]) for e in (entry["before"], entry["after"]))
        change = entry.get("difference")
        shown = points(Interval(change["mean"], change["low"], change["high"]), signed=True) if change else "-"
        view.add_row(f"{split} ({entry['after']['n_problems']})", points(before), points(after), shown, style="bold")
        for level, share in entry["after"]["by_level"].items():
            was = entry["before"]["by_level"].get(level)
            moved = f"{100 * (share - was):+.1f} points" if was is not None else "-"
            view.add_row(f"  {level}", "-" if was is None else f"{100 * was:.1f} %", f"{100 * share:.1f} %", moved)
    return view


def comparison_table(reports: Mapping[str, Mapping[str, Any]]) -> Any:
    """A rich table of several runs' reports: what each run is, and a row a split."""
    from rich.markup import escape
    from rich.table import Table

    view = Table(
        title="Pass rate at full generation, first and last evaluation",
        caption="95% intervals over problems; the difference is paired, each problem against itself",
    )
    for name in ("run", "before", "after", "difference"):
        view.add_column(name, justify="left" if name == "run" else "right", overflow="fold")
    for name, result in reports.items():
        pace = result["seconds_per_step"]
        view.add_row(
            escape(name), "", plural(result["steps"], "step"), f"{pace:.1f} s each" if pace else "", style="bold"
        )
        for split, entry in result["splits"].items():
            change = entry.get("difference")
            shown = points(Interval(change["mean"], change["low"], change["high"]), signed=True) if change else "-"
            before, after = (f"{100 * entry[when]['pass_rate']:.1f} %" for when in ("before", "after"))
            if not change:  # one evaluation: of the model as it was, or as it is now
                before, after = ("-", after) if entry["last_step"] else (before, "-")
            view.add_row(f"  {split} ({entry['after']['n_problems']})", before, after, shown)
    return view


def rates_table(splits: Mapping[str, Mapping[str, Any]], title: str) -> Any:
    """A rich table of one evaluation: pass rate with its interval, by split and level."""
    from rich.table import Table

    view = Table(title=title, caption="95% intervals over problems")
    for name in ("problems", "completions", "pass rate"):
        view.add_column(name, justify="left" if name == "problems" else "right")
    for split, result in splits.items():
        name = f"{split} ({result['n_problems']})"
        view.add_row(name, str(result["n_samples"]), points(interval(result)), style="bold")
        for k, rate in result.get("pass_at_k", {}).items():
            if k != "1":
                view.add_row(f"  pass@{k}", "", f"{100 * rate:.1f} %")
        if greedy := result.get("greedy"):
            view.add_row("  greedy", str(greedy["n_samples"]), points(interval(greedy)))
        for level, share in result["by_level"].items():
            view.add_row(f"  {level}", "", f"{100 * share:.1f} %")
    return view
