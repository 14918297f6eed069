"""A run at a URI: a local mirror of it, copied there as it grows, and from there when the run goes on."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stepcoder.deploy.run.lock import LOCK
from stepcoder.deploy.run.manifest import MANIFEST
from stepcoder.errors import UserError


def connect(uri: str, make: bool = True) -> tuple[Any, str]:
    """A URI's file system and the path in it; with `make` the folder is there. UserError where it can't be used."""
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(uri)
        if make:
            system.makedirs(root, exist_ok=True)
    except Exception as error:  # every file system has its own kinds
        extra = " (pip install 'stepcoder[s3]')" if isinstance(error, ImportError) and uri.startswith("s3://") else ""
        raise UserError(f"run.directory: can't use {uri}: {error or type(error).__name__}{extra}") from None
    return system, root.rstrip("/")


def listing(system: Any, root: str) -> dict[str, dict[str, Any]]:
    """Files below `root` by their name relative to it."""
    system.invalidate_cache()
    found = system.find(root, detail=True)
    return {str(path)[len(root) + 1 :]: entry for path, entry in found.items()}


def fetch_names(uri: str) -> list[str]:
    """The files at a URI, relative to it."""
    return list(listing(*connect(uri, make=False)))


def fetch(uri: str, target: Path, wanted: Callable[[str], bool]) -> None:
    """Copy the files at a URI whose names, relative to it, are wanted; with their times, where it tells them."""
    system, root = connect(uri, make=False)
    for name in filter(wanted, listing(system, root)):
        file = target / name
        file.parent.mkdir(parents=True, exist_ok=True)
        system.get_file(f"{root}/{name}", str(file))
        with contextlib.suppress(NotImplementedError):
            written = system.modified(f"{root}/{name}").timestamp()
            os.utime(file, (written, written))


def push(path: Path, uri: str) -> None:
    """Copy new and changed files to a run's URI and drop deleted checkpoints there.

    A checkpoint whose manifest is another one there, or none, is of an earlier try: nothing of it is kept.
    """
    system, root = connect(uri)
    remote = {name: entry["size"] for name, entry in listing(system, root).items()}
    local = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    names = [name for name in local if name != LOCK and not any(part.startswith(".") for part in Path(name).parts)]
    sealed = {str(Path(name).parent) for name in names if name.startswith("checkpoints/") and name.endswith(MANIFEST)}
    there = {_checkpoint(name) for name in remote} - {""}
    for folder in sorted(sealed & there):
        manifest = f"{folder}/{MANIFEST}"
        if manifest not in remote or system.cat_file(f"{root}/{manifest}") != local[manifest].read_bytes():
            system.rm(f"{root}/{folder}", recursive=True)
            remote = {name: size for name, size in remote.items() if _checkpoint(name) != folder}
    for name in sorted(names, key=lambda name: (name.endswith(MANIFEST), name)):
        if not _checkpoint(name) or (_checkpoint(name) in sealed and remote.get(name) != local[name].stat().st_size):
            system.makedirs(f"{root}/{Path(name).parent.as_posix()}", exist_ok=True)
            system.put_file(str(local[name]), f"{root}/{name}")
    for folder in sorted(there - {_checkpoint(name) for name in local}):
        system.rm(f"{root}/{folder}", recursive=True)


def _checkpoint(name: str) -> str:
    """The folder of the checkpoint that a file belongs to, relative to the run; empty for other files."""
    return "/".join(name.split("/")[:2]) if name.startswith("checkpoints/") else ""


def pull(path: Path, uri: str) -> None:
    """Make the mirror what the URI holds; the mirror may be of another machine's past, the URI is the run."""
    system, root = connect(uri)
    remote = listing(system, root)
    for entry in path.iterdir():
        if entry.name != LOCK:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for name in remote:
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        system.get_file(f"{root}/{name}", str(target))
