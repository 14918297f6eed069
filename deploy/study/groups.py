"""Any runs as a study: those that differ in their seed alone are one arm."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stepcoder.deploy.config.moved import flat
from stepcoder.deploy.config.sources import read_kept
from stepcoder.deploy.run.directory import CONFIG
from stepcoder.deploy.study.results import ArmResults, Results, run_of
from stepcoder.errors import UserError
from stepcoder.words import plural

IGNORED = ("run.", "ray.", "executor.workers", "executor.actors")  # where and how long, not what


def grouped(runs: Sequence[Path], names: Sequence[str] | None = None) -> Results:
    """Arms in the order of their first runs; every run counts as it stands. UserError for two runs of one seed."""
    arms = dict[str, dict[int, Path]]()
    for path in runs:
        settings = _settings(path)
        seed = int(str(settings.get("run.seed", 0)))
        same = json.dumps({k: v for k, v in settings.items() if not k.startswith(IGNORED)}, sort_keys=True, default=str)
        found = arms.setdefault(same, {})
        if seed in found:
            raise UserError(f"--group: {found[seed]} and {path} have the same settings and the same seed, {seed}")
        found[seed] = path
    called = names or [arm_name(list(found.values())) for found in arms.values()]
    if len(called) != len(arms) or len(set(called)) != len(called):
        listed = "; ".join(", ".join(str(path) for path in found.values()) for found in arms.values())
        raise UserError(f"--names: {plural(len(arms), 'different name')} needed, one an arm: {listed}")
    made = tuple(
        ArmResults(name, {}, tuple(replace(run_of(path, name, seed), state="done") for seed, path in found.items()))
        for name, found in zip(called, arms.values(), strict=True)
    )
    return Results(Path(), "", {}, {}, made)


def _settings(path: Path) -> dict[str, object]:
    try:
        return flat(read_kept(path / CONFIG))
    except OSError as error:
        raise UserError(f"--group: {path / CONFIG} can't be read: {error}") from None


def arm_name(paths: Sequence[Path]) -> str:
    """What the directories' names begin with; the name of the folder they are in where they share nothing."""
    names = [path.resolve().name for path in paths]
    if len(names) > 1:
        names = [name.rstrip("0123456789") for name in names]
    shared = re.sub(r"[-_. ]*(seed[-_. ]*\d*)?[-_. ]*$", "", os.path.commonprefix(names))
    return shared or paths[0].resolve().parent.name
