# ruff: noqa: E501  (tables of programs, a row each)
"""Suites of every style through the real pool: wrappers, keywords, lists and trees, setup, guarded asserts."""

from collections.abc import Iterator

import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Verdict
from stepcoder.executor.sandbox.values.structures import BinaryTree, LinkedList, binary_tree, linked_list
from stepcoder.executor.suite import Case, Suite
from tests.executor.rows import RUNNERS

PASSED, WRONG, RUNTIME, OUTPUT = Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR, Verdict.OUTPUT_LIMIT


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool(
        ExecutorConfig(workers=2, cpu_s=2.0, wall_s=10.0, memory_mib=256, output_kib=64, result_kib=64)
    ) as pool:
        yield pool


def call(entry: str, *cases: Case, setup: str = "") -> Suite:
    return Suite("call", cases, entry, setup)


def asserts(*codes: str, setup: str = "") -> Suite:
    return Suite("assert", tuple(Case(code) for code in codes), setup=setup)


REVERSE = call("S().reverse", Case([], linked_list([3, 2, 1]), {"head": linked_list([1, 2, 3])}), Case([None], None))
MIRROR = call("mirror", Case([binary_tree([1, 2, None, 3])], binary_tree([1, None, 2, None, 3])), Case([None], None))
MANY = call("merge", Case([[linked_list([1, 4]), None, linked_list([2])]], [linked_list([1, 2, 4])]))
REVERSED = "class S:\n    def reverse(self, head):\n        back = None\n        while head: head.next, back, head = back, head, head.next\n        return back\n"
MIRRORED = (
    "def mirror(root):\n    if root: root.left, root.right = mirror(root.right), mirror(root.left)\n    return root"
)
OWN_NODE = (
    "class ListNode:\n    __slots__ = ('val', 'next')\n    def __init__(self, x): self.val, self.next = x, None\n"
)
KEYS = call("f", Case([1], 3, {"b": 2}), Case([], 30, {"a": 10, "b": 20}), Case([5], 6))
SETUP = "import math\nclass P:\n    side = 4\ndef helper(x):\n    return x + P.side\n"

MEMBERS = """\
import abc, typing
@typing.runtime_checkable
class Runs(typing.Protocol):
    def run(self): ...
class Shape(abc.ABC):
    @classmethod
    def __subclasshook__(cls, kind): return hasattr(kind, 'area') or NotImplemented
class Base(abc.ABC): pass
class A:
    def run(self): return 1
    def area(self): return 4
class B: pass
Base.register(A)
def f(): return A()
"""
MEMBER = [f"assert {check}" for one in ("A()", "f()") for check in (
    f"isinstance({one}, Runs)", f"isinstance({one}, Shape)", f"isinstance({one}, (Base, int))",
)] + [
    "assert issubclass(A, Base) and issubclass(A, Shape) and not issubclass(B, Shape)",
    "assert not isinstance(B(), Runs) and not isinstance(5, Base)",
    "class T:\n    def run(self): return 2\nassert isinstance(T(), Runs) and not isinstance(T(), Shape)",
    "class T: pass\nBase.register(T)\nassert isinstance(T(), Base)",
]  # fmt: skip

