"""A study's commands as jobs of a Ray cluster, side by side.

A job goes on when the study that submitted it ends; the same study finds it again by its name.
"""

import contextlib
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

from stepcoder.deploy.jobs.client import asked, connect, submit
from stepcoder.deploy.jobs.upload import Upload, variables, waiting
from stepcoder.deploy.run.provenance import COMMIT, commit
from stepcoder.deploy.study.launch import Handle

JOB_POLL_S = 10.0


class Job:
    def __init__(self, jobs: "Jobs", name: str, log: Path) -> None:
        self._jobs, self._name, self._log, self._next = jobs, name, log, 0.0

    def poll(self) -> int | None:
        if time.monotonic() < self._next:
            return None
        self._next = time.monotonic() + JOB_POLL_S
        client = self._jobs.client
        status = asked(client.get_address(), lambda: client.get_job_status(self._name))
        if not status.is_terminal():
            return None
        with contextlib.suppress(Exception):  # the log is for a person; the run's own files say what was done
            self._log.write_text(client.get_job_logs(self._name), encoding="utf-8")
        return 0 if status == "SUCCEEDED" else 1

    def stop(self) -> None:
        """It goes on: the next command finds it."""


class Jobs:
    """Side by side on the cluster whose dashboard is at `address`, `at_once` of them."""

    here = False

    def __init__(self, address: str | None, at_once: int, upload: Upload, study: Path, grace_s: float) -> None:
        self.at_once, self._upload = at_once, upload
        upload.check()
        self.client = connect(address)
        head, dirty = commit()
        told = [f"{COMMIT}={head}{'-dirty' * dirty}"] if head else []
        self._variables = waiting(grace_s) | variables(told)
        self._prefix = f"study-{hashlib.sha256(str(study).encode()).hexdigest()[:8]}"

    def start(self, name: str, line: Sequence[str], log: Path) -> Handle:
        """The job of this name that is under way, or a new one."""
        names = f"{self._prefix}-{name}"
        known = asked(self.client.get_address(), self.client.list_jobs)
        mine = [job for job in known if (job.submission_id or "").startswith(f"{names}-try-")]
        for job in mine:
            if not job.status.is_terminal():
                return Job(self, str(job.submission_id), log)
        told = submit(self.client, line, self._upload, self._variables, f"{names}-try-{len(mine) + 1}")
        return Job(self, told, log)
