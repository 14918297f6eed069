# ruff: noqa: E501  (tables of examples, a row each)
"""Our probes against coverage.py, construct by construct, and their exactness in every way of dying."""

import argparse
import ast
import enum
import inspect
import typing
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

from executor.config import ExecutorConfig
from executor.pool import LocalPool
from executor.report import Verdict
from executor.sandbox.probes import Instrumented
from executor.suite import Case, Suite

CONSTRUCTS = {
    "if elif else": "x = 2\nif x == 1:\n    a = 1\nelif x == 2:\n    a = 2\nelif x == 3:\n    a = 3\nelse:\n    a = 4\n",
    "loops with else": "for i in range(3):\n    if i == 1:\n        continue\n    a = i\nelse:\n    b = 1\n"
    "while a:\n    a -= 1\n    if a == 1:\n        break\nelse:\n    c = 2\n",
    "try": "def g():\n    raise KeyError\ntry:\n    g()\n    a = 1\nexcept ValueError:\n    b = 1\n"
    "except (KeyError, OSError) as e:\n    c = 1\nexcept:\n    d = 1\nelse:\n    e = 1\nfinally:\n    f = 1\n",
    "try else": "try:\n    a = 1\nexcept ValueError:\n    b = 1\nelse:\n    c = 1\n    d = 2\nfinally:\n    f = 1\n",
    "bare except": "try:\n    1 / 0\nexcept:\n    a = 1\n",
    "except star": "try:\n    raise ExceptionGroup('g', [ValueError(), KeyError()])\nexcept* ValueError:\n    a = 1\n"
    "except* OSError:\n    b = 1\nexcept* KeyError:\n    c = 1\n",
    "match": "def f(x):\n    match x:\n        case 1:\n            return 'a'\n        case [a, b] if a > b:\n            return 'b'\n"
    "        case {'k': v}:\n            return 'c'\n        case str() | bytes():\n            return 'd'\n        case _:\n"
    "            return 'e'\nf([2, 1])\nf({'k': 1})\n",
    "match to the end": "match 7:\n    case 1:\n        a = 1\n    case _:\n        a = 2\nb = 1\n",
    "decorators": "def d(*a):\n    return lambda f: f\n@d(1)\n@d(\n    2,\n)\ndef f(x):\n    return x\n@d()\nclass C:\n"
    "    @staticmethod\n    def m():\n        return 1\nf(1)\n",
    "docstrings": '"""module"""\nfrom __future__ import annotations\nimport sys\ndef f():\n    """doc"""\n    return 1\n'
    'class C:\n    """doc"""\n    x: int = 1\n    def m(self):\n        """only"""\nf()\n',
    "private names": "class C:\n    __x = 1\n    def __m(self):\n        __y = self.__x\n        return __y\n    def n(self):\n"
    "        return self.__m()\nC().n()\n",
    "generators": "def g(n):\n    for i in range(n):\n        x = yield i\n        if x:\n            return\n    yield from []\nlist(g(2))\n",
    "async": "import asyncio\nasync def a():\n    async with asyncio.Lock():\n        pass\n    return [x async for x in b()]\n"
    "async def b():\n    yield 1\n    await asyncio.sleep(0)\nasync def c():\n    async for x in b():\n        y = x\n    else:\n"
    "        z = 1\nasyncio.run(a())\n",
    "with": "import io\nwith io.StringIO() as s, \\\n     io.StringIO() as t:\n    s.write('a')\nwith (\n    io.StringIO() as u,\n):\n    pass\n",
    "lambda and comprehension": "f = lambda x: (\n    x +\n    1\n)\na = [f(i)\n     for i in range(3)\n     if i]\nb = {k: v for k, v in zip(a, a)}\n",
    "continuation lines": "a = (1 +\n     2 +\n     3)\nb = [\n    a,\n    a,\n]\nc = 'x' \\\n    'y'\nd = f(\n) if 0 else 1\n",
    "semicolons": "a = 1; b = 2\nif a: c = 1; d = 2\nif not a: e = 1\nfor i in []: f = 1\n",
    "global and nonlocal": "x = 1\ndef f():\n    global x\n    x = 2\n    y = 1\n    def g():\n        nonlocal y\n        y = 2\n    g()\nf()\n",
    "assert and del": "a = 1\nassert a, 'no'\ndel a\nb: int\nc: int = 1\nc += 1\npass\n",
    "return in finally": "def f():\n    try:\n        return 1\n    finally:\n        a = 1\n    b = 1\nf()\n",
    "exception out of a call": "def f():\n    a = 1\n    raise ValueError\n    b = 1\ndef g():\n    f()\n    c = 1\ntry:\n    g()\n"
    "except ValueError:\n    pass\n",
    "enum and named tuple": "import enum, typing\nclass E(enum.Enum):\n    A = 1\n    B = 2\nclass N(typing.NamedTuple):\n    x: int\n"
    "    y: int = 2\nE.A; N(1)\n",
    "non-ASCII": "é = 'ü'; ñ = 1\nif é:\n    ß = 'ß' * ñ\n",
    "walrus and f-strings": "if (n := 3) > 2:\n    s = f'''{n\n    } {n!r:>{n}}'''\nprint\n",
}


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool(ExecutorConfig(workers=1, cpu_s=0.5, wall_s=3.0, memory_mib=256)) as pool:
        yield pool


