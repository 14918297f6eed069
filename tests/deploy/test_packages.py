"""`stepcoder packages`: an environment for programs, made from a wheel that lies on this machine."""

import sys
import zipfile
from pathlib import Path

import pytest

from stepcoder.deploy.cli import main
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.suite import Case, Suite

FILES = {
    "tiny_module.py": "ANSWER = 42\n",
    "tiny_wheel-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-wheel\nVersion: 1.0\n",
    "tiny_wheel-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tiny_wheel-1.0.dist-info/top_level.txt": "tiny_module\n",
}


@pytest.fixture(autouse=True)
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip may install, and nothing else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny_wheel-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in FILES.items():
            wheel.writestr(name, text)
        listed = "".join(f"{name},,\n" for name in [*FILES, "tiny_wheel-1.0.dist-info/RECORD"])
        wheel.writestr("tiny_wheel-1.0.dist-info/RECORD", listed)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_programs_import_what_was_prepared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # the second time it is there
        assert main(["packages", "tiny-wheel==1.0", "--into", str(tmp_path / "made")]) == 0
    python = tmp_path / "made" / "bin" / "python"
    said = capsys.readouterr().out
    assert f"python: {python}\n" in said and "packages: [tiny_module]" in said
    with LocalPool(ExecutorConfig(workers=1, python=python, packages=("tiny_module",))) as pool:
        assert pool.run("import tiny_module\nprint(tiny_module.ANSWER)\n", Suite("stdin", (Case("", "42"),))).passed
        assert pool.run("print(42)\n", Suite("stdin", (Case("", "42"),))).passed


def test_the_users_cache_has_one_for_each_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["packages", "tiny_wheel"]) == 0
    version = ".".join(map(str, sys.version_info[:3]))
    assert str(tmp_path / "cache" / "stepcoder" / "packages" / f"python{version}") in capsys.readouterr().out


def test_what_cannot_be_prepared_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    into = ["--into", str(tmp_path / "made")]
    for words, text in (
        (["no-such-wheel", *into], "installing no-such-wheel failed:"),
        (["$numpy", *into], "is not the name of a package"),
        (["tiny-wheel", "--into", str(other)], "holds something else than an environment"),
        (["tiny-wheel", *into, "--python", str(tmp_path / "none")], "does not start"),
    ):
        assert main(["packages", *words]) == 2, words
        assert text in capsys.readouterr().err
    assert (other / "mine.txt").read_text() == "mine"
