"""What a run has left behind, against what it should have: for `benchmarks/chaos.py`."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

from stepcoder.curriculum.service.curriculum import Curriculum
from stepcoder.curriculum.subtask import Outcome
from stepcoder.deploy.checks.problem_sets import problems
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.run.metrics import METRICS, read_metrics
from stepcoder.deploy.training.cluster import fits
from tests.tools.loop import alive

COLUMNS = ["ticket", "sample", "problem_id", "stage", "verdict"]
PATIENCE_S = 60.0  # until every process has ended that is to end


def wrong_in(run: Path, config: Path) -> list[str]:
    """What is wrong with the files of a run that has ended: a step or a trajectory that is missing or there twice, a
    curriculum that heard anything else than what the trajectories say."""
    c = load_config(config, environment={})
    lines = list(read_metrics(run / METRICS))
    wrong = list[str]()
    if [line["step"] for line in lines] != list(range(1, c.run.steps + 1)):
        wrong.append(f"the steps are {[line['step'] for line in lines]}")
    steps = [_rows(run, step) for step in range(1, c.run.steps + 1)]
    if dropped := sum(int(line["groups/unjudged"]) for line in lines):
        wrong.append(f"{dropped} groups were not judged")
    seen = [(row["ticket"], row["sample"]) for rows in steps for row in rows]
    wanted = c.run.steps * c.subtasks_per_step * c.rollout.group_size
    if len(set(seen)) != len(seen) or len(seen) != wanted:
        wrong.append(f"{len(seen)} trajectories, {len(set(seen))} of them different, {wanted} wanted")
    state = json.loads((run / "checkpoints" / f"step-{c.run.steps:08d}" / "state.json").read_text())
    heard = _told(c, steps)
    if different := [key for key in heard if heard[key] != state["curriculum"].get(key)]:
        wrong.append(f"the curriculum's {different} are not those of one that heard each outcome once")
    return wrong


def _rows(run: Path, step: int) -> list[dict[str, Any]]:
    file = run / "trajectories" / f"step-{step:08d}.parquet"
    return pq.read_table(file, columns=COLUMNS).to_pylist() if file.is_file() else []


def _told(config: Config, steps: Iterable[list[dict[str, Any]]]) -> dict[str, Any]:
    """The state of a curriculum that nothing disturbed, once it has drawn and heard the same."""
    told = Curriculum(problems(config).train, config.curriculum, config.run.seed, fits(config.model, config))
    told.next(config.subtasks_per_step * config.max_staleness)
    for rows in steps:
        told.next(config.subtasks_per_step)
        groups: dict[int, list[dict[str, Any]]] = {}
        for row in rows:
            groups.setdefault(row["ticket"], []).append(row)
        told.report(_outcome(ticket, groups[ticket]) for ticket in sorted(groups))
    return json.loads(json.dumps(told.state()))


def _outcome(ticket: int, rows: list[dict[str, Any]]) -> Outcome:
    passed = sum(row["verdict"] == "passed" for row in rows)
    return Outcome(ticket, rows[0]["problem_id"], rows[0]["stage"], passed, len(rows))


def still_there(processes: Iterable[psutil.Process]) -> list[str]:
    """Those that have not ended after a while."""
    _, left = psutil.wait_procs(list(processes), timeout=PATIENCE_S)
    return [f"{process.pid} {' '.join(process.cmdline())[:80]}" for process in left if alive(process)]
