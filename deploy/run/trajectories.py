"""A step's trajectories as one Parquet file: what was asked, written and run, and what the loss used.

The schema is docs/trajectories.md. Its version is in the file's metadata, under `stepcoder.schema`: it rises when a
column changes its meaning or goes; columns may be added.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from stepcoder.files import Whole

if TYPE_CHECKING:  # whoever reads the files needs no torch
    from stepcoder.learner.trained import Trained
    from stepcoder.rollout.trajectory import Trajectory

VERSION = 1

GROUP_ROWS = 256  # rows that are read together
_TEXT, _INT, _FLOAT, _BOOL = pa.string(), pa.int32(), pa.float32(), pa.bool_()
# (field of a test, type, meaning); texts are cut to `rollout.kept_chars`
_TESTS: tuple[tuple[str, pa.DataType, str], ...] = (
    ("number", _INT, "place in the suite, from 1"),
    ("verdict", _TEXT, "of this test"),
    ("input", _TEXT, "arguments, standard input, or the test's code"),
    ("expected", _TEXT, "answer or output; empty where the test is code"),
    ("got", _TEXT, "answer or output; empty where there is none"),
    ("stdout", _TEXT, "what was written beside an answer"),
    ("error", _TEXT, "the exception, or null"),
    ("error_line", _INT, "1-based line of the program where it was raised, or null"),
    ("cpu_s", _FLOAT, "processor time (seconds)"),
    ("hidden", _BOOL, "whether it gives no reward"),
)
_TEST = pa.struct([(name, kind) for name, kind, _ in _TESTS])
# (column, type, meaning); P prompt tokens, R response tokens. A column that is no field of a Trajectory is a Trained's,
# or made here.
_COLUMNS: tuple[tuple[str, pa.DataType, str], ...] = (
    ("step", _INT, "training step, from 1"),
    ("ticket", pa.int64(), "names the group: all completions of one subtask have it"),
    ("sample", _INT, "number of the completion in its group, from 0"),
    ("problem_id", _TEXT, "the problem"),
    ("level", _TEXT, "its difficulty"),
    ("stage", _INT, "where the start point was: 0 full generation, n the n-th course from the beginning"),
    ("prompt_ids", pa.list_(_INT), "[P] tokens that the engine saw"),
    ("response_ids", pa.list_(_INT), "[R] tokens that it sampled"),
    ("finish_reason", _TEXT, "eos: end token; stop: stop string; length: no room left"),
    ("weight_version", _INT, "step whose weights sampled its first token, or an earlier one"),
    ("program", _TEXT, "the program that was run"),
    ("prefix_chars", _INT, "characters of the program that the prompt gave"),
    ("verdict", _TEXT, "of the program"),
    ("hidden_passed", _BOOL, "of a program that passed: whether it passes the hidden tests too; null without any"),
    ("error_line", _INT, "1-based line of the program where it failed, or null"),
    ("divergence", _INT, "line where its executed lines first differ from the reference solution's, or null"),
    ("reward", _FLOAT, "of the program, before `learner.reward`"),
    ("executed", pa.list_(_BOOL), "[R] a test executed this token"),
    ("code", pa.list_(_BOOL), "[R] part of what was written as program: no prose after the fence"),
    ("token_lines", pa.list_(_INT), "[R] 1-based line of the program; 0 outside of it"),
    ("thinking", pa.list_(_BOOL), "[R] part of a thought, by the marks of the chat template"),
    ("sampled", pa.list_(_BOOL), "[R] the policy wrote this token; false for what it was told between turns"),
    ("coverage_trusted", _BOOL, "false: `executed` says nothing, every written token stands for the executed ones"),
    ("sampler_logprobs", pa.list_(_FLOAT), "[R] log-probabilities under the engine that sampled (nats)"),
    ("versions", pa.list_(_INT), "[R] step whose weights sampled the token: they may change in the middle"),
    ("trained", _BOOL, "whether the loss saw it: a group that was left out did not"),
    ("advantages", pa.list_(_FLOAT), "[R] as the loss used them; null where not trained, as all that follow"),
    ("credit", pa.list_(_BOOL), "[R] tokens that took the policy loss"),
    ("learner_logprobs", pa.list_(_FLOAT), "[R] under the learner, when a token first met the loss of the step (nats)"),
    ("reference_logprobs", pa.list_(_FLOAT), "[R] under the reference model (nats); null without one"),
    ("values", pa.list_(_FLOAT), "[R] of the critic before the step (reward); null without one"),
    ("prompt", _TEXT, "`prompt_ids` as text"),
    ("response", _TEXT, "`response_ids` as text, without the end token"),
    ("token_starts", pa.list_(_INT), "[R] first character of the program that the token wrote"),
    ("token_ends", pa.list_(_INT), "[R] the one after the last; equal to the first where the token wrote none"),
    ("executed_lines", pa.list_(_INT), "1-based lines of the program that any test executed"),
    ("error", _TEXT, "the exception of the first test that failed, or null"),
    ("tests", pa.list_(_TEST), "the first `rollout.kept_tests` tests, as below"),
)
SCHEMA = pa.schema(
    [pa.field(name, kind, metadata={"description": meaning}) for name, kind, meaning in _COLUMNS],
    metadata={"stepcoder.schema": str(VERSION)},
)
_OF_TRAINED = ("advantages", "credit", "learner_logprobs", "reference_logprobs", "values")
_MADE = {"step", "sampler_logprobs", "trained", *_OF_TRAINED}


def trajectory_file(directory: Path, step: int) -> Path:
    return directory / f"step-{step:08d}.parquet"


def write_trajectories(
    directory: Path, step: int, trajectories: "Iterable[Trajectory]", trained: "Iterable[Trained]" = ()
) -> Path:
    """Write one step's file, whole or not at all; a step done again replaces its file."""
    used = {(item.ticket, item.sample): item for item in trained}
    rows = [_row(step, item, used.get((item.ticket, item.sample))) for item in trajectories]
    target = trajectory_file(directory, step)
    with Whole(target) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), file.stream, GROUP_ROWS, compression="zstd")
        file.commit()
    return target


def _row(step: int, item: "Trajectory", used: "Trained | None") -> Mapping[str, Any]:
    row = {name: getattr(item, name) for name in SCHEMA.names if name not in _MADE}
    row |= {name: None if used is None else getattr(used, name) for name in _OF_TRAINED}
    row["tests"] = [asdict(test) for test in item.tests]
    return row | {"step": step, "sampler_logprobs": item.logprobs, "trained": used is not None}


def write_groups(directory: str, step: int, groups: int, *parts: Any) -> None:
    """The first `groups` parts hold trajectories, the others what the loss used.

    Runs as a Ray task, so that no token passes through the driver; here, where its process loads little.
    """
    trajectories, trained = parts[:groups], parts[groups:]
    write_trajectories(
        Path(directory), step, (t for group in trajectories for t in group), (t for rank in trained for t in rank)
    )


def schema_table() -> str:
    """The schema as Markdown tables: the columns, and the fields of a test."""

    def table(head: str, fields: Iterable[tuple[str, pa.DataType, str]]) -> list[str]:
        rows = [f"| `{name}` | `{_told(kind)}` | {meaning} |" for name, kind, meaning in fields]
        return [f"| {head} | type | meaning |", "|---|---|---|", *rows]

    return "\n".join([*table("column", _COLUMNS), "", *table("of a test", _TESTS)])


def _told(kind: pa.DataType) -> str:
    return "list<item: struct>" if kind == pa.list_(_TEST) else str(kind)
