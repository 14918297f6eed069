# ruff: noqa: E501  (tables of programs, a row each)
"""Asserts in each style, beside plain Python: what passes there passes here, and no object of the program's own decides.

Every row of `RIGHT` is first run as plain Python does it. Rows of `WRONG` answer wrongly, most of them so that plain
Python would let them pass.
"""

from collections.abc import Iterator

import pytest

from executor.config import ExecutorConfig
from executor.isolation import check
from executor.plan import plan
from executor.pool import LocalPool
from executor.suite import Case, Suite

CONFIG = ExecutorConfig(workers=2, cpu_s=2.0, wall_s=20.0, memory_mib=256)
WAYS = [(level, coverage) for level in (1, 2, 3) for coverage in (True, False)]


def asserts(code: str) -> Suite:
    return Suite("assert", (Case(code),))


@pytest.fixture(scope="module", params=WAYS, ids=[f"level {n}{'' if c else ', no coverage'}" for n, c in WAYS])
def pool(request: pytest.FixtureRequest) -> Iterator[LocalPool]:
    level, coverage = request.param
    reason = check(CONFIG, level)
    if reason is not None:
        pytest.skip(f"level {level} cannot be had here: {reason}")
    with LocalPool(CONFIG.model_copy(update={"level": level, "coverage": coverage})) as pool:
        yield pool


NUMBERS = "def f(n):\n    for i in range(n): yield i\n"
MAPPED = "def f(xs): return map(lambda x: 2 * x, xs)\n"
OWN = "class P:\n    def __init__(self, x): self.x = x\n    def __str__(self): return f'<{self.x}>'\n    def __repr__(self): return f'P({self.x})'\n"
BAG = "class Bag:\n    def __init__(self, items): self.items = list(items)\n    def __iter__(self): return iter(self.items)\n    def __len__(self): return len(self.items)\ndef f(xs): return Bag(xs)\n"

