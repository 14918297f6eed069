# ruff: noqa: E501  (tables of programs, a row each)
"""Asserts in each style, beside plain Python: what passes there passes here, and no object of the program's own decides.

Every row of `RIGHT` is first run as plain Python does it. Rows of `WRONG` answer wrongly, most of them so that plain
Python would let them pass.
"""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging.plan import plan
from stepcoder.executor.pool.isolation import check
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.suite import Case, Suite

CONFIG = ExecutorConfig(workers=2, cpu_s=20.0, wall_s=120.0, memory_mib=256)
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


STACK = "class Stack:\n    def __init__(self): self.items = []\n    def push(self, x): self.items.append(x)\n    def pop(self): return self.items.pop()\n    def __len__(self): return len(self.items)\n    def is_empty(self): return not self.items\n"
VEC = "class Vec:\n    def __init__(self, x, y): self.x, self.y = x, y\n    def __add__(self, o): return Vec(self.x + o.x, self.y + o.y)\n    def __mul__(self, k): return Vec(self.x * k, self.y * k)\n    def __eq__(self, o): return isinstance(o, Vec) and (self.x, self.y) == (o.x, o.y)\n    def __abs__(self): return (self.x ** 2 + self.y ** 2) ** 0.5\n    def __repr__(self): return f'Vec({self.x}, {self.y})'\n"
DATA = "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n    y: int = 0\ndef f(x): return P(x)\n"
COLOR = "from enum import Enum\nclass Color(Enum):\n    RED = 1\n    BLUE = 2\ndef f(x): return Color(x)\n"
MEMO = "import functools\ndef memo(g):\n    seen = {}\n    @functools.wraps(g)\n    def call(x):\n        if x not in seen: seen[x] = g(x)\n        return seen[x]\n    return call\n"
TWICE = "def f(x): return 2 * x\n"

