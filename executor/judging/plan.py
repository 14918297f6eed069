"""A suite split in two: what the child gets (inputs), and what stays in the parent (expected outputs and checks).

An assert that is one call with constant arguments and a check of its answer becomes that call, and is checked here
(executor.asserts). Any other assert runs as code beside the program ("guarded"). It passes only if it ran to its end
and brought back its seal, a random word that the child holds, and sees the program through a membrane
(values.membrane). Still forgeable there: a program can dig for the seal and for the expected values in its
own process.
"""

import ast
import json
import marshal
import secrets
from dataclasses import dataclass
from typing import Any

from stepcoder.executor.judging.asserts import Unsupported, question
from stepcoder.executor.judging.checkers.source import source
from stepcoder.executor.judging.suites import asking, module
from stepcoder.executor.judging.suites.ended import watched
from stepcoder.executor.sandbox.values import codec
from stepcoder.executor.sandbox.values.structures import BinaryTree, LinkedList
from stepcoder.executor.suite import Case, Compare, Limits, Suite

MOST_DEPTH = 250  # levels of a value that its readers can take
_NODE_TAGS = ('{"l": [', '{"n": [')  # of codec


@dataclass(frozen=True, slots=True)
class PlannedCase:
    """`wire` goes to the child, `stdin` as a file; `expected` never leaves, but for the seal of guarded code.

    kind and expected: text, a str; value, any data; check, an executor.asserts.Check; code, the seal.
    """

    kind: str
    wire: dict[str, Any]
    expected: Any = None
    stdin: bytes = b""
    checked: bool = False  # by the problem's checker, and not compared


@dataclass(frozen=True, slots=True)
class Plan:
    """The cases in order, and what is the same for every program of the suite.

    `wire`: the inputs and the setup, constants only, as marshal data. `context`: the code that runs in the program's
    namespace beside it, the setup and guarded tests. `inputs`: the texts for standard input, one after the other;
    `largest_input` is the size in bytes of the longest one. `output_kib` and those after it: what an answer like the
    expected ones may need, see executor.config.ExecutorConfig; no setting is to be below them.
    """

    cases: tuple[PlannedCase, ...]
    setup: str
    prelude: bool
    nodes: bool  # whether any test is about lists or trees
    wire: bytes
    context: bytes
    inputs: bytes
    largest_input: int
    compare: Compare
    limits: Limits
    checker: str  # as it is compiled; empty where answers are compared
    checked: tuple[Case, ...]  # what it is asked about
    output_kib: int
    result_kib: int
    depth: int
    parts: int

    def wire_of(self, number: int) -> bytes:
        """As `wire`, of one test: what is alone in its process sees no other."""
        return _suite([self.cases[number].wire], self.setup, self.nodes)


