"""Grafana's dashboards from one table of what a run exports.

python -m stepcoder.deploy.shown.dashboards deploy/grafana
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepcoder.deploy.run.exported import SCRAPED, exported
from stepcoder.files import write_json

RUN = '{run=~"$run"}'
WIDTH, HEIGHT, A_ROW = 12, 8, 2  # of Grafana's 24 columns


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture of metrics, by their names in metrics.jsonl; `*` stands for every kind. `unit` is Grafana's."""

    title: str
    unit: str
    names: tuple[str, ...]

    def queries(self) -> list[str]:
        """In Prometheus's language, for the run that the dashboard's variable `run` chooses."""
        return [f"ray_{exported(name)[0]}{RUN}" for name in self.names]


DASHBOARDS: dict[str, tuple[Panel, ...]] = {
    "generation": (
        Panel("Tokens sampled a second", "short", ("tokens_per_s/generate",)),
        Panel("Time to generate a step", "s", ("seconds/generate",)),
        Panel("Tokens of a response, mean", "short", ("tokens/mean_response",)),
        Panel("Tokens of a step", "short", ("tokens/generated",)),
        Panel("Weight updates behind: the oldest group, the mean token", "short", ("staleness", "staleness/mean")),
        Panel("Distance of sampler and learner (nats a token)", "short", ("gap/logprob_abs_mean",)),
        Panel("Idle", "percentunit", ("idle/engines", "idle/executors", "idle/learner")),
        Panel("Groups: waiting, under way, finished", "short", ("queue/waiting", "queue/unfinished", "queue/finished")),
        Panel("Completions in an engine, mean", "short", ("queue/requests",)),
        Panel("Time that a finished group waits for its step", "s", ("age/finished_s",)),
    ),
    "execution": (
        Panel("Programs that wait for their report, mean", "short", ("queue/judging",)),
        Panel("Programs that pass", "percentunit", ("pass_rate", "pass_rate/full")),
        Panel("Verdicts", "percentunit", ("verdict/*",)),
        Panel("Groups that the sandbox could not judge", "short", ("groups/unjudged",)),
    ),
    "learning": (
        Panel("Reward, mean", "short", ("reward/mean",)),
        Panel("Pass rate, no prefix given", "percentunit", ("eval/*/pass_rate",)),
        Panel("KL to the reference (nats a token)", "short", ("kl/reference",)),
        Panel("Entropy of the policy (nats)", "short", ("policy/entropy",)),
        Panel("Losses", "short", ("policy/loss", "value/loss")),
        Panel("Gradient norms before clipping", "short", ("grad_norm/policy", "grad_norm/critic")),
        Panel("Tokens that the policy loss clips", "percentunit", ("policy/clip_share",)),
        Panel("Learning rate of the policy", "sci", ("lr/policy",)),
        Panel("Tokens trained a second", "short", ("tokens_per_s/train",)),
        Panel("Time to train and to send weights", "s", ("seconds/train", "seconds/publish")),
    ),
    "curriculum": (
        Panel("Start point, from full generation (0) to the end", "percentunit", ("curriculum/stage_fraction",)),
        Panel("Problems at full generation", "percentunit", ("curriculum/full_generation_share",)),
        Panel("Subtasks by stage", "short", ("curriculum/histogram/*",)),
        Panel("Moves to an earlier start point", "short", ("curriculum/moves", "curriculum/moves_by_cap")),
        Panel("Epoch", "short", ("curriculum/epoch",)),
        Panel("Problems met", "short", ("curriculum/problems_met",)),
    ),
    "masks": (
        Panel("Sampled tokens that a test executed", "percentunit", ("executed_share",)),
        Panel("Programs whose coverage is not trusted", "percentunit", ("coverage/untrusted_share",)),
        Panel("Tokens trained on in a step", "short", ("tokens/trained",)),
    ),
    "faults": (
        Panel("Engines and learners that were replaced", "short", ("faults/engines", "faults/learner")),
        Panel("Time until they were in use, together", "s", ("faults/seconds",)),
        Panel("Updates refused", "short", ("updates/refused", "updates/total")),
        Panel("Groups that the sandbox could not judge", "short", ("groups/unjudged",)),
        Panel("Alarms of engine and learner being apart", "short", ("gap/alarm",)),
        Panel("Outcomes that came too late", "short", ("curriculum/stale_outcomes",)),
        Panel("Groups that were too old and written anew", "short", ("groups/too_old",)),
        Panel(
            "Problems left out", "short", ("curriculum/unparsable_solutions", "curriculum/too_long_problems")
        ),
    ),
}  # fmt: skip


def dashboard(name: str) -> dict[str, Any]:
    """One of DASHBOARDS as Grafana imports it."""
    source = {"type": "prometheus", "uid": "${source}"}
    variables = [
        {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        {
            "name": "run", "type": "query", "datasource": source, "query": f"label_values({SCRAPED}step, run)",
            "multi": True, "includeAll": True, "allValue": ".*", "refresh": 2,
        },
    ]  # fmt: skip
    return {
        "uid": f"stepcoder-{name}",
        "title": f"StepCoder: {name}",
        "tags": ["stepcoder"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": variables},
        "panels": [_panel(number, panel, source) for number, panel in enumerate(DASHBOARDS[name])],
    }


def _panel(number: int, panel: Panel, source: dict[str, str]) -> dict[str, Any]:
    row, column = divmod(number, A_ROW)
    targets = [
        {"refId": chr(ord("A") + i), "expr": query, "datasource": source, "legendFormat": f"{name} {{{{of}}}}"}
        for i, (name, query) in enumerate(zip(panel.names, panel.queries(), strict=True))
    ]
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": source,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": targets,
    }


def write(folder: Path) -> None:
    for name in DASHBOARDS:
        write_json(folder / f"{name}.json", dashboard(name))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