# The test's code runs beside the program.
RIGHT_BESIDE = [
    (TWICE, "x = f(3)\nassert x == 6 and f(4) == 8"),
    (TWICE, "def check(candidate):\n    assert candidate(3) == 6\n    for i in range(50):\n        assert candidate(i) == 2 * i\ncheck(f)"),
    (TWICE, "assert all(f(i) == 2 * i for i in range(5))"),
    (TWICE, "assert [f(i) for i in range(3)] == [0, 2, 4]"),
    (TWICE, "assert list(map(f, [1, 2])) == [2, 4]"),
    (TWICE, "assert callable(f) and f.__name__ == 'f'"),
    (TWICE, "import inspect\nassert len(inspect.signature(f).parameters) == 1"),
    (TWICE, "import types\nassert isinstance(f, types.FunctionType)"),
    (TWICE, "result = f('ab')\nassert isinstance(result, str) and result.upper() == 'ABAB'"),
    (TWICE, "from solution import f as g\nassert g(2) == 4"),
    (TWICE, "import solution\nassert solution.f(2) == 4"),
    (TWICE, "from solution import *\nassert f(2) == 4"),
    (TWICE, "assert f(f(1)) == 4"),
    (TWICE, "assert f(*[1]) == 2 and f(**{'x': 1}) == 2"),
    (TWICE, "class Pair:\n    def __init__(s, a): s.a = a\n    def __rmul__(s, k): return Pair(k * s.a)\nassert f(Pair(1)).a == 2"),
    ("def f(x):\n    if x < 0: raise ValueError('negative')\n", "try:\n    f(-1)\n    assert False\nexcept ValueError as e:\n    assert str(e) == 'negative' and e.args == ('negative',)"),
    ("class Bad(ValueError):\n    def __init__(self, code): super().__init__(f'bad {code}'); self.code = code\ndef f(x): raise Bad(x)", "try:\n    f(3)\n    assert False\nexcept Bad as e:\n    assert e.code == 3 and str(e) == 'bad 3'"),
    ("class Bad(Exception): pass\ndef f(x): raise Bad", "try:\n    f(3)\nexcept Exception as e:\n    assert type(e).__name__ == 'Bad' and isinstance(e, Bad)\nelse:\n    assert False"),
    ("def f(x): return x / 0", "import contextlib\nwith contextlib.suppress(ZeroDivisionError):\n    f(1)\n    assert False"),
    ("def f(x): assert x > 0", "try:\n    f(-1)\nexcept AssertionError:\n    pass\nelse:\n    assert False"),
    ("def f(xs): xs.append(3); xs.sort()", "a = [5, 1]\nassert f(a) is None\nassert a == [1, 3, 5]"),
    ("def f(xs): return xs", "a = [5, 1]\nassert f(a) is a"),
    ("def f(xs): return xs[:]", "a = [5, 1]\nassert f(a) is not a and f(a) == a"),
    ("def f(d): d['k'] = [1]; return d", "d = {}\nf(d)['k'].append(2)\nassert d == {'k': [1, 2]}"),
    ("def f(g): g[0][0] = 9; return g", "g = [[1], [2]]\nrow = g[0]\nf(g)\nassert row == [9] and g[0] is row"),
    ("def f(s): s.discard(1)", "s = {1, 2}\nf(s)\nassert s == {2}"),
    ("from collections import deque\ndef f(q): q.appendleft(0); return q", "from collections import deque\nq = deque([1])\nassert f(q) == deque([0, 1]) and q == deque([0, 1])"),
    ("class S:\n    def __init__(self, xs): self.xs = xs\n    def run(self): self.xs.append(1)\n", "a = []\ns = S(a)\ns.run()\nassert a == [1]\na.append(2)\ns.run()\nassert a == [1, 2, 1] == s.xs"),
    ("kept = []\ndef f(x): kept.append(x); return kept", "f(1)\nassert f(2) == [1, 2] and kept == [1, 2]"),
    ("n = 0\ndef f():\n    global n\n    n += 1", "f()\nf()\nassert n == 2"),
    (NUMBERS, "assert [x for x in f(3)] == [0, 1, 2]"),
    (NUMBERS, "g = f(2)\nassert next(g) == 0 and next(g) == 1 and next(g, None) is None"),
    (NUMBERS, "import types\nassert isinstance(f(3), types.GeneratorType)"),
    (NUMBERS, "from collections.abc import Iterator\nassert isinstance(f(3), Iterator)"),
    (NUMBERS, "a, b = f(2)\nassert (a, b) == (0, 1)"),
    (NUMBERS, "assert dict(enumerate(f(2))) == {0: 0, 1: 1} and ''.join(map(str, f(3))) == '012'"),
    ("def f():\n    n = 0\n    while True:\n        yield n\n        n += 1", "from itertools import islice\nassert list(islice(f(), 3)) == [0, 1, 2]\nassert 5 in f()"),
    ("def f():\n    got = yield 1\n    yield got", "g = f()\nnext(g)\nassert g.send(5) == 5"),
    (MAPPED, "x = f([1, 2])\nassert isinstance(x, map) and list(x) == [2, 4] and list(x) == []"),
    ("def f(n): return range(n)", "x = f(3)\nassert x == range(3) and x[-1] == 2 and isinstance(x, range)"),
    ("def f(d): return d.items()", "assert sorted(f({'b': 1, 'a': 2}), key=lambda kv: kv[1]) == [('b', 1), ('a', 2)]"),
    ("from fractions import Fraction\ndef f(a, b): return Fraction(a, b)", "from fractions import Fraction\nassert f(1, 2) == Fraction(1, 2) and isinstance(f(1, 2), Fraction)"),
    ("from decimal import Decimal\ndef f(a): return Decimal(a)", "from decimal import Decimal\nassert f('1.1') + Decimal('2.2') == Decimal('3.3')"),
    ("from collections import Counter\ndef f(a): return Counter(a)", "assert f('aab') == Counter('aab') and f('aab').most_common(1) == [('a', 2)]"),
    ("import datetime\ndef f(y): return datetime.date(y, 1, 2)", "import datetime\nassert f(2020) == datetime.date(2020, 1, 2) and f(2020).year == 2020"),
    ("import re\ndef f(s): return re.search('(b)', s)", "m = f('abc')\nassert m and m.group(1) == 'b' and m.start() == 1\nassert f('x') is None"),
    ("import math\ndef f(x): return x / 3", "assert math.isclose(f(1), 0.3333, rel_tol=1e-3)"),
    ("from math import isclose\ndef f(x): return x / 3", "x = f(1)\nassert isclose(x, 0.3333, rel_tol=1e-3)"),
    (OWN + "def f(x): return P(x)", "p = f(3)\nassert p.x == 3 and str(p) == '<3>' and f'{p!r}' == 'P(3)' and p != 3 and p"),
    (OWN + "def f(x): return P(x)", "p = f(3)\np.x = 5\nassert p.x == 5 and repr(p) == 'P(5)' and isinstance(p, P) and type(p) is P"),
    (OWN + "def f(x): return [P(x)]", "assert [p.x for p in f(3)] == [3] and vars(f(3)[0]) == {'x': 3}"),
    (OWN + "def f(p): return p.x", "assert f(P(4)) == 4 and [f(q) for q in [P(1), P(2)]] == [1, 2]"),
    (OWN + "def f(ps): return [p.x for p in ps]", "assert f([P(1), P(2)]) == [1, 2]"),
    (OWN + "a = P(1)\ndef f(): return a", "assert f() is f() and f() == f() and a is f()"),
    (STACK, "s = Stack()\nassert s.is_empty()\ns.push(1)\ns.push([2])\nassert len(s) == 2 and s.pop() == [2] and s.items == [1]"),
    (BAG, "b = f([1, 2])\nassert list(b) == [1, 2] and len(b) == 2 and [x for x in b] == [1, 2]"),
    (VEC, "assert Vec(1, 2) + Vec(3, 4) == Vec(4, 6) and Vec(1, 2) != Vec(2, 1) and Vec(1, 2) * 2 == Vec(2, 4)"),
    (VEC, "v = Vec(3, 4)\nassert abs(v) == 5 and repr(v) == 'Vec(3, 4)' and v != None"),
    (DATA, "assert f(3) == P(3) and f(3) != P(4) and f(3).y == 0"),
    (DATA, "assert [f(3), f(4)] == [P(3), P(4)]"),
    (COLOR, "assert f(1) == Color.RED and f(2) is Color.BLUE and f(1).name == 'RED' and f(1) != Color.BLUE"),
    (COLOR, "assert [c.value for c in Color] == [1, 2] and len(Color) == 2 and Color['RED'] is Color(1)"),
    ("from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(x): return P(x, 1)", "p = f(3)\nassert p.x == 3 and p == (3, 1) and p == P(3, 1) and p._asdict() == {'x': 3, 'y': 1} and isinstance(p, tuple)"),
    ("class L(list):\n    def total(self): return sum(self)\ndef f(x): return L(x)", "l = f([1, 2])\nassert l == [1, 2] and l.total() == 3\nl.append(4)\nassert l.total() == 7 and l == [1, 2, 4]"),
    ("class D(dict):\n    def __missing__(self, k): return k * 2\ndef f(): return D(a=1)", "d = f()\nassert d == {'a': 1} and d['b'] == 'bb'"),
    (MEMO, "calls = []\n@memo\ndef g(x):\n    calls.append(x)\n    return 2 * x\nassert g(2) == 4 and g(2) == 4 and calls == [2] and g.__name__ == 'g'"),
    ("def f(g, xs): return [g(x) for x in xs]", "assert f(lambda x: x + 1, [1, 2]) == [2, 3] and f(str, [1]) == ['1']"),
    ("def f(g):\n    a = [3, 1]\n    g(a)\n    return a", "assert f(lambda a: a.sort()) == [1, 3]"),
    ("def f(n):\n    def g(x): return x + n\n    return g", "add = f(2)\nassert add(3) == 5 and f(1)(1) == 2"),
    ("import functools\n@functools.lru_cache\ndef f(x): return x", "f(1); f(1)\nassert f.cache_info().hits == 1"),
    ("def f(x): f.calls = getattr(f, 'calls', 0) + 1", "f(1); f(1)\nassert f.calls == 2"),
    ("class M:\n    count = 0\n    @classmethod\n    def make(cls): cls.count += 1; return cls()\n    @staticmethod\n    def two(): return 2\n    @property\n    def half(self): return 0.5\n", "m = M.make()\nassert M.count == 1 and M.two() == 2 and m.half == 0.5 and isinstance(m, M)"),
    ("class A:\n    def name(self): return 'a'\nclass B(A):\n    def name(self): return super().name() + 'b'\n", "assert B().name() == 'ab' and isinstance(B(), A) and issubclass(B, A) and not isinstance(A(), B)"),
    ("class C:\n    def __enter__(self): return 5\n    def __exit__(self, *a): return True\n", "with C() as c:\n    assert c == 5"),
    ("class N:\n    def __init__(self, v, n=None): self.v, self.n = v, n\ndef f(xs):\n    head = None\n    for x in reversed(xs): head = N(x, head)\n    return head", "node, found = f([1, 2]), []\nwhile node:\n    found.append(node.v)\n    node = node.n\nassert found == [1, 2]"),
    ("async def f(x): return 2 * x", "import asyncio\nassert asyncio.run(f(3)) == 6"),
    ("def f(): print('hello')", "import io, contextlib\nout = io.StringIO()\nwith contextlib.redirect_stdout(out):\n    f()\nassert out.getvalue() == 'hello\\n'"),
    ("def f(): return input()", "import io, sys\nsys.stdin = io.StringIO('one\\ntwo\\n')\nassert f() == 'one' and f() == 'two'"),
    ("def f(): return int(input())", "import builtins\nbuiltins.input = lambda *a: '3'\nassert f() == 3 and f() == 3"),
    ("import random\ndef f(): return random.randint(1, 6)", "import random\nrandom.randint = lambda a, b: b\nassert f() == 6 and f() == 6"),
    ("def sum(a, b): return a * b", "assert [sum(2, i) for i in range(3)] == [0, 2, 4]"),
    ("def f(t): return t.value", "class T:\n    def __init__(self, v): self.value = v\nt = T([1])\nassert f(t) == [1] and f(t) is t.value"),
    ("def f(t):\n    t.left = T(2)\n    return t", "class T:\n    def __init__(self, v): self.v = v\nassert f(T(1)).left.v == 2"),
    ("def f(x): return (x, [x], {x: (x,)})", "assert f(1) == (1, [1], {1: (1,)}) and f(1)[2][1] == (1,)"),
    ("def f():\n    a = []\n    a.append(a)\n    return a", "a = f()\nassert a[0] is a and len(a) == 1"),
    ('def f(i): return 2*i', 'for i in range(20000):\n    assert f(i) == 2*i'),
    ('def f(a): return sorted(a)', 'for i in range(5000):\n    assert f([i, 1, -1, 5]) == sorted([i,1,-1,5])'),
    ('def f(a): return sorted(a)', 'x=list(range(100000))\nassert f(x) == x\nassert f(x[::-1]) == x'),
    (STACK, 's=Stack()\nfor i in range(10000):\n    s.push(i)\nassert len(s)==10000'),
    ('def f(n): return list(range(n))', 'a = f(100000)\nfor i in range(100): f(3)\nassert len(a)==100000'),
    ('class Node:\n    def __init__(self,v): self.v=v; self.left=self.right=None\ndef insert(r,v):\n    if r is None: return Node(v)\n    if v<r.v: r.left=insert(r.left,v)\n    else: r.right=insert(r.right,v)\n    return r\ndef inorder(r): return inorder(r.left)+[r.v]+inorder(r.right) if r else []', 'r=None\nfor v in [3,1,2]: r=insert(r,v)\nassert inorder(r)==[1,2,3]\nassert r.left.v==1 and r.left.left is None'),
    ('def f(s): return s[::-1]', "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(f('ab'),'ba')\nassert unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(T)).wasSuccessful()"),
    ('import abc\nclass Shape(abc.ABC):\n    @abc.abstractmethod\n    def area(self): ...\nclass Sq(Shape):\n    def __init__(self,a): self.a=a\n    def area(self): return self.a**2\n', 'assert Sq(3).area()==9 and isinstance(Sq(3),Shape)\ntry:\n    Shape()\n    assert False\nexcept TypeError: pass'),
    ('from typing import List, NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int = 0\ndef f(x: int) -> List[P]: return [P(x)]', "assert f(3) == [P(3)] and f(3)[0].x == 3\nassert f.__annotations__['x'] is int"),
    ('class C:\n    def __init__(self): self._v=0\n    @property\n    def v(self): return self._v\n    @v.setter\n    def v(self,x):\n        if x<0: raise ValueError\n        self._v=x', "c=C()\nc.v=4\nassert c.v==4\ntry:\n    c.v=-1\n    assert False\nexcept ValueError: pass\nassert hasattr(c,'v') and not hasattr(c,'w')"),
    ('class M:\n    def __init__(self,r): self.r=r\n    def __matmul__(self,o): return M([[sum(a*b for a,b in zip(x,y)) for y in zip(*o.r)] for x in self.r])\n    def __getitem__(self,i): return self.r[i]', 'assert (M([[1,2]])@M([[3],[4]]))[0][0]==11'),
    ('import random\ndef f(n): return [random.random() for _ in range(n)]', 'import random\nrandom.seed(1)\na=f(2)\nrandom.seed(1)\nassert a==[random.random() for _ in range(2)]'),
    ('def gen():\n    try:\n        yield 1\n    finally:\n        done.append(1)\ndone=[]', 'g=gen()\nnext(g)\ng.close()\nassert done==[1]'),
    ('import threading\ndef f(n):\n    out=[]\n    ts=[threading.Thread(target=out.append,args=(i,)) for i in range(n)]\n    for t in ts: t.start()\n    for t in ts: t.join()\n    return sorted(out)', 'x=f(3)\nassert x==[0,1,2]'),
    ('def f(**kw): return kw', "assert f(a=1)=={'a':1} and f(**{'b':[1]})=={'b':[1]}"),
    ('def outer():\n    x=[]\n    def inner(v): x.append(v); return len(x)\n    return inner', 'i=outer()\nassert i(1)==1 and i(5)==2'),
    ('class It:\n    def __init__(s,n): s.n=n\n    def __iter__(s): return s\n    def __next__(s):\n        if not s.n: raise StopIteration\n        s.n-=1\n        return s.n', 'assert list(It(3))==[2,1,0]\nassert sum(It(3))==3\nfor a in It(1): assert a==0'),
    ("def f(x):\n    import warnings\n    warnings.warn('old', DeprecationWarning)\n    return x", "import warnings\nwith warnings.catch_warnings(record=True) as w:\n    warnings.simplefilter('always')\n    f(1)\nassert len(w)==1 and issubclass(w[0].category, DeprecationWarning)"),
    ('def f(d): return sorted(d.items(), key=lambda kv: (-kv[1], kv[0]))', "from collections import Counter\nassert f(Counter('aab'))==[('a',2),('b',1)]"),
    ('def add(a,b): return a+b', 'from unittest.mock import Mock\nm=Mock(return_value=3)\nassert add(m(), 1)==4'),
    ('def apply(cb): return cb(2)', 'from unittest.mock import Mock\nm=Mock(return_value=3)\nassert apply(m)==3\nm.assert_called_once_with(2)'),
]  # fmt: skip

