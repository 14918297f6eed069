"""What programs can read where this project or its interpreter lies in an awkward place."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydantic
import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging.plan import plan
from stepcoder.executor.pool.isolation import check
from stepcoder.executor.pool.slot import Slot
from stepcoder.executor.sandbox.confinement.root import View
from stepcoder.executor.suite import Case, Suite
from tests.executor.hostile.canaries import SECRET

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = ("site-packages", "dist-packages", "test", "idlelib", "lib2to3", "ensurepip", "turtledemo", "config-*")
# `readers` are the ways to a file of a package; what comes back is what was read.
PROBE = """
import importlib, importlib.resources, importlib.util, os, pkgutil, sys
def f(files, packages):
    found = []
    def say(action):
        try: text = action()
        except (OSError, ImportError, AttributeError, TypeError, ValueError): return
        if text: found.append(str(text)[:60])
    for path in files:
        say(lambda: open(path).read())
        say(lambda: open(os.path.join('/proc/self/root', path[1:])).read())
        folder, name = os.path.split(path)
        say(lambda: open(os.open(name, os.O_RDONLY, dir_fd=os.open(folder, os.O_PATH))).read())
    for package, name in packages:
        say(lambda: importlib.import_module(package).__doc__)
        say(lambda: pkgutil.get_data(package, name))
        say(lambda: importlib.resources.files(package).joinpath(name).read_text())
        say(lambda: importlib.util.find_spec(package).loader.get_source(package))
        for folder in [*sys.path, os.path.dirname(os.__file__) + '/site-packages']:
            say(lambda: open(os.path.join(folder, package, name)).read())
    return found
"""
LATE = "import neighbour\ndef f(): return neighbour.VALUE"
LIBRARY = "import asyncio, sqlite3, xml.dom.minidom, encodings.cp1252\ndef f(): return 1"


@dataclass(frozen=True, slots=True)
class Installed:
    """An interpreter with this project and another package among its own site-packages."""

    python: Path
    packages: Path
    secrets: tuple[str, ...]


def install(prefix: Path) -> Installed:
    library = Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix, "installed_base": sys.base_prefix}))
    target, place = prefix / "lib" / library.name, prefix / "lib" / library.name / "site-packages"
    shutil.copytree(library, target, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for shared in Path(sysconfig.get_config_var("LIBDIR")).glob("libpython*.so*"):
        shutil.copy2(shared, prefix / "lib", follow_symlinks=True)
    (prefix / "lib" / "libbeside.so.1").write_text("shared")
    (prefix / "lib" / "libbeside.so").symlink_to("libbeside.so.1")
    (prefix / "lib" / "notes.txt").write_text(SECRET)
    python = prefix / "bin" / f"python3.{sys.version_info.minor}"
    python.parent.mkdir()
    shutil.copy2(os.path.realpath(sys.executable), python)
    place.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.jsonl", "rollout", "learner", "deploy")
    shutil.copytree(ROOT / "stepcoder", place / "stepcoder", ignore=ignored)  # what the links lead to
    ours = {
        "stepcoder/curriculum/starter/heldout.jsonl": SECRET,
        "stepcoder/curriculum/starter/__pycache__/problems.cpython-311.pyc": SECRET,
        "stepcoder/curriculum/answers/__init__.py": f'"""{SECRET}"""',
        "__editable___stepcoder_0_1_0_finder.py": f'"""{SECRET}"""',
        "__pycache__/__editable___stepcoder_0_1_0_finder.cpython-311.pyc": SECRET,
        "__editable__.stepcoder-0.1.0.pth": f"# {SECRET}",
        "stepcoder-0.1.0.dist-info/METADATA": SECRET,
        "stepcoder-0.1.0.dist-info/RECORD": SECRET,
    }
    for name, text in (ours | {"neighbour/__init__.py": "VALUE = 1"}).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return Installed(python, place, tuple(str(place / name) for name in ours))


@pytest.fixture(scope="module", params=["/tmp", "/dev/shm"])
def installed(request: pytest.FixtureRequest) -> Iterator[Installed]:
    """Below the sandbox's own scaffold and elsewhere, with a space in its name."""
    if not os.access(request.param, os.W_OK):
        pytest.skip(f"{request.param} cannot be written to")
    with tempfile.TemporaryDirectory(prefix="an interpreter ", dir=request.param) as folder:
        found = install(Path(folder))
        if subprocess.run([found.python, "-S", "-c", ""], check=False).returncode:
            pytest.skip(f"a copy of this interpreter does not start in {request.param}")
        yield found


def need(level: int) -> None:
    reason = check(ExecutorConfig(), level)
    if reason is not None:
        pytest.skip(f"level {level} cannot be had here: {reason}")


def passed(config: ExecutorConfig, level: int, *asked: tuple[str, list, object]) -> list[bool]:
    """Of each program with its arguments, whether it gives that answer."""
    slot = Slot(config, level)
    try:
        return [
            slot.run(program, plan(Suite("call", (Case(given, wanted),), "f"))).passed
            for program, given, wanted in asked
        ]
    finally:
        slot.close()


