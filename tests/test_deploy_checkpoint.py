"""A checkpoint is complete or absent, whatever cut it short."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.checkpoint import CheckpointWriter, latest_complete, load, prune, sweep
from deploy.manifest import ManifestError, seal, verify


def save(folder: Path, step: int, text: str = "weights") -> Path:
    with CheckpointWriter(folder, step, {"config": "abc"}) as writer:
        (writer.path / "policy").mkdir()
        (writer.path / "policy" / "model.bin").write_text(text * step, encoding="utf-8")
        writer.write_state({"step": step, "random": [1, 2, 3]})
    return writer.target


def test_what_was_written_is_loaded(tmp_path: Path) -> None:
    save(tmp_path, 3)
    save(tmp_path, 12)
    newest = latest_complete(tmp_path)
    assert newest is not None and newest.step == 12
    assert newest.state() == {"step": 12, "random": [1, 2, 3]}
    assert newest.manifest["config"] == "abc" and "torch" in newest.manifest["versions"]
    assert set(newest.manifest["files"]) == {"policy/model.bin", "state.json"}


def test_nothing_is_left_of_a_writer_that_failed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="disk"), CheckpointWriter(tmp_path, 1) as writer:
        (writer.path / "half").write_text("x", encoding="utf-8")
        raise RuntimeError("disk")
    assert list(tmp_path.iterdir()) == []
    assert latest_complete(tmp_path) is None


def test_a_checkpoint_cut_at_any_byte_is_passed_over_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 1)
    newer = save(tmp_path, 2)
    for name in ("policy/model.bin", "state.json", "manifest.json"):
        whole = (newer / name).read_bytes()
        for cut in range(len(whole) - 1 if name == "manifest.json" else len(whole)):  # the manifest ends in a newline
            (newer / name).write_bytes(whole[:cut])
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                found = latest_complete(tmp_path)
            assert found is not None and found.step == 1, (name, cut)
            assert "step 2 is passed over" in caplog.text and name in caplog.text
        (newer / name).write_bytes(whole)
    found = latest_complete(tmp_path)
    assert found is not None and found.step == 2


def test_changed_missing_and_extra_files_are_found(tmp_path: Path) -> None:
    path = save(tmp_path, 5)
    weights = path / "policy" / "model.bin"
    original = weights.read_bytes()
    weights.write_bytes(b"X" + original[1:])
    with pytest.raises(ManifestError, match="model.bin has changed"):
        load(path)
    weights.unlink()
    with pytest.raises(ManifestError, match="model.bin is missing"):
        load(path)
    weights.write_bytes(original)
    (path / "stray").write_text("", encoding="utf-8")
    with pytest.raises(ManifestError, match="stray is not in the manifest"):
        load(path)


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 4, "old")
    path = save(tmp_path, 4, "new")
    assert (path / "policy" / "model.bin").read_text(encoding="utf-8") == "new" * 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["step-00000004"]
    verify(path)


def test_prune_keeps_the_newest(tmp_path: Path) -> None:
    for step in (1, 2, 3, 10):
        save(tmp_path, step)
    prune(tmp_path, 2)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["step-00000003", "step-00000010"]


def test_a_killed_writer_leaves_nothing_that_loads(tmp_path: Path) -> None:
    save(tmp_path, 1)
    code = (
        "import sys, time; from pathlib import Path; from deploy.checkpoint import CheckpointWriter\n"
        "with CheckpointWriter(Path(sys.argv[1]), 2) as w:\n"
        "    w.write_state({}); print('writing', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent
    )
    assert child.stdout is not None and child.stdout.readline() == b"writing\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    child.stdout.close()
    found = latest_complete(tmp_path)
    assert found is not None and found.step == 1
    sweep(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["step-00000001"]


def test_the_manifest_says_who_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1", encoding="utf-8")
    seal(tmp_path, {"wrote": "someone"})
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["wrote"] == "someone"
    assert manifest["files"]["a"]["bytes"] == 1
    started = time.monotonic()
    assert verify(tmp_path) == manifest
    assert time.monotonic() - started < 5
