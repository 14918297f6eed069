"""Line probes put into a program: a store before each statement, for interpreters without `sys.monitoring`.

Every probe is written before its statement runs, into memory that outlives the process, so the executed lines are
exact in every way of dying. Constructs without room for a statement (`except X:`, `case P:`) get an expression that
marks their line. A probe that was hit is jumped over until the next test: its first instruction is overwritten in
place, so that a loop runs at nearly full speed. Where the bytecode is not laid out as in CPython 3.11, probes stay.
"""

import ast
import ctypes
import sys
import types
from collections.abc import Iterator
from typing import Any

from stepcoder.executor.sandbox.coverage.monitoring import nested

_Body = list[ast.stmt]
_SWITCH: Any = ("\0switch",)  # the constant that stands for a `_Switch` until the program is compiled
_PATCHES = sys.implementation.name == "cpython" and sys.version_info[:2] == (3, 11)
_STORE_SUBSCR, _LOAD_CONST, _JUMP_FORWARD, _EXTENDED_ARG = 60, 100, 110, 144  # of CPython 3.11
_CACHE_WORDS = 1  # behind STORE_SUBSCR
_BYTECODE = types.CodeType.__basicsize__  # where the instructions of a code object lie
_WORDS_AT: Any = (ctypes.c_uint16 * (1 << 30)).from_address  # of any length: the table of probes has the places
_FEW = 50  # hits
_TRACING = {"settrace", "setprofile", "cProfile", "profile", "trace", "bdb", "pdb"}


class Probes:
    """The probes of one compiled program, connected to the coverage map."""

    __slots__ = ("_silent", "_switches", "code")

    @staticmethod
    def compile(source: str, file: str, lines: int) -> tuple[types.CodeType, list[int], "Table"]:
        """Code with probes on lines up to `lines`, those lines, and where the probes are. Raises as compile does."""
        instrumented = Instrumented(source, lines + 1)
        code = compile(instrumented.tree, file, "exec", dont_inherit=True)
        return code, sorted(instrumented.lines), _table(code)

    def __init__(self, code: types.CodeType, table: "Table", cells: Any) -> None:
        """As `compile` made them, before it runs; `self.code` is what to run. `cells`: the map, indexed by line."""
        self._switches: list[_Switch] = []
        self._silent = _silent(cells) if any(not _TRACING.isdisjoint(part.co_names) for part in nested(code)) else None
        self.code = self._connected(code, table, cells)

    def restart(self) -> None:
        """Records every line once more, from now on."""
        for switch in self._switches:
            switch.on()

    def intact(self) -> bool:
        """Always: nothing can be undone but by writing to the bytecode."""
        return True

    def _connected(self, code: types.CodeType, table: "Table", cells: Any) -> types.CodeType:
        """`code` and all code inside it with a switch in place of the constant."""
        place, probes, nested = table
        constants = list(code.co_consts)
        for index, part in nested.items():
            constants[index] = self._connected(constants[index], part, cells)
        if place is None:
            return code.replace(co_consts=tuple(constants)) if nested else code
        switch = constants[place] = self._silent or _Switch(cells)
        connected = code.replace(co_consts=tuple(constants))
        if probes and isinstance(switch, _Switch):
            switch.watch(connected, probes)
            self._switches.append(switch)
        return connected


# Of one code object: where among its constants the switch belongs, if anywhere; its probes as line: (instruction,
# itself, the jump instead) in 2-byte words; and the tables of the code among its constants, by their place.
Table = tuple[int | None, dict[int, list[tuple[int, int, int]]], dict[int, "Table"]]


def _silent(cells: Any) -> Any:
    """What probes store into where the program looks at the functions that run: it is called nowhere, and no switch."""
    silent: Any = (ctypes.c_uint8 * len(cells)).from_buffer(cells)
    silent.mark = silent.__setitem__
    return silent