CASES: list[tuple[str, str, Suite, Verdict]] = [
    ("keywords", "def f(a, b=1): return a + b", KEYS, PASSED),
    ("keywords by other names", "def f(x, y=1): return x + y", KEYS, RUNTIME),
    ("a list reversed", REVERSED, REVERSE, PASSED),
    ("the program's own node", OWN_NODE + REVERSED, REVERSE, PASSED),
    ("annotated", "from typing import Optional\nclass S:\n    def reverse(self, head: Optional[ListNode]) -> Optional[ListNode]:\n        values = []\n        while head:\n            values.append(head.val)\n            head = head.next\n        for v in values: head = ListNode(v, head)\n        return head", REVERSE, PASSED),
    ("a list not reversed", "class S:\n    def reverse(self, head): return head", REVERSE, WRONG),
    ("values instead of nodes", "class S:\n    def reverse(self, head): return [3, 2, 1] if head else None", REVERSE, WRONG),
    ("a list that bites its tail", "class S:\n    def reverse(self, head):\n        head.next.next.next = head\n        return head", REVERSE, OUTPUT),
    ("a list that grows while it is read", "class ListNode:\n    val = 3\n    def __init__(self, x): pass\n    @property\n    def next(self): return ListNode(1)\n    @next.setter\n    def next(self, v): pass\nclass S:\n    def reverse(self, head): return head", REVERSE, OUTPUT),
    ("a node that equals all", "class ListNode:\n    def __init__(self, val=0, next=None): self.val, self.next = val, next\n    def __eq__(self, other): return True\nclass S:\n    def reverse(self, head): return ListNode(0)", REVERSE, WRONG),
    ("a node without a value", "class ListNode:\n    def __init__(self, x): pass\nclass S:\n    def reverse(self, head): return ListNode(1)", REVERSE, WRONG),
    ("a tree mirrored", MIRRORED, MIRROR, PASSED),
    ("a tree not mirrored", "def mirror(root): return root", MIRROR, WRONG),
    ("a tree with a cycle", "def mirror(root):\n    root.left.left.left = root\n    return root", MIRROR, OUTPUT),
    ("lists in a list", "def merge(lists):\n    values = []\n    for head in lists:\n        while head: values.append(head.val); head = head.next\n    head = None\n    for v in sorted(values)[::-1]: head = ListNode(v, head)\n    return [head]", MANY, PASSED),
    ("no node classes unless asked for", "def f(x): return ListNode(x)", call("f", Case([1], 1)), RUNTIME),
    ("setup", "def f(x): return helper(x) + math.floor(0.5)", call("f", Case([1], 5), setup=SETUP), PASSED),
    ("setup is anew for each test", "def f(x):\n    P.side += 1\n    return helper(x)", call("f", Case([1], 6), Case([1], 6), setup=SETUP), PASSED),
    ("setup with stdin", "print(helper(int(input())))", Suite("stdin", (Case("1", "5"),), setup=SETUP), PASSED),
    ("a setup that fails", "def f(x): return x", call("f", Case([1], 1), setup="1 / 0"), RUNTIME),
    ("a method of Solution for a function", "class Solution:\n    def f(self, x): return x", call("f", Case([1], 1)), PASSED),
    ("a function for a method of Solution", "def f(x): return x", call("Solution().f", Case([1], 1)), PASSED),
    ("another method of Solution", "class Solution:\n    def g(self, x): return x", call("f", Case([1], 1)), RUNTIME),
    ("a function for another class's method", "def f(x): return x", call("S().f", Case([1], 1)), RUNTIME),
    ("an assert asks for a function", "class Solution:\n    def f(self, x): return x", asserts("assert f(1) == 1"), RUNTIME),
    ("wrapped", "def main():\n    print(int(input()) * 2)", Suite("stdin", (Case("1", "2"),), "main"), PASSED),
    ("wrapped with a wrong answer", "def main():\n    print(int(input()) * 3)", Suite("stdin", (Case("1", "2"),), "main"), WRONG),
    ("a script where a wrapper could be", "print(int(input()) * 2)", Suite("stdin", (Case("1", "2"),), "main"), PASSED),
    ("nothing where a wrapper should be", "def other():\n    print(int(input()) * 2)", Suite("stdin", (Case("1", "2"),), "main"), WRONG),
    ("asserts as data", "def f(x): return x / 3", asserts("assert abs(f(1) - 0.333) < 0.01", "assert f(3) == 1", "assert not f(0)"), PASSED),
    ("an answer that equals all", "class E(int):\n    def __eq__(s, o): return True\n    def __abs__(s): return 0\n    def __sub__(s, o): return s\n    def __bool__(s): return True\ndef f(x): return E(0)", asserts("assert abs(f(1) - 1) < 0.1"), WRONG),
    ("an iterable that contains all", "class E:\n    def __contains__(s, o): return True\n    def __len__(s): return 2\ndef f(x): return E()", asserts("assert 2 in f(1)"), WRONG),
    ("an item that a class of the program looks up", "class D(dict):\n    def __missing__(s, k): return k * 2\nclass L(list):\n    def __getitem__(s, i): return list.__getitem__(s, i % 2)\ndef f(): return L([3, 4])", asserts("assert D(a=1)['b'] == 'bb'", "assert f()[5] == 4", "assert L([1, 2])[2] == 1", "assert D(a=1)['a'] == 1", "assert D(a=1) == {'a': 1}"), PASSED),
    ("no item of a subclass", "class L(list): pass\ndef f(): return L([3, 4])", asserts("assert f()[1] == 4 and 1", "assert f()[0] == 4"), WRONG),
    ("names by text", "def f(x): return x + 1", asserts("assert eval('f(1)') == 2", "assert 'f' in globals()", "assert 'g' not in globals()", "assert globals().get('f')(1) == 2 and globals().get('g') is None"), PASSED),
    ("names by text, wrong", "def f(x): return x", asserts("assert eval('f(1)') == 2"), WRONG),
    ("a program's own eval", "def eval(text): return len(text)", asserts("assert eval('abc') == 3"), PASSED),
    ("classes that say what belongs to them", MEMBERS, asserts(*MEMBER), PASSED),
    ("what does not belong to them", MEMBERS.replace("def run(self): return", "def ran(self): return"), asserts("assert isinstance(A(), Runs)"), WRONG),
    ("a method in an assert", "class S:\n    def f(self, x, k=0): return x + k", asserts("assert S().f(1, k=2) == 3"), PASSED),
    ("a built-in's name", "def sum(a, b): return a * b", asserts("assert sum(10, 15) == 150"), PASSED),
    ("guarded", "class Pair:\n    def __init__(s, a): s.a = a\ndef f(x): return x.a", asserts("x = Pair(1)\nassert f(x) == 1"), PASSED),
    ("guarded, wrong", "def f(x): return 2", asserts("x = 1\nassert f(x) == 1"), WRONG),
    ("guarded, helper's assert", "def f(x):\n    assert x == 2\n    return 1", asserts("x = 1\nassert f(x) == 1"), RUNTIME),
    ("guarded, an assert of the library", "def f(x): return 2", asserts("import unittest\nx = unittest.TestCase()\nx.assertEqual(f(1), 1)"), WRONG),
    ("guarded, an assert of the program by the library", "import unittest\ndef f(x): unittest.TestCase().assertEqual(x, 2)", asserts("x = 1\nassert f(x) == 1"), RUNTIME),
    ("guarded, with a setup", "def f(x): return helper(x)", asserts("x = 1\nassert f(x) == 5", setup=SETUP), PASSED),
    ("guarded, later assert", "def f(x): return 1", asserts("x = 1\nassert f(x) == 1\nassert f(x) == 2"), WRONG),
]  # fmt: skip

