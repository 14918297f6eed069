"""A study's commands as jobs of a real Ray cluster: started, found again by their names, their codes."""

from pathlib import Path

import pytest

from stepcoder.deploy.jobs.upload import Upload
from stepcoder.deploy.study.jobs import Jobs
from tests.tools.head import started
from tests.tools.loop import ROOT
from tests.tools.patience import until
from tests.tools.ports import free_port


@pytest.mark.exhaustive
def test_a_job_is_found_again_by_its_name_and_its_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with started(tmp_path / "home") as head:
        monkeypatch.setenv("HOME", head.environment["HOME"])
        upload = Upload(ROOT, (".hypothesis", "docs", "tests"))
        jobs = Jobs(head.address, 2, upload, tmp_path / "study", 5.0)
        serving = jobs.start("first", ["serve", "--port", str(free_port())], tmp_path / "first.log")
        assert serving.poll() is None
        again = Jobs(head.address, 2, upload, tmp_path / "study", 5.0)
        found = again.start("first", ["serve"], tmp_path / "again.log")
        assert vars(found)["_name"] == vars(serving)["_name"]
        failing = again.start("second", ["runs", str(tmp_path / "nothing")], tmp_path / "second.log")
        codes = []
        until(
            lambda: bool(codes) or (code := failing.poll()) is not None and codes.append(code) is None, lambda: "no end"
        )
        assert codes == [1] and "there is no run at or below" in (tmp_path / "second.log").read_text()
        again.client.stop_job(vars(found)["_name"])
        until(lambda: found.poll() is not None, lambda: "the job goes on")
        other = jobs.start("first", ["runs", str(tmp_path)], tmp_path / "third.log")
        assert vars(other)["_name"] != vars(found)["_name"]