class _Switch:
    """What the probes of one code object store into: marks the line and, once busy, has the probe jumped over."""

    __slots__ = ("_bytecode", "_hits_left", "_places", "_probes", "_words", "mark")

    def __init__(self, cells: Any) -> None:
        self.mark = cells.__setitem__
        self._words: Any = None
        self._places: dict[int, list[tuple[int, int, int]]] = {}
        self._hits_left = 0

    def __setitem__(self, line: int, one: int) -> None:
        self.mark(line, one)
        if self._hits_left:
            self._hits_left -= 1
            if not self._hits_left:
                self._connect()
        for place, _, jump in self._places.get(line, ()):
            self._words[place] = jump

    def on(self) -> None:
        for places in self._places.values():
            for place, word, _ in places:
                self._words[place] = word

    def watch(self, code: types.CodeType, probes: dict[int, list[tuple[int, int, int]]]) -> None:
        """Those of `code`, which must outlive this object. Jumping over a probe pays only when it is hit often."""
        self._bytecode, self._probes, self._hits_left = id(code) + _BYTECODE, probes, _FEW

    def _connect(self) -> None:
        """To the bytecode, unless it is not as expected. Uses no built-in name: the program may have changed any."""
        try:
            words = _WORDS_AT(self._bytecode)
            for places in self._probes.values():
                for place, word, _ in places:
                    if words[place] != word:
                        return
            self._words, self._places = words, self._probes
        except BaseException:  # out of stack or memory: that is for the program itself to meet
            self._hits_left = _FEW


def _table(code: types.CodeType) -> Table:
    constants = code.co_consts
    place = constants.index(_SWITCH) if _SWITCH in constants else None
    nested = {index: _table(part) for index, part in enumerate(constants) if isinstance(part, types.CodeType)}
    return place, _find(code, place) if place is not None and _PATCHES else {}, nested


def _find(code: types.CodeType, switch: int) -> dict[int, list[tuple[int, int, int]]]:
    """The probes in the bytecode of `code`, whose constant number `switch` stands for the switch."""
    text, constants = code.co_code, code.co_consts
    found: dict[int, list[tuple[int, int, int]]] = {}
    words = memoryview(text).cast("H")
    operations = text[::2]
    store = operations.find(_STORE_SUBSCR)
    while store >= 0:
        (line, before), start = _constant(text, store - 1), -1
        if before >= 0:
            target, before = _constant(text, before)
            if before >= 0 and target == switch:
                _, start = _constant(text, before)
                start += 1
        if start > 0:
            jump = _JUMP_FORWARD | (store + _CACHE_WORDS - start) << 8
            found.setdefault(constants[line], []).append((start, words[start], jump))
        store = operations.find(_STORE_SUBSCR, store + 1)
    return found


def _constant(text: bytes, at: int) -> tuple[int, int]:
    """Of a LOAD_CONST at word `at`: its operand, and the word before it and its prefixes; (-1, -1) for others."""
    if text[2 * at] != _LOAD_CONST:
        return -1, -1
    operand, shift = text[2 * at + 1], 8
    at -= 1
    while at >= 0 and text[2 * at] == _EXTENDED_ARG:
        operand |= text[2 * at + 1] << shift
        at, shift = at - 1, shift + 8
    return operand, at


