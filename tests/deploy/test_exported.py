"""The run's numbers for Prometheus, and the dashboards that show them.

Prometheus itself is in `tests/whole/test_watching.py`.
"""

import json
import logging
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace

import pytest

from stepcoder.deploy.checks.best_metric import check_best_metric
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.run.exported import RayMetrics, exported
from stepcoder.deploy.run.metrics import MetricsWriter, flat, read_metrics
from stepcoder.deploy.shown.dashboards import DASHBOARDS, dashboard
from tests.tools.loop import ROOT
from tests.tools.one_process import configured, go


class Gauges:
    """In place of Ray's, which need a cluster."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], float] = {}

    def Gauge(self, name: str, description: str, tag_keys: tuple[str, ...]) -> SimpleNamespace:
        def set_value(value: float, tags: dict[str, str]) -> None:
            assert set(tags) == set(tag_keys) and tags["run"] == "r"
            self.values[name, tags["of"]] = value

        return SimpleNamespace(set=set_value)


@pytest.mark.parametrize(
    ("name", "metric", "of"),
    [
        ("reward/mean", "stepcoder_reward_mean", ""),
        ("verdict/wrong_answer", "stepcoder_verdict", "wrong_answer"),
        ("curriculum/histogram/12", "stepcoder_curriculum_histogram", "12"),
        ("eval/heldout/pass_rate", "stepcoder_eval_pass_rate", "heldout"),
        ("eval/mbpp/pass_at_k/10", "stepcoder_eval_pass_at_k_10", "mbpp"),
        ("eval/mbpp/greedy/pass_rate", "stepcoder_eval_pass_rate", "mbpp/greedy"),
        ("eval/train/by_level/interview", "stepcoder_eval_by_level_interview", "train"),
        ("my own-metric.1", "stepcoder_my_own_metric_1", ""),
    ],
)
def test_names_are_readable_and_kinds_are_labels(name: str, metric: str, of: str) -> None:
    assert exported(name) == (metric, of)


def test_a_kind_that_ceases_is_zero_and_other_metrics_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gauges = Gauges()
    monkeypatch.setattr("ray.util.metrics.Gauge", gauges.Gauge)
    with MetricsWriter(tmp_path, export=RayMetrics("r").record) as metrics:
        metrics.write(1, {"verdict/passed": 0.25, "verdict/timeout": 0.75, "reward/mean": 1.0})
        metrics.write(2, {"verdict/passed": 1.0, "x": float("nan")})
        metrics.write_evaluation(2, {"train": {"pass_rate": 0.5, "per_problem": {"p": 1.0}}})
    assert gauges.values == {
        ("stepcoder_step", ""): 2.0,
        ("stepcoder_verdict", "passed"): 1.0,
        ("stepcoder_verdict", "timeout"): 0.0,
        ("stepcoder_reward_mean", ""): 1.0,
        ("stepcoder_x", ""): pytest.approx(float("nan"), nan_ok=True),
        ("stepcoder_eval_pass_rate", "train"): 0.5,
    }


def test_an_exporter_that_fails_is_said_once_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ConnectionError("no agent")

    monkeypatch.setattr("ray.util.metrics.Gauge", broken)
    with caplog.at_level(logging.WARNING), MetricsWriter(tmp_path, export=RayMetrics("r").record) as metrics:
        metrics.write(1, {"a": 1.0})
        metrics.write(2, {"a": 2.0})
    assert [line["a"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1.0, 2.0]
    assert [record.message for record in caplog.records if "no agent" in record.message] != []
    assert len(caplog.records) == 1


def assert_best_may_go_by(config: Config, names: set[str]) -> None:
    for name in names:
        config = config.model_copy(update={"run": config.run.model_copy(update={"best_metric": name})})
        assert check_best_metric(config) is None


def test_every_panel_names_metrics_that_a_run_exports(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gauges = Gauges()
    monkeypatch.setattr("ray.util.metrics.Gauge", gauges.Gauge)
    monkeypatch.setattr("stepcoder.deploy.run.directory.RayMetrics", lambda _: RayMetrics("r"))
    config = configured(tmp_path, model, "ppo", 0)
    config = config.model_copy(update={"eval": config.eval.model_copy(update={"at_end": True})})
    run, _ = go(config, model, monkeypatch)
    lines = list(read_metrics(run / "metrics.jsonl"))
    names = {name for line in lines for name, _ in flat(line)}
    assert_best_may_go_by(config, {name for name in names if not name.startswith(("start_seconds/", "seconds/eval"))})
    for title, panels in DASHBOARDS.items():
        for pattern in {name for panel in panels for name in panel.names}:
            assert any(fnmatch(name, pattern) for name in names), (title, pattern)
        for query in {query for panel in panels for query in panel.queries()}:
            assert any(query == f'ray_{metric}{{run=~"$run"}}' for metric, _ in gauges.values), query


def test_the_dashboards_are_those_of_the_table() -> None:
    """Else: python -m stepcoder.deploy.shown.dashboards deploy/grafana."""
    files = {file.stem: json.loads(file.read_text()) for file in (ROOT / "deploy" / "grafana").glob("*.json")}
    assert files == {name: dashboard(name) for name in DASHBOARDS}
    ids = [panel["id"] for board in files.values() for panel in board["panels"]]
    assert ids and all(board["templating"]["list"][1]["query"] == "label_values(ray_stepcoder_step, run)"
                       for board in files.values())  # fmt: skip
