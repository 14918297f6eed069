"""A step's trajectories as one Parquet file: what was asked, written, run, and which tokens counted."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stepcoder.files import Whole
from stepcoder.rollout.trajectory import Trajectory

SCHEMA = pa.schema(
    [
        ("step", pa.int32()),
        ("ticket", pa.int64()),
        ("sample", pa.int32()),
        ("problem_id", pa.string()),
        ("level", pa.string()),
        ("stage", pa.int32()),
        ("reward", pa.float32()),
        ("verdict", pa.string()),
        ("finish_reason", pa.string()),
        ("weight_version", pa.int32()),
        ("error_line", pa.int32()),
        ("prompt_ids", pa.list_(pa.int32())),
        ("response_ids", pa.list_(pa.int32())),
        ("logprobs", pa.list_(pa.float32())),
        ("executed", pa.list_(pa.bool_())),
        ("code", pa.list_(pa.bool_())),
        ("token_lines", pa.list_(pa.int32())),
        ("program", pa.string()),
        ("coverage_trusted", pa.bool_()),
    ]
)


def trajectory_file(directory: Path, step: int) -> Path:
    return directory / f"step-{step:08d}.parquet"


def write_trajectories(directory: Path, step: int, trajectories: Iterable[Trajectory]) -> Path:
    """Write one step's file, aside and then renamed; a step done again replaces its file."""
    names = [name for name in SCHEMA.names if name != "step"]
    rows = [{"step": step, **{name: getattr(item, name) for name in names}} for item in trajectories]
    target = trajectory_file(directory, step)
    with Whole(target) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), file.stream, compression="zstd")
        file.commit()
    return target


def write_groups(directory: str, step: int, *groups: Any) -> None:
    """Runs as a Ray task, so that no token passes through the driver; here, where its process loads little."""
    write_trajectories(Path(directory), step, (t for group in groups for t in group))
