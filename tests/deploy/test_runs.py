"""`stepcoder runs` and `--resume`: what there is, how far it is, and from where it goes on."""

import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest

from stepcoder.deploy.cli import main, parser
from stepcoder.deploy.run.directory import RunDirectory
from stepcoder.deploy.run.export import best_checkpoint, find_checkpoint
from stepcoder.deploy.run.listing import listed, told
from stepcoder.deploy.run.metrics import MetricsWriter, read_metrics
from stepcoder.deploy.run.resume import settings_before, settle_resume
from stepcoder.errors import UserError
from tests.deploy.test_run_directory import configured, work


def written(folder: Path | str, *steps: int, evaluated: bool = False) -> None:
    with RunDirectory.open(configured(folder, "--run.steps", "20")) as run:
        for step in steps:
            work(run, step)
        if evaluated:
            with MetricsWriter(run.path, steps[-1]) as metrics:
                metrics.write_evaluation(steps[-1], {})


def test_runs_are_listed_by_state_the_newest_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "stopped", 10, 12)
    shutil.rmtree(tmp_path / "stopped" / "checkpoints" / "step-00000012")
    written(tmp_path / "deep" / "finished", 20, evaluated=True)
    written(tmp_path / "unevaluated", 20)
    written(tmp_path / "idle")
    for age, name in enumerate(("unevaluated", "deep/finished", "stopped")):
        os.utime(tmp_path / name / "metrics.jsonl", (1e9 - age, 1e9 - age))
    os.utime(tmp_path / "idle" / "config.yaml", (1, 1))
    with RunDirectory.open(configured(tmp_path / "live", "--run.steps", "20")) as run:
        work(run, 3)
        found = listed(str(tmp_path))
        assert main(["runs", str(tmp_path)]) == 0
    assert [(Path(run.name).name, told(run)) for run in found] == [
        ("live", "running, step 3 of 20"),
        ("unevaluated", "stopped at step 20 of 20, resumable at step 20"),
        ("finished", "finished, step 20 of 20"),
        ("stopped", "stopped at step 12 of 20, resumable at step 10"),
        ("idle", "not begun"),
    ]
    shown = capsys.readouterr().out
    assert "running, step 3 of 20" in shown and "50%" in shown
    assert main(["runs", str(tmp_path / "idle" / "checkpoints")]) == 2


def test_a_run_is_called_as_one_would_type_it_and_in_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{'a' * 30}/{'b' * 30}-{n}/seed" for n in (0, 1)]
    for name in names:
        written(tmp_path / name, 10)
    monkeypatch.chdir(tmp_path)
    for columns, words in (("60", ["runs", "."]), ("60", ["compare", *names]), ("110", ["runs", "."])):
        monkeypatch.setenv("COLUMNS", columns)
        with monkeypatch.context() as terminal:
            terminal.setattr("sys.stdout.isatty", lambda: True, raising=False)
            assert main(words) == 0
        shown = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
        first = "".join(line.strip("│ ").split(" ")[0] for line in shown.splitlines())
        assert all(name in first for name in names) and str(tmp_path) not in shown, shown


