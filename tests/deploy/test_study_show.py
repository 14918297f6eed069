"""`stepcoder study show` and `compare --group`: from the files of runs to tables and a picture."""

import json
from pathlib import Path
from typing import Any

import pytest

from stepcoder.deploy.cli import main
from stepcoder.deploy.config.shared import HELDOUT, TRAIN
from stepcoder.deploy.run.listing import listed
from stepcoder.deploy.run.metrics import read_metrics
from stepcoder.deploy.study.comparison import band, rows
from stepcoder.deploy.study.groups import arm_name
from stepcoder.deploy.study.plan import run_directory
from stepcoder.deploy.study.results import read
from stepcoder.deploy.study.text import as_markdown, as_text
from tests.tools.study import STEPS, TOKENS, write_run, write_study

GAINS = {"ppo": 0.05, "both": 0.3}


def test_means_and_paired_differences_are_those_of_the_files(tmp_path: Path) -> None:
    results = read(write_study(tmp_path / "study", GAINS))
    first, both = rows(results)

    def last(arm: str, seed: int) -> Any:
        lines = read_metrics(run_directory(tmp_path / "study", arm, seed) / "metrics.jsonl")
        return [line["eval"] for line in lines if "eval" in line][-1]

    rates = {(arm, seed): last(arm, seed) for arm in GAINS for seed in range(3)}
    for split in (HELDOUT, TRAIN):
        means = {arm: sum(rates[arm, s][split]["pass_rate"] for s in range(3)) / 3 for arm in GAINS}
        assert first.entries[split, None].mean.mean == pytest.approx(means["ppo"])
        change = both.entries[split, None].difference
        assert change is not None and change.mean == pytest.approx(means["both"] - means["ppo"])
        assert change.low < change.mean < change.high
    level = both.entries[HELDOUT, "interview"].mean.mean
    assert level == pytest.approx(sum(rates["both", s][HELDOUT]["by_level"]["interview"] for s in range(3)) / 3)
    assert first.entries[HELDOUT, None].difference is None and both.entries[HELDOUT, None].p is not None


