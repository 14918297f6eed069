"""The judge over HTTP beside the judge in this process, and beside a fresh interpreter a request.

    python -m benchmarks.serve [--seconds 5] [--rounds 3] [--requests 10000] [--verl PATH]

Everything runs on this machine at once: clients, server and programs share its cores. The ratio by processor time is
the one that other work on the machine does not disturb.

- In-process: `LocalPool.map` over programs of the executor's benchmark, five tests each, with coverage.
- `/judge`: the same programs one a request, over loopback, from keep-alive connections.
- `/run_code`: a program and one input a request, as verl's client sends them.
- fresh interpreter: the same requests to a server of the same HTTP stack (uvicorn, Starlette, httptools) that does what
  SandboxFusion (303560b, sandbox/runners/major.py) does without isolation: a folder, a file, and `python FILE` by bash.
  The interpreter is that of an environment without packages.
- bare interpreter: the same with `python -I -S FILE`, the least that an interpreter can do.
- 200 clients send `--requests` requests; then the server is killed and started again in the middle of as many.

`--verl PATH`: verl's source; its own SandboxFusion client is run against `/run_code`, too.
"""

import argparse
import contextlib
import importlib.util
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.executor import Job, jobs
from stepcoder.deploy.adapters.client import Client
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.suite import Suite

ROOT = Path(__file__).resolve().parents[1]
CLIENTS = 200
FEW = 8  # connections that measure speed: enough to keep every slot busy
_PROGRAM = "import sys\nn = int(input())\nprint(sum(i * i for i in range(n)) + LIMIT)\n"


# -- servers -----------------------------------------------------------------------------------------------------------


