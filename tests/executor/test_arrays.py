# ruff: noqa: E501  (tables of programs, a row each)
"""Arrays of numpy between a program and the tests that run beside it."""

import importlib.util
from collections.abc import Iterator

import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging.suites import module
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Verdict
from stepcoder.executor.suite import Case, Suite

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numpy") is None, reason="numpy is not installed here")

ASKED = {
    "allclose": "assert np.allclose(f([1, 2]), [2, 4])",
    "equal": "assert (np.array(f([1, 2])) == np.array([2, 4])).all()",
    "array_equal": "assert np.array_equal(f([1, 2]), np.array([2, 4]))",
    "testing": "np.testing.assert_allclose(f([1, 2]), [2, 4])",
    "names of testing": "from numpy.testing import assert_array_equal\nassert_array_equal(f([1, 2]), [2, 4])",
    "items": "x = f(np.array([1, 2]))\nassert list(x) == [2, 4] and len(x) == 2",
    "what an array can do": "x = np.asarray(f([1, 2]))\nassert x.shape == (2,) and x.sum() == 6",
}
RIGHT = ("def f(xs): return [2 * x for x in xs]", "import numpy as np\ndef f(xs): return 2 * np.array(xs)")
OWN = "import numpy as np\nclass E{}:\n    def __array_function__(s, *a, **k): return True\n    def __array_ufunc__(s, *a, **k): return np.array([True])\n    def __eq__(s, o): return np.array([True])\n    def __array__(s, *a, **k): return np.array([7, 7])\n    def __iter__(s): return iter([7, 7])\n    def __len__(s): return 2\n"
WRONG = (
    "def f(xs): return [7 for x in xs]",
    "import numpy as np\ndef f(xs): return 3 * np.array(xs)",
    "import numpy as np\nnp.allclose = np.array_equal = np.asarray = np.isclose = lambda *a, **k: True\nnp.testing.assert_allclose = np.testing.assert_array_equal = lambda *a, **k: None\ndef f(xs): return [7, 7]",
    "import numpy as np\nnp._core.numeric.isclose = np._core.numeric.asarray = lambda *a, **k: np.array([True])\ndef f(xs): return [7, 7]",
    OWN.format("") + "def f(xs): return E()",
    OWN.format("(list)") + "def f(xs): return E([7, 7])",
    OWN.format("(np.ndarray)") + "def f(xs): return np.array([7, 7]).view(E)",
)
PROGRAM = """
import numpy as np
def sort(a): a.sort(); return a
def put(a): a[0, 1] = 9
def same(a): return a
def call(g, a): return g(a)
def objects(): return np.array([1, "a", None], dtype=object)
def values(): return {"a": np.arange(3), "b": [np.float32(1.5)], "c": np.float64(0.1), "d": np.bool_(True)}
def inverse(a): return np.linalg.inv(a)
def matrix(a): return np.matrix(a)
def masked(): return np.ma.masked_array([1, 2], mask=[0, 1])
def dtype(): return np.zeros(1).dtype
def records(): return np.zeros(2, dtype=[("x", "i4")])
class Net:
    def __init__(self): self.w = np.zeros(2)
    def step(self, g): self.w -= g; return self.w
    def __array__(self, dtype=None, copy=None): return self.w
"""
CROSSING = [
    "a = np.array([3, 1, 2])\nr = sort(a)\nassert a.tolist() == [1, 2, 3] and r is a",
    "a = np.zeros((2, 2))\nput(a)\nassert a[0, 1] == 9",
    "a = np.array([1, 2, 3, 4])\na.shape = (2, 2)\nassert same(a).shape == (2, 2)\na.shape = (4,)\nassert same(a) is a",
    "assert call(np.sum, np.array([1, 2])) == 3 and call(lambda a: 2 * a, np.array([1]))[0] == 2",
    "assert objects().tolist() == [1, 'a', None]",
    "x = values()\nassert x['a'].sum() == 3 and x['b'][0].dtype == np.float32 and isinstance(x['c'], float) and x['d'] == True",
    "try:\n    inverse(np.zeros((2, 2)))\nexcept np.linalg.LinAlgError:\n    pass\nelse:\n    assert False",
    "x = matrix([[1, 2], [3, 4]])\nassert (x * x).tolist() == [[7, 10], [15, 22]]",
    "assert masked().sum() == 1",
    "assert dtype() == np.float64 and records()['x'].tolist() == [0, 0]",
    "n = Net()\nassert np.allclose(n.step(np.array([1.0, 2.0])), [-1, -2]) and np.allclose(n, [-1, -2])\nn.w[0] = 5\nn.step(np.zeros(2))\nassert n.w[0] == 5",
    "assert np.isnan(same(np.array([np.nan]))).all() and same(np.array('a')).shape == () and same(np.array([])).size == 0",
]


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool(ExecutorConfig(workers=1, packages=("numpy",))) as pool:
        yield pool


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_a_test_asks_by_numpy(pool: LocalPool, asked: str) -> None:
    test = f"import numpy as np\ndef test_a():\n    {asked.replace(chr(10), chr(10) + '    ')}\n"
    suites = [
        Suite("assert", (Case(f"import numpy as np\n{asked}"),)),
        Suite("assert", (Case(asked),), setup="import numpy as np\n"),
        Suite("pytest", tuple(map(Case, module.names(test))), module=test),
    ]
    for suite in suites:
        for program in RIGHT:
            report = pool.run(program, suite)
            assert report.passed, (program, report)
        for program in WRONG:
            report = pool.run(program, suite)
            assert report.verdict in (Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR), (program, report)


@pytest.mark.parametrize("asked", CROSSING)
def test_arrays_cross(pool: LocalPool, asked: str) -> None:
    report = pool.run(PROGRAM, Suite("assert", (Case(f"import numpy as np\n{asked}"),)))
    assert report.passed, report


def test_approximate_arrays(pool: LocalPool) -> None:
    test = "import numpy as np\nfrom pytest import approx\nfrom solution import f\ndef test_a():\n    assert np.array(f([1, 2])) == approx([2, 4])\n    assert f([1, 2]) == approx(np.array([2, 4]))\n    assert f([1])[0] == approx(2)\n"
    suite = Suite("pytest", (Case("test_a"),), module=test)
    for program in RIGHT:
        assert pool.run(program, suite).passed
    for program in WRONG:
        assert not pool.run(program, suite).passed, program
