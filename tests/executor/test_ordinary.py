"""Which programs are proven to leave nothing behind, and what becomes of the tests of the others."""

import time
from typing import Any

import psutil
import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging.plan import plan
from stepcoder.executor.pool.fork_server import ForkServer
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.pool.slot import Slot
from stepcoder.executor.report import Verdict
from stepcoder.executor.sandbox.sharing.ordinary import ALL, STDERR, STDIN, STDOUT, facts, ordinary, streams
from stepcoder.executor.suite import Case, Suite
from tests.executor.hostile.process import carried

ORDINARY = (
    "print(int(input()) * 2)",
    "import sys\ninput = sys.stdin.readline\nsys.setrecursionlimit(10**6)\nprint(2 * int(input()))",
    "from collections import Counter, defaultdict, deque\ndef f(x): return Counter(x).most_common(1), deque(x)",
    "import heapq, math\nfrom itertools import *\ndef f(x): return heapq.nlargest(2, x), math.gcd(*x), list(chain(x))",
    "from functools import lru_cache\n@lru_cache(None)\ndef f(x): return x if x < 2 else f(x - 1) + f(x - 2)",
    "from typing import List, Optional\nclass Node:\n    def __init__(self, v: int, n: Optional['Node'] = None):\n"
    "        self.v, self.n = v, n\ndef f(x: List[int]) -> int: return Node(len(x)).v",
    "class A:\n    def __init__(self): self.x = 1\nclass B(A):\n    def __init__(self):\n        super().__init__()\n"
    "        self.y = 2\nprint(B().x)",
    "import re, random, string, json\nprint(re.sub('a', 'b', input()), random.random(), string.digits)",
    "from __future__ import annotations\nclass A:\n    def __init__(self, x: int): self.x = x\nprint(A(1).x)",
    "def main():\n    import sys\n    print(sys.stdin.read())\nif __name__ == '__main__': main()",
    "import os\nfrom io import BytesIO\nprint(BytesIO(os.read(0, os.fstat(0).st_size)).read().decode())",
    "import sys\nsys.stdout.write(sys.stdin.readline())\nsys.exit(0)",
    "try:\n    print(1 / int(input()))\nexcept (ZeroDivisionError, ValueError) as error:\n    print(error)\nexit()",
)
# Proven, because what they change is put back or seen: a name in a module, chance, precision.
SEEN = {"decimal context", "random state", "module attr", "sys attr", "cached wrapper"}


def proven(source: str, context: str = "") -> bool:
    around = facts(compile(context, "<context>", "exec"))
    return ordinary(around.joined(facts(compile(source, "<program>", "exec"), around.modules)))


@pytest.mark.parametrize("source", ORDINARY)
def test_programs_of_every_day_are_proven(source: str) -> None:
    assert proven(source)


@pytest.mark.parametrize(("name", "source"), carried())
def test_what_could_leave_something_is_not(name: str, source: str) -> None:
    assert proven(source) == (name in SEEN)


def test_the_suite_belongs_to_the_program() -> None:
    """Its setup hands names to the program, and its tests are run beside it."""
    attack = "def f(x):\n    Counter.zz = 1\n    return x"
    assert not proven(attack, "from collections import *")
    assert not proven("def f(x):\n    m = sys\n    return m.modules", "import sys")
    assert proven("def f(x): return math.sqrt(x)", "import math\nfrom typing import *\nfrom collections import *")
    assert not proven("def f(x): x.zz = 1", "from collections import Counter\nassert f(Counter) is None")
    assert not proven("def f(x): return x", "import threading")


@pytest.mark.parametrize(
    "source",
    [
        "import sys\nsys.maxsize = 5",
        "import sys\nm = sys\nm.maxsize = 5",
        "from __future__ import annotations\nannotations.zz = 1",
        "from fractions import Fraction\nI = type('I', (int,), {'__eq__': lambda s, o: 1, '__hash__': lambda s: 1})\n"
        "hash(Fraction(I(1)))",
    ],
)
def test_what_is_not_watched_is_not_proven(source: str) -> None:
    assert not proven(source)


def test_library_modules_that_were_not_loaded_are_not_ordinary() -> None:
    assert not proven("import colorsys") and not proven("import wave as math")


