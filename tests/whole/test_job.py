"""A job on a running Ray cluster: submitted, followed, stopped, and submitted again."""

import contextlib
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

    def __init__(self, home: Path, **variables: str) -> None:
        self.environment = os.environ | {
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        self.environment["RAY_metrics_report_interval_ms"] = "500"
        for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            self.environment.pop(name, None)
        self.environment |= variables
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

    def run(self, *command: str, timeout: float = HANG_S, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=ROOT, env=self.environment | environment, timeout=timeout, text=True, capture_output=True,
            check=False,
        )  # fmt: skip

    def stepcoder(self, name: str, config: Path, *settings: str) -> subprocess.CompletedProcess[str]:
        """The job `name` by `stepcoder submit`, followed to its end."""
        submit = ("stepcoder", "submit", "--address", self.address, "--name", name)
        return self.run(*submit, "--", "train", "--config", str(config), *settings)

    def job(self, *arguments: str, timeout: float = HANG_S) -> str:
        command = ["ray", "job", arguments[0], "--address", self.address, *arguments[1:]]
        deadline = time.monotonic() + HANG_S
        while True:
            done = self.run(*command, timeout=timeout)
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


@contextlib.contextmanager
def started(home: Path, **variables: str) -> Iterator[Head]:
    """A head that answers; `variables` are of its environment and that of all commands."""
    home.mkdir()
    found = Head(home, **variables)
    deadline = time.monotonic() + HANG_S
    while True:
        assert found.process.poll() is None and time.monotonic() < deadline, (home / "head.log").read_text()
        try:
            found.job("list", timeout=60)
            break
        except (AssertionError, subprocess.TimeoutExpired):
            time.sleep(1)
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Head]:
    with started(tmp_path / "home") as found:
        yield found


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
    engine = ("--rollout.engine", "transformers")
    done = head.stepcoder("second", config, "--run.steps", str(reached + 2), *engine)
    assert done.returncode == 0 and "second: succeeded" in done.stdout, done.stdout + done.stderr
    assert f"going on from the checkpoint of step {reached} of {reached + 2}" in done.stdout
    assert f"step {reached + 2}/{reached + 2}" in done.stdout
    assert sorted(metrics(run)) == list(range(1, reached + 3))


def test_a_missing_and_a_wrong_token_are_refused_in_words(tmp_path: Path) -> None:
    with started(tmp_path / "home", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="a" * 64) as head:
        home = tmp_path / "elsewhere"
        home.mkdir()
        submit = ("stepcoder", "submit", "--address", head.address, "--", "eval", "--run", "/shared/run")
        wrong = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "b" * 64}
        missing = {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": ""}
        for variables, said in ((wrong, "refuses this machine's token"), (missing, "asks for a token")):
            refused = head.run(*submit, HOME=str(home), **variables)
            assert refused.returncode == 2 and said in refused.stderr, refused.stdout + refused.stderr
            assert "Traceback" not in refused.stderr


def test_a_stopped_job_has_a_checkpoint_of_its_last_step(head: Head, model: Path, tmp_path: Path) -> None:
    """`stepcoder submit` tells Ray how long to wait, else it kills after 3 s."""
    config = write_config(tmp_path, model, "stopped", eval={"at_start": False, "at_end": False})
    run = tmp_path / "stopped"
    settings = ("--run.steps", "100000", "--run.checkpoint_every", "100000", "--run.grace_s", "300")
    submit = ("stepcoder", "submit", "--address", head.address, "--name", "long", "--no-wait", "--", "train")
    done = head.run(*submit, "--config", str(config), *settings)
    assert done.returncode == 0 and done.stdout.strip() == "long", done.stdout + done.stderr
    until(lambda: (run / "trajectories" / "step-00000002.parquet").is_file(), lambda: head.job("logs", "long"))
    names = ("curriculum", "rollout-0", "executor-0", "learner-0")
    shown = head.run("ray", "list", "actors", "--address", head.address, "--filter", "state=ALIVE")
    assert all(name in shown.stdout for name in names), shown.stdout + shown.stderr
    head.job("stop", "long")
    (kept,) = (run / "checkpoints").iterdir()
    assert int(kept.name.split("-")[1]) == max(metrics(run)), head.job("logs", "long")
