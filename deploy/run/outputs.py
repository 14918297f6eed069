"""Where a command may write."""

import os
from collections.abc import Iterable
from pathlib import Path

from stepcoder.errors import UserError

_DEVICES = (Path("/dev"), Path("/dev/fd"))  # a file that takes the name of one would replace it


def check_output(path: Path, option: str, inputs: Iterable[Path], force: bool) -> None:
    """What can be wrong with an output, before anything is read."""
    if str(path) == "-" or path.parent in _DEVICES:
        raise UserError(f"{option}: {path} is no file: what is written takes its name when it is complete; give a file")
    if path.is_dir():
        raise UserError(f"{option}: {path} is a directory; give a file")
    if path.exists() and any(other.exists() and path.samefile(other) for other in inputs):
        raise UserError(f"{option}: {path} is an input; give another file")
    if not path.parent.is_dir():
        raise UserError(f"{option}: there is no directory {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{option}: no permission to write in {path.parent}")
    if path.exists() and not force:
        raise UserError(f"{option}: {path} exists; give another file, or --force to replace it")


def check_picture(path: Path, option: str, inputs: Iterable[Path] = ()) -> None:
    """The same for one that is drawn; replaced if it exists."""
    if path.suffix.lower() != ".png":
        raise UserError(f"{option}: {path} must end in .png")
    check_output(path, option, inputs, force=True)
