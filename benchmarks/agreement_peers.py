"""Other judges, called as their own programs call them, from source trees that somebody has fetched.

`DIR/LiveCodeBench`, `DIR/apps`, `DIR/evalplus` and `DIR/judge-server` are clones of github.com/LiveCodeBench/
LiveCodeBench, hendrycks/apps, evalplus/evalplus and DMOJ/judge-server. The first three run programs themselves, and
isolate nothing: each program gets a forked process here, with limits. Of DMOJ, whose own sandbox is not used, the
checker of floats compares what programs have printed.
"""

import importlib.util
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.agreement_pairs import Pair

_WHOLE = 15  # a program has as many times the seconds of a test
_MEMORY = 4 << 30
FILES = {
    "lcb": "LiveCodeBench/lcb_runner/evaluation/testing_util.py",
    "apps": "apps/eval/testing_util.py",
    "evalplus": "evalplus/evalplus/eval/__init__.py",
    "dmoj": "judge-server/dmoj/checkers/floats.py",
}


def missing(peers: Path | None, name: str) -> str | None:
    """Why a peer cannot be asked, if it cannot."""
    file = FILES[name]
    if peers is None:
        return f"needs --peers DIR with {file}"
    return None if (peers / file).is_file() else f"no file {peers / file}: clone it there"


def judge(peers: Path, name: str, pairs: Sequence[Pair], seconds: int) -> list[bool]:
    """Whether the peer passes each pair, in `seconds` a test. Its harness is loaded once, and forked for each."""
    harness = _load(peers / FILES[name], name)
    ask = {"lcb": _lcb, "apps": _apps, "evalplus": _evalplus}[name]
    return [_apart(lambda pair=pair: ask(harness, pair, seconds), _WHOLE * seconds) for pair in pairs]


def compare(peers: Path, outputs: Sequence[tuple[str, str]]) -> list[bool]:
    """Whether DMOJ's checker passes each (expected, printed) text, a token a line: it asks for the same lines, where
    `tokens` takes white space of any kind."""
    check = _load(peers / FILES["dmoj"], "dmoj").check
    streams = (("\n".join(text.split()).encode() for text in pair) for pair in outputs)
    return [bool(check(printed, expected)) for expected, printed in streams]


def _load(file: Path, name: str) -> types.ModuleType:
    if name in ("evalplus", "dmoj"):
        sys.path.insert(0, str(file.parents[2]))
    if name == "apps":
        sys.modules["pyext"] = _pyext()
    spec = importlib.util.spec_from_file_location(f"peer_{name}", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    handler = signal.getsignal(signal.SIGALRM)
    spec.loader.exec_module(module)
    signal.signal(signal.SIGALRM, handler)  # the APPS harness sets one
    return module


def _pyext() -> types.ModuleType:
    """The one function that the APPS harness takes from pyext, which no Python that we support can install."""

    class RuntimeModule:
        @staticmethod
        def from_string(name: str, doc: str, source: str) -> types.ModuleType:
            module = types.ModuleType(name, doc)
            exec(source, module.__dict__)
            return module

    module = types.ModuleType("pyext")
    vars(module)["RuntimeModule"] = RuntimeModule
    return module


# -- each judge --------------------------------------------------------------------------------------------------------


def _lcb(harness: Any, pair: Pair, seconds: int) -> bool:
    problem = pair.problem
    tests: dict[str, Any] = {"inputs": list(problem.inputs), "outputs": list(problem.outputs)}
    if problem.entry is not None:
        tests = {
            "inputs": ["\n".join(map(json.dumps, given)) for given in problem.inputs],
            "outputs": [json.dumps(wanted) for wanted in problem.outputs],
            "fn_name": problem.entry.rpartition(".")[2],
        }
    signal.signal(signal.SIGALRM, harness.timeout_handler)
    results, _ = harness.run_test({"input_output": json.dumps(tests)}, test=pair.program, timeout=seconds)
    return len(results) == len(problem.inputs) and all(one is True for one in results)


def _apps(harness: Any, pair: Pair, seconds: int) -> bool:
    problem = pair.problem
    tests: dict[str, Any] = {"inputs": list(problem.inputs), "outputs": list(problem.outputs)}
    if problem.entry is not None:
        tests["fn_name"] = problem.entry.rpartition(".")[2]
    signal.signal(signal.SIGALRM, harness.timeout_handler)
    harness.timeout = seconds
    results = harness.run_test(problem={"input_output": json.loads(json.dumps(tests))}, test=pair.program)
    return len(results) == len(problem.inputs) and all(bool(one) and one not in (-1, -2) for one in results)


def _evalplus(harness: Any, pair: Pair, seconds: int) -> bool:
    problem = pair.problem
    outcome, progress = types.SimpleNamespace(value=None), types.SimpleNamespace(value=0)
    details = [False] * len(problem.inputs)
    harness.unsafe_execute(
        problem.id.partition("/")[0], problem.entry, pair.program, list(problem.inputs), list(problem.outputs),
        [seconds] * len(problem.inputs), 0, False, outcome, details, progress,
    )  # fmt: skip
    return outcome.value == harness._SUCCESS and all(details)


# -- processes ---------------------------------------------------------------------------------------------------------


def _apart(ask: Callable[[], bool], seconds: int) -> bool:
    """The answer of a forked process; False where it dies or takes too long."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _answer(ask, writer)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], seconds)
        answered = os.read(reader, 1) if ready else b""
    finally:
        os.close(reader)
        _end(pid)
    return answered == b"1"


def _answer(ask: Callable[[], bool], writer: int) -> None:
    """Never returns. The harnesses take functions out of `os`, so these are kept before."""
    write, leave = os.write, os._exit
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.chdir(tempfile.gettempdir())
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        write(writer, b"1" if ask() else b"0")
    finally:
        leave(0)


def _end(pid: int) -> None:
    for _ in _ticks(1.0):
        if os.waitpid(pid, os.WNOHANG)[0]:
            return
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _ticks(seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.002)
