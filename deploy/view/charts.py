"""The charts of a run's numbers as plain data: what is drawn, from which names of metrics.jsonl.

Pure. A chart of lines lays several runs over each other; one of shares or seconds is stacked, and there is one for each
run. A value that is no finite number is a gap.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stepcoder.deploy.shown.summary import interval
from stepcoder.deploy.view.arms import by_arm, mean, shares, table
from stepcoder.deploy.view.run import Run, number

Kind = Literal["lines", "stack", "points"]
_STACKED = 4  # runs that have charts of their own
_MOST = 2_000  # points of a series; of more every so many are drawn


@dataclass(frozen=True, slots=True)
class Wanted:
    """A chart of `names` in metrics.jsonl: (name, what it is called). `prefix`: of all names that begin so."""

    id: str
    title: str
    about: str
    unit: str
    names: tuple[tuple[str, str], ...] = ()
    prefix: str = ""
    kind: Kind = "lines"


WANTED = (
    Wanted("reward", "Reward", "mean over the completions of a step, start points as the curriculum has them", "",
           (("reward/mean", "reward"),)),
    Wanted("passed", "Passed while training", "of all completions, and of those at full generation", "%",
           (("pass_rate", "all"), ("pass_rate/full", "full generation"))),
    Wanted("verdicts", "Verdicts", "shares of a step's programs", "%", prefix="verdict/", kind="stack"),
    Wanted("stages", "Start points", "problems by stage; 0 is full generation", "problems",
           prefix="curriculum/histogram/", kind="stack"),
    Wanted("executed", "Executed tokens", "share of the written tokens that a test executed", "%",
           (("executed_share", "executed"),)),
    Wanted("kl", "Distance from the reference", "KL divergence, nats a token", "nats", (("kl/reference", "KL"),)),
    Wanted("gap", "Sampler and learner", "mean distance of their log-probabilities, nats a token", "nats",
           (("gap/logprob_abs_mean", "gap"),)),
    Wanted("entropy", "Entropy", "of the policy, nats a token", "nats", (("policy/entropy", "entropy"),)),
    Wanted("loss", "Loss", "of fine-tuning, nats a token", "nats",
           (("sft/loss", "training"), ("sft/validation_loss", "held out"))),
    Wanted("tokens", "Speed", "tokens a second", "tokens/s",
           (("tokens_per_s/generate", "generated"), ("tokens_per_s/train", "trained"))),
    Wanted("seconds", "Where the time goes", "seconds of a step by phase", "s",
           (("seconds/generate", "generate"), ("seconds/train", "train"), ("seconds/publish", "send weights"),
            ("seconds/validate", "validate")), kind="stack"),
)  # fmt: skip


def charts(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Every chart that has a value: {id, title, about, unit, kind, series: [{run, label, x, y, low, high}]}."""
    found = [*_rates(runs)]
    for wanted in WANTED:
        if wanted.kind == "stack":
            found += [_chart(wanted, list(_lines(wanted, run)), run.name) for run in runs[:_STACKED]]
        else:
            found.append(_chart(wanted, [line for run in runs for line in _lines(wanted, run)]))
    return [chart for chart in found if chart["series"]]


def _chart(wanted: Wanted, series: list[dict[str, Any]], run: str = "") -> dict[str, Any]:
    return {"id": f"{wanted.id}-{run}" if run else wanted.id, "title": wanted.title, "about": wanted.about,
            "unit": wanted.unit, "kind": wanted.kind, "run": run, "series": series}  # fmt: skip


def _lines(wanted: Wanted, run: Run) -> Iterable[dict[str, Any]]:
    records = run.steps()
    names = wanted.names or tuple((name, label) for name, label in _under(records, wanted.prefix))
    for name, label in names:
        values = [(record["step"], _value(record, name, wanted.prefix)) for record in records]
        if any(value is not None for _, value in values):
            yield _series(run, label, [step for step, _ in values], [value for _, value in values])


def _under(records: Sequence[dict[str, Any]], prefix: str) -> list[tuple[str, str]]:
    """(name, rest) of the metrics below a prefix; of a dictionary the entries by number."""
    whole, found = prefix.rstrip("/"), {}
    for record in records:
        inner = record.get(whole)
        for name in inner if isinstance(inner, dict) else record:
            if inner is not None or name.startswith(prefix):
                found[str(name).removeprefix(prefix)] = None
    numbers = all(name.isdecimal() and len(name) < 6 for name in found)
    kinds = sorted(found, key=int) if numbers else sorted(found, key=lambda kind: (kind == "passed", kind))
    return [(prefix + kind, f"stage {kind}" if numbers else kind.replace("_", " ")) for kind in kinds[:40]]


def _value(record: dict[str, Any], name: str, prefix: str) -> float | None:
    """Of a kind that does not occur in a step whose others do, 0."""
    if name in record:
        return number(record[name])
    if prefix and any(other.startswith(prefix) for other in record):
        return 0.0
    whole, _, inner = name.rpartition("/")
    table = record.get(whole)
    return number(table.get(inner, 0)) if isinstance(table, dict) else None


