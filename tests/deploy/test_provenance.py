"""Which code and machine computed a run."""

import subprocess
from pathlib import Path

import pytest

from stepcoder.deploy.run import provenance
from stepcoder.deploy.run.provenance import COMMIT, PROVENANCE, commit, record, recorded


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    return subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True, text=True).stdout


def test_the_commit_of_the_sources_and_whether_they_differ_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(COMMIT, raising=False)
    monkeypatch.setattr(provenance, "source_tree", lambda: tmp_path)
    assert commit() == (None, False)
    git(tmp_path, "init")
    (tmp_path / "file").write_text("a")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "a")
    head = git(tmp_path, "rev-parse", "HEAD").strip()
    (tmp_path / "run.log").write_text("not tracked")
    assert commit() == (head, False)
    (tmp_path / "file").write_text("b")
    assert commit() == (head, True)


def test_sources_that_come_without_their_history_are_told_their_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "source_tree", lambda: None)
    monkeypatch.setenv(COMMIT, "abc-dirty")
    assert commit() == ("abc", True)
    monkeypatch.setenv(COMMIT, "abc")
    assert commit() == ("abc", False)


def test_each_command_adds_a_line_and_a_line_that_a_kill_cut_short_is_left_out(tmp_path: Path) -> None:
    record(tmp_path)
    record(tmp_path)
    with (tmp_path / PROVENANCE).open("a") as file:
        file.write('{"commit": "a')
    first, second = recorded(tmp_path)
    assert first["cpu"] == second["cpu"] != "" and first["versions"]["python"] and "at" in first
    assert recorded(tmp_path / "nothing") == []