PACKAGES = [
    ["stepcoder", "paths.py"],
    ["stepcoder", "curriculum/starter/heldout.jsonl"],
    ["stepcoder.curriculum", "starter/heldout.jsonl"],
    ["stepcoder.curriculum.answers", "x"],
    ["stepcoder.executor", "config.py"],
]


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("site_packages", [False, True])
def test_this_project_is_out_of_sight_beside_other_packages(
    installed: Installed, level: int, site_packages: bool
) -> None:
    need(level)
    config = ExecutorConfig(python=installed.python, site_packages=site_packages)
    shown = site_packages and level < 3
    neighbour = [[str(installed.packages / "neighbour" / "__init__.py")], []]
    asked = ((PROBE, [list(installed.secrets), PACKAGES], []), (LIBRARY, [], 1), (LATE, [], 1), (PROBE, neighbour, []))
    assert passed(config, level, *asked) == [True, True, shown, not shown]


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("site_packages", [False, True])
def test_it_runs_from_among_its_interpreters_own_packages(
    installed: Installed, level: int, site_packages: bool
) -> None:
    """As in an image without a virtual environment: the sandbox itself is imported from there."""
    need(level)
    code = f"""
import json, sys
from stepcoder import executor
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.suite import Case, Suite
assert executor.__file__.startswith({str(installed.packages)!r}), executor.__file__
with LocalPool(ExecutorConfig(workers=1, level={level}, site_packages={site_packages})) as pool:
    for program, arguments, answer in json.load(sys.stdin):
        print(pool.run(program, Suite("call", (Case(arguments, answer),), "f")).passed)
"""
    asked = [(PROBE, [list(installed.secrets), PACKAGES], []), (LIBRARY, [], 1), (LATE, [], 1)]
    done = subprocess.run(
        [installed.python, "-c", code],
        input=json.dumps(asked),
        env={"PYTHONPATH": str(Path(pydantic.__file__).parent.parent)},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["True", "True", str(site_packages and level < 3)], done.stdout + done.stderr


@pytest.mark.parametrize("level", [1, 2])
def test_shared_libraries_beside_the_library_are_found_and_nothing_else(installed: Installed, level: int) -> None:
    """As conda keeps those that its extension modules need."""
    need(level)
    lib = str(installed.python.parent.parent / "lib")
    program = "def f(lib): return [open(lib + '/libbeside.so').read(), open(lib + '/libbeside.so.1').read()]"
    other = (PROBE, [[lib + "/notes.txt"], []], [])
    assert passed(ExecutorConfig(python=installed.python), level, (program, [lib], ["shared"] * 2), other) == [True] * 2


@pytest.mark.parametrize("level", [1, 2, 3])
def test_an_interpreter_behind_several_links(installed: Installed, level: int) -> None:
    need(level)
    prefix = installed.python.parent.parent
    with tempfile.TemporaryDirectory(dir=prefix.parent) as folder:
        outer, inner = Path(folder, "outer"), Path(folder, "inner")
        outer.symlink_to(folder)
        inner.mkdir()
        (inner / "prefix").mkdir()
        for name in ("bin", "lib"):
            (inner / "prefix" / name).symlink_to(prefix / name)
        python = outer / "inner" / "prefix" / "bin" / installed.python.name
        assert passed(ExecutorConfig(python=python), level, (LIBRARY, [], 1)) == [True]


@pytest.mark.parametrize("level", [1, 2])
def test_the_base_interpreters_packages_are_out_of_sight(level: int) -> None:
    """Whatever environment this runs in: with its own packages shown, those of the interpreter below stay hidden."""
    need(level)
    base = list(Path(sysconfig.get_path("stdlib")).glob("*-packages"))
    files = [str(file) for folder in base for file in sorted(folder.glob("*/*.py"))[:20]]
    if not files or any(Path(path).resolve() in base for path in sys.path):
        pytest.skip("this interpreter has no packages below those of its environment")
    for site_packages in (False, True):
        config = ExecutorConfig(site_packages=site_packages)
        assert passed(config, level, (PROBE, [files, []], [])) == [True]


def test_a_view_is_of_outermost_folders_and_every_link(tmp_path: Path) -> None:
    lib = tmp_path / "usr" / "lib64"
    (lib / "python3" / "site-packages").mkdir(parents=True)
    (tmp_path / "lib64").symlink_to(lib)
    (lib / "python").symlink_to("python3")
    (tmp_path / "other").mkdir()
    view = View.of(
        [str(lib / "python"), str(tmp_path / "lib64"), str(tmp_path / "nowhere")],
        [str(lib / "python" / "site-packages"), str(tmp_path / "other"), str(tmp_path / "nowhere" / "x")],
    )
    real = os.path.realpath(lib)
    assert view.roots == (real,) and view.hidden == (f"{real}/python3/site-packages",)
    assert (os.path.realpath(tmp_path) + "/lib64", real) in view.links
