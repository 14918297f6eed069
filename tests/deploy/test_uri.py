"""A run at a URI: everything that it writes is there, and it goes on from there alone."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import fsspec
import pytest

from stepcoder.deploy.checks.preflight import preflight
from stepcoder.deploy.commands.train import finish
from stepcoder.deploy.run.checkpoint import CheckpointWriter, latest_complete
from stepcoder.deploy.run.directory import RunDirectory, local_part
from stepcoder.deploy.run.remote import pull, push
from stepcoder.deploy.run.trajectories import write_trajectories
from stepcoder.errors import UserError
from tests.deploy.test_resume import assert_same_end
from tests.tools.learner import make_groups
from tests.tools.one_process import STEPS, configured, go


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_a_run_at_a_uri_is_complete_there_and_goes_on_without_its_mirror(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri = {"memory": f"memory://bucket{tmp_path}/run", "file": f"file://{tmp_path}/bucket/run"}[scheme]
    straight, _ = go(configured(tmp_path / "straight", model, "ppo", 1), model, monkeypatch)

    def at_uri(**run: object):  # pydantic would make a path of what pathlib makes of `//`
        config = configured(tmp_path, model, "ppo", 1, **run)
        return config.model_copy(update={"run": config.run.model_copy(update={"directory": uri})})

    for node, steps in (("one", 2), ("two", STEPS)):
        (tmp_path / node).mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / node))
        run, said = go(at_uri(steps=steps), model, monkeypatch)
    assert f"going on from the checkpoint of step 2 of {STEPS}" in said
    with RunDirectory.open(at_uri()) as opened:
        write_trajectories(opened.trajectories, STEPS, make_groups(groups=1)[0])
        finish(opened.config, opened)
    assert f"learning curve  {uri}/learning_curve.png" in capsys.readouterr().out
    system, root = fsspec.core.url_to_fs(uri)
    names = {name.removeprefix(f"{root}/") for name in system.find(root)}
    assert {"config.yaml", "metrics.jsonl", "report.json", "learning_curve.png"} <= names
    assert f"trajectories/step-{STEPS:08d}.parquet" in names
    assert any(name.startswith("tensorboard/") for name in names)
    assert not [name for name in names if "writing" in name or name.endswith((".lock", ".journal"))]
    copy = tmp_path / "copy"
    system.get(root, str(copy), recursive=True)
    assert_same_end(copy, straight)
    assert run == local_part(uri)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("nothing://bucket/run", "Protocol not known"),
        pytest.param(
            "s3://bucket/run",
            r"pip install 'stepcoder\[s3\]'",
            marks=pytest.mark.skipif(find_spec("s3fs") is not None, reason="the extra s3 is installed"),
        ),
        ("webhdfs://127.0.0.1:1/run", "Connection refused"),
    ],
)
def test_a_uri_that_can_not_be_reached_is_one_of_the_first_checks_faults(
    model: Path, tmp_path: Path, uri: str, said: str
) -> None:
    config = configured(tmp_path, model, "ppo", 1)
    there = config.model_copy(update={"run": config.run.model_copy(update={"directory": uri})})
    with pytest.raises(UserError, match=rf"run.directory: can't use {uri}: .*{said}"):
        preflight(there)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scheme", ["memory", "file"])
@pytest.mark.parametrize("cut", ["manifest.json", "state.json"])
def test_what_an_earlier_try_has_left_of_a_checkpoint_is_not_kept_under_a_new_one(
    tmp_path: Path, scheme: str, cut: str
) -> None:
    """Left by a driver that was killed while it copied; the step done again has files of the same size, and others."""
    uri = {"memory": f"memory://bucket{tmp_path}/run", "file": f"file://{tmp_path}/bucket/run"}[scheme]
    system, root = fsspec.core.url_to_fs(uri)
    mirror = tmp_path / "mirror"
    for step, content in ((2, "first"), (4, "first"), (4, "other")):
        with CheckpointWriter(mirror / "checkpoints", step) as writer:
            writer.write_state({"wrote": content})
            (writer.path / f"part-{content}").write_text(content)
        push(mirror, uri)
        if content == "first" and step == 4:
            system.rm(f"{root}/checkpoints/step-00000004/{cut}")
    pulled = tmp_path / "pulled"
    pulled.mkdir()
    pull(pulled, uri)
    assert (newest := latest_complete(pulled / "checkpoints")) is not None
    assert newest.step == 4 and newest.state() == {"wrote": "other"}
    shutil.rmtree(mirror / "checkpoints" / "step-00000002")
    (mirror / "checkpoints" / "step-00000004" / "manifest.json").unlink()  # damaged, as it was found: it stays there
    push(mirror, uri)
    left = {name.removeprefix(f"{root}/checkpoints/") for name in system.find(f"{root}/checkpoints")}
    assert left == {f"step-00000004/{name}" for name in ("manifest.json", "state.json", "part-other")}