FORGED: list[tuple[str, str]] = [
    ("exit", "import sys\nsys.exit(0)"),
    ("exit in the call", "import sys\ndef f(x): sys.exit(0)"),
    ("exit without its words", "import os\ndef f(x): os._exit(0)"),
    ("exit at import", "import os\nos._exit(0)"),
    ("at exit", "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): return 0"),
    ("patched exec", "import builtins\nbuiltins.exec = lambda *a: None\ndef f(x): return 0"),
    ("patched compile", "import builtins\nold = compile\nbuiltins.compile = lambda s, *a, **k: old('pass', *a, **k)\ndef f(x): return 0"),
    ("patched error", "import builtins\nbuiltins.AssertionError = None\ndef f(x): return 0"),
    ("a trace that jumps", "import sys\ndef jump(frame, event, arg):\n    if frame.f_code.co_filename == '<test>' and event == 'line': frame.f_lineno = 2\n    return jump\nsys.settrace(jump)\ndef f(x): return 0"),
    ("a frame on every descriptor", "import os, struct\nbody = b'{\"t\": 0, \"done\": true, \"dirty\": false}'\nfor fd in range(3, 64):\n    try: os.write(fd, struct.pack('<I', len(body)) + body)\n    except OSError: pass\ndef f(x): return 0"),
    ("system exit from the call", "def f(x): raise SystemExit(0)"),
]  # fmt: skip


