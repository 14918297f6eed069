"""What a program finds of an interpreter whose objects are not counted: the count, and nothing else."""

from collections.abc import Iterator

import pytest

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.interpreters import find
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Report, Verdict
from stepcoder.executor.suite import Case, Suite
from tests.tools.interpreters import OTHERS, OWN

COUNTED = """
import json, sys
one, code = json.dumps, json.dumps.__code__
kept = one, code, code.co_consts, code.co_linetable, json, json.__dict__, json.JSONEncoder
print(all(sys.getrefcount(item) > 2 ** 31 for item in kept))
print(any(sys.getrefcount(item) > 2 ** 31 for item in ([], object(), sys.stdout, sys.stdout.buffer)))
"""
GIVEN_UP = [
    "import sys\nsys.stdout.write('7')\ndel sys.stdout, sys.__stdout__",
    "import sys\nprint(7)\nsys.stdout = sys.__stdout__ = None",
    "import sys\nclass Last:\n    def __del__(self): print(7)\nsys.last = Last()\ndel sys.last",
    "import sys\nout = sys.stdout\ndel sys.stdout, sys.__stdout__\nout.write('7')",
]


@pytest.fixture(scope="module", params=[OWN, *OTHERS])
def pool(request: pytest.FixtureRequest) -> Iterator[LocalPool]:
    python = None if request.param == OWN else find(request.param)
    with LocalPool(ExecutorConfig(workers=1, cpu_s=10, wall_s=30, python=python)) as pool:
        yield pool


def judged(pool: LocalPool, program: str, output: str) -> Report:
    return pool.run(program, Suite("stdin", (Case("", output),) * 2))


def test_what_was_there_before_a_program_is_not_counted(pool: LocalPool, request: pytest.FixtureRequest) -> None:
    version = request.node.callspec.params["pool"]
    kept = tuple(map(int, version.split("."))) >= (3, 12)
    report = judged(pool, COUNTED, f"{kept}\nFalse")
    assert report.verdict is Verdict.PASSED, report


@pytest.mark.parametrize("program", GIVEN_UP)
def test_what_is_given_up_has_its_end(pool: LocalPool, program: str) -> None:
    report = judged(pool, program, "7")
    assert report.verdict is Verdict.PASSED, report
