"""A directory that can prove it is complete: `manifest.json` lists every file with its size and SHA-256.

The manifest, which holds a SHA-256 of itself too, is written last and the directory is renamed into place after it, so
a directory with a manifest that verifies holds exactly what its writer meant to write, byte by byte.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from stepcoder.files import flush_to_disk

MANIFEST = "manifest.json"
THREADS = 16  # files hashed at once; a shared disk is read faster by several, too
SEAL = "seal"  # SHA-256 of the manifest's text without this entry


class ManifestError(Exception):
    """The directory is not what its manifest says; the message names the first difference."""


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flushed(path: Path) -> str:
    digest = sha256(path)
    flush_to_disk(path)
    return digest


def _each(work: Callable[[Path], str], paths: Sequence[Path]) -> list[str]:
    """In order, on all cores: hashing leaves the interpreter alone."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, paths))


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file() and path != directory / MANIFEST)


def seal(directory: Path, about: dict[str, Any]) -> None:
    """Write the manifest of everything below `directory` and flush all of it. `about` says who wrote it."""
    paths = _files(directory)
    files = {
        path.relative_to(directory).as_posix(): {"bytes": path.stat().st_size, "sha256": digest}
        for path, digest in zip(paths, _each(_flushed, paths), strict=True)
    }
    manifest = directory / MANIFEST
    manifest.write_text(_sealed({**about, "files": files}), encoding="utf-8")
    flush_to_disk(manifest)
    for path in [*directory.rglob("*"), directory]:
        if path.is_dir():
            flush_to_disk(path)


def _sealed(manifest: dict[str, Any]) -> str:
    """The manifest's text with its seal; there is one text for one content."""
    digest = hashlib.sha256(json.dumps(manifest, indent=1).encode()).hexdigest()
    return json.dumps({**manifest, SEAL: digest}, indent=1) + "\n"


def verify(directory: Path) -> dict[str, Any]:
    """The manifest of a complete directory; raises ManifestError when a file is missing, cut, changed or extra."""
    manifest = verify_sizes(directory)
    listed = manifest["files"]
    for name, digest in zip(listed, _each(sha256, [directory / name for name in listed]), strict=True):
        if digest != listed[name]["sha256"]:
            raise ManifestError(f"{directory / name} has changed: its SHA-256 is not the manifest's")
    return manifest


def verify_sizes(directory: Path) -> dict[str, Any]:
    """The same at once, however large the files are: what is in them is not read."""
    path = directory / MANIFEST
    try:
        text = path.read_bytes().decode()  # as it is: reading as text takes one line end for another
        manifest = json.loads(text)
        if SEAL not in manifest:
            raise ManifestError(f"{path} has no seal: it was changed, or written by an earlier version")
        if _sealed({name: value for name, value in manifest.items() if name != SEAL}) != text:
            raise ManifestError(f"{path} has changed: its seal is not that of its text")
        listed: dict[str, dict[str, Any]] = manifest["files"]
    except FileNotFoundError:
        raise ManifestError(f"{path} is missing: the writer was stopped before it was done") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"{path} can't be read ({error})") from None
    present = {file.relative_to(directory).as_posix() for file in _files(directory)}
    for name in sorted(present - listed.keys()):
        raise ManifestError(f"{directory / name} is not in the manifest")
    for name, entry in listed.items():
        file = directory / name
        if name not in present:
            raise ManifestError(f"{file} is missing")
        if file.stat().st_size != entry["bytes"]:
            raise ManifestError(f"{file} has {file.stat().st_size} bytes, the manifest says {entry['bytes']}")
    return manifest
