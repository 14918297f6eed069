"""What `--resume` asks for: whether a command may go on with a run, and from where."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.deploy.run.checkpoint import Checkpoint
from stepcoder.deploy.run.directory import CONFIG, begun, kept_settings, refuse_others, unwritable
from stepcoder.deploy.run.export import find_checkpoint
from stepcoder.deploy.run.meant import split
from stepcoder.deploy.run.metrics import METRICS, read_metrics
from stepcoder.errors import UserError, disk_fault
from stepcoder.files import publish, write_whole


def settle_resume(resume: str, directory: str) -> str | None:
    """Make `directory` what `--resume` asks for, before it is opened; what a person should know.

    A new directory gets a copy of the checkpoint, of the settings that it was made with, and of the numbers up to its
    step. One that holds a run already goes on with that, so that the same command can be given again.
    """
    if not copies(resume, directory):
        return None
    checkpoint = find_checkpoint(resume, asked=f"--resume {resume}")
    try:
        copy(checkpoint, Path(directory).expanduser().absolute())
    except OSError as error:
        if (fault := disk_fault(error)) is None:
            raise
        raise unwritable(Path(directory), fault) from None
    return f"begins with step {checkpoint.step} of {resume}"


def copies(resume: str, directory: str) -> bool:
    """Whether another run's checkpoint is to be copied first. UserError where `directory` can't be begun so."""
    if resume == "auto":
        return False
    if begun(directory):
        if resume == "never":
            raise UserError(f"--resume never: {directory} holds a run. Give another --run.directory.")
        return False
    if resume != "never" and "://" in directory:
        raise UserError(f"--resume PATH begins a local run.directory, not {directory}: copy the run there instead.")
    return resume != "never"


def check_resume(resume: str, config: BaseConfig, before: dict[str, Any] | None) -> None:
    """UserError for what opening the directory would refuse, as far as that is known at once; nothing is written.

    `before`: the settings of `settings_before`.
    """
    copied = copies(resume, config.run.directory)
    if copied and before is None:
        find_checkpoint(resume, asked=f"--resume {resume}")
    if copied or begun(config.run.directory):
        refuse_others(before or {}, config, f"--resume {resume}: it" if copied else "")


def settings_before(resume: str, directory: str) -> dict[str, Any] | None:
    """The settings that `directory`'s run began with; of the run that `--resume PATH` will copy where it holds none."""
    if (kept := kept_settings(directory)) is not None or resume in ("auto", "never"):
        return kept
    return kept_settings(split(resume)[0])


def copy(checkpoint: Checkpoint, target: Path) -> None:
    """A run directory with this checkpoint alone, or none yet."""
    source, folder = checkpoint.path.parent.parent, target / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    if (source / CONFIG).is_file():
        shutil.copyfile(source / CONFIG, target / CONFIG)
    kept = [line for line in read_metrics(source / METRICS) if line["step"] <= checkpoint.step]
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as aside:
        numbers, copied = Path(aside) / METRICS, Path(aside) / checkpoint.path.name
        write_whole(numbers, "".join(json.dumps(line) + "\n" for line in kept))
        shutil.copytree(checkpoint.path, copied)
        publish(copied, folder / checkpoint.path.name)
        publish(numbers, target / METRICS)  # numbers without a checkpoint would be a run that has lost it