def test_tables_of_the_same_files_are_the_same_bytes_and_of_other_files_are_not(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", GAINS)
    texts = {(as_text(read(study)), as_markdown(read(study))) for _ in range(3)}
    assert len(texts) == 1
    write_run(run_directory(study, "both", 1), 1, 0.1)
    assert (as_text(read(study)), as_markdown(read(study))) not in texts


def test_only_runs_that_are_done_count_and_the_table_says_how_many(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", GAINS)
    (run_directory(study, "both", 2) / "report.json").write_text(json.dumps({"ended": None}))
    _, both = rows(read(study))
    assert both.seeds == (0, 1) and "2 of 3" in as_text(read(study))


def test_one_seed_of_an_arm_has_no_interval_and_no_p(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", GAINS)
    for seed in (1, 2):
        (run_directory(study, "both", seed) / "report.json").unlink()
    first, both = rows(read(study))
    entry, text = both.entries[HELDOUT, None], as_text(read(study))
    assert entry.difference is not None and entry.difference.low != entry.difference.low and entry.p is None
    assert first.entries[HELDOUT, None].mean.low < first.entries[HELDOUT, None].mean.high
    assert "One seed says nothing of other seeds" in text and "would find" not in text


def test_curves_go_over_generated_tokens_and_speed_is_the_area_below_them(tmp_path: Path) -> None:
    results = read(write_study(tmp_path / "study", GAINS))
    found = band(results.arms[1], HELDOUT)
    assert found is not None and found.tokens[-1] == STEPS * TOKENS
    tokens, rates = results.arms[1].runs[0].curve(HELDOUT)
    assert tokens == [0, STEPS // 2 * TOKENS, STEPS * TOKENS]
    ends = [run.curve(HELDOUT)[1][-1] for run in results.arms[1].runs]
    assert found.mean[-1] == pytest.approx(sum(ends) / 3) and found.low[-1] <= found.mean[-1] <= found.high[-1]
    _, both = rows(results)
    assert both.speed is not None
    areas = [(0.25 * r[0] + 0.5 * r[1] + 0.25 * r[2]) for r in (run.curve(HELDOUT)[1] for run in results.arms[1].runs)]
    assert both.speed.mean.mean == pytest.approx(sum(areas) / 3)


def test_the_command_prints_text_or_markdown_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = write_study(tmp_path / "study", GAINS)
    assert main(["study", "show", str(study)]) == 0
    text = capsys.readouterr().out
    assert main(["study", "show", str(study), "--markdown", "--plot", str(tmp_path / "s.png")]) == 0
    markdown = capsys.readouterr().out
    assert text == as_text(read(study)) and markdown == as_markdown(read(study))
    assert (
        "| both | 3 |" in markdown
        and "**Held-out problems, interview: pass rate, and difference from ppo**" in markdown
    )
    assert (tmp_path / "s.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["study", "show", str(study), "--against", "both"]) == 0
    assert "pass rate, and difference from both" in capsys.readouterr().out
    assert main(["study", "show", str(study), "--against", "neither"]) == 2
    assert "--against neither: the arms are ppo, both" in capsys.readouterr().err
    assert main(["study", "show", str(tmp_path)]) == 2
    assert "no study.yaml there" in capsys.readouterr().err


def test_a_study_without_a_done_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = write_study(tmp_path / "study", GAINS, seeds=1)
    for arm in GAINS:
        (run_directory(study, arm, 0) / "report.json").unlink()
    assert main(["study", "show", str(study)]) == 0
    assert capsys.readouterr().out == "none of 2 runs is done yet\n"
    assert main(["study", "show", str(study), "--plot", str(tmp_path / "s.png")]) == 2


def test_seeds_on_several_processors_and_runs_of_several_commits_are_told(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", GAINS)
    assert "Commit 0123456." in as_text(read(study))
    other = run_directory(study, "both", 1) / "provenance.jsonl"
    other.write_text(json.dumps({"commit": "fedcba9876", "dirty": False, "cpu": "another"}) + "\n")
    text = as_text(read(study))
    assert "Runs of 2 commits: 0123456, fedcba9." in text
    assert "Seed 1 was computed on several kinds of processor: CPU, another." in text


def test_runs_that_ended_before_their_tokens_are_named(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", GAINS)
    assert "Ended by run.steps" not in as_text(read(study))
    file = study / "study.yaml"
    file.write_text(file.read_text().replace(f"tokens: {STEPS * TOKENS}", f"tokens: {STEPS * TOKENS + 1}"))
    assert "Ended by run.steps before 6,001 tokens: ppo, seed 0; ppo, seed 1;" in as_text(read(study))


def test_runs_of_a_study_are_listed_as_finished_though_their_checkpoints_are_gone(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", GAINS, seeds=1)
    (run_directory(study, "both", 0) / "report.json").write_text(json.dumps({"ended": None}))
    for place in (study, tmp_path):
        found = {Path(run.name).parent.name: run.state for run in listed(str(place))}
        assert found == {"ppo": "finished", "both": "stopped"}


def test_compare_groups_runs_that_differ_in_their_seed_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(tmp_path / "study", GAINS)
    runs = [str(run_directory(study, arm, seed)) for arm in GAINS for seed in range(3)]
    assert main(["compare", *runs, "--group"]) == 0
    tables = [line.split() for line in capsys.readouterr().out.splitlines()]
    shown = [line.split() for line in as_text(read(study)).splitlines()]
    assert [line for line in tables if line and line[0] in GAINS] == [s for s in shown if s and s[0] in GAINS]
    assert main(["compare", runs[0], runs[3], "--group"]) == 0
    assert [name for name in capsys.readouterr().out.split() if name in GAINS][:4] == ["ppo", "ppo", "both", "ppo"]
    assert main(["compare", runs[0], runs[0], "--group"]) == 2
    assert "have the same settings and the same seed, 0" in capsys.readouterr().err
    assert main(["compare", *runs, "--group", "--names", "A"]) == 2
    assert "2 different names needed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("runs", "name"),
    [
        (["ppo-seed-0", "ppo-seed-1"], "ppo"),
        (["ppo-10", "ppo-11"], "ppo"),
        (["ppo-seed-3"], "ppo"),
        (["ppo/seed-10", "ppo/seed-11"], "ppo"),
        (["ppo/seed-0"], "ppo"),
        (["starter-v2"], "starter-v2"),
    ],
)
def test_an_arm_is_called_by_what_its_directories_share(runs: list[str], name: str) -> None:
    assert arm_name([Path("/runs") / run for run in runs]) == name
