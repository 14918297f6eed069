"""Runs one program's tests inside its own process, one after the other, and tells what happened, frame by frame.

It holds no expected output. Whatever a program does to it can change only what that program
is seen to answer. A frame is a 4-byte length and JSON; before each test the harness waits for one
byte from the parent, which by then has the input in place and has read this process's CPU clock.
"""

import atexit
import builtins
import gc
import json
import os
import struct
import sys
import types
from dataclasses import dataclass
from typing import Any

from executor.sandbox import codec, monitoring, structures
from executor.sandbox.probes import Probes
from executor.sandbox.state import Snapshot, wait_for_threads

_COMPILE_RECURSION = 15_000
_MESSAGE_CHARS = 500
PROGRAM_FILE = "<program>"
TEST_FILE = "<test>"


@dataclass(frozen=True, slots=True)
class Streams:
    """Descriptors: `result` to the parent, `go` from it; `stdin`, `stdout`, `stderr` are files in memory."""

    result: int
    go: int
    stdin: int
    stdout: int
    stderr: int


class Harness:
    """Life cycle: compile once, then for each case: fresh streams, fresh namespace, run, finish, report."""

    def __init__(self, job: dict[str, Any], streams: Streams, coverage: Any, snapshot: Snapshot) -> None:
        self._job = job
        self._streams = streams
        self._coverage = coverage
        self._snapshot = snapshot
        self._encode = json.JSONEncoder(check_circular=False).encode
        self._recorder: monitoring.LineMonitor | Probes | None = None
        self._write = os.write

    def run(self) -> None:
        code = self._compile()
        if code is None:
            return
        self._setup = compile(self._job["setup"]["code"], "<setup>", "exec", dont_inherit=True)
        cases = self._job["cases"]
        for index in range(self._job["first"], len(cases)):
            if not os.read(self._streams.go, 1):  # the parent is gone
                return
            frame = self._test(code, cases[index])
            frame["t"] = index
            self._send(frame)
        os.read(self._streams.go, 1)  # stays until the parent has read this process's clock, and kills it

    def _send(self, frame: dict[str, Any]) -> None:
        data = self._encode(frame).encode("ascii")
        view = memoryview(struct.pack("<I", len(data)) + data)
        while view:
            view = view[self._write(self._streams.result, view) :]

    def _compile(self) -> types.CodeType | None:
        source = self._job["source"]
        sys.setrecursionlimit(_COMPILE_RECURSION)
        try:
            code = self._watched(source) if self._job["coverage"] else None
            if code is None:
                code = compile(source, PROGRAM_FILE, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError) as error:
            self._send({"c": "error", "error": _describe(error), "line": getattr(error, "lineno", None)})
            return None
        self._send({"c": "ok", "lines": [] if self._recorder is None else self._recorder.lines})
        return code

    def _watched(self, source: str) -> types.CodeType | None:
        """The program with its lines recorded; None where that cannot be had."""
        if monitoring.AVAILABLE:
            code = compile(source, PROGRAM_FILE, "exec", dont_inherit=True)
            self._recorder = monitoring.LineMonitor(code, self._coverage)
            return code
        try:
            self._recorder = Probes(source, PROGRAM_FILE, self._coverage)
        except RecursionError:  # a tree of Python objects nests less deep than the compiler's own
            return None
        return self._recorder.code

    def _test(self, code: types.CodeType, case: dict[str, Any] | None) -> dict[str, Any]:
        self._snapshot.restore()
        self._open_streams()
        if self._recorder is not None:
            self._recorder.restart()
        module = types.ModuleType("__main__" if case is None or case.get("main") else "solution")
        namespace = module.__dict__
        namespace["__builtins__"] = builtins
        if self._job["setup"]["nodes"]:
            namespace.update(structures.NODES)
        sys.modules[module.__name__] = module
        frame: dict[str, Any]
        try:
            try:
                exec(self._setup, namespace)
                exec(code, namespace)
                frame = self._answer(namespace, case)
            finally:
                sys.settrace(None)
                if case is None or case.get("main"):
                    _end_of_program()
        except BaseException as error:  # whatever a program raises is its own outcome
            self._snapshot.restore_builtins()
            frame = _failure(error, is_program=case is None or bool(case.get("main")))
        self._snapshot.restore_builtins()
        if "error" in frame:
            namespace.clear()  # its outcome is known, and its finalisers find nothing to change that with
        del module, namespace
        problem = _finish()
        if problem is not None and "error" not in frame:
            frame = problem
        self._snapshot.restore_builtins()
        frame["dirty"] = self._snapshot.changed()
        if self._recorder is not None and not self._recorder.intact():
            frame["unwatched"] = frame["dirty"] = True
        return frame

    def _answer(self, namespace: dict[str, Any], case: dict[str, Any] | None) -> dict[str, Any]:
        """What the case asks for, once the program itself has run."""
        if case is None:
            return {"done": True}
        self._snapshot.restore_builtins()
        if "code" in case:
            return self._guarded(namespace, case["code"], case["seal"])
        if case.get("main"):
            if case["fn"] in namespace:  # else the program is a script, and its output is there
                _resolve(namespace, case["fn"])()
            return {"done": True}
        keywords = {name: codec.decode(value) for name, value in case.get("kwargs", {}).items()}
        arguments = [codec.decode(argument) for argument in case["args"]]
        if self._job["setup"]["nodes"]:
            keywords = structures.build(keywords, namespace)
            arguments = structures.build(arguments, namespace)
        value = _resolve(namespace, case["fn"])(*arguments, **keywords)
        self._snapshot.restore_builtins()  # the encoder uses them
        return {"value": codec.encode(value)}

    def _guarded(self, namespace: dict[str, Any], source: str, seal: str) -> dict[str, Any]:
        """Runs a test's code; the seal comes back only when all of it ran, outside of any trace of the program."""
        code = compile(source, TEST_FILE, "exec", dont_inherit=True)
        sys.settrace(None)
        sys.setprofile(None)
        try:
            exec(code, namespace)
        except AssertionError as error:
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            if trace is None or trace.tb_frame.f_code.co_filename != TEST_FILE:
                raise
            return {"done": False}
        return {"done": seal}

    def _open_streams(self) -> None:
        """Descriptors 0, 1 and 2 and the objects of `sys` anew, whatever the last test did to them."""
        streams = self._streams
        for number, source in enumerate((streams.stdin, streams.stdout, streams.stderr)):
            os.dup2(source, number)
            os.lseek(number, 0, os.SEEK_SET)
        options: Any = {"encoding": "utf-8", "closefd": False}
        sys.stdin = sys.__stdin__ = open(0, errors="surrogateescape", **options)
        sys.stdout = sys.__stdout__ = open(1, "w", errors="surrogateescape", **options)
        sys.stderr = sys.__stderr__ = open(2, "w", errors="backslashreplace", **options)


