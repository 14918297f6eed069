# ruff: noqa: E501  (tables of programs, a row each)
"""Modules of tests (pytest's functions and classes, unittest's classes) as guarded suites, a verdict a test."""

from collections.abc import Iterator

import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging.plan import plan
from stepcoder.executor.judging.suites import module
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Verdict
from stepcoder.executor.suite import Case, Suite

PASSED, WRONG, RUNTIME = Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR

PYTEST = """
import pytest
from solution import add, Counter

START = 10

@pytest.fixture
def counter():
    return Counter(START)

@pytest.fixture
def taken_down():
    yield [1]

def test_add():
    assert add(1, 2) == 3
    assert add(-1, 1) == 0

def test_floats():
    assert add(0.1, 0.2) == pytest.approx(0.3)
    assert [add(0.1, 0.2)] == pytest.approx([0.3])

@pytest.mark.parametrize("a, b, expected", [(1, 1, 2), (2, 3, 5), pytest.param(0, 0, 0, id="none")])
def test_cases(a, b, expected):
    assert add(a, b) == expected

@pytest.mark.parametrize("a", [0, 1])
@pytest.mark.parametrize(("b", "c"), [(n, n) for n in range(3)])
def test_products(a, b, c):
    assert add(a, b) == a + c

def test_raises():
    with pytest.raises(TypeError, match="str|unsupported"):
        add(1, "2")
    with pytest.raises(ValueError) as caught:
        Counter(-1)
    assert "negative" in str(caught.value)

def test_fixture(counter, taken_down):
    counter.up()
    assert counter.count == START + 1 and taken_down == [1]

class TestCounter:
    def setup_method(self):
        self.counter = Counter(1)
    def test_up(self):
        self.counter.up()
        assert self.counter.count == 2
    @pytest.mark.parametrize("n", [1, 2])
    def test_times(self, n, counter):
        for _ in range(n): counter.up()
        assert counter.count == 10 + n
"""
UNITTEST = """
import unittest
from solution import add, Counter

class TestAdd(unittest.TestCase):
    def setUp(self):
        self.values = [1, 2]
    def test_equal(self):
        self.assertEqual(add(*self.values), 3)
        self.assertAlmostEqual(add(0.1, 0.2), 0.3)
        self.assertTrue(add(1, 1))
        self.assertIn(add(1, 1), [2])
        self.assertCountEqual([add(1, 1), 1], [1, 2])
    def test_raises(self):
        with self.assertRaises(ValueError) as context:
            Counter(-1)
        self.assertEqual(str(context.exception), "negative")
        self.assertRaises(TypeError, add, 1, "2")
    def test_sub(self):
        for n in range(3):
            with self.subTest(n=n):
                self.assertEqual(add(n, n), 2 * n)
        self.assertIsInstance(Counter(1), Counter)
        self.assertIsNone(Counter(1).up())

if __name__ == "__main__":
    unittest.main()
"""
RIGHT = """
def add(a, b):
    return a + b
class Counter:
    def __init__(self, count):
        if count < 0:
            raise ValueError("negative")
        self.count = count
    def up(self):
        self.count += 1
"""
EQUAL = """
class E:
    def __eq__(s, o): return True
    def __ne__(s, o): return False
    def __bool__(s): return True
    def __hash__(s): return 0
    def __lt__(s, o): return True
    __le__ = __gt__ = __ge__ = __contains__ = __lt__
    def __sub__(s, o): return 0
    __rsub__ = __sub__
    def __round__(s, n=None): return 0
    def __abs__(s): return 0
    def __iter__(s): return iter(())
    def __len__(s): return 0
"""
FRAMES = """
import sys
def dig():
    frame = sys._getframe(1)
    while frame is not None:
        names, built_in = frame.f_globals, frame.f_builtins
        SWAP
        frame = frame.f_back
def add(a, b):
    dig()
    return 77
class Counter:
    def __init__(self, n):
        self.count = 0
    def up(self):
        dig()
"""
SWAPS = {
    "names": "names.update({name: lambda *a, **k: 0 for name in ('_require', '_raises', '_run', '_approx') if name in names})",
    "names by dict's own methods": "[dict.__setitem__(names, name, lambda *a: 0) for name in ('_require', '_approx') if name in names]",
    "code": "function = names.get('_require')\n        if function: function.__code__ = (lambda holds, message: None).__code__",
    "code of helpers": "[setattr(value, '__code__', (lambda *a, **k: None).__code__) for value in list(names.values()) if type(value) is type(dig) and not value.__closure__ and names is not globals()]",
    "methods": "kind = names.get('_TestCase')\n        if kind: kind.assertEqual = kind.assertTrue = kind.assertIn = kind.assertCountEqual = kind.assertIsNone = lambda *a: 0",
    "equality of approx": "kind = names.get('_Approx')\n        if kind: kind.__eq__ = lambda *a: True",
    "a wider tolerance": "kind = names.get('_Approx')\n        if kind: kind.__init__.__defaults__ = (1e9, 1e9, True)",
    "built-in names": "built_in.update(abs=lambda x: 0, round=lambda *a: 0, len=lambda x: 0, isinstance=lambda *a: True, max=lambda *a: 0)",
    "names that shadow": "names.update(abs=lambda x: 0, round=lambda *a: 0, isinstance=lambda *a: True, max=lambda *a: 0) if '_run' in names else 0",
    "no names left": "names.clear() if '_run' in names else 0",
    "what it leaves behind": "names.update(left=type('L', (), {'__del__': lambda s, names=names: names.update(_require=lambda *a: 0, _approx=lambda *a: 77)})()) if '_run' in names else 0",
}  # fmt: skip
HOSTILE = [
    ("equal to everything", EQUAL + "def add(a, b): return E()\nCounter = lambda n: E()"),
    ("a number equal to everything", "class E(int):\n    def __eq__(s, o): return True\n    def __sub__(s, o): return 0\n    __hash__ = int.__hash__\ndef add(a, b): return E(77)\nCounter = add"),
    ("exits", "import sys\ndef add(a, b): sys.exit(0)\nCounter = add"),
    ("exits at once", "import os\nos._exit(0)"),
    ("raises what is expected", "def add(a, b): raise TypeError('str')\ndef Counter(n): raise ValueError('negative')"),
    ("patches pytest", "import sys, types\nsys.modules['pytest'] = sys.modules['unittest'] = types.SimpleNamespace(raises=None, approx=lambda x: 0, TestCase=object)\ndef add(a, b): return 77\nCounter = add"),
    ("patches built-ins", "import builtins\nbuiltins.isinstance = lambda *a: True\nbuiltins.AssertionError = ValueError\nbuiltins.abs = builtins.round = lambda *a: 0\ndef add(a, b): return 77\nclass Counter:\n    def __init__(s, n): s.count = 0\n    def up(s): return 0"),
    ("defines the support's names", "def _require(*a): pass\ndef _run(*a): pass\n_raises = _Approx = _TestCase = _call = None\ndef add(a, b): return 77\nclass Counter:\n    def __init__(s, n): s.count = 0\n    def up(s): return 0"),
    *((f"reaches through frames: {name}", FRAMES.replace("SWAP", swap)) for name, swap in SWAPS.items()),
    ("its own TestCase", "import unittest\nunittest.TestCase.assertEqual = lambda *a: None\nunittest.TestCase.assertTrue = lambda *a: None\ndef add(a, b): return 77\nclass Counter:\n    def __init__(s, n): s.count = 0\n    def up(s): return 0"),
]  # fmt: skip


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool(ExecutorConfig(workers=1, cpu_s=2.0, memory_mib=256)) as pool:
        yield pool


