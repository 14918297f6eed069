# ruff: noqa: E501  (tables of programs, a row each)
"""What programs expect of a judge: usual imports, deep recursion, long integers, device files, an entry point once."""

from collections.abc import Iterator

import pytest

from stepcoder.errors import UserError
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Verdict
from stepcoder.executor.suite import Case, Suite

PASSED, WRONG, RUNTIME = Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR


@pytest.fixture(scope="module", params=[1, 2, 3])
def pool(request: pytest.FixtureRequest) -> Iterator[LocalPool]:
    try:
        pool = LocalPool(ExecutorConfig(workers=1, level=request.param))
    except UserError as error:
        pytest.skip(f"this level cannot be had here: {error}")
    with pool:
        yield pool


METHOD = Suite("call", (Case([[3, 1, 2]], 6), Case([[1]], 1)), "Solution().f", prelude=True)
PRELUDE = [
    ("annotations", "class Solution:\n    def f(self, a: List[int], b: Optional[int] = None) -> int: return sum(a)", PASSED),
    ("modules", "class Solution:\n    def f(self, a): return math.prod([1]) and sum(a) + 0 * heapq.heappop(a[:])", PASSED),
    ("members", "class Solution:\n    def f(self, a): return reduce(add, a) + 0 * gcd(4, 6) + len(Counter()) + len(deque())", PASSED),
    ("named like a method", "class Solution:\n    def f(self, a): return self.gcd(a)\n    def gcd(self, a): return sum(a) + 0 * gcd(4, 2)", PASSED),
    ("a decorator", "class Solution:\n    @cache\n    def g(self, n): return n\n    def f(self, a): return sum(map(self.g, a))", PASSED),
    ("by text", "class Solution:\n    def f(self, a): return eval('sum(a) + floor(0.5)')", PASSED),
    ("its own", "def reduce(f, a): return 6 if len(a) > 1 else 1\nclass Solution:\n    def f(self, a): return reduce(None, a)", PASSED),
    ("built-in functions stay", "class Solution:\n    def f(self, a): return sum(a) * pow(3, 1, 2)", PASSED),
    ("unknown names", "class Solution:\n    def f(self, a): return lists(a)", RUNTIME),
    ("threads as well", "import threading\nclass Solution:\n    def f(self, a): return math.floor(sum(a))", PASSED),
]  # fmt: skip
SCRIPTS = [  # program, input, output, verdict
    ("recursion", "def f(n): return n and 1 + f(n - 1)\nprint(f(40_000))", "", "40000", PASSED),
    ("recursion through C", "def f(n): return n and 1 + max([n - 1], key=lambda m: 0) * 0 + sorted([n - 1], key=lambda m: 0)[0] * 0 + f(n - 1)\nprint(f(3000))", "", "3000", PASSED),
    ("recursion below a lower limit", "import sys\nsys.setrecursionlimit(2 * sys.getrecursionlimit())\ndef f(n): return n and 1 + f(n - 1)\nprint(f(5000))", "", "5000", PASSED),
    ("recursion without an end", "def f(n): return f(n + 1)\nf(0)", "", "", RUNTIME),
    ("a thread", "import threading\ndef f(n): return n and 1 + f(n - 1)\nt = threading.Thread(target=lambda: print(f(9000)))\nt.start(); t.join()", "", "9000", PASSED),
    ("a long integer", "print(len(str(7 ** 20_000)))", "", "16902", PASSED),
    ("a long integer read", "print(int(input()) % 7)", "9" * 10_000, str(int("9" * 9) * 0 + (10**10_000 - 1) % 7), PASSED),
    ("a long literal", "print(" + "9" * 6000 + " % 10)", "", "9", PASSED),
    ("a long integer as text", "print(f'{10 ** 5000}'[-1], repr(10 ** 4400)[0])", "", "0 1", PASSED),
    ("/dev/stdout", "open('/dev/stdout', 'w').write('5\\n')", "", "5", PASSED),
    ("/dev/stdin", "print(open('/dev/stdin').read()[::-1])", "ab", "ba", PASSED),
    ("/dev/stdin by lines", "import sys\nsys.stdin = open('/dev/stdin')\nprint(input() + input())", "a\nb\n", "ab", PASSED),
    ("descriptors", "import os\nos.write(os.open('/dev/stdout', os.O_WRONLY), os.read(os.open('/dev/stdin', os.O_RDONLY), 9))", "x", "x", PASSED),
    ("a path", "from pathlib import Path\nPath('/dev/stdout').write_text(Path('/dev/stdin').read_text())", "x", "x", PASSED),
    ("binary, appended", "with open('/dev/stdout', 'ab') as out: out.write(open(0, 'rb').read())", "x", "x", PASSED),
    ("/dev/stderr", "print('no', file=open('/dev/stderr', 'w'))\nprint(1)", "", "1", PASSED),
    ("8 MiB of output", "print('x' * (8 << 20))", "", "x" * (8 << 20), PASSED),
    ("17 MiB of output", "print('x' * (17 << 20))", "", "x", Verdict.OUTPUT_LIMIT),
]  # fmt: skip
ENTRIES = [  # program, input, output
    ("called", "def solve():\n    print(input())\nsolve()"),
    ("not called", "def solve():\n    print(input())"),
    ("guarded", "def solve():\n    print(input())\nif __name__ == '__main__':\n    solve()"),
    ("through another function", "def solve():\n    print(input())\ndef main():\n    solve()\nmain()"),
    ("through a class", "def solve():\n    print(input())\nclass A:\n    def __init__(self): solve()\nA()"),
    ("in a loop", "def solve():\n    print(input())\nfor _ in range(1): solve()"),
    ("as a thread", "import threading\ndef solve():\n    print(input())\nt = threading.Thread(target=solve)\nt.start(); t.join()"),
    ("by its name as a text", "def solve():\n    print(input())\nglobals()['solve']()"),
    ("in evaluated code", "def solve():\n    print(input())\neval('solve()')"),
    ("by a decorator", "def run(f):\n    f()\n    return f\n@run\ndef solve():\n    print(input())"),
    ("as an exit handler", "import atexit\ndef solve():\n    print(input())\natexit.register(solve)"),
    ("after input that the program has read", "n = input()\ndef solve():\n    print(n)"),
    ("under another name", "def solve():\n    print(input())\nrun = solve\nrun()"),
    ("recursive, not called", "def solve(n=1):\n    if n: return solve(n - 1)\n    print(input())"),
    ("beside a function that is not called", "def solve():\n    print(input())\ndef other():\n    solve()"),
]  # fmt: skip


