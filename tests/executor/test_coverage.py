"""Executed lines against coverage.py, construct by construct and over the standard library, on each backend.

Backends: the interpreter that runs the tests, and others where PATH has one. Programs run in the real sandbox.
"""

import ast
import functools
import importlib
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.interpreters import find
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.spans import executed_spans
from stepcoder.executor.suite import Case, Suite
from tests.executor.coverage_constructs import CONSTRUCTS
from tests.executor.coverage_modules import DRIVERS
from tests.tools.interpreters import OTHERS

ONCE = Suite("stdin", (Case("", ""),))


@pytest.fixture(scope="module", params=["own", *OTHERS])
def pool(request: pytest.FixtureRequest) -> Iterator[LocalPool]:
    python = None if request.param == "own" else find(request.param)
    with LocalPool(ExecutorConfig(workers=1, cpu_s=10, wall_s=30, memory_mib=256, python=python)) as pool:
        yield pool


@pytest.fixture(scope="module")
def own_pool() -> Iterator[LocalPool]:
    with LocalPool(ExecutorConfig(workers=1, cpu_s=10, wall_s=30, memory_mib=256)) as pool:
        yield pool


class Oracle:
    """coverage.py's view of one program: `statements` by their first line, `executed` of them when it ran here."""

    def __init__(self, source: str, path: Path, module: str, use: Callable[[dict[str, Any]], Any]) -> None:
        """`use` is called with the program's namespace; `value` is what it returns."""
        self._path = path
        path.write_text(source, encoding="utf-8", newline="")
        code = compile(source, str(path), "exec", dont_inherit=True)
        space, self.value = types.ModuleType(module), None
        kept = sys.modules.get(module)
        sys.modules[module] = space  # where dataclasses and enumerations look
        measured = self._coverage()
        measured.start()
        try:
            exec(code, space.__dict__)
            self.value = use(space.__dict__)
        except SystemExit as end:
            assert not end.code
        finally:
            measured.stop()
            del sys.modules[module]
            if kept is not None:
                sys.modules[module] = kept
        self.statements, self.executed = self._analysed(measured)
        self._known: dict[frozenset[int], set[int]] = {}  # most backends record the same

    def _coverage(self) -> coverage.Coverage:
        return coverage.Coverage(data_file=None, config_file=False, include=[str(self._path)])

    def _analysed(self, measured: coverage.Coverage) -> tuple[set[int], set[int]]:
        _, statements, _, missing, _ = measured.analysis2(str(self._path))
        return set(statements), set(statements) - set(missing)

    def statements_of(self, lines: Iterable[int]) -> set[int]:
        """The statements that recorded `lines` mean: a line inside one of several lines counts for its first."""
        if (key := frozenset(lines)) not in self._known:
            measured = self._coverage()
            measured.get_data().add_lines({str(self._path): list(key)})
            self._known[key] = self._analysed(measured)[1]
        return self._known[key]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("coverage")


@functools.cache
def construct(name: str, folder: Path) -> Oracle:
    path = folder / f"construct_{list(CONSTRUCTS).index(name)}.py"
    return Oracle(CONSTRUCTS[name], path, "__main__", lambda _: None)


@functools.cache
def module(name: str, folder: Path) -> Oracle:
    return Oracle(module_program(name), folder / f"{name}_.py", "solution", lambda space: space["drive"]())


@functools.cache
def module_program(name: str) -> str:
    body = "".join(f"    {line}\n" for line in DRIVERS[name].split("\n"))
    return f"{inspect.getsource(importlib.import_module(name))}\n\ndef drive():\n{body}"


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_agrees_with_coverage_py(pool: LocalPool, name: str, folder: Path) -> None:
    source, oracle = CONSTRUCTS[name], construct(name, folder)
    report = pool.run(source, ONCE)
    assert report.passed, report
    assert report.coverage_trusted
    assert oracle.statements_of(report.executed_lines) == oracle.executed


def test_probes_record_no_lines_but_those_of_statements(own_pool: LocalPool, folder: Path) -> None:
    """Beyond what coverage.py counts: every line of a decorated header, and statements that have no code."""
    if sys.version_info >= (3, 12):
        pytest.skip("probes are what records lines before Python 3.12 only")
    for name, source in CONSTRUCTS.items():
        nodes = list(ast.walk(ast.parse(source)))
        wanted = {n.lineno for n in nodes if isinstance(n, ast.stmt | ast.ExceptHandler)}
        wanted |= {d.lineno for n in nodes for d in getattr(n, "decorator_list", ())}
        wanted |= {n.pattern.lineno for n in nodes if isinstance(n, ast.match_case)}
        assert set(own_pool.run(source, ONCE).executed_lines) <= wanted, name


def test_both_backends_mean_the_same_characters(pool: LocalPool, own_pool: LocalPool) -> None:
    for name, source in CONSTRUCTS.items():
        lines, own = (p.run(source, ONCE).executed_lines for p in (pool, own_pool))
        assert executed_spans(source, lines) == executed_spans(source, own), (name, lines, own)


@pytest.mark.parametrize("name", DRIVERS)
@pytest.mark.filterwarnings("ignore")
def test_agrees_with_coverage_py_on_the_standard_library(pool: LocalPool, name: str, folder: Path) -> None:
    """The module's source is the program, and its answers are those that it gives without a sandbox."""
    oracle = module(name, folder)
    report = pool.run(module_program(name), Suite("call", (Case([], oracle.value),), "drive"))
    assert report.passed, report
    assert report.coverage_trusted
    assert oracle.statements_of(report.executed_lines) == oracle.executed
