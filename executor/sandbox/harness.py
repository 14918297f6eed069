"""Runs one program's tests inside its own process, one after the other, and leaves each outcome on the board.

It holds no expected output. Whatever a program does to it can change only what that program is seen to answer.
"""

import builtins
import contextlib
import gc
import linecache
import marshal
import os
import sys
import time
import types
from collections.abc import Callable
from dataclasses import astuple
from typing import Any

from stepcoder.executor.sandbox import board, compiler
from stepcoder.executor.sandbox.confinement import syscalls
from stepcoder.executor.sandbox.coverage import monitoring
from stepcoder.executor.sandbox.coverage.probes import Probes, Table
from stepcoder.executor.sandbox.failures import failure
from stepcoder.executor.sandbox.offered.surroundings import asks_for_null
from stepcoder.executor.sandbox.prelude import prelude
from stepcoder.executor.sandbox.protocol import PROGRAM_FILE
from stepcoder.executor.sandbox.sharing.names import calls, imported
from stepcoder.executor.sandbox.sharing.ordinary import ALL, STDERR, STDIN, STDOUT
from stepcoder.executor.sandbox.sharing.state import Snapshot, end_interpreter, flush_streams, standard_streams
from stepcoder.executor.sandbox.streams import Streams, open_streams
from stepcoder.executor.sandbox.untraced import untraced
from stepcoder.executor.sandbox.values import codec, structures
from stepcoder.executor.sandbox.values.namespace import test_namespace

TEST_FILE = "<test>"
_ANNOTATED = sys.version_info < (3, 14)  # a script has annotations from its start


