"""What is built: one top-level name with all its files, and judging and data commands without torch or Ray."""

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from stepcoder.paths import source_tree
from tests.tools.patience import HANG_S

ROOT = source_tree()
FOLDERS = ("executor", "curriculum", "rollout", "learner", "deploy")
# What a base installation brings: the direct dependencies, and what these need.
BASE = """
    pydantic pydantic_core annotated_types typing_extensions typing_inspection yaml _yaml rich markdown_it mdurl
    pygments numpy jaxtyping wadler_lindig pyarrow jinja2 markupsafe
"""
REFUSING = f"""
import sys
from importlib.machinery import PathFinder

BASE = {BASE.split()}

class Refused:
    def find_spec(self, name, path=None, target=None):
        if path is None and name not in BASE:
            found = PathFinder.find_spec(name)
            if found is not None and "site-packages" in str(found.origin):
                raise ModuleNotFoundError(f"refused: {{name}}", name=name)

sys.meta_path.insert(0, Refused())
sys.path.insert(0, sys.argv.pop(1))
"""
EVERY_MODULE = """
import importlib, pkgutil, stepcoder.curriculum, stepcoder.executor

names = []
for package in (stepcoder.curriculum, stepcoder.executor):
    names += [module.name for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
names = [name for name in names if not name.startswith("stepcoder.executor.server.")]  # of the extra `serve`
for name in names:
    importlib.import_module(name)
print(len(names), stepcoder.__file__)
"""
COMMAND = "from stepcoder.deploy.cli import main\nsys.exit(main(sys.argv[1:]))\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(source distribution, wheel) of a copy of the tree, so that no earlier build is in it; without network."""
    if ROOT is None:
        pytest.skip("the package is not used from its repository")
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("out")
    for name in ("stepcoder", *FOLDERS):
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    code = f"import setuptools.build_meta as build\nbuild.build_sdist({str(out)!r})\nbuild.build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=tree, check=True, capture_output=True, timeout=HANG_S)
    (source,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return source, wheel


@pytest.fixture(scope="module")
def unpacked(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(built[1]) as wheel:
        wheel.extractall(folder)
    return folder


def without_training(unpacked: Path, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs code in an interpreter that sees the wheel and can import what a base installation brings alone."""
    command = [sys.executable, "-I", "-c", REFUSING + code, str(unpacked), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, cwd=unpacked.parent)


def files_of_the_tree() -> set[str]:
    """Every file of the package by its installed name."""
    assert ROOT is not None
    found = {f"stepcoder/{file.name}" for file in (ROOT / "stepcoder").glob("*.py")}
    for top, folder in [*((ROOT, folder) for folder in FOLDERS), (ROOT / "stepcoder", "pages")]:
        files = (file for file in (top / folder).rglob("*") if file.is_file() and "__pycache__" not in file.parts)
        found |= {f"stepcoder/{file.relative_to(top).as_posix()}" for file in files}
    return found


def test_a_wheel_holds_every_file_under_one_name(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        assert not any(info.external_attr >> 16 & 0o170000 == 0o120000 for info in wheel.infolist())  # no links
    assert names == files_of_the_tree()


def test_a_source_distribution_holds_the_folders_themselves(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as source:
        members = {member.name.partition("/")[2]: member for member in source.getmembers()}
    assert files_of_the_tree() <= members.keys()
    assert all(member.isfile() or member.isdir() for member in members.values())


def test_every_module_that_judges_or_prepares_data_imports_without_training(unpacked: Path) -> None:
    done = without_training(unpacked, EVERY_MODULE)
    assert done.returncode == 0, done.stderr
    count, _, file = done.stdout.strip().partition(" ")
    assert int(count) > 50 and Path(file) == unpacked / "stepcoder" / "__init__.py"


def test_commands_that_judge_or_prepare_data_run_without_training(unpacked: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("def sign(n):\n    return (n > 0) - (n < 0)\n")
    sample = {"problem_id": "starter/sign/sign", "program": program.read_text()}
    (tmp_path / "S.jsonl").write_text(json.dumps(sample) + "\n")
    (tmp_path / "P.jsonl").write_bytes((unpacked / "stepcoder/curriculum/starter/heldout.jsonl").read_bytes())
    raw, kept, report = (str(tmp_path / name) for name in ("P.jsonl", "kept.jsonl.gz", "report.html"))
    files = ["--problems", "starter:train", "--samples", str(tmp_path / "S.jsonl"), "--out", str(tmp_path / "R.jsonl")]
    for words in (
        *([command, "--help"] for command in ("grade", "mask", "data", "courses")),
        ["mask", str(program), "--lines", "1"],
        ["courses", "starter:train", "--id", "starter/sign/sign"],
        ["data", "check", "starter:train"],
        ["data", "convert", "--from", "native", raw, str(tmp_path / "converted.jsonl")],
        ["data", "refine", raw, kept, "--report", report, "--keep-duplicates"],
        ["grade", *files],
    ):
        done = without_training(unpacked, COMMAND, *words)
        assert done.returncode == 0, (words, done.stderr)
    assert json.loads((tmp_path / "R.jsonl").read_text())["verdict"] == "passed"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train"], "stepcoder: train needs ray, which is not installed: pip install 'stepcoder[train]'"),
        (["data", "convert", "--from", "apps", "hub:./", "out.jsonl"], "pip install 'stepcoder[hub]'"),
    ],
)
def test_what_is_left_out_is_named(unpacked: Path, words: list[str], message: str) -> None:
    done = without_training(unpacked, COMMAND, *words)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr, done.stderr