# The check is made in the parent.
RIGHT = [
    (NUMBERS, "assert list(f(3)) == [0, 1, 2]"),
    (NUMBERS, "assert tuple(f(3)) == (0, 1, 2)"),
    (NUMBERS, "assert sum(f(4)) == 6 "),
    (NUMBERS, "assert sorted(f(3)) == [0, 1, 2] and True"),
    (NUMBERS, "assert 2 in f(3)"),
    (NUMBERS, "assert 5 not in f(3)"),
    (NUMBERS, "assert f(3) != [0, 1, 2]"),
    (NUMBERS, "assert f(0)"),
    (NUMBERS, "assert f(0) is not None"),
    (NUMBERS, "assert max(f(3)) == 2"),
    (NUMBERS, "assert set(f(3)) == {0, 1, 2}"),
    ("def f(n):\n    while True: yield n\n", "assert f(3)"),
    (MAPPED, "assert list(f([1, 2])) == [2, 4]"),
    (MAPPED, "assert all(f([1, 2]))"),
    (MAPPED, "assert not any(f([0, 0]))"),
    ("def f(xs): return filter(None, xs)", "assert list(f([0, 1])) == [1]"),
    ("def f(a, b): return zip(a, b)", "assert list(f([1], [2])) == [(1, 2)]"),
    ("def f(a): return enumerate(a)", "assert list(f('ab')) == [(0, 'a'), (1, 'b')]"),
    ("def f(a): return reversed(a)", "assert list(f([1, 2])) == [2, 1]"),
    ("from itertools import accumulate\ndef f(a): return accumulate(a)", "assert list(f([1, 2])) == [1, 3]"),
    ("def f(a): return iter(a)", "assert list(f((1, 2))) == [1, 2]"),
    ("def f(n): return range(n)", "assert list(f(3)) == [0, 1, 2]"),
    ("def f(n): return range(n)", "assert len(f(3)) == 3 and 1 == 1"),
    ("def f(n): return range(n)", "assert f(3)[1] == 1"),
    ("def f(n): return range(n)", "assert not f(0)"),
    ("def f(n): return range(n, 0, -2)", "assert str(f(5)) == 'range(5, 0, -2)'"),
    ("from collections import deque\ndef f(a): return deque(a)", "assert list(f([1, 2])) == [1, 2]"),
    ("from collections import deque\ndef f(a): return deque(a)", "assert not f([])"),
    ("from collections import deque\ndef f(a): return deque(a)", "assert len(f([1, 2])) == 2 and 1"),
    ("from collections import deque\ndef f(a): return deque(a, 2)", "assert str(f([1, 2])) == 'deque([1, 2], maxlen=2)'"),
    ("def f(d): return d.keys()", "assert list(f({'b': 1, 'a': 2})) == ['b', 'a']"),
    ("def f(d): return d.keys()", "assert f({'b': 1, 'a': 2}) == {'a', 'b'}"),
    ("def f(d): return d.values()", "assert list(f({'b': [1], 'a': 2})) == [[1], 2]"),
    ("def f(d): return d.values()", "assert sum(f({'b': 1, 'a': 2})) == 3"),
    ("def f(d): return d.items()", "assert list(f({'b': [1]})) == [('b', [1])]"),
    ("def f(d): return d.items()", "assert ('b', 1) in f({'b': 1})"),
    ("from collections import Counter\ndef f(s): return Counter(s)", "assert f('aab') == {'a': 2, 'b': 1}"),
    ("from collections import Counter\ndef f(s): return Counter(s)", "assert f('aab')['z'] == 0"),
    ("from collections import Counter\ndef f(s): return Counter(s)", "assert str(f('aab')) == \"Counter({'a': 2, 'b': 1})\""),
    ("from collections import OrderedDict\ndef f(s):\n    d = OrderedDict.fromkeys(s)\n    d.move_to_end('a')\n    return d", "assert list(f('ab')) == ['b', 'a']"),
    ("from collections import defaultdict\ndef f(s):\n    d = defaultdict(list)\n    d[1].append(s)\n    return d", "assert f('ab') == {1: ['ab']}"),
    ("from collections import defaultdict\ndef f(s): return defaultdict(int, {s: 1})", "assert str(f('a')) == \"defaultdict(<class 'int'>, {'a': 1})\""),
    ("from fractions import Fraction\ndef f(a, b): return Fraction(a, b)", "assert f(1, 2) == 0.5"),
    ("from fractions import Fraction\ndef f(a, b): return Fraction(a, b)", "assert abs(f(1, 3) - 0.333) < 0.01"),
    ("from fractions import Fraction\ndef f(a, b): return Fraction(a, b)", "assert str(f(2, 4)) == '1/2'"),
    ("from fractions import Fraction\ndef f(a, b): return Fraction(a, b)", "assert f(4, 2) == 2"),
    ("from fractions import Fraction\ndef f(a): return [Fraction(x) for x in a]", "assert f([1, 2]) == [1, 2]"),
    ("from decimal import Decimal\ndef f(a): return Decimal(a)", "assert f('1.50') == 1.5"),
    ("from decimal import Decimal\ndef f(a): return Decimal(a)", "assert str(f('1.50')) == '1.50'"),
    ("from decimal import Decimal\ndef f(a): return Decimal(a)", "assert float(f('0.1')) == 0.1"),
    ("from decimal import Decimal\ndef f(a): return Decimal(a) * 3", "assert int(f('2')) == 6"),
    ("def f(a): return complex(a, 1)", "assert f(2) == complex(2, 1)"),
    ("def f(a): return 2 + 1j", "assert abs(f(2)) > 2.2"),
    ("def f(a): return frozenset(a)", "assert f([1, 2]) == {1, 2}"),
    ("def f(a): return frozenset(a)", "assert str(f([1])) == 'frozenset({1})'"),
    ("def f(a): return bytearray(a)", "assert f(b'ab') == b'ab'"),
    ("def f(a): return bytearray(a)", "assert str(f(b'ab')) == \"bytearray(b'ab')\""),
    ("import datetime\ndef f(y): return datetime.date(y, 2, 3)", "assert str(f(2020)) == '2020-02-03'"),
    ("import datetime\ndef f(y): return datetime.datetime(y, 2, 3, 4, 5, 6, 7, datetime.timezone.utc)", "assert str(f(2020)) == '2020-02-03 04:05:06.000007+00:00'"),
    ("import datetime\ndef f(h): return datetime.timedelta(hours=h)", "assert str(f(30)) == '1 day, 6:00:00'"),
    ("import datetime\ndef f(h): return datetime.time(h)", "assert str(f(3)) == '03:00:00'"),
    ("import re\ndef f(s): return re.search('b', s)", "assert f('abc')"),
    ("import re\ndef f(s): return re.search('b', s)", "assert not f('xyz')"),
    (OWN + "def f(x): return P(x)", "assert str(f(3)) == '<3>'"),
    (OWN + "def f(x): return P(x)", "assert repr(f(3)) == 'P(3)'"),
    (OWN + "def f(x): return [P(x)]", "assert str(f(3)) == '[P(3)]'"),
    (OWN + "def f(x): return {x: P(x)}", "assert repr(f(3)) == '{3: P(3)}'"),
    (OWN + "def f(x): return P(x)", "assert f(3)"),
    (OWN + "def f(x): return P(x)", "assert f(3) != 3"),
    (OWN + "def f(x): return P(x)", "assert f(3) is not None and True"),
    ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef f(x): return P(x)", "assert str(f(3)) == 'P(x=3)'"),
    ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef f(x): return P(x)", "assert f(3) != None"),
    ("from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(x): return P(x, 1)", "assert str(f(3)) == 'P(x=3, y=1)'"),
    ("from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(x): return P(x, 1)", "assert f(3) == (3, 1)"),
    ("from enum import Enum\nclass C(Enum):\n    RED = 1\ndef f(x): return C(x)", "assert str(f(1)) == 'C.RED'"),
    ("from enum import IntEnum\nclass C(IntEnum):\n    RED = 1\ndef f(x): return C(x)", "assert f(1) == 1"),
    (BAG, "assert list(f([1, 2])) == [1, 2]"),
    (BAG, "assert len(f([1, 2])) == 2"),
    (BAG, "assert 2 in f([1, 2])"),
    ("class S(str):\n    def __str__(self): return 'shown'\ndef f(x): return S(x)", "assert str(f('a')) == 'shown'"),
    ("def f(x): return f", "assert f(1)"),
    ("def f(x): return int", "assert f(1) is not None"),
    ("def f(x): raise ZeroDivisionError", "try:\n    f(1)\n    assert False\nexcept ZeroDivisionError:\n    pass"),
]  # fmt: skip