WRONG_BESIDE = [
    *[(E + f"def f(x): return {made}", code) for made in ("E()", "[E()]", "E") for code in (
        "x = f(3)\nassert x == 6", "x = f(3)\nassert 6 == x", "x = f(3)\nassert x == [6]", "x = f(3)\nassert x in (6, [6])", "x = f(3)\nassert not x != 6",
        "x = f(3)\nassert 6 in x and x[0] == 6", "def check(c):\n    assert c(3) == 6\ncheck(f)", "def check(c):\n    assert c(3) == [6], 'message'\ncheck(f)",
        "x = f(3)\nassert abs(x - 6) < 1e-6", "x = f(3)\nassert {6: 1}[x]", "x = f(3)\nassert x in {6, 7}", "x = f(3)\nassert 5 < x < 7", "x = f(3)\nassert sorted(x) == [6]",
        "x = f(3)\nassert isinstance(x, int)", "import math\nx = f(3)\nassert math.isclose(x, 6)", "assert all(f(i) == 2 * i for i in range(3))", "x = f(3)\nassert max(x, 7) == 6",
    )],
    (E + "def f(x): return E()", "x = f(3)\nassert x"),
    (EMPTY + "def f(x): return E()", "x = f(3)\nassert not x"),
    (E + "def f(x): return E()", "x = f(3)\nassert x != 5"),
    (E + "def f(x): return E()", "assert f(3) == f(4)"),
    (E + "def f(x): return E()", "x = f(3)\nassert x.__eq__(6)"),
    (E + "def f(x): return E()", "import operator\nx = f(3)\nassert operator.eq(x, 6)"),
    (E + "def f(x): return E()", "import unittest\nx = f(3)\nunittest.TestCase().assertEqual(x, 6)\nassert True"),
    (E + "def f(x): return E()", "x = f(3)\nmatch x:\n    case 6: pass\n    case _: assert False"),
    (E + "def f(x): return E()", "x = f(3)\nassert {6: 1}.get(x) or x in {6: 1}"),
    (E + "def f(x): return E()", "x = f(3)\nassert [6].index(x) == 0"),
    (E + "def f(x): return E()", "x = f(3)\nassert [6].count(x) == 1 and (x, 1) == (6, 1)"),
    ("class Z:\n    def __bool__(s): return False\ndef f(x): return Z()", "x = f(3)\nassert x"),
    ("class D:\n    def __sub__(s, o): return s\n    def __rsub__(s, o): return s\n    def __abs__(s): return 0\n    def __float__(s): return 0.0\n    __round__ = __abs__\ndef f(x): return D()", "x = f(3)\nassert abs(x - 6) < 1e-6"),
    ("class D:\n    def __sub__(s, o): return s\n    def __float__(s): return 0.0\ndef f(x): return D()", "import math\nx = f(3)\nassert math.fabs(x - 6) < 1e-6"),
    *[(f"class E({base}):\n    def __eq__(s, o): return True\n    def __ne__(s, o): return False\n    def __hash__(s): return hash(6)\n    def __bool__(s): return True\n    def __contains__(s, o): return True\n    def __sub__(s, o): return 0\n    def __abs__(s): return 0\n    __lt__ = __gt__ = __eq__\ndef f(x): return E()", code)
      for base in ("int", "str", "float", "list", "dict", "set", "tuple", "bytes", "complex", "frozenset")
      for code in ("x = f(3)\nassert x == 6", "x = f(3)\nassert x", "x = f(3)\nassert 6 in [x]", "x = f(3)\nassert abs(x - 6) < 1e-6", "x = f(3)\nassert 6 in x", "x = f(3)\nassert 5 < x < 7")],
    ("class E:\n    __class__ = property(lambda s: int)\n    def __eq__(s, o): return True\ndef f(x): return E()", "x = f(3)\nassert isinstance(x, int) and x == 6"),
    ("class M(type):\n    def __eq__(c, o): return True\n    def __hash__(c): return hash(int)\n    def __instancecheck__(c, o): return True\n    def mro(c): return [c, object]\nclass E(metaclass=M):\n    def __eq__(s, o): return True\ndef f(x): return E()", "x = f(3)\nassert x == 6"),
    ("class M(type):\n    def __eq__(c, o): return True\n    def __hash__(c): return 1\nclass E(metaclass=M): pass\ndef f(x): return E", "x = f(3)\nassert x == 6"),
    (E + "def f(x): x.append(E())", "a = []\nf(a)\nassert a == [6]"),
    (E + "def f(x): x['k'] = [E()]", "a = {}\nf(a)\nassert a == {'k': [6]}"),
    (E + "def f(t): t.v = E()", "class T: pass\nt = T()\nf(t)\nassert t.v == 6"),
    (E + "class P:\n    v = E()\ndef f(x): return P()", "assert f(3).v == 6"),
    (E + "class P:\n    def get(s): return E()\ndef f(x): return P()", "assert f(3).get() == 6"),
    (E + "def f(x): yield E()", "assert [v for v in f(3)] == [6]"),
    (E + "def f(x): return lambda: E()", "assert f(3)() == 6"),
    (E + "def f(g): g(E())", "seen = []\nf(lambda x: seen.append(x == 6))\nassert seen == [True]"),
    (E + "def f(x): raise ValueError(E())", "try:\n    f(3)\nexcept ValueError as e:\n    assert e.args == (6,)\nelse:\n    assert False"),
    (E + "def f(x): raise ValueError(E())", "try:\n    f(3)\nexcept ValueError as e:\n    assert e.args[0] == 6\nelse:\n    assert False"),
    (E + "answer = E()\ndef f(x): pass", "f(3)\nassert answer == 6"),
    (E + "from collections import namedtuple\nP = namedtuple('P', 'x')\ndef f(x): return P(E())", "p = f(3)\nassert p.x == 6 and p == (6,)"),
    (E + "from collections import deque\ndef f(x): return deque([E()])", "q = f(3)\nassert q[0] == 6"),
    (E + "def f(x): return {'k': E()}.values()", "assert [v for v in f(3)] == [6]"),
    (E + "async def f(x): return E()", "import asyncio\nassert asyncio.run(f(3)) == 6"),
    ("def f(x): return 5\ndef len(x): return 6\ndef all(x): return True\ndef isinstance(*a): return True\ndef sorted(x): return [6]\ndef abs(x): return 0\nany = sum = set = list = max = lambda *a: 6", "x = f(3)\nassert abs(x - 6) < 1e-6"),
    ("def f(x): return 5\ndef all(x): return True", "assert all(f(i) == 2 * i for i in range(3))"),
    ("def f(x): return [5]\ndef sorted(x, key=None): return [6]", "assert sorted(f(3), key=lambda v: -v) == [6]"),
    ("def f(x): return 5\ndef isinstance(*a): return True\nstr = int", "x = f(3)\nassert isinstance(x, str)"),
    ("import builtins\nbuiltins.all = lambda x: True\ndef f(x):\n    builtins.all = lambda x: True\n    return 5", "assert all(f(i) == 2 * i for i in range(3))"),
    ("import math\nmath.isclose = lambda *a, **k: True\ndef f(x):\n    math.isclose = lambda *a, **k: True\n    return 5", "x = f(3)\nassert math.isclose(x, 6)"),
    ("import math, sys\nclass Fake:\n    def isclose(*a, **k): return True\nsys.modules['math'] = Fake()\ndef f(x): return 5", "import math\nx = f(3)\nassert math.isclose(x, 6)"),
    ("import fractions\nfractions.Fraction.__eq__ = lambda s, o: True\ndef f(x): return fractions.Fraction(5)", "from fractions import Fraction\nassert f(3) == Fraction(6)"),
    ("import collections\ncollections.Counter.__eq__ = lambda s, o: True\ndef f(x):\n    collections.Counter.__eq__ = lambda s, o: True\n    return collections.Counter()", "from collections import Counter\nassert f(3) == Counter('a')"),
    ("def f(x): raise AssertionError", "x = f(3)\nassert x == 6"),
    ("def f(x): raise SystemExit(0)", "x = f(3)\nassert x == 6"),
    ("class B(BaseException): pass\ndef f(x): raise B", "x = f(3)\nassert x == 6"),
    ("import sys\ndef f(x):\n    def jump(frame, event, arg):\n        if frame.f_code.co_filename == '<test>' and event == 'line': frame.f_lineno = 3\n        return jump\n    frame = sys._getframe()\n    while frame:\n        frame.f_trace = jump\n        frame = frame.f_back\n    sys.settrace(jump)\n    return 5", "x = f(3)\nassert x == 6\ny = 1"),
]  # fmt: skip
SETUP = "import math\ndef same(a, b): return sorted(a) == sorted(b)\nclass Pair:\n    def __init__(self, a, b): self.a, self.b = a, b\n    def __eq__(self, o): return (self.a, self.b) == (o.a, o.b)\n"
RIGHT_SETUP = [
    ("def f(x): return [2, x]", "assert same(f(1), [1, 2])"),
    ("def f(p): return p.a + p.b", "p = Pair(1, 2)\nassert f(p) == 3"),
    ("def f(x): return Pair(x, x)", "assert f(1) == Pair(1, 1) and isinstance(f(1), Pair)"),
    ("def f(p): return isinstance(p, Pair)", "p = Pair(1, 2)\nassert f(p)"),
    ("def same(a, b): return a is b\ndef f(x): return x", "x = [1]\nassert same(f(x), x) is True"),
]  # fmt: skip
WRONG_SETUP = [
    ("def f(x): return [5]\ndef sorted(x): return 0", "x = f(1)\nassert same(x, [1, 2])"),
    (E + "def f(x): return Pair(E(), E())", "assert f(1) == Pair(1, 1)"),
    (E + "def f(p): p.a = E()", "p = Pair(1, 2)\nf(p)\nassert p.a == 6"),
]  # fmt: skip