def _resolve(namespace: dict[str, Any], entry: str) -> Any:
    """`name` or `Class().method`; the instance is made anew for each test."""
    owner, _, method = entry.partition("().")
    if owner not in namespace:
        raise NameError(f"entry point {owner!r} is not defined by the program")
    return getattr(namespace[owner](), method) if method else namespace[owner]


def _end_of_program() -> None:
    """What the interpreter does at its end: other threads, exit handlers, the last flush."""
    wait_for_threads()
    atexit._run_exitfuncs()
    if not getattr(sys.stdout, "closed", sys.stdout is None):
        sys.stdout.flush()


def _finish() -> dict[str, Any] | None:
    """Ends the test's objects now, so that neither their output nor their finalisers reach the next test.

    Nothing refers to the program's module any more, so the collector runs finalisers first, which find all its names.
    """
    try:
        atexit._clear()
        sys.modules.pop("solution", None)
        sys.modules.pop("__main__", None)
        for name in ("last_type", "last_value", "last_traceback"):
            sys.__dict__.pop(name, None)
        gc.collect()
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None and not stream.closed:
                stream.flush()
    except BaseException as error:
        return _failure(error, is_program=False)
    return None


def _failure(error: BaseException, is_program: bool) -> dict[str, Any]:
    if isinstance(error, codec.TooLarge):
        return {"error": f"result too large: {error}", "kind": "TooLarge", "line": None}
    if isinstance(error, SystemExit) and is_program and (error.code is None or error.code == 0):
        return {"done": True}
    kind = type(error)
    return {"error": _describe(error), "kind": _name(kind), "line": _line(error)}


def _name(kind: type) -> str:
    """The nearest built-in name decides about memory; a program's class cannot pose as one through overrides."""
    if MemoryError in type.mro(kind):
        return "MemoryError"
    return str(type.__getattribute__(kind, "__name__"))


def _describe(error: BaseException) -> str:
    try:
        name, text = _name(type(error)), str(error)
        return (f"{name}: {text}" if text else name)[:_MESSAGE_CHARS]
    except BaseException:
        return "exception whose message cannot be made"


def _line(error: BaseException) -> int | None:
    """The last line of the program on the way to the exception."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == PROGRAM_FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