class Server:
    """`stepcoder serve`, or the peers' interpreters with these options, in a process of its own."""

    def __init__(self, interpreter: str | None = None, port: int = 0) -> None:
        ours = ["-m", "stepcoder.deploy.cli", "serve", "--port", str(port)]
        words = ours if interpreter is None else ["-m", "benchmarks.serve_peers", *interpreter.split()]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if match := re.search(r"on http://127.0.0.1:(\d+)", line):
                self.port = int(match[1])
                break
        else:
            raise RuntimeError("the server did not start")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory_mib(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / (1 << 20)

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait()


# -- work --------------------------------------------------------------------------------------------------------------


def problem(suite: Suite) -> dict[str, Any]:
    tests = [{"input": case.input, "output": case.output} for case in suite.cases]
    return {"style": suite.style, "entry_point": suite.entry_point, "tests": tests}


def judge_request(job: Job) -> dict[str, Any]:
    return {"program": job.source, "problem": problem(job.suite)}


def run_request(number: int) -> dict[str, Any]:
    code = _PROGRAM.replace("LIMIT", str(number))
    return {"code": code, "stdin": "100\n", "language": "python", "compile_timeout": 10, "run_timeout": 10,
            "memory_limit_MB": 1024, "files": {}, "fetch_files": []}  # fmt: skip


def check_run(number: int, answer: dict[str, Any]) -> None:
    if answer["run_result"]["stdout"] != f"{328350 + number}\n":
        raise RuntimeError(f"a right program did not print its answer: {answer}")


class Asking:
    """One measured way of asking; `ask(number)` raises for a wrong answer."""

    def __init__(self, url: str) -> None:
        self.client = Client(url)
        self.jobs = jobs()
        self.lock = threading.Lock()

    def judge(self, number: int) -> None:
        with self.lock:
            job = next(self.jobs)
        if (answer := self.client.post("/judge", judge_request(job)))["verdict"] != "passed":
            raise RuntimeError(f"a right program did not pass: {answer}")

    def run_code(self, number: int) -> None:
        check_run(number, self.client.post("/run_code", run_request(number)))


def rate(ask: Callable[[int], None], seconds: float, clients: int = FEW) -> float:
    """Requests a second, each with a number of its own."""
    numbers, end = itertools.count(1), time.perf_counter() + seconds
    start = time.perf_counter()

    def work() -> int:
        done = 0
        while time.perf_counter() < end:
            ask(next(numbers))
            done += 1
        return done

    with ThreadPoolExecutor(clients) as threads:
        done = sum(one.result() for one in [threads.submit(work) for _ in range(clients)])
    return done / (time.perf_counter() - start)


def in_process(pool: LocalPool, source: Iterator[Job], seconds: float) -> float:
    count, start = 0, time.perf_counter()
    pairs = ((job.source, job.suite) for job in source)
    for report in pool.map(itertools.takewhile(lambda _: time.perf_counter() - start < seconds, pairs)):
        if not report.passed:
            raise RuntimeError(f"a right program did not pass: {report}")
        count += 1
    return count / (time.perf_counter() - start)


def many(server: Server, requests: int, interrupt: Callable[[], None] | None = None) -> tuple[int, float]:
    """(requests without an answer, seconds) of 200 clients; `interrupt` is called when half of them are answered."""
    asking, numbers = Asking(server.url), iter(range(1, requests + 1))
    lock, answered, lost = threading.Lock(), itertools.count(1), []
    half = threading.Event()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            try:
                asking.run_code(number)
            except Exception as error:  # what is lost is the result
                lost.append(f"{type(error).__name__}: {error}")
            if next(answered) == requests // 2:
                half.set()

    start = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    if interrupt is not None:
        half.wait()
        interrupt()
    for thread in threads:
        thread.join()
    for text in lost[:3]:
        print(text, file=sys.stderr)
    return len(lost), time.perf_counter() - start


# -- results -----------------------------------------------------------------------------------------------------------


def processor_s() -> float:
    """Processor time so far of this process and all below it: servers, fork servers, programs."""
    this, total = psutil.Process(), 0.0
    for process in (this, *this.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # its parent has its time
            total += sum(process.cpu_times()[:4])
    return total


def rates(seconds: float, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """By way, of each round: (requests a second, processor seconds of a request)."""
    found: dict[str, list[tuple[float, float]]] = {
        "in-process": [],
        "/judge": [],
        "/run_code": [],
        "fresh interpreter": [],
        "bare interpreter": [],
    }
    ours, fresh, bare = Server(), Server(interpreter=""), Server(interpreter="-I -S")
    source = jobs()
    try:
        with LocalPool(ExecutorConfig(workers=len(os.sched_getaffinity(0)))) as pool:
            ways = {
                "in-process": lambda: in_process(pool, source, seconds),
                "/judge": lambda: rate(Asking(ours.url).judge, seconds),
                "/run_code": lambda: rate(Asking(ours.url).run_code, seconds),
                "fresh interpreter": lambda: rate(Asking(fresh.url).run_code, seconds),
                "bare interpreter": lambda: rate(Asking(bare.url).run_code, seconds),
            }
            for way in ways.values():
                way()  # warm
            for _ in range(rounds):
                for name, way in ways.items():
                    before, start = processor_s(), time.perf_counter()
                    rate_of_it = way()
                    count = rate_of_it * (time.perf_counter() - start)
                    found[name].append((rate_of_it, (processor_s() - before) / count))
    finally:
        ours.stop()
        fresh.stop()
        bare.stop()
    return found


def ratio(found: dict[str, list[tuple[float, float]]], name: str, other: str) -> str:
    pairs = list(zip(found[name], found[other], strict=True))
    by_clock = statistics.median(a / b for (a, _), (b, _) in pairs)
    by_processor = statistics.median(b / a for (_, a), (_, b) in pairs)
    return f"{by_clock:.2f} of {other}, {by_processor:.2f} by processor time"


def endurance(requests: int, table: Table) -> None:
    server = Server()
    many(server, requests // 10)  # warm
    before = server.memory_mib()
    lost, seconds = many(server, requests)
    after = server.memory_mib()
    table.add_row(f"{CLIENTS} clients, {requests:,} requests", f"{requests / seconds:.0f}/s", f"{lost} lost")
    table.add_row("server's memory before and after", f"{before:.0f}, {after:.0f} MiB", f"{after / before:.2f}")
    servers = [server]

    def again() -> None:
        server.stop(signal.SIGKILL)
        time.sleep(1)
        servers.append(Server(port=server.port))

    lost, seconds = many(server, requests, again)
    table.add_row("killed and started again in the middle", f"{requests / seconds:.0f}/s", f"{lost} lost")
    servers[-1].stop()


def verl(source: Path, table: Table) -> None:
    """verl's check_correctness, loaded from its file, with ten tests of a right and of a wrong program."""
    spec = importlib.util.spec_from_file_location(
        "verl_fusion", source / "verl/utils/reward_score/sandbox_fusion/utils.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tests = {
        "inputs": [f"{n}\n" for n in range(10)],
        "outputs": [str(sum(i * i for i in range(n)) + 1) for n in range(10)],
    }
    call = {"inputs": ["[1, 2]\n3"], "outputs": ["6"], "fn_name": "f"}
    programs = {
        "right": (tests, _PROGRAM.replace("LIMIT", "1"), [True] * 10),
        "wrong": (tests, _PROGRAM.replace("LIMIT", "2"), [False] * 10),
        "raises": (tests, "1 / 0", [-2] * 10),
        "hangs": (tests | {key: tests[key][:1] for key in tests}, "while True: pass", [-3]),
        "function": (call, "def f(a, b):\n    return sum(a) + b\n", [True]),
    }
    server = Server()
    try:
        for name, (given, program, expected) in programs.items():
            results, _ = module.check_correctness(f"{server.url}/run_code", given, program)
            table.add_row(
                f"verl's client, {name}", str(results[0]), "right" if results == expected else f"WRONG: {results}"
            )
    finally:
        server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="time of each way in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=10_000, help="of the 200 clients; 0 leaves them out")
    parser.add_argument("--verl", type=Path, metavar="PATH", help="verl's source tree")
    parser.add_argument("--out", type=Path, help="write the figures as JSON, too")
    options = parser.parse_args()
    found = rates(options.seconds, options.rounds)
    table = Table(title="the judge over HTTP, on one machine with its clients", show_header=False)
    ratios = {"/judge": ["in-process"], "/run_code": ["fresh interpreter", "bare interpreter"]}
    for name, values in found.items():
        against = "\n".join(ratio(found, name, other) for other in ratios.get(name, ()))
        median, each = (statistics.median(part) for part in zip(*values, strict=True))
        table.add_row(name, f"{median:.0f}/s, {1000 * each:.1f} ms of processor time", against)
    if options.requests:
        endurance(options.requests, table)
    if options.verl is not None:
        verl(options.verl, table)
    Console(width=None if sys.stdout.isatty() else 110).print(table)
    if options.out is not None:
        options.out.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