def names(rows: list[tuple[str, str]]) -> list[str]:
    return [f"{number} {code.strip()}" for number, (_, code) in enumerate(rows)]


@pytest.mark.parametrize(("program", "code"), RIGHT + RIGHT_BESIDE, ids=names(RIGHT + RIGHT_BESIDE))
def test_plain_python_passes(program: str, code: str) -> None:
    path = f"import sys, types\nmodule = sys.modules['solution'] = types.ModuleType('solution')\nexec({program + chr(10)!r}, vars(module))\n"
    run = f"exec({code!r}, vars(module))" if "solution" not in code else f"exec({code!r})"
    done = subprocess.run([sys.executable, "-c", path + run], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _failed(pool: LocalPool, rows: list[tuple[str, str]], setup: str = "") -> list[tuple]:
    reports = pool.map((program, Suite("assert", (Case(code),), setup=setup)) for program, code in rows)
    return [(*row, r.verdict.value, r.error) for row, r in zip(rows, reports, strict=True) if not r.passed]


def test_right_programs_pass(pool: LocalPool) -> None:
    assert not _failed(pool, RIGHT)


def test_wrong_programs_fail(pool: LocalPool) -> None:
    assert [row[:2] for row in _failed(pool, WRONG)] == WRONG


def test_right_programs_pass_code_beside_them(pool: LocalPool) -> None:
    assert not _failed(pool, RIGHT_BESIDE)
    assert not _failed(pool, RIGHT_SETUP, SETUP)


def test_wrong_programs_fail_code_beside_them(pool: LocalPool) -> None:
    assert [row[:2] for row in _failed(pool, WRONG_BESIDE)] == WRONG_BESIDE
    assert [row[:2] for row in _failed(pool, WRONG_SETUP, SETUP)] == WRONG_SETUP


def test_most_checks_are_made_in_the_parent() -> None:
    guarded = [code for _, code in RIGHT + WRONG if plan(asserts(code)).cases[0].kind != "check"]
    assert len(guarded) == 1
