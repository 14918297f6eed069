"""Asserts in each style, beside plain Python: what passes there passes here, and no object of a program decides.

Every row of the tables `right` is first run as plain Python does it. Rows of `wrong` answer wrongly, most of them so
that plain Python would let them pass.
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
from tests.executor.rows import pairs, rows

CONFIG = ExecutorConfig(workers=2, cpu_s=20.0, wall_s=120.0, memory_mib=256)
WAYS = [(1, True), (1, False), (2, True), (3, False)]  # what records lines is the same at every level


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


# `beside`: the test's code runs beside the program; of the others the check is made in the parent.
RIGHT, RIGHT_BESIDE, RIGHT_SETUP = pairs("right"), pairs("right_beside"), pairs("right_setup")
WRONG, WRONG_BESIDE, WRONG_SETUP = pairs("wrong"), pairs("wrong_beside"), pairs("wrong_setup")
((_, (SETUP,)),) = rows("setup")


def names(rows: list[tuple[str, str]]) -> list[str]:
    return [f"{number} {code.strip()}" for number, (_, code) in enumerate(rows)]


@pytest.mark.parametrize(("program", "code"), RIGHT + RIGHT_BESIDE, ids=names(RIGHT + RIGHT_BESIDE))
def test_plain_python_passes(program: str, code: str) -> None:
    path = "import sys, types\nmodule = sys.modules['solution'] = types.ModuleType('solution')\n"
    path += f"exec({program + chr(10)!r}, vars(module))\n"
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
