"""Python interpreters that programs can run under: the one that was asked for, and what else this machine has."""

import functools
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

# Fastest first at running programs with executed lines recorded: 109 programs/s under 3.13 where 3.11 has 83. From 3.14
# on each program needs a process of its own.
FASTEST = ("3.13", "3.12")
_KEPT = (("PYENV_ROOT", ".pyenv", "versions/*/bin"), ("UV_PYTHON_INSTALL_DIR", ".local/share/uv/python", "*/bin"))


def _folders() -> Iterator[Path]:
    yield from map(Path, os.get_exec_path())
    for variable, place, pattern in _KEPT:
        yield from sorted(Path(os.environ.get(variable) or Path.home() / place).glob(pattern))


@functools.cache
def find(version: str) -> Path | None:
    """The first `python<version>` on PATH or kept by pyenv or uv that is of that version: a wrapper may pretend."""
    for folder in _folders():
        candidate = folder / f"python{version}"
        if not candidate.is_file():
            continue
        code = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"
        try:
            done = subprocess.run([candidate, "-I", "-c", code], capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            continue
        found, _, path = done.stdout.strip().partition(" ")
        if done.returncode == 0 and found == version:
            return Path(path)
    return None


def faster(version: str) -> Path | None:
    """The interpreter here that runs programs faster than Python `version` (3.11.7) does, if there is one."""
    series = ".".join(version.split(".")[:2])
    better = FASTEST[: FASTEST.index(series)] if series in FASTEST else FASTEST
    return next((found for name in better if (found := find(name))), None)


def examine(python: Path | None) -> tuple[str, bool]:
    """Version of a Python interpreter (None: this one), and whether it has `sys.monitoring`.

    RuntimeError where it does not start.
    """
    code = "import sys; print('.'.join(map(str, sys.version_info[:3])), hasattr(sys, 'monitoring'))"
    command = [str(python or sys.executable), "-I", "-c", code]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        found, monitoring = answer.stdout.split()
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines()[-1:] or ["it is no Python interpreter"]
        raise RuntimeError(f"{command[0]} does not start: {said[0]}") from None
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise RuntimeError(f"{command[0]} does not start: {error}") from None
    return found, monitoring == "True"


def missing(python: Path | None, modules: Sequence[str]) -> list[str]:
    """Those of `modules` that an interpreter (None: this one) does not find installed."""
    if not modules:
        return []
    code = "import sys, importlib.util as u; print(*(m for m in sys.argv[1:] if u.find_spec(m) is None))"
    command = [str(python or sys.executable), "-I", "-c", code, *modules]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return list(modules)
    return done.stdout.split()