class Instrumented:
    """A program with probes: `tree` to compile, and the lines that can be recorded."""

    __slots__ = ("_capacity", "lines", "tree")

    def __init__(self, source: str, capacity: int) -> None:
        """`capacity` is the number of lines that the map holds; later lines get no probe. Raises as ast.parse does."""
        self.lines: set[int] = set()
        self.tree = ast.parse(source, "<program>")
        self._capacity = capacity
        self._instrument()

    def _instrument(self) -> None:
        pending: list[ast.AST] = [self.tree]
        while pending:  # iterative: a tree may be deeper than the recursion limit
            node = pending.pop()
            for field, body in _bodies(node):
                pending.extend(body)
                setattr(node, field, self._probed(node, field, body))
            for handler in getattr(node, "handlers", ()):
                pending.append(handler)
                if handler.type is not None:
                    handler.type = self._marking(handler.lineno, handler.type)
            if isinstance(node, ast.Match):
                pending.extend(node.cases)
                node.cases = [new for case in node.cases for new in self._case(case)]

    def _probed(self, parent: ast.AST, field: str, body: _Body) -> _Body:
        """The suite with a probe before each statement, after what must stay first."""
        start = _leading(parent, body) if field == "body" else 0
        new: _Body = list(body[:start])
        if isinstance(parent, ast.Module):
            new.extend(p for s in body[:start] if isinstance(s, ast.ImportFrom) for p in self._probes(s))
        if isinstance(parent, ast.ExceptHandler) and parent.type is None and field == "body":
            new.extend(self._probe(parent.lineno, parent.lineno))
        for statement in body[start:]:
            if not isinstance(statement, ast.Global | ast.Nonlocal):
                new.extend(self._probes(statement))
            new.append(statement)
        return new

    def _probes(self, statement: ast.stmt) -> list[ast.stmt]:
        decorators = getattr(statement, "decorator_list", None)
        if not decorators:
            return self._probe(statement.lineno, statement.lineno)
        lines = {statement.lineno, *(decorator.lineno for decorator in decorators)}
        return [probe for line in sorted(lines) for probe in self._probe(line, statement.lineno)]

    def _probe(self, line: int, at: int) -> list[ast.stmt]:
        if line >= self._capacity:
            return []
        self.lines.add(line)
        place: dict[str, Any] = {"lineno": at, "col_offset": 0}
        target = ast.Subscript(ast.Constant(_SWITCH, **place), ast.Constant(line, **place), ast.Store(), **place)
        return [ast.Assign([target], ast.Constant(1, **place), **place)]

    def _marking(self, line: int, expression: ast.expr) -> ast.expr:
        """`expression`, marking `line` before it is evaluated."""
        if line >= self._capacity:
            return expression
        self.lines.add(line)
        mark = ast.Attribute(ast.Constant(_SWITCH), "mark", ast.Load())
        call = ast.Call(mark, [ast.Constant(line), ast.Constant(1)], [])
        return _at(ast.BoolOp(ast.Or(), [call, expression]), line)

    def _case(self, case: ast.match_case) -> Iterator[ast.match_case]:
        """A wildcard whose guard marks the line and fails goes before each case, so that a case tried is recorded."""
        line = case.pattern.lineno
        if line < self._capacity:
            guard = self._marking(line, ast.Constant(False))
            yield ast.match_case(_at(ast.MatchAs(), line), _at(guard, line), [_at(ast.Pass(), line)])
        yield case


def _bodies(node: ast.AST) -> Iterator[tuple[str, _Body]]:
    for field in ("body", "orelse", "finalbody"):
        body = getattr(node, field, None)
        if isinstance(body, list) and body:
            yield field, body


def _leading(parent: ast.AST, body: _Body) -> int:
    """Statements that must stay first: the docstring, and in a module the imports from __future__."""
    start = 0
    scope = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    if isinstance(parent, scope) and isinstance(body[0], ast.Expr):
        value = body[0].value
        start = int(isinstance(value, ast.Constant) and isinstance(value.value, str))
    if isinstance(parent, ast.Module):
        while start < len(body):
            statement = body[start]
            if not (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
                break
            start += 1
    return start


def _at(node: Any, line: int) -> Any:
    """Gives `node` and what it contains the position `line`, where it has none."""
    for child in ast.walk(node):
        if "lineno" in child._attributes and not hasattr(child, "lineno"):
            for name, value in (("lineno", line), ("end_lineno", line), ("col_offset", 0), ("end_col_offset", 0)):
                setattr(child, name, value)
    return node