def test_other_programs_settings_are_no_runs(tmp_path: Path) -> None:
    written(tmp_path / "run", 10)
    for name, text in (("a", "run: train.py\n"), ("b", "- 1\n"), ("c", "x: !!python/name:os.system\n"), ("d", "{")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(text)
    for name, raw in (("e", b"x: caf\xe9\n"), ("f", b"x: 2025-02-31\n"), ("g", b"x: \x00\n"), ("h", b"[" * 3000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_bytes(raw)
    assert [Path(run.name).name for run in listed(str(tmp_path))] == ["run"]


def test_damaged_numbers_and_reports_hide_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "run", 10, 12)
    (tmp_path / "run" / "report.json").write_text("[1]")
    with (tmp_path / "run" / "metrics.jsonl").open("ab") as file:
        for line in (b'{"step": "x"}', b'{"step": null}', b"[1]", b'{"step": 13, "eval": 5}', b'{"step": 14, "\xe9"'):
            file.write(line + b"\n")
        file.write(b'{"step": 13, "reward/mean": "much", "text": "caf\xe9"}\n')
    assert [told(run) for run in listed(str(tmp_path))] == ["stopped at step 13 of 20, resumable at step 12"]
    assert main(["runs", str(tmp_path)]) == 0 and main(["compare", str(tmp_path / "run")]) == 0
    assert main(["runs", str(tmp_path / "none")]) == 2
    assert "there is no such directory" in capsys.readouterr().err


def test_a_run_whose_checkpoints_are_damaged_is_not_finished(tmp_path: Path) -> None:
    written(tmp_path / "run", 10)
    written(tmp_path / "run", 20, evaluated=True)
    for step, now in ((20, "stopped at step 20 of 20, resumable at step 10"), (10, "its checkpoints are damaged")):
        state = tmp_path / "run" / "checkpoints" / f"step-{step:08d}" / "state.json"
        state.write_text(state.read_text() + " ")
        assert told(listed(str(tmp_path))[0]).endswith(now)


def test_of_a_uris_checkpoints_the_one_that_is_wanted_is_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    uri = "memory://wanted/run"
    written(uri, 10)
    written(uri, 12)
    system = fsspec.filesystem("memory")
    seen, get = set[str](), system.get_file
    monkeypatch.setattr(
        type(system), "get_file", lambda _, name, *rest: (seen.add(name.split("/")[-2]), get(name, *rest))
    )
    for step, fetched in ((None, 12), (10, 10)):
        seen.clear()
        assert find_checkpoint(uri, step).step == fetched
        assert {name for name in seen if name.startswith("step-")} == {f"step-{fetched:08d}"}
    system.store[f"/wanted/run/checkpoints/step-{12:08d}/state.json"].write(b" damaged")
    assert find_checkpoint(uri).step == 10
    system.rm(f"/wanted/run/checkpoints/step-{12:08d}/manifest.json")
    with pytest.raises(UserError, match="--step 12: the checkpoint is not complete: .*manifest.json is missing"):
        find_checkpoint(uri, 12)


def test_runs_at_a_uri_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    written("memory://runs/one", 10)
    written("memory://runs/two", 20, evaluated=True)
    system = fsspec.filesystem("memory")
    system.store["/runs/one/metrics.jsonl"].modified = datetime.fromtimestamp(1e9, UTC)
    fetched = list[str]()
    get = system.get_file
    monkeypatch.setattr(type(system), "get_file", lambda _, name, *rest: (fetched.append(name), get(name, *rest)))
    found = listed("memory://runs")
    assert {run.name: told(run) for run in found} == {
        "memory://runs/one": "stopped at step 10 of 20, resumable at step 10",
        "memory://runs/two": "finished, step 20 of 20",
    }
    assert [run.name for run in found][-1] == "memory://runs/one" and found[-1].written == 1e9
    assert {name.split("/")[-1] for name in fetched} == {"config.yaml", "metrics.jsonl", "manifest.json"}
    assert not [folder for folder in tmp_path.iterdir() if not folder.name.startswith("stepcoder-run-")]
    with pytest.raises(UserError, match="--resume never: memory://runs/one holds a run"):
        settle_resume("never", "memory://runs/one")


def test_auto_and_never_are_words_in_whatever_case() -> None:
    for given, meant in (("Never", "never"), ("AUTO", "auto"), ("./Never", "./Never")):
        assert parser().parse_known_args(["train", "--resume", given])[0].resume == meant


def test_never_refuses_what_auto_goes_on_with(tmp_path: Path) -> None:
    written(tmp_path, 10)
    with pytest.raises(UserError, match="--resume never: .* holds a run"):
        settle_resume("never", str(tmp_path))
    assert settle_resume("auto", str(tmp_path)) is None
    settle_resume("never", str(tmp_path / "new"))


@pytest.mark.parametrize(("place", "step"), [("old", 12), ("old/checkpoints/step-00000010", 10)])
def test_a_new_directory_begins_at_another_runs_checkpoint(tmp_path: Path, place: str, step: int) -> None:
    written(tmp_path / "old", 10)
    written(tmp_path / "old", 12)
    new = tmp_path / "new"
    before = settings_before(str(tmp_path / place), str(new))  # a number format that is `auto` is the old run's
    assert before is not None and before["run"]["directory"] == str(tmp_path / "old")
    assert settings_before("auto", str(new)) is None
    assert settle_resume(str(tmp_path / place), str(new)) == f"begins with step {step} of {tmp_path / place}"
    with RunDirectory.open(configured(new, "--run.steps", "20")) as run:
        assert run.resumed_step == step
        assert [line["step"] for line in read_metrics(run.metrics_file)] == [s for s in (10, 12) if s <= step]
        work(run, 15)
    assert settle_resume(str(tmp_path / place), str(new)) is None  # the same command again
    with pytest.raises(UserError, match="holds a run with other settings:\n  run.seed"):
        RunDirectory.open(configured(new, "--run.seed", "9"))
    for what, said in (("nothing", "no run with a checkpoint there"), ("old/checkpoints/step-9", "steps 10, 12")):
        with pytest.raises(UserError, match=f"^--resume {tmp_path / what}: (?!--).*{said}"):
            settle_resume(str(tmp_path / what), str(tmp_path / "third"))


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_damaged_settings_of_a_run_are_named(tmp_path: Path, scheme: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("run: {")
    assert main(["train", "--run.directory", f"{scheme}{tmp_path}", "--check"]) == 2
    said = capsys.readouterr().err
    assert f"{scheme}{tmp_path}/config.yaml is not valid YAML" in said and said.count("\n") == 1


def test_a_checkpoint_is_taken_by_its_own_path_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "run", 10, 12)
    place = tmp_path / "run" / "checkpoints" / "step-00000010"
    monkeypatch.chdir(tmp_path / "run")
    for given in (str(place), f"{place}/", "checkpoints/step-10", "../run/checkpoints/step-00000010"):
        assert find_checkpoint(given).step == find_checkpoint(given, 10).step == 10
    with pytest.raises(UserError, match="the checkpoint of step 10, and --step 12 is another one"):
        find_checkpoint(str(place), 12)
    with pytest.raises(UserError, match="step-00000011: the run .*run has checkpoints of steps 10, 12"):
        find_checkpoint(str(place.with_name("step-00000011")))
    with pytest.raises(UserError, match="--best: .*step-00000010 is one checkpoint already; give its run .*run,"):
        best_checkpoint(str(place))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    written("memory://own/run", 10)
    assert find_checkpoint("memory://own/run/checkpoints/step-00000010").step == 10


@pytest.mark.parametrize(
    "words", [("eval", "--run"), ("export", "--out", "new", "--run"), ("train", "--resume"), ("compare",), ("runs",),
              ("show", "--problem", "p"), ("view",), ("report", "-o", "new.html")],
)  # fmt: skip
def test_what_is_no_run_is_told_with_what_it_is(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "some" / "run", 10)
    copied = tmp_path / "copied"
    shutil.copytree(tmp_path / "some" / "run" / "checkpoints" / "step-00000010", copied)
    (copied / "policy").mkdir(exist_ok=True)
    (copied / "policy" / "config.json").write_text("{}")
    cases = {
        "some/run/checkpoints": f"It is in the run {tmp_path / 'some' / 'run'}.",
        "copied": f"{copied / 'policy'} is a model: 'stepcoder eval --model {copied / 'policy'}' evaluates it.",
        "some": f"Runs below it: {tmp_path / 'some' / 'run'}.",
    }
    for place, said in cases.items():
        if place == "some" and words[0] in ("runs", "view", "report"):
            continue  # these take what is below
        assert main([*words, place]) == 2
        assert said in capsys.readouterr().err, place


def test_a_run_before_its_first_checkpoint_is_not_told_as_one_below_itself(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("run: {steps: 3}\n")
    with pytest.raises(UserError, match=f"{tmp_path} is a run that has not come to its first checkpoint"):
        find_checkpoint(str(tmp_path))