def _rates(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Pass rates of the evaluations with their intervals, a chart a split; by level, where there are several.

    Of a study there is a line an arm.
    """
    if arms := by_arm(runs):
        return [_arms(split, arms) for split in dict.fromkeys(s for run in runs for s in run.evaluations())]
    splits = dict.fromkeys(split for run in runs for split in run.evaluations())
    found = []
    for split in splits:
        told = split_words(split)
        wanted = Wanted(f"rate-{split}", f"Pass rate, {told}", "at full generation, with 95 % intervals over problems",
                        "%", kind="points")  # fmt: skip
        found.append(_chart(wanted, [s for run in runs if (s := _evaluated(run, split)) is not None]))
        levels = [s for run in runs for s in _levels(run, split)]
        if len({s["label"] for s in levels}) > 1:
            wanted = Wanted(f"levels-{split}", f"By level, {told}", "pass rate at full generation", "%", kind="points")
            found.append(_chart(wanted, levels))
    return found


def split_words(split: str) -> str:
    return {"train": "training problems", "heldout": "held-out problems"}.get(split, split)


def _arms(split: str, arms: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Learning curves with bands: the mean over seeds and problems, where every seed of an arm was evaluated."""
    wanted = Wanted(f"rate-{split}", f"Pass rate, {split_words(split)}",
                    "at full generation, mean over seeds, with 95 % intervals over seeds and problems", "%",
                    kind="points")  # fmt: skip
    series = []
    for arm, runs in arms.items():
        seeds = [dict(run.evaluations().get(split, [])) for run in runs]
        seeds = [seed for seed in seeds if seed]
        steps = [step for step in seeds[0] if all(step in seed for seed in seeds)] if seeds else []
        around = [(step, mean(table([shares(seed[step]) for seed in seeds]))) for step in steps]
        points = [(step, item) for step, item in around if item is not None]
        if points:
            line = _series(runs[0], "passed", [step for step, _ in points], [item.mean for _, item in points])
            low, high = (
                [None if (v := getattr(item, end)) != v else v for _, item in points] for end in ("low", "high")
            )
            series.append(line | {"run": arm, "low": low, "high": high})
    return _chart(wanted, series)


def _evaluated(run: Run, split: str) -> dict[str, Any] | None:
    results = run.evaluations().get(split)
    if not results:
        return None
    around = [interval({"stderr": None} | result) for _, result in results]
    bounds = [(None, None) if item.low != item.low else (item.low, item.high) for item in around]
    series = _series(run, "passed", [step for step, _ in results], [item.mean for item in around])
    return series | {"low": [low for low, _ in bounds], "high": [high for _, high in bounds]}


def _levels(run: Run, split: str) -> Iterable[dict[str, Any]]:
    results = run.evaluations().get(split, [])
    tables = [(step, result.get("by_level")) for step, result in results]
    known = dict.fromkeys(level for _, table in tables if isinstance(table, dict) for level in table)
    for level in list(known)[:10]:
        values = [number(table.get(level)) if isinstance(table, dict) else None for _, table in tables]
        yield _series(run, str(level), [step for step, _ in tables], values)


def _series(run: Run, label: str, x: list[int], y: list[float | None]) -> dict[str, Any]:
    every = -(-len(x) // _MOST)
    kept: Callable[[list[Any]], list[Any]] = lambda values: values[::-1][::every][::-1]  # noqa: E731  (the last stays)
    rounded = [None if value is None else float(f"{value:.6g}") for value in y]
    return {"run": run.name, "group": run.arm or run.name, "label": label, "x": kept(x), "y": kept(rounded)}


# -- figures ---------------------------------------------------------------------------------------------------------


def tiles(run: Run) -> list[tuple[str, str, str]]:
    """(what, value, beside it) of a run at a glance."""
    records, found = run.steps(), []
    steps = run.config().get("run.steps")
    last = max((record["step"] for record in records), default=0)
    found.append(("step", f"{last:,}", f"of {steps:,}" if type(steps) is int else ""))
    for split, results in run.evaluations().items():
        first, now = number(results[0][1]["pass_rate"]), number(results[-1][1]["pass_rate"])
        assert first is not None and now is not None  # evaluations() has no others
        was = f"from {first:.1%}" if len(results) > 1 else f"at step {results[-1][0]}"
        found.append(({"train": "training", "heldout": "held out"}.get(split, split) + " pass rate", f"{now:.1%}", was))
    for name, label, form in (("reward/mean", "reward", "{:+.2f}"), ("executed_share", "executed tokens", "{:.0%}"),
                              ("curriculum/full_generation_share", "at full generation", "{:.0%}")):  # fmt: skip
        values = [value for record in records if (value := number(record.get(name))) is not None]
        if values:
            was = form.format(values[0])
            found.append((label, form.format(values[-1]), f"from {was}" if len(values) > 1 else ""))
    tokens = sum(number(record.get("tokens/generated")) or 0 for record in records)
    if tokens:
        found.append(("generated tokens", _short(tokens), ""))
    return found


def _short(count: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f}"
