"""Which job a study starts or finds again. The cluster here is a list, so that this takes no minute; a real one is in
`tests/whole/test_study_jobs.py`."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.job_submission import JobStatus

from stepcoder.deploy.jobs.upload import Upload
from stepcoder.deploy.study import jobs
from stepcoder.deploy.study.jobs import Jobs


class Cluster:
    """Ray's client as far as a study uses it."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobStatus] = {}
        self.submitted: list[dict[str, Any]] = []

    def get_address(self) -> str:
        return "http://head"

    def list_jobs(self) -> list[Any]:
        return [SimpleNamespace(submission_id=name, status=status) for name, status in self.jobs.items()]

    def submit_job(self, entrypoint: str, runtime_env: dict[str, Any], submission_id: str) -> str:
        self.submitted.append({"line": entrypoint, "variables": runtime_env["env_vars"]})
        self.jobs[submission_id] = JobStatus.RUNNING
        return submission_id

    def get_job_status(self, name: str) -> JobStatus:
        return self.jobs[name]

    def get_job_logs(self, name: str) -> str:
        return f"log of {name}"


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    found = Cluster()
    monkeypatch.setattr(jobs, "connect", lambda address: found)
    monkeypatch.setattr(jobs, "JOB_POLL_S", 0.0)
    monkeypatch.setattr(jobs, "commit", lambda: ("abc", True))
    return found


def launcher(folder: Path, study: str = "study") -> Jobs:
    return Jobs("http://head", 2, Upload(folder), folder / study, 5.0)


def test_a_job_under_way_is_found_again_and_one_that_has_ended_is_tried_anew(tmp_path: Path, listed: Cluster) -> None:
    log = tmp_path / "log"
    first = launcher(tmp_path).start("ppo-0", ["train", "--run.seed", "0"], log)
    assert first.poll() is None and len(listed.submitted) == 1
    assert listed.submitted[0]["line"].endswith("train --run.seed 0")
    assert listed.submitted[0]["variables"]["STEPCODER_COMMIT"] == "abc-dirty"
    again = launcher(tmp_path).start("ppo-0", ["train", "--run.seed", "0"], log)
    assert len(listed.submitted) == 1
    (name,) = listed.jobs
    listed.jobs[name] = JobStatus.FAILED
    assert again.poll() == 1 and log.read_text() == f"log of {name}"
    launcher(tmp_path).start("ppo-0", ["train", "--run.seed", "0"], log)
    assert len(listed.submitted) == 2 and len(listed.jobs) == 2


def test_the_end_of_a_study_leaves_its_jobs_and_other_runs_and_studies_have_their_own(
    tmp_path: Path, listed: Cluster
) -> None:
    one = launcher(tmp_path).start("ppo-1", ["train"], tmp_path / "log")
    one.stop()
    assert list(listed.jobs.values()) == [JobStatus.RUNNING]
    launcher(tmp_path).start("ppo-10", ["train"], tmp_path / "log")
    launcher(tmp_path, "another").start("ppo-1", ["train"], tmp_path / "log")
    assert len(listed.jobs) == 3
    listed.jobs[next(iter(listed.jobs))] = JobStatus.SUCCEEDED
    assert one.poll() == 0