@pytest.mark.parametrize("source", ORDINARY)
def test_the_tests_of_an_ordinary_program_share_a_process(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spy counts the processes."""
    run, processes = ForkServer.run, []

    def counted(*args: Any) -> Any:
        processes.append(args)
        return run(*args)

    monkeypatch.setattr(ForkServer, "run", counted)
    slot = Slot(ExecutorConfig.model_validate({}), 4)
    try:
        report = slot.run(source, plan(Suite("stdin", tuple(Case("3\n", "") for _ in range(5)))))
    finally:
        slot.close()
    assert len(report.tests) == 5 and len(processes) == 1


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("import math\ndef f(x): return math.sqrt(x)", 0),
        ("print(int(input()))", STDIN | STDOUT),
        ("import sys\nsys.stderr.write('a')", STDERR),
        ("from sys import stdout as out\nout.close()", STDOUT),
        ("import sys\nsys.__stdin__.close()", STDIN),
        ("import sys\ndef f(x): return sys\nf(1).stdin", ALL),
        ("from sys import *\nprint(1)", ALL),
        ("import os\nos.write(2, b'a')", ALL),
        ("def f(x): return open(x)", ALL),
        ("quit()", ALL),
    ],
)
def test_streams_that_a_program_may_name(source: str, named: int) -> None:
    assert streams(facts(compile(source, "<program>", "exec"))) == named


def test_what_is_written_without_a_name_stays_in_its_test() -> None:
    """The library prints the compiled pattern of the first test, the interpreter an error of the second."""
    program = (
        "import re\ndef later():\n    try: yield 1\n    finally: 1 / 0\n"
        "def f(x):\n    if x == 3: re.compile('a', 128)\n    if x == 4: next(later())\n    return 2 * x"
    )
    assert proven(program) and not streams(facts(compile(program, "<program>", "exec")))
    suite = Suite("call", tuple(Case([x], 2 * x) for x in (3, 4, 5, 3)), "f")
    with LocalPool(ExecutorConfig(workers=1, memory_mib=256)) as pool:
        report = pool.run(program, suite)
    assert report.passed
    assert [bool(test.stdout) for test in report.tests] == [True, False, False, True]
    assert report.tests[0].stdout == report.tests[3].stdout


def test_no_test_wins_time_by_what_another_left() -> None:
    program = (
        "import sys, time\ndef burn(s):\n    t = time.process_time()\n    while time.process_time() - t < s: pass\n"
        "def f(x):\n    if 'table' not in sys.modules:\n        burn(0.8)\n        sys.modules['table'] = sys\n"
        "        if x != 3: burn(0.8)\n        return 2 * x\n    burn(0.4)\n    return 2 * x"
    )
    suite = Suite("call", (Case([3], 6), Case([10], 20)), "f")
    with LocalPool(ExecutorConfig(workers=1, cpu_s=1.2, wall_s=60.0, memory_mib=256)) as pool:
        report = pool.run(program, suite)
    assert [test.verdict for test in report.tests] == [Verdict.PASSED, Verdict.TIMEOUT]


def test_a_program_that_only_waits_is_cut_off() -> None:
    config = ExecutorConfig(workers=1, idle_s=1.0, wall_s=600.0, memory_mib=256)
    suite = Suite("stdin", (Case("7\n", "7\n"),))
    with LocalPool(config) as pool:
        stalled = pool.run("import threading\nprint(input(), flush=True)\nthreading.Event().wait()", suite)
        patient = pool.run("import time\nfor _ in range(20): time.sleep(0.1)\nprint(input())", suite)
    assert stalled.verdict is Verdict.TIMEOUT and stalled.wall_s < config.wall_s
    assert patient.passed


def test_time_without_a_processor_is_not_the_programs() -> None:
    """As on a machine that is asleep, or far too busy: fork server and program stand still for longer than allowed."""
    config = ExecutorConfig(workers=1, wall_s=4.0, memory_mib=256)
    with LocalPool(config) as pool:
        waiting = pool.submit("import time\nprint(input())\ntime.sleep(1)", Suite("stdin", (Case("7\n", "7\n"),)))
        time.sleep(0.5)
        stopped = psutil.Process().children(recursive=True)
        for process in stopped:
            process.suspend()
        time.sleep(4.5)
        for process in stopped:
            process.resume()
        report = waiting.result()
    assert report.passed and report.tests[0].wall_s > config.wall_s, report


def test_positions_in_shared_files_start_anew() -> None:
    """Of descriptors beside the three streams: neither the next test nor the next program finds where one stopped."""
    program = (
        "import os\ndef got(fd):\n    try: return os.read(fd, 4)\n    except OSError: return None\n"
        "print(input(), [got(fd) for fd in range(3, 8)])"
    )
    assert proven(program)
    with LocalPool(ExecutorConfig(workers=1, memory_mib=256)) as pool:
        suite = Suite("stdin", (Case("first", ""), Case("first", "")))
        seen = [test.stdout for _ in range(2) for test in pool.run(program, suite).tests]
    assert len(set(seen)) == 1 and "firs" in seen[0]
