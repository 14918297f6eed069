"""A job that is watched and stopped: every panel of the dashboards, by a real Prometheus, shows what the run says."""

import json
import math
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from stepcoder.deploy.run.exported import exported
from stepcoder.deploy.run.metrics import flat, read_metrics
from stepcoder.deploy.shown.dashboards import DASHBOARDS
from tests.tools.head import Head
from tests.tools.loop import metrics, write_config
from tests.tools.patience import HANG_S, until
from tests.tools.ports import free_port

pytestmark = pytest.mark.slow  # all look at one run


class Prometheus:
    """Scrapes what the head of a cluster lists, every second."""

    def __init__(self, program: str, head: Head, folder: Path) -> None:
        folder.mkdir()
        discovery = Path(head.sessions) / "prom_metrics_service_discovery.json"
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s}\nscrape_configs:\n  - job_name: ray\n"
            f"    file_sd_configs: [{{files: ['{discovery}'], refresh_interval: 1s}}]\n"
        )
        self.address = f"127.0.0.1:{free_port()}"
        self.log = (folder / "log").open("w")
        self.process = subprocess.Popen(
            [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address={self.address}"],
            stdout=self.log, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def query(self, text: str) -> list[dict[str, Any]]:
        """The series that an instant query finds; none while it does not answer."""
        url = f"http://{self.address}/api/v1/query?{urllib.parse.urlencode({'query': text})}"
        try:
            with urllib.request.urlopen(url, timeout=HANG_S) as answer:
                return json.load(answer)["data"]["result"]
        except OSError:
            assert self.process.poll() is None, Path(self.log.name).read_text()
            return []

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=HANG_S)
        self.log.close()


@pytest.fixture
def prometheus(head: Head, tmp_path: Path) -> Iterator[Prometheus]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no prometheus on PATH (Debian's package has it)")
    found = Prometheus(program, head, tmp_path / "prometheus")
    yield found
    found.close()


@pytest.fixture(scope="module")
def run(head: Head, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that goes on until it is stopped."""
    folder = tmp_path_factory.mktemp("run")
    evaluation = {"samples": 1, "train_limit": 2, "at_end": False}
    config = write_config(folder, model, "watched", eval=evaluation)
    settings = ("--run.steps", "100000", "--run.checkpoint_every", "100000", "--run.grace_s", "300")
    submit = ("stepcoder", "submit", "--address", head.address, "--name", "watched", "--no-wait", "--", "train")
    done = head.run(*submit, "--config", str(config), *settings)
    assert done.returncode == 0 and done.stdout.strip() == "watched", done.stdout + done.stderr
    return folder / "watched"


def test_every_panel_shows_the_runs_own_numbers(head: Head, prometheus: Prometheus, run: Path) -> None:
    chosen = [(panel, query.replace("$run", str(run))) for found in DASHBOARDS.values() for panel in found
              for query in panel.queries()]  # fmt: skip
    until(
        lambda: all(prometheus.query(f"max_over_time({query}[1h])") for _, query in chosen),
        lambda: [query for _, query in chosen if not prometheus.query(query)] + [head.job("logs", "watched")],
    )
    found = [(panel, query, prometheus.query(f"last_over_time({query}[1h])")) for panel, query in chosen]
    numbers = [item for line in read_metrics(run / "metrics.jsonl") for item in flat(line)]  # written before exported
    for panel, query, lines in found:
        names = [name for name in panel.names if query.startswith(f"ray_{exported(name)[0]}{{")]
        for series in lines:
            of, shown = series["metric"].get("of", ""), float(series["value"][1])
            told = {value for name, value in numbers
                    if exported(name)[1] == of and any(fnmatch(name, pattern) for pattern in names)}  # fmt: skip
            assert shown == 0 and of or any(math.isclose(shown, value) for value in told), (query, of, shown)


def test_a_stopped_job_has_a_checkpoint_of_its_last_step(head: Head, run: Path) -> None:
    """`stepcoder submit` tells Ray how long to wait, else it kills after 3 s."""
    until(lambda: (run / "trajectories" / "step-00000002.parquet").is_file(), lambda: head.job("logs", "watched"))
    names = ("curriculum", "rollout-0", "executor-0", "learner-0")
    shown = head.run("ray", "list", "actors", "--address", head.address, "--filter", "state=ALIVE")
    assert all(name in shown.stdout for name in names), shown.stdout + shown.stderr
    head.job("stop", "watched")
    (kept,) = (run / "checkpoints").iterdir()
    assert int(kept.name.split("-")[1]) == max(metrics(run)), head.job("logs", "watched")