def by_coverage_py(source: str, path: Path) -> tuple[set[int], set[int]]:
    """(executed, all) statements by their first line, as coverage.py has them."""
    path.write_text(source, encoding="utf-8")
    measured = coverage.Coverage(data_file=None, config_file=False, include=[str(path)])
    code = compile(source, str(path), "exec", dont_inherit=True)
    measured.start()
    try:
        exec(code, {"__name__": "__main__"})
    finally:
        measured.stop()
    _, statements, _, missing, _ = measured.analysis2(str(path))
    return set(statements) - set(missing), set(statements)


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_agrees_with_coverage_py(pool: LocalPool, name: str, tmp_path: Path) -> None:
    source = CONSTRUCTS[name]
    executed, statements = by_coverage_py(source, tmp_path / "program.py")
    report = pool.run(source, Suite("stdin", (Case("", ""),)))
    assert report.passed, report
    assert report.coverage_trusted
    ours = set(report.executed_lines)
    assert ours & statements == executed
    decorated = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    headers = {n.lineno for n in ast.walk(ast.parse(source)) if isinstance(n, decorated)}
    headers |= {d.lineno for n in ast.walk(ast.parse(source)) if isinstance(n, decorated) for d in n.decorator_list}
    assert ours - statements <= headers


WAYS = {
    "SIGKILL": "import os\nos.kill(os.getpid(), 9)",
    "_exit": "import os\nos._exit(3)",
    "abort": "import os\nos.abort()",
    "busy": "a = 1\nwhile 1: pass",
    "memory": "a = 1\na = bytearray(10**11)",
    "C call": "import itertools\nsum(itertools.repeat(1))",
}


@pytest.mark.parametrize("way", WAYS)
def test_exact_in_every_way_of_dying(pool: LocalPool, way: str) -> None:
    lines = WAYS[way].splitlines()
    body = "".join(f"    {line}\n" for line in lines)
    source = f"x = 1\ndef f(n):\n    if n > 2:\n        return 0\n{body}    y = 1\ndef g():\n    pass\nf(1)\nz = 1\n"
    report = pool.run(source, Suite("stdin", (Case("", ""),)))
    assert report.verdict is not Verdict.PASSED
    end = 4 + len(lines)
    assert report.executed_lines == (1, 2, 3, *range(5, end + 1), end + 2, end + 4)


def test_union_over_tests_that_run_in_several_processes(pool: LocalPool) -> None:
    source = "x = int(input())\nif x == 1:\n    import os; os._exit(1)\nelif x == 2:\n    a = 1\nelse:\n    b = 1\n"
    report = pool.run(source, Suite("stdin", (Case("1", ""), Case("2", ""), Case("1", ""))))
    assert report.executed_lines == (1, 2, 3, 4, 5)
    assert [t.verdict for t in report.tests] == [Verdict.RUNTIME_ERROR, Verdict.PASSED, Verdict.RUNTIME_ERROR]


def test_nothing_is_left_from_the_program_before(pool: LocalPool) -> None:
    suite = Suite("stdin", (Case("", ""),))
    pool.run("a = 1\n" * 3000, suite)
    assert pool.run("\n\nb = 1\n", suite).executed_lines == (3,)


def test_a_written_map_is_flagged(pool: LocalPool) -> None:
    source = "import sys\ndef f():\n    return 1\n\n\nfor i in range(1, 7): __import__('builtins').__dict__['__co' 'v__'][i] = 1\n"
    report = pool.run(source, Suite("stdin", (Case("", ""),)))
    assert report.verdict is Verdict.PASSED
    assert not report.coverage_trusted


def test_no_lines_for_a_program_that_does_not_compile(pool: LocalPool) -> None:
    report = pool.run("a = 1\nb =\n", Suite("stdin", (Case("", ""),)))
    assert (report.verdict, report.executed_lines, report.error_line) == (Verdict.COMPILE_ERROR, (), 2)


def test_the_error_line_is_that_of_the_program(pool: LocalPool) -> None:
    source = "def f(x):\n\n    return g(x)\ndef g(x):\n    return {}[x]\n"
    report = pool.run(source, Suite("call", (Case([1], 1),), "f"))
    assert (report.error, report.error_line) == ("KeyError: 1", 5)


def test_meaning_is_kept_for_the_standard_library() -> None:
    """Every module of a sample compiles with probes, and what has no room for a statement is still marked."""
    for module in (argparse, enum, inspect, typing):
        instrumented = Instrumented(inspect.getsource(module), 16_384)
        compile(instrumented.tree, "<module>", "exec")
        statements = {n.lineno for n in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(n, ast.stmt)}
        assert len(instrumented.lines & statements) > 0.85 * len(statements)
