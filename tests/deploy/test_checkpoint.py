"""A checkpoint is complete or absent, whatever cut it short."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepcoder.deploy.run.background import Background
from stepcoder.deploy.run.checkpoint import CheckpointWriter, best, latest_complete, load, prune, sweep
from stepcoder.deploy.run.manifest import ManifestError, seal, verify


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


FILES = {
    "learner/policy/part-00000-of-00002.pt": bytes(range(256)) * 3,
    "learner/policy/part-00001-of-00002.pt": b"\0" * 100,
    "policy/config.json": b'{"layers": 2}\n',
    "empty": b"",
}


def damages(draw: st.DrawFn, content: bytes) -> tuple[str, bytes]:
    """Another content: cut short, one byte changed, one added, one taken out."""
    kind = draw(st.sampled_from(["cut", "flip", "insert", "remove"] if content else ["insert"]))
    at = draw(st.integers(0, len(content) - (kind != "insert")))
    other = draw(st.integers(0, 255))
    match kind:
        case "cut":
            return kind, content[:at]
        case "flip":
            return kind, content[:at] + bytes([content[at] ^ (other or 1)]) + content[at + 1 :]
        case "remove":
            return kind, content[:at] + content[at + 1 :]
    return kind, content[:at] + bytes([other]) + content[at:]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of steps 1 and 2, shaped like a run's."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for step in (1, 2):
        with CheckpointWriter(folder, step, {"config": "abc", "run": "runs/x"}) as writer:
            for name, content in FILES.items():
                (writer.path / name).parent.mkdir(parents=True, exist_ok=True)
                (writer.path / name).write_bytes(content)
            writer.write_state({"step": step, "curriculum": {"ticket": 16 * step}, "issued": [], "refused": 0})
    return folder


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_checkpoint_with_any_byte_of_any_file_damaged_is_passed_over_with_the_reason(
    two: Path, caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([*FILES, "state.json", "manifest.json", "manifest.json"]))
    file = two / "step-00000002" / name
    whole = file.read_bytes()
    _, damaged = data.draw(st.composite(damages)(whole))
    file.write_bytes(damaged)
    caplog.clear()
    try:
        with caplog.at_level(logging.WARNING):
            found = latest_complete(two)
    finally:
        file.write_bytes(whole)
    assert found is not None and found.step == 1
    assert "checkpoint of step 2 is passed over" in caplog.text and Path(name).name in caplog.text


def test_a_checkpoint_cut_after_any_byte_of_its_manifest_is_passed_over(two: Path) -> None:
    file = two / "step-00000002" / "manifest.json"
    whole = file.read_bytes()
    try:
        for cut in range(len(whole)):
            file.write_bytes(whole[:cut])
            found = latest_complete(two)
            assert found is not None and found.step == 1, cut
    finally:
        file.write_bytes(whole)
    found = latest_complete(two)
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


def test_prune_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4, 10):
        save(tmp_path, step)
    scores = {1: 0.2, 2: 0.5, 3: 0.5, 7: 0.9, 10: 0.1}  # step 4 was not evaluated, step 7 is no checkpoint
    assert best(tmp_path, scores, 2) == [3, 2] and best(tmp_path, scores, 0) == []
    prune(tmp_path, 2, best(tmp_path, scores, 1))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["step-00000003", "step-00000004", "step-00000010"]
    prune(tmp_path, 1)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["step-00000010"]


def test_in_an_event_loop_hashing_and_flushing_let_others_run(tmp_path: Path) -> None:
    async def write() -> int:
        async with CheckpointWriter(tmp_path, 1) as writer:
            (writer.path / "weights").write_bytes(bytes(60_000_000))
            ticking = asyncio.create_task(count())
        ticking.cancel()
        return ticks

    async def count() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    ticks = 0
    assert asyncio.run(write()) > 10
    found = latest_complete(tmp_path)
    assert found is not None and found.step == 1


def test_several_may_wait_for_work_in_the_background() -> None:
    """The loop for trajectories, since it has more of them, and the checkpoint that is complete after them."""
    done: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(0.01)
        done.append(number)

    async def scenario() -> None:
        background = Background()
        await background.start(work(1))
        await asyncio.gather(background.wait(), background.start(work(2)), background.wait())
        await background.wait()
        await background.wait()

    asyncio.run(scenario())
    assert done == [1, 2]


def test_work_in_the_background_comes_one_after_the_other_and_its_error_comes_up() -> None:
    async def scenario() -> list[str]:
        seen: list[str] = []
        gate = asyncio.Event()

        async def work(name: str) -> None:
            await gate.wait()
            seen.append(name)
            if name == "second":
                raise RuntimeError("disk")

        background = Background()
        await background.start(work("first"))
        await background.check()
        assert seen == []
        gate.set()
        await background.start(work("second"))
        assert seen == ["first"]
        with pytest.raises(RuntimeError, match="disk"):
            await background.start(work("third"))
        await background.wait()
        gate.clear()
        await background.start(work("fourth"))
        await background.close()
        return seen

    assert asyncio.run(scenario()) == ["first", "second"]


def test_a_killed_writer_leaves_nothing_that_loads(tmp_path: Path) -> None:
    save(tmp_path, 1)
    code = (
        "import sys, time; from pathlib import Path; from stepcoder.deploy.run.checkpoint import CheckpointWriter\n"
        "with CheckpointWriter(Path(sys.argv[1]), 2) as w:\n"
        "    w.write_state({}); print('writing', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).resolve().parents[2]
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
    assert verify(tmp_path) == manifest
