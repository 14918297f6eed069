"""`stepcoder packages`: an interpreter for programs that has packages installed."""

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from stepcoder.errors import UserError

DESCRIPTION = """\
Prepare an interpreter in which programs can import packages: a virtual environment with these and nothing else, tried
in the sandbox. Prints the settings that use it. Programs that name no package run as fast as without."""

EXAMPLES = """\
examples:
  stepcoder packages numpy sortedcontainers
  stepcoder packages 'numpy==2.3.5' scikit-learn --into /opt/judge --python /usr/bin/python3.12
  PIP_INDEX_URL=https://mirror.example/simple stepcoder packages numpy

The packages are named as for pip, which installs them as its own settings say (PIP_INDEX_URL, PIP_FIND_LINKS,
PIP_NO_INDEX). The same command again adds what is missing."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Of the distributions that are named: the modules that they bring.
_MODULES = """
import importlib.metadata as metadata, json, re, sys
plain = lambda name: re.sub(r"[-_.]+", "-", name).lower()
wanted = {plain(name) for name in sys.argv[1:]}
found = metadata.packages_distributions().items()
print(json.dumps(sorted(m for m, names in found if m.isidentifier() and wanted & {plain(n) for n in names})))
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    packages = commands.add_parser(
        "packages", help="prepare an interpreter in which programs can import packages", description=DESCRIPTION,
        epilog=EXAMPLES,
    )  # fmt: skip
    packages.add_argument("requirements", metavar="PACKAGE", nargs="+", help="as for pip: numpy, 'numpy==2.3.5'")
    packages.add_argument("--into", metavar="DIR", type=Path, help="the environment (default: in the user's cache)")
    packages.add_argument("--python", metavar="FILE", type=Path, help="interpreter to begin with (default: this one)")


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from stepcoder.executor.config import ExecutorConfig
    from stepcoder.executor.interpreters import examine
    from stepcoder.executor.pool.isolation import choose

    names = [_name(text) for text in options.requirements]
    base = options.python or Path(sys.executable)
    try:
        version, _ = examine(base)
    except RuntimeError as error:
        raise UserError(f"--python: {error}") from None
    folder = (options.into or _cache() / f"python{version}").absolute()
    python = _environment(folder, base)
    _install(python, options.requirements)
    modules = json.loads(_run([str(python), "-I", "-c", _MODULES, *names], "looking for the modules"))
    try:
        level = choose(ExecutorConfig(workers=1, python=python, packages=tuple(modules)))
    except UserError as error:
        raise UserError(f"the packages are installed in {folder}, but not usable: {error}") from None
    print(f"Python {version} with {', '.join(modules)}, tried at isolation level {level}. Use it with\n\n"
          f"    executor:\n      python: {python}\n      packages: [{', '.join(modules)}]\n\n"
          f"or --executor.python {python} --executor.packages '[{', '.join(modules)}]'")  # fmt: skip
    return 0


def _name(requirement: str) -> str:
    found = _NAME.match(requirement)
    if found is None:
        raise UserError(f"{requirement!r} is not the name of a package: give names as for pip, such as numpy")
    return found[0]


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stepcoder" / "packages"


def _environment(folder: Path, base: Path) -> Path:
    """The interpreter of a virtual environment there, which is made where there is none."""
    python = folder / "bin" / "python"
    if not python.exists():
        if folder.exists() and any(folder.iterdir()):
            raise UserError(f"{folder} holds something else than an environment: give another folder with --into")
        lean = ["--without-pip"] if importlib.util.find_spec("pip") else []
        _run([str(base), "-m", "venv", *lean, str(folder)], f"making the environment {folder}")
    return python


def _install(python: Path, requirements: Sequence[str]) -> None:
    own = importlib.util.find_spec("pip") is not None  # of a version that installs for others: 22.3 or later
    pip = [sys.executable, "-m", "pip", "--python", str(python)] if own else [str(python), "-m", "pip"]
    quiet = ["--disable-pip-version-check", "--quiet", "--no-input"]
    _run([*pip, "install", *quiet, *requirements], f"installing {' '.join(requirements)}")


def _run(command: Sequence[str], what: str) -> str:
    """What it prints; UserError with the end of what it says where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise UserError(f"{what} failed: {command[0]}: {error.strerror}") from None
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise UserError(f"{what} failed:\n" + "\n".join(f"  {line}" for line in said[-5:]))
    return done.stdout
