"""A learner rank that dies in a real run. Engines: `tests/rollout/test_crew.py`; all else: `benchmarks/chaos.py`."""

import json
import shutil
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.tools.loop import step_lines, write_config
from tests.tools.patience import until
from tests.whole.test_loop import descendants, finish, start


def ranks(pid: int) -> list[psutil.Process]:
    return [process for process in descendants(pid) if "LearnerRank" in " ".join(process.cmdline())]


@pytest.mark.slow
def test_a_rank_that_dies_takes_the_learner_back_to_its_checkpoint_and_the_engines_stay(
    model: Path, tmp_path: Path
) -> None:
    """Killed while the step after the checkpoint is written, of whose programs none is judged until it is dead."""
    run, kept = tmp_path / "run", tmp_path / "kept.parquet"
    config = write_config(tmp_path, model, "run", eval={"at_start": False, "at_end": False})
    settings = (
        "--executor.reward", "tests.tools.loop:held", "--rollout.engine", "transformers", "--learner.ranks", "2",
        "--run.steps", "5", "--ray.heartbeat.silent_s", "500",  # who is held gives no sign of life
    )  # fmt: skip
    hold, second = run / "trajectories" / "step-00000002.parquet", run / "checkpoints" / "step-00000002"
    process = start(config, *settings, HOLD=str(hold))
    until(lambda: (hold.is_file() and second.is_dir()) or process.poll() is not None, lambda: "no second step")
    assert process.poll() is None, process.communicate()[0]
    victim, _ = ranks(process.pid)
    victim.kill()
    shutil.move(hold, kept)
    output = finish(process)
    assert "the engines stay, the others start again from the newest checkpoint" in output
    (fault,) = [json.loads(line) for line in (run / "faults.jsonl").read_text().splitlines()]
    assert fault["who"] == "learner" and fault["seconds"] > 0
    found = step_lines(run)
    assert sorted(found) == [1, 2, 3, 4, 5]
    assert [line["faults/learner"] for line in found.values()] == [0, 0, 1, 1, 1]
    assert all(line["gap/logprob_abs_mean"] < 1e-4 for line in found.values())  # the engines have gone back too
    shutil.move(kept, hold)
    table = pq.read_table(run / "trajectories", columns=["ticket", "sample"])
    seen = list(zip(table["ticket"].to_pylist(), table["sample"].to_pylist(), strict=True))
    assert len(set(seen)) == len(seen) == 5 * 2 * 4
    assert json.loads((run / "report.json").read_text())["faults"]["learner"]["count"] == 1
