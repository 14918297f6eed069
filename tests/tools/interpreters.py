"""Other interpreters of this machine, for tests of what depends on the version of Python that runs programs."""

from pathlib import Path

import pytest

from stepcoder.executor.interpreters import find


def require(version: str) -> Path:
    """As `find`; the test is skipped where there is none."""
    path = find(version)
    if path is None:
        pytest.skip(f"no working python{version} on PATH or kept by pyenv or uv: install one to test programs on it")
    return path
