"""The file of a step's trajectories: what it holds, and that common tools open it."""

import dataclasses
import re
from pathlib import Path

import datasets
import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest

from stepcoder.curriculum.subtask import Outcome
from stepcoder.deploy.run.trajectories import SCHEMA, VERSION, schema_table, write_groups, write_trajectories
from stepcoder.deploy.training.generated import drawn, group_columns
from stepcoder.executor.report import Verdict
from stepcoder.learner.trained import Trained
from stepcoder.rollout.kept import KeptTest
from stepcoder.rollout.service import IssuedGroup
from stepcoder.rollout.trajectory import GroupSummary, Trajectory
from tests.tools.learner import learner_config, make_groups, make_rank

DOCS = Path(__file__).resolve().parents[2] / "docs" / "trajectories.md"


def trajectory(sample: int = 1) -> Trajectory:
    """The weights changed after the first token of sample 1."""
    ids = np.arange(3, dtype=np.int32)
    return Trajectory(
        ticket=4, sample=sample, problem_id="a", level="introductory", stage=2, prompt_ids=ids[:2], response_ids=ids,
        logprobs=np.array([-0.5, -1, 0], np.float32), executed=np.array([True, False, True]), code=np.array([True] * 3),
        token_lines=ids, error_line=None, reward=-0.3, verdict=Verdict.WRONG_ANSWER, finish_reason="stop",
        weight_version=7, program="x = 1\n", prefix_chars=4,
        token_versions=np.array([7, 8, 8], np.int32) if sample else None,
    )  # fmt: skip


USED = Trained(
    4, 1, np.array([1.0, 2, 3], np.float32), np.array([True, False, True]), np.array([-0.25, -1, 0], np.float32),
    None, np.array([0.5, 0, 0], np.float32),
)  # fmt: skip


def test_trajectories_come_back_with_what_the_loss_used(tmp_path: Path) -> None:
    write_groups(str(tmp_path), 9, 2, [trajectory(0)], [trajectory(1)], [USED])
    (path,) = tmp_path.iterdir()
    assert path.name == "step-00000009.parquet"
    left_out, row = pq.read_table(path).to_pylist()
    assert not left_out["trained"] and left_out["advantages"] is None and left_out["credit"] is None
    assert row["step"] == 9 and row["executed"] == [True, False, True] and row["error_line"] is None
    assert row["sampler_logprobs"] == [-0.5, -1.0, 0.0] and row["program"] == "x = 1\n" and row["prefix_chars"] == 4
    assert row["trained"] and row["advantages"] == [1.0, 2.0, 3.0] and row["credit"] == [True, False, True]
    assert row["learner_logprobs"] == [-0.25, -1.0, 0.0] and row["values"] == [0.5, 0.0, 0.0]
    assert row["weight_version"] == 7 and row["versions"] == [7, 8, 8] and left_out["versions"] == [7, 7, 7]
    assert row["reference_logprobs"] is None and row["verdict"] == "wrong_answer"
    write_trajectories(tmp_path, 9, [])
    assert [file.name for file in tmp_path.iterdir()] == ["step-00000009.parquet"]


def test_what_a_person_reads_comes_back(tmp_path: Path) -> None:
    test = KeptTest(2, "wrong_answer", "1", "2", "3", "", None, None, 0.5, True)
    one = dataclasses.replace(
        trajectory(), prompt="Write x.", response="x = 1", token_starts=np.array([0, 1, 2], np.int32),
        token_ends=np.array([1, 2, 2], np.int32), executed_lines=(1,), error="ValueError", tests=(test,),
    )  # fmt: skip
    plain, row = pq.read_table(write_trajectories(tmp_path, 1, [trajectory(), one])).to_pylist()
    assert plain["tests"] == [] and plain["token_starts"] is None
    assert row["tests"] == [dataclasses.asdict(test)] and row["token_ends"] == [1, 2, 2]
    assert (row["prompt"], row["response"], row["executed_lines"], row["error"]) == (
        "Write x.", "x = 1", [1], "ValueError",
    )  # fmt: skip


def test_a_part_of_a_steps_groups_is_drawn_by_their_tickets() -> None:
    groups = [IssuedGroup(summary(ticket), None) for ticket in range(40)]
    some = [group.summary.outcome.ticket for group in drawn(groups, 10)]
    assert len(some) == 10 and some == sorted(some) and some != list(range(10))
    assert [group.summary.outcome.ticket for group in drawn(groups[::-1], 10)][::-1] == some
    assert drawn(groups, None) == groups and drawn(groups, 99) == groups
    assert group_columns(groups[:2]) == {
        "ticket": [0, 1], "problem": ["a", "a"], "stage": [2, 2], "passed": [1, 1], "total": [4, 4],
        "reward": [0.5, 0.5],
    }  # fmt: skip


def summary(ticket: int) -> GroupSummary:
    return GroupSummary(Outcome(ticket, "a", 2, 1, 4), "interview", 9, 9, 2.0, 1.0, {}, 0)


def test_the_schema_names_its_version_and_explains_each_column(tmp_path: Path) -> None:
    schema = pq.read_schema(write_trajectories(tmp_path, 1, [trajectory()]))
    assert schema.metadata[b"stepcoder.schema"] == str(VERSION).encode()
    assert [field.name for field in schema] == SCHEMA.names
    assert all(field.metadata[b"description"] for field in schema)
    text = DOCS.read_text(encoding="utf-8")
    assert schema_table() in text and f"`stepcoder.schema`, now {VERSION}," in " ".join(text.split())


def test_common_tools_open_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_trajectories(tmp_path / "", 1, [trajectory()], [USED])
    block = "\n".join(re.findall(r"^    (.*)", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    exec(block, {"file": file, "pandas": pandas})  # the example of our own page
    assert "x = 1" in capsys.readouterr().out
    assert list(pandas.read_parquet(file).advantages[0]) == [1.0, 2.0, 3.0]
    rows = datasets.load_dataset("parquet", data_files=str(file), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows[0]["credit"] == [True, False, True]  # pyright: ignore[reportIndexIssue]


@pytest.mark.parametrize("old", ["learner", "sampler"])
def test_a_step_tells_what_its_loss_used(model: Path, old: str) -> None:
    """Of two minibatches the second meets weights that the first has changed."""
    config = learner_config(minibatches=2, old_logprobs={"type": old}, credit={"type": "fgo"})
    rank = make_rank(model, config)
    groups = make_groups()
    rank.step(1, *groups)
    found = {(item.ticket, item.sample): item for item in rank.trained()}
    given = {(t.ticket, t.sample): t for group in groups for t in group}
    assert found.keys() == given.keys()
    for key, item in found.items():
        assert item.credit.tolist() == given[key].executed.tolist()
        lengths = {len(x) for x in (item.advantages, item.learner_logprobs, item.values, item.reference_logprobs)}
        assert lengths == {len(given[key].response_ids)}
        assert np.isfinite(item.learner_logprobs).all() and (item.learner_logprobs < 0).all()
    # the reference is the policy before the step: equal where a token met the loss before any update
    same = [np.allclose(item.learner_logprobs, item.reference_logprobs, atol=1e-5) for item in found.values()]
    assert all(same) if old == "learner" else any(same) and not all(same)