def suite(source: str) -> Suite:
    return Suite("pytest", tuple(map(Case, module.names(source))), module=source)


def test_each_test_has_a_name() -> None:
    assert module.names(PYTEST) == [
        "test_add", "test_floats", "test_cases[0]", "test_cases[1]", "test_cases[2]", "test_products", "test_raises",
        "test_fixture", "TestCounter.test_up", "TestCounter.test_times[0]", "TestCounter.test_times[1]",
    ]  # fmt: skip
    assert module.names(UNITTEST) == ["TestAdd.test_equal", "TestAdd.test_raises", "TestAdd.test_sub"]


@pytest.mark.parametrize("source", [PYTEST, UNITTEST], ids=["pytest", "unittest"])
def test_a_right_program_passes(pool: LocalPool, source: str) -> None:
    report = pool.run(RIGHT, suite(source))
    assert report.passed, report


@pytest.mark.parametrize(
    ("old", "new", "failed"),
    [
        (
            "a + b",
            "a - b",
            {
                "test_add",
                "test_floats",
                "test_cases[0]",
                "test_cases[1]",
                "test_products",
                "TestAdd.test_equal",
                "TestAdd.test_sub",
            },
        ),
        ("count < 0", "count < -1", {"test_raises", "TestAdd.test_raises"}),
        ('"negative"', '"wrong"', {"test_raises", "TestAdd.test_raises"}),
        ("ValueError", "KeyError", {"test_raises", "TestAdd.test_raises"}),
        (
            "self.count += 1",
            "self.count += 2",
            {"test_fixture", "TestCounter.test_up", "TestCounter.test_times[0]", "TestCounter.test_times[1]"},
        ),
        (
            "self.count += 1",
            "return 1",
            {
                "test_fixture",
                "TestCounter.test_up",
                "TestCounter.test_times[0]",
                "TestCounter.test_times[1]",
                "TestAdd.test_sub",
            },
        ),
    ],
)
def test_a_wrong_program_fails_the_tests_that_see_it(pool: LocalPool, old: str, new: str, failed: set[str]) -> None:
    found = set()
    for source in (PYTEST, UNITTEST):
        tests = suite(source)
        report = pool.run(RIGHT.replace(old, new), tests)
        found |= {str(case.input) for case, test in zip(tests.cases, report.tests, strict=True) if not test.passed}
    assert found == failed


