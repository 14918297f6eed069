"""Installed packages (`executor.packages`): ready for the programs that name them, unseen by others."""

import importlib
import importlib.util
from collections.abc import Iterator

import pytest

from stepcoder.errors import UserError
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.isolation import choose
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Verdict
from stepcoder.executor.sandbox.sharing import ordinary
from stepcoder.executor.suite import Case, Suite

NAMES = ("numpy", "sortedcontainers")
needed = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, NAMES)), reason=f"{' and '.join(NAMES)} are not installed here"
)


@pytest.fixture(scope="module", params=[1, 2, 3])
def pool(request: pytest.FixtureRequest) -> Iterator[LocalPool]:
    try:
        pool = LocalPool(ExecutorConfig(workers=1, level=request.param, packages=NAMES))
    except UserError as error:
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


TOLD = "executor.packages: no_such_thing not installed for .*python.*'stepcoder packages no_such_thing' prepares"


def test_a_package_that_is_not_installed_is_told_at_once_with_the_command() -> None:
    with pytest.raises(UserError, match=TOLD):
        choose(ExecutorConfig(packages=("no_such_thing",)))


SHARE = [  # programs whose tests share a process
    "import numpy as np\nprint(np.zeros((2, 2)).sum(axis=0), np.pi, np.float64(1).dtype)",
    "import numpy as np\nprint(np.linalg.det(np.eye(3)), np.random.rand())",
    "from numpy.linalg import norm\nprint(norm([3, 4]))",
    "import numpy\nx = numpy.where(numpy.arange(3) > 1, 1, 0)\nprint(*x, sep=' ')",
    "from sortedcontainers import SortedList\nprint(SortedList([2, 1])[0])",
]
ALONE = [
    "import numpy as np\nnp.seterr(all='raise')",
    "import numpy as np\nnp.sum.mark = 1",
    "import numpy as np\nnp.linalg.norm = len",
    "import numpy as np\nx = np.linalg\nx.norm = len",
    "import numpy as np\nprint(np.lib.stride_tricks)",
    "import numpy as np\nprint(np.zeros(1).ctypes)",
    "import numpy as np\nprint(np.empty(100))",
    "import numpy as np\nprint(np.zeros(1).__class__(100))",
    "import numpy as np\nprint(type(np.zeros(1))(100))",
    "import numpy as np\nprint(np.add([1], [2], where=[False]))",
    "import numpy as np\nprint(np.add([1], [2], **{'wh' + input(): [False]}))",
    "import numpy as np\nkeywords = {'where': [False]}\nprint(np.add([1], [2], **keywords))",
    "import numpy as np\nprint(np.linalg.linalg)",
    "import numpy as np\nclass A:\n    def __array_ufunc__(self, *args): pass",
    "import sortedcontainers\nsortedcontainers.SortedList.pop = len",
]


@needed
@pytest.mark.parametrize(("program", "shared"), [*((p, True) for p in SHARE), *((p, False) for p in ALONE)])
def test_which_programs_run_their_tests_in_one_process(program: str, shared: bool) -> None:
    for name in ("numpy", "numpy.linalg", "numpy.random", "sortedcontainers"):
        importlib.import_module(name)
    assert ordinary.ordinary(ordinary.facts(compile(program, "<program>", "exec"))) is shared


@needed
def test_tests_that_share_a_process_find_nothing_of_each_other(pool: LocalPool) -> None:
    """Also what those find whose tests do not share one."""
    for program, output in (
        ("import numpy as np\nprint(np.random.randint(0, 10**6))", "985772"),
        ("import numpy as np\nprint(np.geterr()['over'])\nnp.seterr(over='raise')", "warn"),
        ("import numpy as np\nprint(hasattr(np.sum, 'mark'))\nnp.sum.mark = 1", "False"),
        ("import numpy as np\nprint(np.array([0.125]))\nnp.set_printoptions(precision=1)", "[0.125]"),
    ):
        suite = Suite("stdin", tuple(Case("", output) for _ in range(3)))
        report = pool.run(program, suite)
        assert report.passed, (program, report.tests)
