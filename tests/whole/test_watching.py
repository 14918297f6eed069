"""A run on a cluster, scraped by a real Prometheus: every panel of the dashboards shows what metrics.jsonl says."""

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
from tests.tools.loop import write_config
from tests.tools.patience import HANG_S, until
from tests.tools.tiny_model import build_tiny_model
from tests.whole.test_job import Head, free_port, head

__all__ = ["head"]  # a fixture


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


def test_every_panel_shows_the_runs_own_numbers(head: Head, prometheus: Prometheus, tmp_path: Path) -> None:
    evaluation = {"samples": 1, "train_limit": 2, "at_end": False}
    config = write_config(tmp_path, build_tiny_model(tmp_path / "model"), "watched", eval=evaluation)
    run = tmp_path / "watched"
    submit = ("stepcoder", "submit", "--address", head.address, "--name", "watched", "--no-wait", "--", "train")
    done = head.run(*submit, "--config", str(config), "--run.steps", "100000", "--run.grace_s", "300")
    assert done.returncode == 0, done.stdout + done.stderr
    chosen = [(panel, query.replace("$run", str(run))) for found in DASHBOARDS.values() for panel in found
              for query in panel.queries()]  # fmt: skip
    until(
        lambda: all(prometheus.query(f"max_over_time({query}[1h])") for _, query in chosen),
        lambda: [query for _, query in chosen if not prometheus.query(query)] + [head.job("logs", "watched")],
    )
    head.job("stop", "watched")
    numbers = [item for line in read_metrics(run / "metrics.jsonl") for item in flat(line)]
    for panel, query in chosen:
        names = [name for name in panel.names if query.startswith(f"ray_{exported(name)[0]}{{")]
        for series in prometheus.query(f"last_over_time({query}[1h])"):
            of, shown = series["metric"].get("of", ""), float(series["value"][1])
            told = {value for name, value in numbers
                    if exported(name)[1] == of and any(fnmatch(name, pattern) for pattern in names)}  # fmt: skip
            assert shown == 0 and of or any(math.isclose(shown, value) for value in told), (query, of, shown)