@pytest.mark.parametrize("source", [PYTEST, UNITTEST], ids=["pytest", "unittest"])
@pytest.mark.parametrize("program", [row[1] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_no_program_fools_it(pool: LocalPool, source: str, program: str) -> None:
    report = pool.run(program, suite(source))
    assert report.verdict in (WRONG, RUNTIME), report
    names = [str(case.input) for case in suite(source).cases]
    passed = {name for name, test in zip(names, report.tests, strict=True) if test.passed}
    assert passed <= {"test_raises", "TestAdd.test_raises"}, passed


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import pytest\ndef test_a(capsys):\n    assert f(1)", "test_a is not supported: the fixture capsys"),
        ("from unittest.mock import patch\ndef test_a():\n    assert f(1)", "from unittest.mock import patch"),
        (
            "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): self.assertLogs()",
            "self.assertLogs is not supported",
        ),
        ("import pytest\n@pytest.mark.skipif(True, reason='x')\ndef test_a(): assert f(1)", "pytest.mark.skipif"),
        ("import pytest\ndef test_a(): pytest.importorskip('x'); assert f(1)", "pytest.importorskip is not supported"),
        (
            "import pytest\n@pytest.mark.parametrize('a', [1], indirect=True)\ndef test_a(a): assert f(1)",
            "indirect=True",
        ),
        ("import pytest\n@pytest.fixture\nasync def a(): ...\ndef test_a(a): assert f(1)", "a is not supported: async"),
        ("import pytest as p\ndef test_a(): p.skip(); assert f(1)", "pytest.skip is not supported"),
        ("from pytest import mark\n@mark.usefixtures('a')\ndef test_a(): assert f(1)", "pytest.mark.usefixtures"),
        ("import pytest\npytestmark = pytest.mark.xfail\ndef test_a(): assert f(1)", "pytest.mark.xfail"),
        ("import unittest\nclass T(unittest.TestCase):\n    def test_a(self): self.skipTest('x')", "self.skipTest"),
        ("def setup_module(m): m.x = 1\ndef test_a(): assert f(1)", "setup_module is not supported: m"),
        ("def test_a(): assert f(1)\nif True:\n    def test_b(): assert f(2)", "test_b is not supported: it stands"),
        ("class TestA:\n    def test_a(s): assert f(1)\n    class TestB: ...", "TestB is not supported: it stands"),
        ("import pytest\n@pytest.fixture(params=[1])\ndef x(r): ...\ndef test_a(x): assert f(1)", "fixture x"),
        (
            "import unittest\nclass T(unittest.IsolatedAsyncioTestCase):\n    async def asyncSetUp(self): assert 1",
            "asyncSetUp",
        ),
        ("def test_a(): f(1)", "none could fail"),
        ("def test_a():\n    try: assert f(1) == 2\n    except Exception: pass", "none could fail"),
        ("def test_a():\n    try: assert f(1) == 2\n    finally: return", "none could fail"),
        ("def test_a():\n    assert (f(1) == 2, 'a text')", "none could fail"),
        ("def test_a():\n    def asked(): assert f(1) == 2", "none could fail"),
        ("def check(): assert f(1) == 2\ndef test_a(): f(1)", "none could fail"),
        ("class TestA:\n    def b(self): assert f(1)\ndef test_a(): f(1)", "none could fail"),
        ("def test_a():\n    yield\n    assert f(1) == 2", "test_a is not supported: yield"),
        ("def check(): assert f(1)", "has no test"),
        ("def test_a(: pass", "does not compile"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(source: str, error: str) -> None:
    with pytest.raises(ValueError) as refused:
        plan(Suite("pytest", (Case("test_a"),), module=source))
    assert error in str(refused.value)


def test_an_unknown_test_is_refused() -> None:
    with pytest.raises(ValueError, match="no test 'test_b'; it has test_a"):
        plan(Suite("pytest", (Case("test_b"),), module="def test_a(): assert f(1)"))


@pytest.mark.parametrize(("returned", "verdict"), [("5.0", Verdict.WRONG_ANSWER), ("float('inf')", Verdict.PASSED)])
def test_an_infinite_approximation_is_met_by_itself_only(pool: LocalPool, returned: str, verdict: Verdict) -> None:
    source = "import pytest\nfrom solution import f\ndef test_f():\n    assert f() == pytest.approx(float('inf'))\n"
    suite = Suite("pytest", (Case("test_f"),), module=source)
    assert pool.run(f"def f():\n    return {returned}\n", suite).verdict is verdict


@pytest.mark.parametrize("swap", ["names.update(isclose=lambda *a, **k: True, EXPECTED=77, same=lambda *a: True)", "names['math'] = type('m', (), {'isclose': lambda *a: True})", "same = names.get('same')\n        if same and names is not globals(): same.__code__ = (lambda a, b: True).__code__"])  # fmt: skip
@pytest.mark.parametrize(
    "test",
    [
        "EXPECTED = 3\nx = add(1, 2)\nassert x == EXPECTED",
        "from math import isclose\nx = [add(1, 2)]\nassert isclose(x[0], 3)",
        "import math\nx = [add(1, 2)]\nassert math.isclose(x[0], 3)",
        "def same(a, b):\n    return a == b\nassert same(add(1, 2), 3)",
        "def check(candidate):\n    for a, b in [(1, 2), (3, 4)]:\n        assert candidate(a, b) == a + b\ncheck(add)",
        "import asyncio\nEXPECTED = 3\nasync def main():\n    x = await later(1, 2)\n    assert x == EXPECTED\nasyncio.run(main())",
    ],
)
def test_no_program_swaps_what_an_assert_uses(pool: LocalPool, swap: str, test: str) -> None:
    later = "\nasync def later(a, b):\n    {}\n    return {}\n"
    suite = Suite("assert", (Case(test),))
    report = pool.run(FRAMES.replace("SWAP", swap) + later.format("dig()", "77"), suite)
    assert report.verdict is WRONG, report
    assert pool.run(RIGHT + later.format("pass", "a + b"), suite).passed


def test_a_test_changes_its_own_names(pool: LocalPool) -> None:
    """Also while the program runs: a function of the test that the program calls."""
    source = """
from solution import each

seen = None
class TestEach:
    kept = []
    @classmethod
    def setup_class(cls): ...
    def test_it(self):
        def note(x):
            global seen
            seen = (seen or 0) + x
            TestEach.kept = [*TestEach.kept, x]
        each(note, [1, 2, 3])
        assert seen == 6 and TestEach.kept == [1, 2, 3]
        global later
        later = each(abs, [-1])
        assert later == [1]
"""
    suite = Suite("pytest", (Case("TestEach.test_it"),), module=source)
    assert pool.run("def each(f, items):\n    return [f(item) for item in items]\n", suite).passed
