"""Where a run's numbers go beside metrics.jsonl, and that no failure there reaches the run."""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from stepcoder.deploy.checks.preflight import check_loggers
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.run.loggers import About, Guarded, make
from stepcoder.deploy.run.metrics import MetricsWriter, read_metrics
from stepcoder.errors import UserError


class Failing:
    """Takes the first line, then its server is gone."""

    def __init__(self, about: About) -> None:
        self.taken: list[int] = []

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        if self.taken:
            raise ConnectionError("the server is gone")
        self.taken.append(step)

    def close(self) -> None:
        raise OSError("the disk is full")


def test_a_logger_that_fails_stops_nothing_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stepcoder.deploy.run.loggers.to_tensorboard.make", Failing)
    with caplog.at_level(logging.WARNING), MetricsWriter(tmp_path) as metrics:
        for step in range(1, 6):
            metrics.write(step, {"reward/mean": step})
        assert [(logger.name, logger.failures) for logger in metrics.loggers] == [("tensorboard", 4)]
    assert [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4, 5]
    told = [record.message for record in caplog.records]
    assert len(told) == 2 and "tensorboard fails (ConnectionError: the server is gone); the run goes on" in told[0]
    assert "failed 5 times" in told[1]


def test_a_logger_that_cannot_be_made_takes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Failing:
        raise ImportError("no such library")

    with caplog.at_level(logging.WARNING):
        logger = Guarded("wandb", broken)
        logger.write(1, {})
        logger.close()
    assert logger.failures == 1 and "wandb fails (ImportError: no such library)" in caplog.text


def test_loggers_are_chosen_by_configuration(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path, loggers=()) as metrics:
        metrics.write(1, {"x": 1})
    assert not (tmp_path / "tensorboard").exists()
    config = load_config(None, ["--run.loggers", "[tensorboard, mlflow]"], {})
    assert config.run.loggers == ("tensorboard", "mlflow")
    with pytest.raises(UserError, match="run.loggers"):
        load_config(None, ["--run.loggers", "[paper]"], {})


def test_a_library_that_is_missing_is_named_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "wandb" else object())
    with pytest.raises(UserError, match=r"run.loggers: wandb is not installed: pip install 'stepcoder\[wandb\]'"):
        check_loggers(load_config(None, ["--run.loggers", "[tensorboard, wandb]"], {}))
    check_loggers(load_config(None, [], {}))


def test_mlflow_has_the_numbers_and_goes_on_with_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = pytest.importorskip("mlflow.tracking", reason="the extra `mlflow` is not installed")
    pytest.importorskip("alembic", reason="what MLflow needs for a database is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    run = tmp_path / "run"
    run.mkdir()
    for resumed, steps in ((0, (1, 2)), (1, (2, 3))):
        (logger,) = make(["mlflow"], About(run, "runs/one", "here", resumed, settings={"run.seed": 3}))
        for step in steps:
            logger.write(step, {"reward/mean": step / 4, "curriculum/histogram/0": 1.0})
        logger.close()
        assert logger.failures == 0
    client = tracking.MlflowClient()
    (found,) = client.search_runs([client.get_experiment_by_name("here").experiment_id])
    assert found.data.params["run.seed"] == "3" and found.info.run_name == "one"
    points = client.get_metric_history(found.info.run_id, "reward/mean")
    assert {(point.step, point.value) for point in points} == {(1, 0.25), (2, 0.5), (3, 0.75)}


def test_wandb_takes_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    (logger,) = make(["wandb"], About(tmp_path, "runs/one", "here", settings={"run.seed": 3}))
    logger.write(1, {"reward/mean": 0.25})
    logger.close()
    assert logger.failures == 0
    assert [name for _, _, names in os.walk(tmp_path) for name in names if name.endswith(".wandb")]