class Harness:
    """Life cycle: compile unless that is done, then for each case: fresh streams and namespace, run, finish, report.

    `alone`: the process is for one test. The program then finds no descriptors but its own three, and ends as an
    interpreter ends; the parent reads what it printed.
    """

    def __init__(
        self, job: dict[str, Any], streams: Streams, cells: memoryview, writer: board.Writer, snapshot: Snapshot,
        begin: Callable[[], None],
    ) -> None:  # fmt: skip
        """`cells`: the coverage map, a byte a line from line 0, which does not exist; not zero: executed.

        `job`: code (bytes), source (text, unless the program is ordinary), lines, first, alone, null (a descriptor of
        /dev/null), output_bytes, depth and parts (of a result), prelude, suite (judging.plan.Plan.wire). `begin` is
        called before the program's own code runs.
        """
        self._job = job
        self._streams = streams
        self._cells = cells[: job["lines"] + 1]
        self._board = writer
        self._snapshot = snapshot
        self._begin = begin
        self._pristine = snapshot.pristine
        self._recorder: monitoring.LineMonitor | Probes | None = None
        self._setup: types.CodeType | None = None
        self._prelude: types.CodeType | None = None
        self._source = _for_linecache(job["source"]) if job["source"] is not None else None
        self._named = self._used = ALL  # streams that the program may name; those that the next test finds anew
        self._nodes = False  # whether the tests are about lists and trees
        self._fresh = True  # as the server left the interpreter, which has restored everything and opened the streams
        self._read, self._status = os.pread, os.fstat
        self._cpu, self._wall = time.process_time, time.perf_counter

    def run(self) -> None:
        """Returns when the last test has ended, or one after which the next needs a fresh process."""
        job = self._job
        compiled = self._compile() if job["code"] is None else compiler.unpacked(job["code"])
        if compiled is None:
            return
        self._named, self._prelude = compiled.streams, compiled.prelude
        suite = marshal.loads(job["suite"])
        gc.freeze()  # the collection at the end of each test is not to go through all tests
        code = self._watched(compiled.code, compiled.table)
        setup, self._nodes = suite["setup"], suite["nodes"]
        self._setup = compile(setup, "<setup>", "exec", dont_inherit=True) if setup else None
        self._begin()
        cases = suite["cases"]  # frozen: a slice of it would be gone through after each test
        for number in range(job["first"], len(cases)):
            case = cases[number]
            cpu, wall = self._cpu(), self._wall()
            frame = self._test(code, case)
            frame["cpu"], frame["wall"] = self._cpu() - cpu, self._wall() - wall
            output = self._outputs(frame)
            frame["lines"] = self._cells.hex()
            try:
                self._board.put(frame, output)
            except board.Full:
                self._board.put({**frame, "value": None, "flood": True})
            if frame["dirty"] or not self._board.has_room():
                return

    def _compile(self) -> compiler.Compiled | None:
        try:
            code, table, lines = compiler.compile_program(self._job["source"], self._job["lines"])
        except compiler.REFUSALS as error:
            self._board.put(compiler.refusal(error))
            return None
        self._board.put({"recordable": lines})
        imports = prelude(code) if self._job["prelude"] else ""
        return compiler.Compiled(code, table, prelude=compiler.prelude_code(imports))

    def _watched(self, code: types.CodeType, table: Table | None) -> types.CodeType:
        """The program with its lines recorded, where that is wanted."""
        if table is not None:
            limit = compiler.get_recursion()
            compiler.set_recursion(compiler.RECURSION)  # it goes as deep as functions nest
            self._recorder = probes = Probes(code, table, self._cells)
            compiler.set_recursion(limit)
            return probes.code
        if self._job["lines"] and monitoring.AVAILABLE:
            self._recorder = monitoring.LineMonitor(code, self._cells)
        return code

    def _outputs(self, frame: dict[str, Any]) -> bytes:
        """What the test wrote to standard output, unless the parent reads it; flags an output at its limit."""
        if self._job["alone"]:
            return b""
        limit = self._job["output_bytes"]
        size, errors = self._status(self._streams.stdout).st_size, self._status(self._streams.stderr).st_size
        if size >= limit or errors >= limit:
            frame["over"] = True
        self._used = self._named | (size > 0) * STDOUT | (errors > 0) * STDERR
        return self._read(self._streams.stdout, limit, 0) if size else b""

    def _prepare(self, code: types.CodeType, case: dict[str, Any]) -> None:
        """Interpreter, streams and coverage as a test finds them."""
        if self._fresh:
            self._fresh = False
        else:
            self._snapshot.restore()
            open_streams(self._streams, self._used | ("stdin" in case) * STDIN)
        if "stdin" in case:
            self._fill(*case["stdin"])
        if self._job["alone"]:
            unneeded = () if asks_for_null(code) else (self._job["null"],)
            for fd in astuple(self._streams) + unneeded:
                os.close(fd)
        self._cells[:] = bytes(len(self._cells))
        if self._recorder is not None:
            self._recorder.restart()

    def _test(self, code: types.CodeType, case: dict[str, Any]) -> dict[str, Any]:
        self._prepare(code, case)
        is_program = "stdin" in case
        module = types.ModuleType("__main__" if is_program else "solution")
        namespace = module.__dict__
        namespace["__builtins__"] = builtins
        namespace["__file__"] = PROGRAM_FILE
        if is_program:
            namespace["__cached__"] = None
            if _ANNOTATED:
                namespace["__annotations__"] = {}
        if self._source is not None:
            linecache.cache[PROGRAM_FILE] = self._source
        if self._nodes:
            namespace.update(structures.node_classes())
        sys.modules[module.__name__] = module
        frame: dict[str, Any]
        try:
            try:
                if self._prelude is not None:
                    exec(self._prelude, namespace)
                if self._setup is not None:
                    exec(self._setup, namespace)
                given, test = {}, None
                if "code" in case:
                    given, test = dict(namespace), compile(case["code"], TEST_FILE, "exec", dont_inherit=True)
                    self._pristine.prepare([name for part in (test, self._setup) if part for name in imported(part)])
                exec(code, namespace)
                self._snapshot.restore_builtins()
                frame = self._guarded(module, case, given, test) if test else self._answer(code, namespace, case)
            finally:
                untraced()
                if is_program:
                    self._end_of_program()
        except BaseException as error:  # whatever a program raises is its own outcome
            self._snapshot.restore_builtins()
            frame = failure(error, is_program)
        self._snapshot.restore_builtins()
        if "error" in frame:
            namespace.clear()  # its outcome is known, and its finalisers find nothing to change that with
        del module, namespace
        problem = self._finish()
        if problem is not None and "error" not in frame:
            frame = problem
        self._snapshot.restore_builtins()
        frame["dirty"] = self._job["alone"] or self._snapshot.changed()
        if self._recorder is not None and not self._recorder.intact():
            frame["unwatched"] = frame["dirty"] = True
        return frame

    def _answer(self, code: types.CodeType, namespace: dict[str, Any], case: dict[str, Any]) -> dict[str, Any]:
        """What the case asks for, once the program itself has run."""
        if "stdin" in case:
            if case.get("fn") in namespace and not self._has_run(code, case["fn"]):
                _resolve(namespace, case["fn"])()
            return {"done": True}
        keywords = {name: codec.decode(value) for name, value in case.get("kwargs", {}).items()}
        arguments = [codec.decode(argument) for argument in case["args"]]
        if self._nodes:
            keywords = structures.build(keywords, namespace)
            arguments = structures.build(arguments, namespace)
        listed = case.get("listed", False)  # in call style, not of an assert
        value = _resolve(namespace, case["fn"], listed)(*arguments, **keywords)
        if (place := case.get("answer")) is not None:
            value = keywords[place] if isinstance(place, str) else arguments[place]
        self._snapshot.restore_builtins()  # the encoder uses them
        views = case.get("views", ())
        return {"value": codec.encode(value, self._job["depth"], self._job["parts"], views, listed)}

    def _has_run(self, code: types.CodeType, name: str) -> bool:
        """Whether the program calls the function itself: it says so, or, where it does by other means, has printed."""
        if calls(code, name):
            return True
        with contextlib.suppress(Exception):
            flush_streams(*standard_streams())
        return self._status(1).st_size > 0

    def _guarded(
        self, module: types.ModuleType, case: dict[str, Any], given: dict[str, Any], code: types.CodeType
    ) -> dict[str, Any]:
        """Runs a test's code; the seal comes back only when all of it ran, outside of any trace of the program.

        `given`: what the setup has put into the program's namespace. `code`: the test's.
        """
        untraced()
        self._pristine.start()
        names = test_namespace(self._pristine, module, code, self._setup, given)
        try:
            exec(code, names)
        except AssertionError as error:
            if _asserted_by(error) != TEST_FILE:
                raise
            return {"done": False}
        return {"done": case["seal"]}

    def _end_of_program(self) -> None:
        """What the interpreter does at its end. Only the last flush concerns an ordinary program."""
        if self._job["alone"]:
            with contextlib.suppress(BaseException):
                flush_streams(*standard_streams())
            end_interpreter()
        flush_streams(*standard_streams())

    def _finish(self) -> dict[str, Any] | None:
        """Ends the test's objects now, so that neither their output nor their finalisers reach the next test.

        Nothing refers to the program's module any more, so the collector runs finalisers first, which find all its
        names.
        """
        try:
            sys.modules.pop("solution", None)
            sys.modules.pop("__main__", None)
            for name in ("last_type", "last_value", "last_traceback", "last_exc"):
                sys.__dict__.pop(name, None)
            gc.collect()
            flush_streams(*standard_streams("stdout", "stderr", "__stdout__", "__stderr__"))
            if self._job["alone"]:
                syscalls.flush_c_streams()
        except BaseException as error:
            return failure(error, is_program=False)
        return None

    def _fill(self, place: int, size: int) -> None:
        """Puts one input into the file behind descriptor 0."""
        written = 0
        while written < size:
            chunk = self._read(self._streams.inputs, min(size - written, 1 << 20), place + written)
            written += os.pwrite(self._streams.stdin, chunk, written)


def _asserted_by(error: AssertionError) -> str | None:
    """The test or the program, whichever has asserted, perhaps by a function of the library."""
    found, trace = None, error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        found, trace = file if file in (TEST_FILE, PROGRAM_FILE) else found, trace.tb_next
    return found


def _for_linecache(source: str) -> tuple[int, None, list[str], str]:
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return len(source), None, [line + "\n" for line in lines], PROGRAM_FILE


def _resolve(namespace: dict[str, Any], entry: str, either: bool = False) -> Any:
    """`name` or `Class().method`; the instance is made anew for each test.

    `either`: as in the harnesses of APPS and LiveCodeBench a function may be a method of `Solution`, and the reverse.
    """
    owner, _, method = entry.partition("().")
    if owner not in namespace:
        if either and not method and hasattr(namespace.get("Solution"), owner):
            return getattr(namespace["Solution"](), owner)
        if either and owner == "Solution" and method in namespace:
            return namespace[method]
        raise NameError(f"entry point {owner!r} is not defined by the program")
    return getattr(namespace[owner](), method) if method else namespace[owner]
