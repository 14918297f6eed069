"""What `stepcoder submit` refuses before anything is sent; a job on a real cluster: `tests/whole/test_job.py`."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.job_submission import JobStatus

from stepcoder.deploy.cli import main
from stepcoder.deploy.jobs.client import checked_address, connect, free_name, said
from stepcoder.deploy.jobs.upload import LIMIT_BYTES, Upload, variables, waiting
from stepcoder.errors import UserError
from tests.tools.loop import ROOT

RUN = ("--run.directory", "/shared/run")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["submit", *arguments]) == 2
    return capsys.readouterr().err


def test_this_source_tree_is_small_enough_and_can_run_its_entry() -> None:
    upload = Upload(ROOT)
    upload.check()
    files = upload.files()
    assert {"stepcoder/__main__.py", "configs/starter.yaml", "pyproject.toml"} <= files.keys()
    assert not [name for name in files if name.startswith((".git/", ".venv", "runs/")) or "__pycache__" in name]


def test_what_is_too_large_is_listed_and_can_be_left_out(tmp_path: Path) -> None:
    for name, size in (("data/large.bin", LIMIT_BYTES), ("data/small.bin", 10), ("ignored/x.bin", LIMIT_BYTES)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    (tmp_path / ".gitignore").write_text("ignored/\n")
    with pytest.raises(UserError, match=r"10.0 MB in 3 files would be sent.*\n +10.0 MB  data/large.bin\n") as caught:
        Upload(tmp_path).check()
    assert "ignored" not in str(caught.value) and "--exclude" in str(caught.value)
    Upload(tmp_path, ("large.*",)).check()
    with pytest.raises(UserError, match="no such directory"):
        Upload(tmp_path / "nothing").check()


def test_a_stopped_job_is_given_the_time_that_its_checkpoint_may_take() -> None:
    assert waiting(grace_s=25) == {"RAY_JOB_STOP_WAIT_TIME_S": "35"}
    assert variables(["A=b=c"]) == {"A": "b=c"}
    for bad in ("A", "=b"):
        with pytest.raises(UserError, match="--env .*NAME=VALUE"):
            variables([bad])


def test_a_name_that_was_used_gets_the_next_number() -> None:
    ended = {"first": JobStatus.STOPPED, "first-2": JobStatus.FAILED, "first-again": JobStatus.RUNNING}
    assert free_name("first", ended) == "first-3"
    assert free_name("first", {"first": JobStatus.SUCCEEDED}) == "first-2"
    assert free_name("fir.t", ended) == "fir.t"
    with pytest.raises(
        UserError, match="--name first: the job first-2 is pending. Stop it with 'ray job stop first-2'"
    ):
        free_name("first", ended | {"first-2": JobStatus.PENDING})


def test_a_clusters_answer_is_said_without_its_traceback() -> None:
    answer = "Request failed with status code 500: Traceback (most recent call last):\n  File x\nValueError: no.\n."
    assert said(RuntimeError(answer)) == "ValueError: no."
    assert said(RuntimeError("..")) == "RuntimeError"


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "http://head", "head:port", "ftp://head:1"])
def test_what_is_no_dashboard_is_refused(address: str) -> None:
    with pytest.raises(UserError, match="--address .*give the URL of the cluster's dashboard"):
        checked_address(address)


def test_addresses_of_dashboards_are_taken() -> None:
    assert checked_address("head:8265") == checked_address("http://head:8265/") == "http://head:8265"
    assert checked_address("https://ray.example.org/team") == "https://ray.example.org/team"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "--config", "configs/starter.yaml", "--run.step", "3", *RUN), "run.steps"),
        (("train", "--config", "configs/starter.yaml"), "copy of the source tree, which does not last"),
        (("grade", "--problems", "p"), "no command that runs on a cluster"),
        (("sft", "--config", "configs/nothing.yaml", *RUN), "configs/nothing.yaml"),
    ],
)
def test_mistakes_of_the_command_are_found_here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(ROOT)
    assert said in refused(capsys, "--address", "http://127.0.0.1:1", "--", *arguments)


def test_settings_in_variables_count_where_the_job_gets_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("STEPCODER_RUN__DIRECTORY", "/shared/run")  # of this machine, not of the job
    line = ("--address", "http://127.0.0.1:1", "--", "train", "--config", "configs/starter.yaml")
    assert "copy of the source tree, which does not last" in refused(capsys, *line)
    assert "no Ray dashboard answers" in refused(capsys, "--env", "STEPCODER_RUN__DIRECTORY=/shared/run", *line)


class Answers(http.server.BaseHTTPRequestHandler):
    """The path's first part is the status that it answers with."""

    def do_GET(self) -> None:
        status = int(self.path.split("/")[1])
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"no JSON")

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "asks for a token and none is set here.*RAY_AUTH_TOKEN"),
        (403, "refuses this machine's token.*RAY_AUTH_TOKEN"),
        (404, "Version check returned 404"),
        (200, "no Ray dashboard answers"),
        (500, "no Ray dashboard answers"),
    ],
)
def test_what_a_cluster_answers_is_said_in_words(server: str, status: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        connect(f"{server}/{status}")


def test_where_nothing_answers_it_says_how_to_reach_a_dashboard(capsys: pytest.CaptureFixture[str]) -> None:
    address = "http://127.0.0.1:1"
    arguments = ("--working-dir", str(ROOT), "--address", address, "--", "eval", "--run", "/shared/run")
    assert f"{address}: no Ray dashboard answers" in refused(capsys, *arguments)
