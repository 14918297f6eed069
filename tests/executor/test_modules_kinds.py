# ruff: noqa: E501  (tables of programs, a row each)
"""What modules of tests are written with: each passes a right program, and a wrong one fails."""

from collections.abc import Iterator

import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging.suites import module
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.suite import Case, Suite
from tests.executor.rows import RUNNERS

FROM = "from solution import f\nimport pytest\n"
UNIT = "import unittest\nfrom solution import f\n"
TEST = "def test_a():\n    assert f(1) == 2\n"
RIGHT = "def f(x):\n    if x is None:\n        raise TypeError('none')\n    return x + 1\n"
WRONG = "def f(x):\n    return x + 2\n"

MODULES = {
    "imports of __future__": '"""Tests."""\nfrom __future__ import annotations\n' + FROM + TEST,
    "a byte order mark, CRLF": "\ufeff" + (FROM + TEST).replace("\n", "\r\n"),
    "pytest under another name": "import pytest as p\nfrom solution import f\n@p.mark.parametrize('a', [1, 2])\ndef test_a(a):\n    assert f(a) == p.approx(a + 1)\n",
    "names of pytest": "from pytest import fixture, mark, raises as r\nfrom solution import f\n@fixture\ndef one(): return 1\n@mark.parametrize('b', [2])\ndef test_a(one, b):\n    assert f(one) == b\n    with r(TypeError): f(None)\n",
    "names of unittest": "from unittest import TestCase as T, main, skip\nfrom solution import f\nclass A(T):\n    @skip('x')\n    def test_s(self): self.assertEqual(f(1), 9)\n    def test_a(self): self.assertEqual(f(1), 2)\nif __name__ == '__main__':\n    main()\n",
    "main at the end": UNIT + "class A(unittest.TestCase):\n    def test_a(self): self.assertEqual(f(1), 2)\nunittest.main(argv=[''], exit=False)\n",
    "fixtures of fixtures": FROM + "@pytest.fixture\ndef one():\n    yield 1\n@pytest.fixture(name='two', scope='module')\ndef _two(one): return one + 1\ndef test_a(two, one):\n    assert f(two) == 3 and one == 1\n",
    "fixtures of a class": FROM + "class TestA:\n    @pytest.fixture\n    def one(self): return 1\n    def test_a(self, one):\n        assert f(one) == 2\n",
    "a fixture for all": FROM + "seen = []\n@pytest.fixture(autouse=True)\ndef start():\n    seen.append(1)\n    yield\n    seen.clear()\ndef test_a():\n    assert f(seen[0]) == 2\n",
    "set up for a module": FROM + "def setup_module(module):\n    global x\n    x = 1\ndef setup_function(): assert x == 1\ndef test_a():\n    assert f(x) == 2\n",
    "set up for a class": FROM + "class TestA:\n    @classmethod\n    def setup_class(cls): cls.x = 1\n    def setup_method(self, method): self.y = 2\n    def test_a(self):\n        assert f(self.x) == self.y\n",
    "set up, unittest": UNIT + "def setUpModule():\n    global x\n    x = 1\nclass A(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls):\n        super().setUpClass()\n        cls.y = 2\n    def test_a(self): self.assertEqual(f(x), self.y)\n",
    "inherited": FROM + "class Base:\n    x = 5\n    def test_a(self):\n        assert f(self.x) == self.x + 1\nclass TestA(Base):\n    x = 2\n    def test_b(self): assert self.x == 2\n",
    "inherited, unittest": UNIT + "class More:\n    def test_m(self): self.assertGood(1)\nclass A(More, unittest.TestCase):\n    def assertGood(self, x): self.assertEqual(f(x), x + 1)\n",
    "skipped": FROM + TEST + "@pytest.mark.skip(reason='x')\ndef test_s():\n    assert f(1) == 9\n@pytest.mark.skip\nclass TestS:\n    def test_s(self): assert f(1) == 9\n",
    "values by keyword": FROM + "@pytest.mark.parametrize(argnames='a, b', argvalues=[(1, 2)])\ndef test_a(a, b):\n    assert f(a) == b\n",
    "what was raised": FROM + TEST + "def test_r():\n    with pytest.raises(TypeError) as error:\n        f(None)\n    error.match('no.e')\n    assert error.type is TypeError\n",
    "a static method": FROM + "class TestA:\n    @staticmethod\n    def test_a():\n        assert f(1) == 2\n",
    "a coroutine that raises": FROM + "import asyncio\n" + TEST + "def test_r():\n    async def go():\n        assert f(None)\n    with pytest.raises(TypeError):\n        asyncio.run(go())\n",
    "a script's end": FROM + TEST + "if __name__ == '__main__':\n    import sys\n    sys.exit(pytest.main(['-v', __file__]))\n",
    "marks that change nothing": "import pytest\nfrom solution import f\npytestmark = [pytest.mark.unit, pytest.mark.timeout(5)]\n@pytest.mark.edge_case\nclass TestA:\n    @pytest.mark.performance('a', b=1)\n    @pytest.mark.parametrize('a', [pytest.param(1, marks=pytest.mark.slow)])\n    def test_a(self, a): assert f(a) == a + 1\n",
    "cases of a class": FROM + "@pytest.mark.parametrize('a', [1, 2])\nclass TestA:\n    @pytest.mark.parametrize('b', [0, 1])\n    def test_a(self, a, b): assert f(a) == a + 1 and f(b) == b + 1\n    def test_b(self, a): assert f(a) == a + 1\n",
    "what a raised error says": FROM + TEST + "def test_r():\n    with pytest.raises(expected_exception=TypeError, check=lambda error: error.args) as error:\n        f(None)\n    assert error.typename == 'TypeError' and error.exconly() == 'TypeError: none' and 'none' in str(error)\n",
    "arguments named as the helper's": UNIT + "def g(*, function=0, callable=0, match=0): return f(None)\nclass A(unittest.TestCase):\n    def test_a(self):\n        self.assertRaises(TypeError, g, function=1, callable=2, match='x')\n        self.assertRaisesRegex(TypeError, 'no', g, match='x')\n",
    "raise": FROM + "def test_a():\n    if f(1) != 2:\n        raise ValueError\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool(ExecutorConfig(workers=1, cpu_s=2.0, memory_mib=256)) as pool:
        yield pool


@pytest.mark.parametrize("source", MODULES.values(), ids=MODULES)
def test_a_right_program_passes_and_a_wrong_one_fails(pool: LocalPool, source: str) -> None:
    suite = Suite("pytest", tuple(map(Case, module.names(source))), module=source)
    report = pool.run(RIGHT, suite)
    assert report.passed, report
    assert not pool.run(WRONG, suite).passed


APPROXIMATE = {
    "a complex number": "f(1j) == approx(1 + 1.0000000001j) and f(1j) != approx(1 + 1.1j)",
    "a fraction": "f(Fraction(1, 3)) == approx(1.3333333333) and 1.3333333333 == approx(f(Fraction(1, 3)))",
    "a decimal": "f(Decimal(1) / 3) == approx(Decimal('1.3333333333')) and f(Decimal(1)) != approx(Decimal('2.1'))",
    "a decimal's tolerance": "f(Decimal(1)) == approx(Decimal('2.1'), abs=Decimal('0.1')) == f(Decimal('1.2'))",
    "other containers": "deque([f(1.0)]) == approx([2]) and (f(1.0),) == approx(deque([2])) and [f(1)] == approx(range(2, 3))",
    "no numbers": "[f(1), None, 'a', True] == approx([2, None, 'a', True]) and f(0) != approx(True)",
}


@pytest.mark.parametrize("test", APPROXIMATE.values(), ids=APPROXIMATE)
def test_what_is_approximate(pool: LocalPool, test: str) -> None:
    source = f"from collections import deque\nfrom decimal import Decimal\nfrom fractions import Fraction\n{FROM}from pytest import approx\ndef test_a():\n    assert {test}\n"
    suite = Suite("pytest", (Case("test_a"),), module=source)
    report = pool.run(RIGHT, suite)
    assert report.passed, report
    assert not pool.run(WRONG, suite).passed


def test_names_of_the_program_are_not_those_that_a_module_is_carried_out_with(pool: LocalPool) -> None:
    """Also where the module imports all of them by a star, which binds none."""
    program = "class Counter:\n    x = 1\nDecimal = Fraction = deque = re = Counter\n"
    test = "self.assertEqual(Counter.x + Decimal.x + Fraction.x + deque.x + re.x, 5)\n        assert 1 == pytest.approx(Counter.x)"
    source = f"import pytest, unittest\nfrom solution import *\nclass A(unittest.TestCase):\n    def test_a(self):\n        {test}\n"
    suite = Suite("pytest", (Case("A.test_a"),), module=source)
    report = pool.run(program, suite)
    assert report.passed, report
    assert not pool.run(program.replace("x = 1", "x = 2"), suite).passed
    report = pool.run(f"def x(): return Counter('a') and 1\n{program.replace('x = 1', 'x = x()')}", suite)
    assert "Counter" in str(report.error), report


def test_no_test_is_left_out_but_skipped_ones() -> None:
    assert module.names(MODULES["inherited"]) == ["TestA.test_a", "TestA.test_b"]
    assert module.names(MODULES["inherited, unittest"]) == ["A.test_m"]
    assert module.names(MODULES["skipped"]) == ["test_a"]
    assert module.names(MODULES["names of unittest"]) == ["A.test_a"]


COROUTINES = [
    "import pytest\n@pytest.mark.asyncio\nasync def test_a():\n    assert await f(1) == 2\n",
    "import unittest\nclass A(unittest.IsolatedAsyncioTestCase):\n    async def test_a(self):\n        self.assertEqual(await f(1), 2)\n",
    "import pytest\nclass TestA:\n    @pytest.mark.parametrize('a', [1, 2])\n    async def test_a(self, a):\n        assert await f(a) == a + 1\n",
    "import asyncio\ndef test_a():\n    async def go():\n        assert await f(1) == 2\n    asyncio.run(go())\n",
    "import asyncio\nasync def check():\n    assert await f(1) == 2\ndef test_a():\n    asyncio.run(check())\n",
    "import asyncio, unittest\nclass A(unittest.TestCase):\n    def test_a(self):\n        async def go():\n            self.assertEqual(await f(1), 2)\n        asyncio.run(go())\n",
]


@pytest.mark.parametrize("tests", COROUTINES)
def test_tests_that_are_coroutines(pool: LocalPool, tests: str) -> None:
    source = f"from solution import f\n{tests}"
    suite = Suite("pytest", tuple(map(Case, module.names(source))), module=source)
    report = pool.run("async def f(x):\n    return x + 1\n", suite)
    assert report.passed, report
    for runner in ("", *RUNNERS):
        report = pool.run(f"import asyncio\n{runner}\nasync def f(x):\n    return 7\n", suite)
        assert not any(test.passed for test in report.tests), (runner, report)
