"""Compiles programs in a process that never runs one: warm, so that a program's own process does not compile cold.

Forked from the fork server, confined as a program is, and kept. Its answer is handed to the program's process by the
parent, which does not look into it. What it cannot do is left to the program's process, under the program's limits.
"""

import functools
import gc
import json
import marshal
import os
import resource
import socket
import struct
import sys
import types
import warnings
from dataclasses import astuple, dataclass
from typing import Any

from stepcoder.executor.sandbox.channel import let_go, receive, send
from stepcoder.executor.sandbox.confinement import confine
from stepcoder.executor.sandbox.coverage import monitoring
from stepcoder.executor.sandbox.coverage.probes import Probes, Table
from stepcoder.executor.sandbox.options import Options
from stepcoder.executor.sandbox.prelude import PRELUDE_FILE, prelude
from stepcoder.executor.sandbox.protocol import APART, COMPILED, ORDINARY, PROGRAM_FILE, REFUSED, REQUEST
from stepcoder.executor.sandbox.sharing import ordinary

RECURSION = 15_000
get_recursion, set_recursion = sys.getrecursionlimit, sys.setrecursionlimit  # programs get others
_LARGEST_CODE = 4 << 20  # bytes; more can only be a folded constant
_LARGEST_PROVEN = 1 << 19  # bytes of code
_WARM_PROGRAM = """
import sys
class A(dict):
    @staticmethod
    def f(x, *y, z=1, **k):
        for i in range(len(x)):
            if x[i] > 0 and not y:
                return [a + 1 for a in x if a]
            elif x == "b":
                x[i] += 1
            else:
                print(f"{x}", end="")
        while True:
            try:
                a, b = map(int, input().split())
            except ValueError as e:
                break
        with open(x) as g:
            return sorted(g, key=lambda q: (q, -1))
"""

REFUSALS = (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A program, where its probes are if it has any, and the streams that it may name."""

    code: types.CodeType
    table: Table | None
    streams: int = ordinary.ALL
    prelude: types.CodeType | None = None  # imports that the program need not make


def compile_program(source: str, lines: int) -> tuple[types.CodeType, Table | None, list[int]]:
    """(the code, where its probes are if it has any, the lines that can be recorded, of those up to `lines`).

    `lines` 0: no coverage. Raises as compile does.
    """
    limit = get_recursion()
    set_recursion(RECURSION)
    try:
        return _compiled(source, lines)
    finally:
        set_recursion(limit)


def _compiled(source: str, lines: int) -> tuple[types.CodeType, Table | None, list[int]]:
    if lines and not monitoring.AVAILABLE:
        try:
            code, recordable, table = Probes.compile(source, PROGRAM_FILE, lines)
            return code, table, recordable
        except RecursionError:  # a tree of Python objects nests less deep than the compiler's own
            lines = 0
    code = compile(source, PROGRAM_FILE, "exec", dont_inherit=True)
    return code, None, monitoring.recordable(code, lines) if lines else []


def refusal(error: Exception) -> dict[str, Any]:
    """What a report says of a program that does not compile."""
    return {"error": f"{type(error).__name__}: {error}"[:500], "line": getattr(error, "lineno", None)}


def answer(request: bytes) -> tuple[bytes, dict[str, Any] | list[int], bytes]:
    """(kind, the lines or the refusal, the code) for a request: its head, the context and the source.

    The context is what else runs in the program's namespace: the suite's setup, and tests that are code.
    """
    lines, size, offered = REQUEST.unpack_from(request)
    context = request[REQUEST.size : REQUEST.size + size]
    try:
        source = request[REQUEST.size + size :].decode("utf-8", "surrogatepass")
        code, table, recordable = compile_program(source, lines)
        imports = prelude(code) if offered else ""
    except (MemoryError, RecursionError):
        return APART, [], b""
    except REFUSALS as error:
        return REFUSED, refusal(error), b""
    try:
        data = packed(code, table, imports)
    except (MemoryError, ValueError):  # nested too deep for it
        return APART, [], b""
    if len(data) > _LARGEST_CODE:
        return APART, [], b""
    if len(data) <= _LARGEST_PROVEN:
        around = _context(context).joined(_context(imports.encode())) if imports else _context(context)
        facts = around.joined(ordinary.facts(code, around.modules))
        if ordinary.ordinary(facts):
            return ORDINARY, recordable, bytes((ordinary.streams(facts),)) + data[1:]
    return COMPILED, recordable, data


def packed(code: types.CodeType, table: Table | None, imports: str = "") -> bytes:
    """For the process that runs it: a byte, the streams that the program may name, and the code. Raises as marshal."""
    return bytes((ordinary.ALL,)) + marshal.dumps((code, table, prelude_code(imports)))


def prelude_code(imports: str) -> types.CodeType | None:
    return compile(imports, PRELUDE_FILE, "exec", dont_inherit=True) if imports else None


def unpacked(data: bytes) -> Compiled:
    code, table, imports = marshal.loads(memoryview(data)[1:])
    return Compiled(code, table, data[0], imports)


@functools.lru_cache(maxsize=32)
def _context(text: bytes) -> ordinary.Facts:
    """Of the same suite for many programs."""
    try:
        return ordinary.facts(compile(text, "<context>", "exec", dont_inherit=True))
    except REFUSALS:
        return ordinary.Facts(odd=True)


def start(requests: socket.socket, control: socket.socket, options: Options, confinement: confine.Confinement) -> None:
    """Forks the compiler's process, which answers requests until the parent closes its socket."""
    if os.fork():
        requests.close()
        return
    try:
        control.close()
        for fd in (options.trouble, *astuple(options.streams)):
            os.close(fd)
        confine.confine_child(confinement, 0, resource.RLIM_INFINITY)
        warnings.simplefilter("ignore")  # those of programs
        for _ in range(20):
            answer(REQUEST.pack(100, 0, False) + _WARM_PROGRAM.encode())
        gc.collect()
        gc.freeze()
        while (request := receive(requests)) is not None:
            send(requests, _reply(bytes(request)))
            let_go(request)
    finally:
        os._exit(1)


def _reply(request: bytes) -> bytes:
    kind, about, code = answer(request)
    head = json.dumps(about).encode()
    return kind + struct.pack("<I", len(head)) + head + code