@pytest.mark.parametrize(("program", "verdict"), [row[1:] for row in PRELUDE], ids=[row[0] for row in PRELUDE])
def test_prelude(pool: LocalPool, program: str, verdict: Verdict) -> None:
    report = pool.run(program, METHOD)
    assert report.verdict is verdict, report


def test_no_prelude_where_none_is_wanted(pool: LocalPool) -> None:
    without = Suite("call", METHOD.cases, METHOD.entry_point)
    assert pool.run(PRELUDE[0][1], without).verdict is RUNTIME
    large = PRELUDE[0][1] + "\n" + "#" * (1 << 17)  # compiled in its own process
    assert pool.run(large, METHOD).passed and pool.run(large, without).verdict is RUNTIME


def test_prelude_of_scripts_and_lines(pool: LocalPool) -> None:
    report = pool.run("n = int(input())\nprint(comb(n, 2))\n", Suite("stdin", (Case("4", "6"),), prelude=True))
    assert (report.verdict, report.executed_lines) == (PASSED, (1, 2))


@pytest.mark.parametrize(
    ("program", "given", "output", "verdict"), [r[1:] for r in SCRIPTS], ids=[r[0] for r in SCRIPTS]
)
def test_script(pool: LocalPool, program: str, given: str, output: str, verdict: Verdict) -> None:
    report = pool.run(program, Suite("stdin", (Case(given, output),)))
    assert report.verdict is verdict, (report.verdict, report.error)


@pytest.mark.parametrize("program", [row[1] for row in ENTRIES], ids=[row[0] for row in ENTRIES])
def test_entry_point_runs_once(pool: LocalPool, program: str) -> None:
    report = pool.run(program, Suite("stdin", (Case("7\n", "7\n"), Case("8\n", "8\n")), "solve"))
    assert report.passed, report


def test_many_tests_take_time_in_proportion(pool: LocalPool) -> None:
    def counted(tests: int) -> float:
        suite = Suite("call", tuple(Case([n], 2 * n) for n in range(tests)), "f")
        report = pool.run("def f(x):\n    return 2 * x\n", suite)
        assert report.passed and len(report.tests) == tests
        return report.cpu_s

    assert counted(16_000) < 8 * 4 * max(counted(2_000), 0.02)  # 8 in proportion; 64 where it grows with the square
