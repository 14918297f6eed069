"""Installed packages (`executor.packages`): ready for the programs that name them, unseen by others."""

import importlib.util
from collections.abc import Iterator

import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.isolation import choose
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Verdict
from stepcoder.executor.suite import Case, Suite

NAMES = ("numpy", "sortedcontainers")
needed = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, NAMES)), reason=f"{' and '.join(NAMES)} are not installed here"
)


@pytest.fixture(scope="module", params=[1, 2, 3])
def pool(request: pytest.FixtureRequest) -> Iterator[LocalPool]:
    try:
        pool = LocalPool(ExecutorConfig(workers=1, level=request.param, packages=NAMES))
    except RuntimeError as error:
        pytest.skip(f"this level cannot be had here: {error}")
    with pool:
        yield pool


def printed(pool: LocalPool, program: str, output: str) -> Verdict:
    return pool.run(program, Suite("stdin", (Case("", output), Case("", output)))).verdict


@needed
@pytest.mark.parametrize(
    ("program", "output"),
    [
        ("import numpy as np\nprint(int(np.array([1, 2, 3]).sum()))", "6"),
        ("from numpy import *\nprint(int(arange(4).sum()))", "6"),
        (
            "import numpy as np\nprint(round(float(np.linalg.det(np.eye(3) * 2)), 3), np.fft.fft([1, 0])[0].real)",
            "8.0 1.0",
        ),
        ("from sortedcontainers import SortedList\nprint(SortedList([2, 1])[0])", "1"),
        ("import importlib\nprint(importlib.import_module('sortedcontainers').SortedSet([1, 1]))", "SortedSet([1])"),
        ("import numpy\nprint(numpy.random.rand() == numpy.random.RandomState(0).rand())", "True"),
        ("try:\n    import numpy\nexcept ImportError:\n    numpy = None\nprint(numpy is None)", "False"),
    ],
)
def test_programs_that_name_a_package(pool: LocalPool, program: str, output: str) -> None:
    assert printed(pool, program, output) is Verdict.PASSED


@needed
def test_others_run_where_there_is_none(pool: LocalPool) -> None:
    looks = "import sys\nprint([m for m in sys.modules if m.startswith(('num' + 'py', 'sorted' + 'c'))])"
    assert printed(pool, looks, "[]") is Verdict.PASSED
    hidden = "n = __import__('num' + 'py')\nprint(1)"
    assert printed(pool, hidden, "1") is Verdict.RUNTIME_ERROR


@needed
def test_values_come_back_as_data(pool: LocalPool) -> None:
    suite = Suite("call", (Case([[1, 2]], [2, 4]), Case([[]], [])), "f")
    assert pool.run("import numpy\ndef f(a): return 2 * numpy.array(a, dtype=int)", suite).passed
    assert pool.run("import numpy\ndef f(a): return numpy.array(a, dtype=int)", suite).verdict is Verdict.WRONG_ANSWER


@needed
def test_a_program_with_a_package_is_confined_like_any_other(pool: LocalPool) -> None:
    for attack in ("import socket; socket.socket()", "open('/etc/hostname')", "import os; os.fork()", "open('x', 'w')"):
        assert printed(pool, f"import numpy\n{attack}\nprint(1)", "1") is Verdict.RUNTIME_ERROR


def test_a_package_that_is_not_installed_is_told_at_once() -> None:
    with pytest.raises(RuntimeError, match="executor.packages: no_such_thing not installed for .*python"):
        choose(ExecutorConfig(packages=("no_such_thing",)))
