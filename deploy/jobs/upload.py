"""What goes to a cluster with a job: the files of a directory, and the job's environment."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepcoder.deploy.training.time_limit import CLOSING_S
from stepcoder.errors import UserError

LIMIT_BYTES = 10_000_000  # Ray keeps packages in its head's memory
EXCLUDES = (".git", ".venv", ".cache", "runs", "__pycache__", "*.egg-info")
LISTED = 8


@dataclass(frozen=True, slots=True)
class Upload:
    """A directory, without what it and its .gitignore files exclude (patterns as in .gitignore)."""

    directory: Path
    excludes: tuple[str, ...] = ()

    def patterns(self) -> list[str]:
        return [*EXCLUDES, *self.excludes]

    def files(self) -> dict[str, int]:
        """Name and size (bytes) of every file that Ray would send, by its own rules."""
        from ray._private.runtime_env.packaging import _dir_travel, _get_excludes

        root, found = self.directory.resolve(), {}

        def see(path: Path) -> None:
            if path.is_file():
                found[path.relative_to(root).as_posix()] = path.stat().st_size

        _dir_travel(root, [_get_excludes(root, self.patterns())], see, include_gitignore=True)
        return found

    def check(self) -> None:
        """Raises UserError where it is no directory, or too large to send."""
        if not self.directory.is_dir():
            raise UserError(f"--working-dir {self.directory}: there is no such directory.")
        files = self.files()
        if (total := sum(files.values())) < LIMIT_BYTES:
            return
        largest = sorted(files.items(), key=lambda item: -item[1])[:LISTED]
        listed = "\n".join(f"  {size / 1e6:8.1f} MB  {name}" for name, size in largest)
        raise UserError(
            f"--working-dir {self.directory}: {total / 1e6:.1f} MB in {len(files)} files would be sent, "
            f"{LIMIT_BYTES / 1e6:.0f} MB may be. The largest:\n{listed}\n"
            "Leave them out with --exclude PATTERN or in .gitignore; data and models belong on a disk or in a bucket "
            "that the cluster sees."
        )

    def runtime_env(self, variables: dict[str, str]) -> dict[str, Any]:
        """The job's runtime environment, as Ray takes it."""
        return {
            "working_dir": str(self.directory.resolve()), "excludes": self.patterns(), "env_vars": variables,
        }  # fmt: skip


def waiting(grace_s: float) -> dict[str, str]:
    """Ray kills a stopped job after 3 s unless it is told to wait longer: for `grace_s` and the end of the services."""
    return {"RAY_JOB_STOP_WAIT_TIME_S": str(math.ceil(grace_s + CLOSING_S))}


def variables(given: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE`s as the job's environment."""
    found = dict[str, str]()
    for pair in given:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UserError(f"--env {pair}: give NAME=VALUE.")
        found[name] = value
    return found
