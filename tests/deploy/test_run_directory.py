"""One run, one directory: resume, refusal of changed settings, one driver at a time, and a run at a URI."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ray.exceptions import RayTaskError

from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.run.checkpoint import CheckpointWriter
from stepcoder.deploy.run.directory import RunDirectory, check_writable
from stepcoder.deploy.run.metrics import MetricsWriter
from stepcoder.deploy.run.resume import check_resume, settings_before
from stepcoder.deploy.run.settings import differences
from stepcoder.errors import UserError


def configured(folder: Path | str, *arguments: str) -> Config:
    return load_config(None, ["--run.directory", str(folder), *arguments], {})


def work(run: RunDirectory, step: int) -> None:
    with CheckpointWriter(run.checkpoints, step, run.about()) as writer:
        writer.write_state({"step": step})
    with MetricsWriter(run.path, run.resumed_step) as metrics:
        metrics.write(step, {"pass_rate": 0.5})


def test_a_new_run_starts_at_zero_and_an_old_one_goes_on(tmp_path: Path) -> None:
    with RunDirectory.open(configured(tmp_path)) as run:
        assert run.resumed_step == 0 and run.messages == []
        work(run, 20)
    assert yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))["run"]["steps"] == 100
    with RunDirectory.open(configured(tmp_path)) as run:
        assert run.resumed_step == 20 and not run.finished
        assert run.messages == ["going on from the checkpoint of step 20 of 100"]


def test_what_happened_to_a_run_is_noted(tmp_path: Path) -> None:
    with RunDirectory.open(configured(tmp_path)) as run:
        work(run, 20)
        run.note("a service was lost (one actor)")
    for _ in range(2):
        RunDirectory.open(configured(tmp_path, "--run.steps", "20")).close()  # done: no news
    RunDirectory.open(configured(tmp_path)).close()
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(event["step"], event["text"]) for event in events] == [
        (0, "a service was lost (one actor)"), (20, "going on from the checkpoint of step 20 of 20"),
        (20, "going on from the checkpoint of step 20 of 20"), (20, "going on from the checkpoint of step 20 of 100"),
    ]  # fmt: skip
    assert all(event["time"] > 1e9 for event in events)


def test_a_run_is_finished_after_its_last_evaluation(tmp_path: Path) -> None:
    with RunDirectory.open(configured(tmp_path, "--run.steps", "20")) as run:
        work(run, 20)
    with RunDirectory.open(configured(tmp_path, "--run.steps", "20")) as run:
        assert run.resumed_step == 20 and not run.finished
        with MetricsWriter(run.path, 20) as metrics:
            metrics.write_evaluation(20, {})
    with RunDirectory.open(configured(tmp_path, "--run.steps", "20")) as run:
        assert run.finished
        assert run.messages == ["all 20 steps are done; raise run.steps to go on"]
    with RunDirectory.open(configured(tmp_path, "--run.steps", "21")) as run:
        assert not run.finished


def test_changed_settings_are_refused_by_name_and_harmless_ones_are_not(tmp_path: Path) -> None:
    with RunDirectory.open(configured(tmp_path)) as run:
        work(run, 2)
    with pytest.raises(UserError, match="learner.policy.lr: 5e-07 -> 1e-05\n  run.seed: 0 -> 3") as caught:
        RunDirectory.open(configured(tmp_path, "--learner.policy.lr", "1e-5", "--run.seed", "3"))
    assert "run.steps" not in str(caught.value)
    harmless = ("--run.steps", "300", "--eval.every", "5", "--run.keep", "4", "--learner.ranks", "2")
    harmless += (
        "--learner.zero_stage",
        "2",
        "--learner.guards.max_kl",
        "9",
        "--run.keep_best",
        "3",
        "--placement",
        "split",
    )
    harmless += ("--max_unjudged_share", "0.8", "--executor.infra_retries", "9")  # what a broken sandbox's stop advises
    with RunDirectory.open(configured(tmp_path, *harmless)) as run:
        assert run.resumed_step == 2


def test_settings_may_change_while_there_is_nothing_to_lose(tmp_path: Path) -> None:
    with RunDirectory.open(configured(tmp_path)):
        pass
    with RunDirectory.open(configured(tmp_path, "--run.seed", "3")) as run:
        assert run.config.run.seed == 3
    assert yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))["run"]["seed"] == 3


def test_a_setting_that_only_one_side_knows_counts_as_changed() -> None:
    assert differences({"learner": {"old": 1}}, {"learner": {"new": 2}}) == [
        "learner.new: None -> 2",
        "learner.old: 1 -> None",
    ]


def test_a_second_driver_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    with RunDirectory.open(configured(tmp_path)):
        with pytest.raises(UserError, match=r"another driver is writing to .*process \d+ on"):
            RunDirectory.open(configured(tmp_path))
    with RunDirectory.open(configured(tmp_path)) as run:
        assert run.messages == []


def test_a_killed_driver_is_taken_over_from_with_a_message(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from stepcoder.deploy.run.lock import RunLock\n"
        "lock = RunLock(Path(sys.argv[1])); print(os.getpid(), flush=True); os.kill(os.getpid(), 9)\n"
    )
    dead = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, cwd=Path(__file__).resolve().parents[2]
    )
    pid = int(dead.stdout)
    with RunDirectory.open(configured(tmp_path)) as run:
        assert run.messages == [f"the driver that wrote here before (process {pid}) ended without a word"]


def test_a_run_that_lost_its_checkpoints_starts_over_and_says_so(tmp_path: Path) -> None:
    with RunDirectory.open(configured(tmp_path)) as run:
        with MetricsWriter(run.path) as metrics:
            metrics.write(1, {"pass_rate": 0.1})
    with RunDirectory.open(configured(tmp_path)) as run:
        assert run.resumed_step == 0
        assert run.messages == ["no complete checkpoint was left: starting from the first step"]


def test_an_unwritable_place_is_refused_and_checking_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    for place in (str(file / "run"), "/proc/run"):
        with pytest.raises(UserError, match="run.directory: can't write to"):
            check_writable(place)
        with pytest.raises(UserError, match="run.directory: can't write to"):
            RunDirectory.open(configured(place))
    check_writable(str(tmp_path / "a" / "b"))
    assert not (tmp_path / "a").exists()


def test_a_full_disk_is_told_with_the_place_and_the_directory_is_free_again(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    for error in (full, RayTaskError("write", "Traceback ...", full).as_instanceof_cause()):
        with pytest.raises(UserError, match=f"No space left on device. Make room in {tmp_path}"):
            with RunDirectory.open(configured(tmp_path)):
                raise error
    with pytest.raises(OSError, match="other"), RunDirectory.open(configured(tmp_path)):
        raise OSError(errno.EINVAL, "other")


def test_a_run_at_a_uri_goes_on_where_its_mirror_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"file://{tmp_path}/bucket/run"
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "one"))
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with RunDirectory.open(configured(uri)) as run:
        work(run, 5)
        work(run, 6)
        run.sync()
        (run.checkpoints / "step-00000005" / "state.json").unlink()
        (run.checkpoints / "step-00000005" / "manifest.json").unlink()
        (run.checkpoints / "step-00000005").rmdir()
    kept = {str(path.relative_to(tmp_path / "bucket" / "run")) for path in (tmp_path / "bucket" / "run").rglob("step*")}
    assert kept == {"checkpoints/step-00000006"}
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "two"))
    with RunDirectory.open(configured(uri)) as run:
        assert run.resumed_step == 6
        assert run.checkpoint is not None and run.checkpoint.state() == {"step": 6}


@pytest.mark.parametrize("left", [None, ""])
def test_a_run_without_its_settings_is_not_gone_on_with(tmp_path: Path, left: str | None) -> None:
    """As of a directory that was copied in part: nobody knows whether they are those that were given."""
    with RunDirectory.open(configured(tmp_path)) as run:
        work(run, 20)
    if left is None:
        (tmp_path / "config.yaml").unlink()
    else:
        (tmp_path / "config.yaml").write_text(left)
    config = configured(tmp_path, "--learner.token_budget", "512")
    refusals = (
        lambda: RunDirectory.open(config),
        lambda: check_resume("auto", config, settings_before("auto", str(tmp_path))),
    )
    for refuse in refusals:
        with pytest.raises(UserError, match="holds a run without its settings"):
            refuse()
    assert (tmp_path / "config.yaml").is_file() == (left is not None)
