"""Every program of an evaluation as JSON lines: what was written for which problem, and what came of it.

`stepcoder grade --samples` and `stepcoder data solve --samples` read these files. Keys may be added.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stepcoder.files import Whole
from stepcoder.rollout.trajectory import Trajectory

FOLDER = "evaluations"


def programs_file(run: Path, step: int) -> Path:
    """Of the evaluation of the state after `step` steps."""
    return run / FOLDER / f"step-{step:08d}.jsonl"


def write_programs(file: str, heads: Sequence[Mapping[str, Any]], *groups: Sequence[Trajectory]) -> None:
    """The file, whole or not at all. `heads`: for each group the name of its set, and whether it is greedy."""
    target = Path(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    with Whole(target) as whole:
        for head, group in zip(heads, groups, strict=True):
            for trajectory in group:
                line = json.dumps(dict(head) | _line(trajectory), ensure_ascii=True)
                whole.stream.write(line.encode("ascii") + b"\n")
        whole.commit()


def _line(trajectory: Trajectory) -> dict[str, Any]:
    return {
        "problem_id": trajectory.problem_id,
        "sample": trajectory.sample,
        "verdict": trajectory.verdict.value,
        "reward": trajectory.reward,
        "error_line": trajectory.error_line,
        "finish_reason": trajectory.finish_reason,
        "tokens": len(trajectory.response_ids),
        "program": trajectory.program,
    }
