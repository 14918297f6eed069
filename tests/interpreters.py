"""Other interpreters on PATH, for tests of what depends on the version of Python that runs programs."""

import functools
import os
import subprocess
from pathlib import Path

import pytest


@functools.cache
def interpreter(version: str) -> Path | None:
    """The first `python<version>` on PATH that starts and is of that version: a wrapper may only pretend to be."""
    for directory in os.get_exec_path():
        candidate = Path(directory) / f"python{version}"
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
        pytest.skip(f"no working python{version} on PATH: put one there to test programs on that version")
    return path