ALL = "class E:\n    def __eq__(s, o): return True\n    def __ne__(s, o): return {ne}\n    def __hash__(s): return 6\n    def __bool__(s): return {truth}\n    def __len__(s): return {size}\n    def __contains__(s, o): return True\n    def __lt__(s, o): return True\n    __gt__ = __le__ = __ge__ = __lt__\n    def __sub__(s, o): return 0\n    __rsub__ = __sub__\n    def __abs__(s): return 0\n"
E = ALL.format(ne=True, truth=True, size=1)
EMPTY = ALL.format(ne=False, truth=False, size=0)

WRONG = [
    ("from collections import deque\ndef f(x): return deque()", "assert f(3)"),
    ("from collections import Counter\ndef f(x): return Counter()", "assert f(3)"),
    ("def f(x): return {}.values()", "assert f(3)"),
    ("def f(x): return range(0)", "assert f(3)"),
    ("from fractions import Fraction\ndef f(x): return Fraction(0)", "assert f(3)"),
    ("from decimal import Decimal\ndef f(x): return Decimal('0.0')", "assert f(3)"),
    ("import datetime\ndef f(x): return datetime.timedelta()", "assert f(3)"),
    ("def f(x): return bytearray()", "assert f(3)"),
    ("class Z:\n    def __bool__(s): return False\ndef f(x): return Z()", "assert f(3)"),
    ("class Z:\n    def __len__(s): return 0\ndef f(x): return Z()", "assert f(3)"),
    ("class M(type):\n    def __bool__(c): return False\nclass Z(metaclass=M): pass\ndef f(x): return Z", "assert f(3)"),
    ("class Z:\n    def __bool__(s): raise OSError\ndef f(x): return Z()", "assert f(3) or True"),
    ("class Z(list):\n    def __bool__(s): return True\ndef f(x): return Z()", "assert f(3)"),
    ("class Z(list):\n    def __bool__(s): return False\ndef f(x): return Z([1])", "assert not f(3)"),
    ("def f(x): return []", "assert f(3) and True"),
    (E + "def f(x): return E()", "assert f(3)"),
    (EMPTY + "def f(x): return E()", "assert not f(3)"),
    (E + "def f(x): return E()", "assert f(3) == 6"),
    (E + "def f(x): return E()", "assert 6 == f(3)"),
    (E + "def f(x): return E()", "assert f(3) != 6"),
    (E + "def f(x): return E()", "assert not f(3) != 6"),
    (EMPTY + "def f(x): return E()", "assert not f(3) != 6"),
    (E + "def f(x): return [E()]", "assert f(3) == [6]"),
    (E + "def f(x): return E()", "assert f(3) in (6, 7)"),
    (E + "def f(x): return E()", "assert 6 in f(3)"),
    (E + "def f(x): return [E()]", "assert 6 in f(3)"),
    (E + "def f(x): return (E() for _ in 'a')", "assert 6 in f(3)"),
    (E + "def f(x): return (E() for _ in 'a')", "assert list(f(3)) == [6]"),
    (E + "def f(x): return {'k': E()}.values()", "assert list(f(3)) == [6]"),
    (E + "from collections import deque\ndef f(x): return deque([E()])", "assert list(f(3)) == [6]"),
    (E + "def f(x): return {E()}", "assert f(3) == {6}"),
    (E + "def f(x): return {E(): 1}", "assert f(3) == {6: 1}"),
    (E + "def f(x): return E()", "assert 5 < f(3) < 7"),
    (E + "def f(x): return E()", "assert abs(f(3) - 6) < 1e-6"),
    (E + "def f(x): return E()", "assert len(f(3)) == 2"),
    ("class T(str):\n    def __eq__(s, o): return True\n    __hash__ = str.__hash__\nclass O:\n    def __str__(s): return T('x')\ndef f(x): return O()", "assert str(f(3)) == '<3>'"),
    ("class I(int):\n    def __eq__(s, o): return True\nclass O:\n    def __len__(s): return I(1)\ndef f(x): return O()", "assert len(f(3)) == 2"),
    ("from fractions import Fraction\nclass Q(Fraction):\n    def __eq__(s, o): return True\ndef f(x): return Q(5)", "assert f(3) == 6"),
    ("from fractions import Fraction\nFraction.__eq__ = lambda s, o: True\ndef f(x): return Fraction(5)", "assert f(3) == 6"),
    (E + "from fractions import Fraction\ndef f(x):\n    q = Fraction(6)\n    q._numerator = E()\n    return q", "assert f(3) == 6"),
    ("from collections import Counter\nclass Q(Counter):\n    def __eq__(s, o): return True\ndef f(x): return Q()", "assert f(3) == {6: 1}"),
    ("class S(str):\n    __hash__ = object.__hash__\n    def __eq__(s, o): return s is o\ndef f(x): return {S('1'): 5, '1': 6}", "assert f(3) == {'1': 6}"),
    ("class I(int):\n    __hash__ = object.__hash__\n    def __eq__(s, o): return s is o\ndef f(x): return {I(1): 5, 1: 6}", "assert f(3) == {1: 6}"),
    ("class I(int):\n    __hash__ = object.__hash__\n    def __eq__(s, o): return s is o\ndef f(x): return {I(1), 1}", "assert f(3) == {1}"),
    ("class I(int):\n    __hash__ = object.__hash__\n    def __eq__(s, o): return s is o\nfrom collections import Counter\ndef f(x): return Counter({I(1): 5, 1: 6})", "assert f(3) == {1: 6}"),
    ("def f(n):\n    for i in range(n): yield i\n", "assert f(3) == [0, 1, 2]"),
    ("def f(n): return range(n)", "assert f(3) == [0, 1, 2]"),
    ("from collections import deque\ndef f(a): return deque(a)", "assert f([1]) == [1]"),
    ("def f(n):\n    while True: yield n\n", "assert list(f(3)) == [3]"),
    ("def f(n): return range(10 ** 12)", "assert list(f(3)) == [3]"),
    ("from decimal import Decimal\ndef f(n): return Decimal('1e999999999')", "assert int(f(3)) == 3"),
]  # fmt: skip


def names(rows: list[tuple[str, str]]) -> list[str]:
    return [f"{number} {code.strip()}" for number, (_, code) in enumerate(rows)]


@pytest.mark.parametrize(("program", "code"), RIGHT, ids=names(RIGHT))
def test_plain_python_passes(program: str, code: str) -> None:
    exec(f"{program}\n{code}", {"__name__": "solution"})


def test_right_programs_pass(pool: LocalPool) -> None:
    reports = pool.map((program, asserts(code)) for program, code in RIGHT)
    failed = [(*row, r.verdict.value, r.error) for row, r in zip(RIGHT, reports, strict=True) if not r.passed]
    assert not failed


def test_wrong_programs_fail(pool: LocalPool) -> None:
    reports = pool.map((program, asserts(code)) for program, code in WRONG)
    passed = [row for row, report in zip(WRONG, reports, strict=True) if report.passed]
    assert not passed


def test_most_checks_are_made_in_the_parent() -> None:
    guarded = [code for _, code in RIGHT + WRONG if plan(asserts(code)).cases[0].kind != "check"]
    assert len(guarded) == 1
