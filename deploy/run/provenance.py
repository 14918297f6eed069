"""Which code and which machine computed a run: a line of `provenance.jsonl` for each command that worked on it."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepcoder.deploy.checks.machine import gpus, processor
from stepcoder.deploy.run.checkpoint import versions
from stepcoder.paths import source_tree

PROVENANCE = "provenance.jsonl"
COMMIT = "STEPCODER_COMMIT"  # says it where the sources come without their history, as in a submitted job


def commit() -> tuple[str | None, bool]:
    """The commit of the sources and whether tracked files differ from it; None where that cannot be known."""
    if told := os.environ.get(COMMIT):
        return told.removesuffix("-dirty"), told.endswith("-dirty")
    tree = source_tree()
    head = _git(tree, "rev-parse", "HEAD") if tree is not None else None
    return (head.strip(), bool(_git(tree, "status", "--porcelain", "-uno"))) if head else (None, False)


def _git(tree: Path | None, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(tree), *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def provenance() -> dict[str, Any]:
    """Commit, processor, GPUs, host and versions, now and here."""
    head, dirty = commit()
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "commit": head, "dirty": dirty, "cpu": processor()[0],
        "gpus": gpus(), "host": socket.gethostname(), "versions": versions(),
    }  # fmt: skip


def record(run: Path) -> None:
    """Append this command's line to a run's."""
    with (run / PROVENANCE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(provenance()) + "\n")


def recorded(run: Path) -> list[Mapping[str, Any]]:
    """The lines of a run, in order; a line that a kill cut short is left out."""
    found = []
    if (run / PROVENANCE).is_file():
        for line in (run / PROVENANCE).read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found
