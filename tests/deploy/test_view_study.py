"""Runs of a study on a page: by arm, with intervals over seeds and problems."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from starlette.testclient import TestClient

from stepcoder.deploy.run.metrics import MetricsWriter
from stepcoder.deploy.shown.summary import evaluation
from stepcoder.deploy.view.app import build
from stepcoder.deploy.view.arms import comparison, mean
from stepcoder.deploy.view.opening import opened
from stepcoder.deploy.view.report import report
from stepcoder.errors import UserError

T1 = 12.7062  # Student's 97.5 % point at one degree of freedom
LEVELS = {f"p{n}": ("introductory", "interview")[n % 2] for n in range(6)}


def made(folder: Path) -> Path:
    """Two arms with two seeds of two evaluations; the second arm passes one completion more of each problem."""
    arms = {"plain": 0, "more+fgo": 1}
    for arm, more in arms.items():
        for seed in (0, 1):
            with MetricsWriter(folder / "runs" / arm / f"seed-{seed}", loggers=()) as metrics:
                for step in (0, 10):
                    counts = {name: [2 + n % 3 + seed + (more if step else 0), 8] for n, name in enumerate(LEVELS)}
                    metrics.write_evaluation(step, {"heldout": evaluation(counts, LEVELS)})
    study = {"arms": {arm: {"settings": {}, "seeds": [0, 1, 2]} for arm in arms}, "budget": {"tokens": 9}}
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return folder


def test_an_interval_by_hand() -> None:
    # Seeds' means 0.25 and 0.75, no other difference: mean squares 2 x 0.125 = 0.25 of seeds, 0 of problems and rest;
    # variance of the mean 0.25 / 4, one degree of freedom.
    found = mean(np.array([[0.25, 0.25], [0.75, 0.75]]))
    assert found is not None and found.mean == 0.5 and found.half == pytest.approx(T1 * 0.25, rel=1e-4)
    # One seed says nothing of others.
    found = mean(np.array([[0.0, 0.5]]))
    assert found is not None and found.mean == 0.25 and np.isnan(found.half)
    assert mean(np.zeros((2, 0))) is None


def test_arms_are_compared_with_the_first(tmp_path: Path) -> None:
    rows = comparison(opened([str(made(tmp_path))]))["heldout"]
    assert [(row.arm, row.seeds) for row in rows] == [("plain", 2), ("more+fgo", 2)]
    assert rows[0].mean.mean == pytest.approx(3.5 / 8) and rows[0].difference is None
    apart = rows[1].difference
    assert apart is not None and apart.mean == pytest.approx(1 / 8) and apart.half == pytest.approx(0, abs=1e-9)
    assert set(rows[0].levels) == {"introductory", "interview"}


def test_a_study_is_a_page_and_a_report(tmp_path: Path) -> None:
    runs = opened([str(made(tmp_path))])
    assert [run.arm for run in runs] == ["plain", "plain", "more+fgo", "more+fgo"]
    browser = TestClient(build(runs), base_url="http://localhost")
    for text in (browser.get("/").text, report(runs)):
        assert "Arms on held-out problems" in text and "less plain" in text and "+12.5 points" in text
    rate = next(chart for chart in browser.get("/api/overview").json()["charts"] if chart["id"] == "rate-heldout")
    assert [series["run"] for series in rate["series"]] == ["plain", "more+fgo"]
    assert rate["series"][1]["x"] == [0, 10] and rate["series"][1]["low"][1] < rate["series"][1]["y"][1]


@pytest.mark.parametrize("text", ["- 1", "arms: {../..: {seeds: [0]}}", "arms: 5", "{", "arms: {a: {seeds: [../x]}}"])
def test_a_damaged_study_leads_nowhere_else(tmp_path: Path, text: str) -> None:
    made(tmp_path)
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(UserError, match="none of this study's runs"):
        opened([str(tmp_path)])
