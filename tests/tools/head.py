"""A Ray cluster that takes jobs, started as a user starts it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.tools.loop import ROOT
from tests.tools.patience import HANG_S
from tests.tools.ports import free_port

EXCLUDES = '{"excludes": [".venv", ".cache", "runs", ".git"]}'


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
        dashboard, self.port = free_port(), free_port()
        self.sessions = tempfile.mkdtemp(prefix="ray-")  # short: Ray keeps sockets there
        self.address = f"http://127.0.0.1:{dashboard}"
        command = [
            "ray", "start", "--head", "--block", "--num-cpus=2", f"--port={self.port}",
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
