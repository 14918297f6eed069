"""Makes a run of many steps and trajectories, and prints what each page of `stepcoder view` costs.

    python -m benchmarks.view [--steps 1000] [--groups 50] [--samples 10] [--keep DIR]

Each page is asked of a server that has just been started, and then once more. Processor time is the server's for the
first answer, which other work on the machine does not change much; memory is the server's, at its highest.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.made_run import make_run

MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("steps", 1000), ("groups", 50), ("samples", 10), ("problems", 5000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--keep", type=Path, help="make the run there and leave it; one that is there is taken")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = options.keep or Path(folder) / "made"
        if not (run / "report.json").is_file():
            begun = time.perf_counter()
            make_run(run, options.steps, options.groups, options.samples, options.problems)
            print(f"made in {time.perf_counter() - begun:.0f} s")
        size = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
        files = len(list((run / "trajectories").iterdir()))
        print(f"{files} steps, {options.groups * options.samples * files:,} trajectories, {size / MIB:,.0f} MiB")
        measure(run)


def measure(run: Path) -> None:
    heads = ("page", "first (s)", "processor (s)", "again (s)", "size (KiB)", "memory (MiB)")
    table = Table(*heads, title="stepcoder view")
    for page in pages(run):
        first, processor, again, size, memory = asked(run, page)
        times = (f"{seconds:.2f}" for seconds in (first, processor, again))
        table.add_row(page.split("?")[0], *times, f"{size / 1024:,.0f}", f"{memory:,.0f}")
    Console(width=110).print(table)


def pages(run: Path) -> list[str]:
    last = json.loads((run / "groups.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    step, ticket, name = last["step"], last["ticket"][0], run.name
    return [
        "/", "/api/overview", f"/problems?run={name}", f"/api/problems?run={name}",
        f"/problem?run={name}&id={quote(last['problem'][0])}", f"/step?run={name}&step={step}",
        f"/trajectory?run={name}&step={step}&ticket={ticket}&sample=0", "/config",
    ]  # fmt: skip


def asked(run: Path, page: str) -> tuple[float, float, float, int, float]:
    """Seconds of the first request, of processor time for it, of the second; bytes of the answer, MiB of the server."""
    command = [sys.executable, "-m", "stepcoder.deploy.cli", "view", str(run), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        found = re.search(r"http://\S+/", process.stderr.readline())
        assert found is not None, "the server did not start"
        times, used, size = [], [], 0
        for _ in range(2):
            begun, before = time.perf_counter(), sum(psutil.Process(process.pid).cpu_times()[:2])
            with urllib.request.urlopen(found[0].rstrip("/") + page, timeout=600) as answer:
                size = len(answer.read())
            times.append(time.perf_counter() - begun)
            used.append(sum(psutil.Process(process.pid).cpu_times()[:2]) - before)
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        memory = int(status.split("VmHWM:")[1].split()[0]) / 1024
    finally:
        process.terminate()
        process.wait()
    return times[0], used[0], times[1], size, memory


if __name__ == "__main__":
    main()