def plan(suite: Suite) -> Plan:
    """Raises ValueError for a suite that could pass without a test having been run."""
    if not suite.cases:
        raise ValueError("a suite without tests cannot judge a program: give at least one test")
    if suite.style == "call" and not suite.entry_point:
        raise ValueError("a suite in call style needs an entry point: a function name or `Class().method`")
    try:
        compile(suite.setup, "<setup>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"the suite's setup does not compile: {error}") from error
    make = {"stdin": _stdin, "call": _call, "assert": _assertion, "pytest": _of_module}[suite.style]
    cases = tuple(make(case, suite, number) for number, case in enumerate(suite.cases, 1))
    if suite.style == "pytest" and not module.can_fail(suite.module, [str(case.input) for case in suite.cases]):
        raise ValueError("no test of the module has an assert that runs and whose failure is heard: none could fail")
    checker = source(suite.checker) if suite.checker else ""
    place = 0
    for case in cases:
        if case.kind == "text":
            case.wire["stdin"] = (place, len(case.stdin))
            place += len(case.stdin)
    wires = [case.wire for case in cases]
    guarded = [case.wire.get("code", "") for case in cases if suite.style != "pytest" or case is cases[0]]
    context = "\n".join([suite.setup, *guarded]).encode("utf-8", "surrogatepass")
    inputs = [case.stdin for case in cases]
    needs = [_needs(*pair, number) for number, pair in enumerate(zip(cases, suite.cases, strict=True), 1)]
    output, result, depth, parts = (max(kind) for kind in zip(*needs, strict=True))
    nodes = suite.style != "stdin" and _nodes(suite, wires)  # after the needs: these refuse what nests too deep
    return Plan(
        cases, suite.setup, suite.prelude, nodes, _suite(wires, suite.setup, nodes), context, b"".join(inputs),
        max(map(len, inputs)), suite.compare, suite.limits, checker, suite.cases if checker else (), _roomy_kib(output),
        _roomy_kib(result), depth, parts,
    )  # fmt: skip


def _roomy_kib(size: int) -> int:
    """A power of two that is more than twice as much."""
    return 1 << (2 * size >> 10).bit_length()


def _suite(wires: list[dict[str, Any]], setup: str, nodes: bool) -> bytes:
    return marshal.dumps({"cases": wires, "setup": setup, "nodes": nodes})


def _needs(planned: PlannedCase, case: Case, number: int) -> tuple[int, int, int, int]:
    """(bytes of output, bytes of a result, levels, parts) of the expected answer.

    Of a check, whose code is longer than what it compares with, nothing but its length.
    """
    if planned.kind == "text":
        return len(case.output.encode("utf-8", "surrogateescape")), 0, 0, 0
    if planned.kind != "value":
        return 0, len(case.input), 0, 0
    try:
        data, depth, parts = codec.measured(case.output, MOST_DEPTH)
    except codec.TooLarge as error:
        raise ValueError(f"test {number}: no program can return the expected value: {error}") from None
    return 0, len(json.dumps(data)), depth, parts


def _nodes(suite: Suite, wires: list[dict[str, Any]]) -> bool:
    """Whether any test is about lists or trees: a program may name their classes in annotations."""
    text = json.dumps(wires, check_circular=False)  # inside a text JSON would escape the quotes of a tag
    return any(tag in text for tag in _NODE_TAGS) or any(_needs_nodes(case) for case in suite.cases)


def _stdin(case: Case, suite: Suite, number: int) -> PlannedCase:
    entry = suite.entry_point
    if not isinstance(case.input, str) or not isinstance(case.output, str):
        raise ValueError(f"test {number}: a test in stdin style has a text as input and a text as output")
    return PlannedCase(
        "text",
        {"fn": entry} if entry else {},
        case.output,
        case.input.encode("utf-8", "surrogateescape"),
        bool(suite.checker),
    )


def _call(case: Case, suite: Suite, number: int) -> PlannedCase:
    if not isinstance(case.input, list | tuple):
        raise ValueError(f"test {number}: a test in call style has a list of positional arguments as input")
    answer = suite.answer
    there = answer in case.keywords if isinstance(answer, str) else answer is None or 0 <= answer < len(case.input)
    if not there:
        raise ValueError(f"test {number}: the answer is to be argument {answer!r}, which the call does not have")
    try:
        wire = _wire(str(suite.entry_point), list(case.input), case.keywords)
        return PlannedCase("value", wire | {"listed": True, "answer": answer}, case.output, checked=bool(suite.checker))
    except codec.TooLarge as error:
        raise ValueError(f"test {number}: the arguments are too large: {error}") from error


def _wire(function: str, args: list[Any], keywords: dict[str, Any]) -> dict[str, Any]:
    """TooLarge for arguments that nest too deep."""
    wire: dict[str, Any] = {"fn": function, "args": [codec.encode(argument) for argument in args]}
    if keywords:
        wire["kwargs"] = {name: codec.encode(value) for name, value in keywords.items()}
    return wire


def _needs_nodes(case: Case) -> bool:
    """Whether the expected answer, or the assert, has a list or a tree."""
    if isinstance(case.input, str):
        return "list_node(" in case.input or "tree_node(" in case.input
    return _has_nodes(case.output)


def _has_nodes(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_has_nodes(part) for part in value)
    return isinstance(value, LinkedList | BinaryTree)


def _assertion(case: Case, suite: Suite, number: int) -> PlannedCase:
    if not isinstance(case.input, str):
        raise ValueError(f"test {number}: a test in assert style is Python code as a text")
    try:
        body = ast.parse(case.input).body
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"test {number}: the assert does not parse: {error}") from error
    if found := asking.fault(body):
        raise ValueError(f"test {number}: {found}")
    try:
        asked = question(body)
        wire = _wire(asked.function, asked.args, asked.keywords)
        if views := asked.check.views():
            wire["views"] = views
        return PlannedCase("check", wire, asked.check)
    except (Unsupported, codec.TooLarge):
        return _guarded(watched(case.input))


def _of_module(case: Case, suite: Suite, number: int) -> PlannedCase:
    try:
        code = module.code(suite.module, str(case.input))
    except ValueError as error:
        raise ValueError(f"test {number}: {error}") from None
    return _guarded(code)


def _guarded(code: str) -> PlannedCase:
    seal = secrets.token_hex(16)
    return PlannedCase("code", {"code": code, "seal": seal}, seal)
