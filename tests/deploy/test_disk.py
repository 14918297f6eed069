"""What a disk refuses is one message, also where a library tells it its own way: torch, safetensors, shutil.

In the place of a full disk: files may not be longer than so many bytes.
"""

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from ray.exceptions import RayTaskError
from safetensors.torch import save_file

from stepcoder.deploy.cli import main
from stepcoder.deploy.run.checkpoint import CheckpointWriter, load, told
from stepcoder.deploy.run.directory import RunDirectory, begun
from stepcoder.deploy.run.export import export
from stepcoder.deploy.run.resume import settle_resume
from stepcoder.errors import UserError, disk_fault
from stepcoder.files import write_whole
from stepcoder.learner.networks.state import save
from tests.deploy.test_run_directory import configured
from tests.tools.loop import ROOT
from tests.tools.patience import HANG_S

WEIGHTS = {"weight": torch.zeros(50_000)}


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """No file grows beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_torch_and_safetensors_have_errors_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "part.pt"
    with at_most(1000), pytest.raises(OSError) as caught:
        save(WEIGHTS, file)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(file))
    with pytest.raises(UserError) as refused, told(tmp_path, 4), at_most(1000):
        try:
            save_file(WEIGHTS, tmp_path / "model.safetensors")
        except Exception as error:
            raise RayTaskError("write", "Traceback ...", error).as_instanceof_cause() from None
    said = str(refused.value)
    assert "the checkpoint of step 4 can't be written" in said and "File too large" in said
    with pytest.raises(ZeroDivisionError), told(tmp_path, 4):
        raise ZeroDivisionError


def test_of_several_that_were_not_copied_one_tells(tmp_path: Path) -> None:
    with RunDirectory.open(configured(tmp_path / "run")) as run:
        with CheckpointWriter(run.checkpoints, 5, run.about()) as writer:
            (writer.path / "policy").mkdir()
            save_file(WEIGHTS, writer.path / "policy" / "model.safetensors")
            (writer.path / "policy" / "config.json").write_text("{}")
        with run.writer() as metrics:
            metrics.write(5, {"pass_rate": 0.5})
        checkpoint = load(run.checkpoints / "step-00000005")
    source = str(tmp_path / "run")
    for target, fill in (
        (tmp_path / "out", lambda out: export(checkpoint, out)),
        (tmp_path / "new", lambda new: settle_resume(source, str(new))),
    ):
        with at_most(20_000), pytest.raises(UserError) as caught:
            fill(target)
        said = str(caught.value)
        assert "can't write" in said and "File too large" in said and str(target) in said and "\n" not in said
    assert not (tmp_path / "out").exists()
    # the same command copies once more: it is no run that has lost its checkpoint
    assert not begun(str(tmp_path / "new")) and not list((tmp_path / "new" / "checkpoints").iterdir())
    assert settle_resume(source, str(tmp_path / "new")) == f"begins with step 5 of {source}"


def test_a_command_tells_which_file_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, advice in ((errno.ENOSPC, "Make room there"), (errno.EROFS, "Put that right")):

        def refuse(_: int, number: int = number) -> None:
            raise OSError(number, "what it says")

        with monkeypatch.context() as patched:
            patched.setattr("stepcoder.files.os.fsync", refuse)
            patched.setattr("stepcoder.deploy.commands.runs.run", lambda *_: write_whole(tmp_path / "file", "x"))
            assert main(["runs"]) == 2
        said = f"what it says: '{tmp_path / 'file'}'. {advice} and give the same command again.\n"
        assert capsys.readouterr().err.endswith(said)


def test_what_is_no_fault_of_the_disk_is_none() -> None:
    assert disk_fault(None) is None and disk_fault(ValueError("errno 28")) is None
    assert disk_fault(OSError(errno.EINVAL, "[Errno 28]")) is None
    gathered = shutil.Error([("a", "b", "[Errno 2] none: 'a'"), ("c", "d", "[Errno 28] No space left on device")])
    assert (found := disk_fault(gathered)) is not None and found.errno == errno.ENOSPC


@pytest.mark.parametrize("command", ["--version", "train --help all"])
def test_an_output_that_goes_to_a_full_disk_is_told(command: str) -> None:
    """Where it is buffered it fails at the end, and would once more when Python ends."""
    words = [sys.executable, "-m", "stepcoder", *command.split()]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=HANG_S, cwd=ROOT, env=environment
        )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    where = "" if "all" in command else ": 'standard output'"
    assert done.stderr.startswith(f"stepcoder: [Errno 28] No space left on device{where}. Make room there")