@pytest.mark.parametrize(("program", "suite", "verdict"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_verdict(pool: LocalPool, program: str, suite: Suite, verdict: Verdict) -> None:
    report = pool.run(program, suite)
    assert report.verdict is verdict, report


@pytest.mark.parametrize("program", [p for _, p in FORGED], ids=[n for n, _ in FORGED])
def test_a_guarded_assert_is_not_passed_by(pool: LocalPool, program: str) -> None:
    report = pool.run(program, asserts("x = 1\nassert f(x) == 1\nx = 2"))
    assert report.verdict in (WRONG, RUNTIME), report


COROUTINES = [
    "async def main():\n    x = await f(1)\n    assert x == 2\nasyncio.run(main())",
    "async def unused():\n    assert False\nasync def main():\n    assert await f(1) == 2\n    return 1\nasyncio.run(main())",
    "def check(g):\n    async def go():\n        assert await g(1) == 2\n    asyncio.run(go())\ncheck(f)",
    "async def one(i):\n    assert await f(i) == i + 1\nasync def all():\n    await asyncio.gather(one(1), one(2))\nasyncio.run(all())",
]


@pytest.mark.parametrize("test", COROUTINES)
def test_a_coroutine_of_the_test_comes_to_its_end(pool: LocalPool, test: str) -> None:
    suite = asserts(f"from __future__ import annotations\nimport asyncio\n{test}")
    assert pool.run("async def f(x): return x + 1", suite).passed
    for runner in ("", *RUNNERS):
        report = pool.run(f"import asyncio\n{runner}\nasync def f(x): return 7\n", suite)
        assert report.verdict in (WRONG, RUNTIME), (runner, report)


def test_lines_are_the_programs_own(pool: LocalPool) -> None:
    program = "def f(x):\n    if x:\n        return helper(x)\n    return 0\n"
    report = pool.run(program, call("f", Case([1], 5), setup=SETUP))
    assert report.passed and report.executed_lines == (1, 2, 3)
    failed = pool.run("def f(x):\n    return helper(x, x)\n", call("f", Case([1], 5), setup=SETUP))
    assert (failed.error_line, failed.executed_lines) == (2, (1, 2))


def test_output_of_finalisers_and_closed_streams_counts(pool: LocalPool) -> None:
    """As at the end of an interpreter: a buffer that writes itself when it dies still finds the names it needs."""
    buffered = (
        "from os import write\nclass Buffer:\n    text = ''\n    def put(self, text): self.text += text\n"
        "    def __del__(self): write(1, self.text.encode())\nout = Buffer()\nout.put(input())"
    )
    closed = "import sys\nwith sys.stdin as fin, sys.stdout as fout: print(next(fin), end='', file=fout)"
    for program in (buffered, closed):
        assert pool.run(program, Suite("stdin", (Case("7\n", "7\n"), Case("8\n", "8\n")))).passed


def test_trees_as_data() -> None:
    assert binary_tree([1, None, 2, None, None]) == BinaryTree((1, None, 2))
    assert binary_tree([]) is None and linked_list([]) is None and linked_list((0,)) == LinkedList((0,))
    for wrong in ([None, 1], [1, None, None, 2]):
        with pytest.raises(ValueError, match="no node's child"):
            binary_tree(wrong)
