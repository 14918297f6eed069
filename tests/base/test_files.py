"""Files that are whole or absent."""

import json
import os
import resource
from pathlib import Path

import pytest

from stepcoder.files import Whole, publish, write_json, write_whole


def test_a_file_takes_its_name_when_it_is_committed(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with Whole(path) as file:
        file.stream.write(b"new")
        assert path.read_bytes() == b"old"
        file.commit()
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["a.bin"]


def test_what_is_not_committed_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Whole(tmp_path / "a") as file:
        file.stream.write(b"x" * 100_000)
        raise ZeroDivisionError
    with Whole(tmp_path / "a") as file:
        file.stream.write(b"x")
        file.stream.close()
    assert os.listdir(tmp_path) == []


def test_a_full_disk_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_whole(path, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError):
            write_whole(path, "x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a"]


def test_what_a_killed_writer_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".a.partial").write_bytes(b"much longer than what comes now")
    write_whole(tmp_path / "a", "ä", durable=False)
    assert (tmp_path / "a").read_bytes() == "ä".encode() and os.listdir(tmp_path) == ["a"]


def test_json_and_folders(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    write_json(tmp_path / "made" / "a.json", {"b": [1, "ä"]})
    publish(tmp_path / "made", tmp_path / "target")
    text = (tmp_path / "target" / "a.json").read_text(encoding="ascii")
    assert json.loads(text) == {"b": [1, "ä"]} and text.endswith("}\n")
    assert os.listdir(tmp_path) == ["target"]
