"""A job on a running Ray cluster: submitted, followed, stopped, and submitted again."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.tools.loop import ROOT, alive, engine_processes, metrics, write_config
from tests.tools.patience import HANG_S, until

EXCLUDES = '{"excludes": [".venv", ".cache", "runs", ".git"]}'


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Head:
    """`ray start --head` with its own home (where Ray keeps its token) and ports."""

    def __init__(self, home: Path) -> None:
        self.environment = os.environ | {
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            self.environment.pop(name, None)
        dashboard = free_port()
        self.sessions = tempfile.mkdtemp(prefix="ray-")  # short: Ray keeps sockets there
        self.address = f"http://127.0.0.1:{dashboard}"
        command = [
            "ray", "start", "--head", "--block", "--num-cpus=2", f"--port={free_port()}",
            f"--dashboard-port={dashboard}", "--include-dashboard=true",
            f"--dashboard-agent-listen-port={free_port()}", f"--temp-dir={self.sessions}",
        ]  # fmt: skip
        self.log = (home / "head.log").open("w")
        self.process = subprocess.Popen(
            command, env=self.environment, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True
        )

    def job(self, *arguments: str, timeout: float = HANG_S) -> str:
        command = ["ray", "job", arguments[0], "--address", self.address, *arguments[1:]]
        deadline = time.monotonic() + HANG_S
        while True:
            done = subprocess.run(
                command, cwd=ROOT, env=self.environment, timeout=timeout, text=True, capture_output=True, check=False
            )
            output = done.stdout + done.stderr
            if "try again later" not in output or time.monotonic() > deadline:
                assert done.returncode == 0, output
                return output
            time.sleep(1)  # the dashboard answers before its agent does

    def submit(self, name: str, config: Path, steps: int, *, wait: bool) -> str:
        return self.job(
            "submit", *([] if wait else ["--no-wait"]), "--submission-id", name, "--working-dir", ".",
            "--runtime-env-json", EXCLUDES, "--", "python", "-m", "deploy.train", "--config", str(config),
            "--run.steps", str(steps), "--rollout.engine", "transformers",
        )  # fmt: skip

    def close(self) -> None:
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        psutil.wait_procs(family, timeout=60)
        for process in family:
            if process.is_running():
                process.kill()
        self.process.wait(timeout=HANG_S)
        self.log.close()
        shutil.rmtree(self.sessions, ignore_errors=True)


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Head]:
    home = tmp_path / "home"
    home.mkdir()
    found = Head(home)
    deadline = time.monotonic() + HANG_S
    while True:
        assert found.process.poll() is None and time.monotonic() < deadline, (home / "head.log").read_text()
        try:
            found.job("list", timeout=60)
            break
        except (AssertionError, subprocess.TimeoutExpired):
            time.sleep(1)
    yield found
    found.close()


def test_a_job_can_be_followed_stopped_and_submitted_again(head: Head, model: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, model, "job", eval={"at_start": False, "at_end": False})
    run = tmp_path / "job"
    head.submit("first", config, 500, wait=False)
    until((run / "checkpoints" / "step-00000002").is_dir, lambda: head.job("logs", "first"))
    assert "step   1/500" in head.job("logs", "first")
    engines = engine_processes(psutil.Process(head.process.pid).children(recursive=True))
    assert engines
    head.job("stop", "first")
    until(lambda: not any(map(alive, engines)), lambda: engines)
    reached = max(int(folder.name.split("-")[1]) for folder in (run / "checkpoints").glob("step-*"))
    output = head.submit("second", config, reached + 2, wait=True)
    assert f"going on from the checkpoint of step {reached} of {reached + 2}" in output
    assert f"step {reached + 2}/{reached + 2}" in output
    assert sorted(metrics(run)) == list(range(1, reached + 3))
