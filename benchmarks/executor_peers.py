"""Other ways to run a program against its tests, as peers of benchmarks.executor: none isolates as ours does.

Each peer has `run(source, style, entry, inputs) -> list of outputs`, the comparison being the same cheap `==`.
"""

import io
import json
import multiprocessing
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Self

# What a child does in every peer: compile once, then each test in a fresh namespace, text in, text or value out.
RUN_TESTS = """
def run_tests(source, entry, inputs):
    import io, sys
    code = compile(source, "<program>", "exec")
    outputs = []
    for value in inputs:
        namespace = {"__name__": "__main__"}
        if entry:
            exec(code, namespace)
            outputs.append(namespace[entry](*value))
        else:
            sys.stdin, kept = io.TextIOWrapper(io.BytesIO(value.encode())), sys.stdout
            sys.stdout = io.StringIO()
            try:
                exec(code, namespace)
                outputs.append(sys.stdout.getvalue())
            finally:
                sys.stdout = kept
    return outputs
"""
_ZYGOTE = (
    RUN_TESTS
    + """
import gc, json, os, resource, struct, sys
import abc, ast, bisect, collections, copy, dataclasses, decimal, fractions, functools, heapq, itertools, math, operator
import random, re, string, typing, statistics, datetime
gc.freeze()
while True:
    head = os.read(0, 4)
    if not head:
        break
    size = struct.unpack("<I", head)[0]
    job = b""
    while len(job) < size:
        job += os.read(0, size - len(job))
    pid = os.fork()
    if pid == 0:
        gib = 1 << 30
        resource.setrlimit(resource.RLIMIT_AS, (4 * gib, 4 * gib))
        resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        answer = json.dumps(run_tests(*json.loads(job))).encode()
        os.write(1, struct.pack("<I", len(answer)) + answer)
        os._exit(0)
    os.waitpid(pid, 0)
"""
)
_FRESH = RUN_TESTS + "\nimport json, sys\nprint(json.dumps(run_tests(*json.loads(sys.stdin.read()))))\n"
_BUBBLEWRAP = (
    "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc",
    "--tmpfs", "/tmp",
)  # fmt: skip


class LeanForkServer:
    """A lean fork server with resource limits: no isolation, no coverage, no deadline, one frame a program."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-I", "-S", "-c", _ZYGOTE]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(self, source: str, entry: str | None, inputs: Sequence[Any]) -> list[Any]:
        assert self._process.stdin and self._process.stdout
        job = json.dumps([source, entry, list(inputs)]).encode()
        self._process.stdin.write(struct.pack("<I", len(job)) + job)
        size = struct.unpack("<I", self._exactly(4))[0]
        return json.loads(self._exactly(size))

    def _exactly(self, count: int) -> bytes:
        assert self._process.stdout
        data = b""
        while len(data) < count:
            data += self._process.stdout.read(count - len(data))
        return data


class FreshInterpreter:
    """`python -I -S` for each program, all tests in it; in bubblewrap where `wrapped`."""

    def __init__(self, wrapped: bool = False) -> None:
        self._command = [*(_BUBBLEWRAP if wrapped else ()), sys.executable, "-I", "-S", "-c", _FRESH]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def run(self, source: str, entry: str | None, inputs: Sequence[Any]) -> list[Any]:
        job = json.dumps([source, entry, list(inputs)])
        done = subprocess.run(self._command, input=job, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)


def bubblewrap_works() -> bool:
    if shutil.which("bwrap") is None:
        return False
    return subprocess.run([*_BUBBLEWRAP, "true"], capture_output=True).returncode == 0


class FatParent:
    """The public harnesses' way: a forked process a program, results through a Manager's list, from a 2 GiB parent."""

    def __init__(self, manager: bool, gib: float = 2.0) -> None:
        self._manager, self._gib = manager, gib

    def __enter__(self) -> Self:
        self._parent, child = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_fat_parent, args=(child, self._manager, self._gib))
        self._process.start()
        self._parent.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._parent.send(None)
        self._process.join()

    def run(self, source: str, entry: str | None, inputs: Sequence[Any]) -> list[Any]:
        self._parent.send((source, entry, list(inputs)))
        return self._parent.recv()


def _fat_parent(pipe: Any, with_manager: bool, gib: float) -> None:
    """Holds `gib` of touched memory, as a trainer does, and forks a process for each job."""
    ballast = bytearray(os.urandom(1 << 20)) * int(gib * 1024)
    fork = multiprocessing.get_context("fork")
    pipe.send(len(ballast))
    while (job := pipe.recv()) is not None:
        if with_manager:
            with fork.Manager() as manager:
                results = manager.list()
                process = fork.Process(target=_into_list, args=(results, *job))
                process.start()
                process.join()
                pipe.send(list(results))
        else:
            here, there = fork.Pipe(duplex=False)
            process = fork.Process(target=_into_pipe, args=(there, *job))
            process.start()
            pipe.send(here.recv())
            process.join()


def _into_list(results: Any, *job: Any) -> None:
    results.extend(_run_tests(*job))


def _into_pipe(pipe: Any, *job: Any) -> None:
    pipe.send(_run_tests(*job))


def _run_tests(*job: Any) -> list[Any]:
    scope: dict[str, Any] = {"io": io}
    exec(RUN_TESTS, scope)
    return scope["run_tests"](*job)
