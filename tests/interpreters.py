"""Other interpreters of this machine, for tests of what depends on the version of Python that runs programs."""

import functools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

# Where pyenv and uv keep theirs, which need not be on PATH.
_KEPT = (("PYENV_ROOT", ".pyenv", "versions/*/bin"), ("UV_PYTHON_INSTALL_DIR", ".local/share/uv/python", "*/bin"))


def _folders() -> Iterator[Path]:
    yield from map(Path, os.get_exec_path())
    for variable, place, pattern in _KEPT:
        yield from sorted(Path(os.environ.get(variable) or Path.home() / place).glob(pattern))


@functools.cache
def interpreter(version: str) -> Path | None:
    """The first `python<version>` that starts and is of that version: a wrapper may only pretend to be."""
    for folder in _folders():
        candidate = folder / f"python{version}"
        if not candidate.is_file():
            continue
        code = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"
        done = subprocess.run([candidate, "-I", "-c", code], capture_output=True, text=True, check=False)
        found, _, path = done.stdout.strip().partition(" ")
        if done.returncode == 0 and found == version:
            return Path(path)
    return None


def require(version: str) -> Path:
    """As `interpreter`; the test is skipped where there is none."""
    path = interpreter(version)
    if path is None:
        pytest.skip(f"no working python{version} on PATH or kept by pyenv or uv: install one to test programs on it")
    return path
