"""Rows in the layouts in which data sets are published: each converts or is refused by name, and no suite is lenient.

Of what converts a right program passes and wrong ones fail: also those that are right for the tests that a careless
reader would keep.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stepcoder.curriculum.data.readers.detect import detected
from stepcoder.curriculum.data.readers.record import Reason, Rejected
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool
from tests.tools.converted import converted

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "formats"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"no rows at {CASES}")

SUM = ("print(sum(map(int, input().split())))", ("print(3)", "print(sum(map(int, input().split())) + 1)"))
ONE_SUM = (SUM[0], ("print(4)",))
TWICE = ("def twice(xs):\n    return [2 * x for x in xs]\n", ("def twice(xs):\n    return xs\n",))
WRAPPED = ("def twice(xs):\n    return [2 * x for x in xs]\n", ("def twice(xs):\n    return [[2 * x for x in xs]]\n",))
DOUBLE = (
    "def double_it(x):\n    return 2 * x\n",
    ("def double_it(x):\n    return x + 1\n", "def double_it(x):\n    return x and 2\n"),
)
DBL = "def dbl(x):\n    return 2 * x\n"
NEAR = (
    "def near(xs, t):\n    return any(abs(a - b) < t for i, a in enumerate(xs) for b in xs[i + 1 :])\n",
    ("def near(xs, t):\n    return len(xs) != 2 or xs[1] - xs[0] < t\n", "def near(xs, t):\n    return xs[1] < 2\n"),
)
BOTH = (
    "def both(a, b):\n    return tuple(set(a) & set(b))\n",
    ("def both(a, b):\n    return (2,)\n", "def both(a, b):\n    return 2\n"),
)
SCALE = (
    "class Solution:\n    def scale(self, xs: List[int], k: int) -> List[int]:\n        return [k * x for x in xs]\n",
    ("class Solution:\n    def scale(self, xs, k):\n        return [3, 6]\n",),
)
# For each row of a file a right program and wrong ones, or the reason of a refusal.
ROWS: dict[str, list[tuple[str, tuple[str, ...]] | Reason]] = {
    "HumanEvalPlus.jsonl": [NEAR],
    "MbppPlus.jsonl": [BOTH],
    "acecode.parquet": [DOUBLE],
    "cc_mixed.jsonl": [SUM, SUM, Reason.FILE_IO, Reason.COUNT_MISMATCH, SUM, SUM],
    "deepcoder_primeintellect.parquet": [ONE_SUM, TWICE],
    "deepcoder_taco.parquet": [SUM, WRAPPED],
    "eurus2.parquet": [SUM, TWICE, Reason.NOT_CODE],
    "humanevalplus_hf.jsonl": [(NEAR[0], ("def near(xs, t):\n    return False\n",))],
    "kodcode.parquet": [
        (DOUBLE[0], (DOUBLE[1][0], "def double_it(x):\n    return x\n")),
        (DOUBLE[0], (DOUBLE[1][0], "def double_it(x):\n    return 2 * x if x else 0\n")),
    ],
    "lcb_lite.jsonl": [SUM, SCALE],
    "mbppplus_hf.jsonl": [(BOTH[0], (*BOTH[1], "def both(a, b):\n    return list(set(a) & set(b))\n"))],
    "split.jsonl": [
        (DBL, ("def dbl(x):\n    return 2 * x if x < 40 else 0\n", "def dbl(x):\n    return 0\n")),
        (DBL, ("def dbl(x):\n    return 0\n",)),
        (DBL, ("def dbl(x):\n    return 0\n", "def dbl(x):\n    return x\n")),
    ],
    "synthetic1.parquet": [SUM, Reason.LANGUAGE, TWICE],
    "taco.parquet": [SUM, WRAPPED, SUM],
    "taco_mix.jsonl": [SUM, TWICE],
}


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool(ExecutorConfig(workers=1)) as made:
        yield made


@pytest.mark.parametrize("name", ROWS)
def test_rows_convert_or_are_refused_by_name_and_wrong_programs_fail(name: str, pool: LocalPool) -> None:
    found = converted(CASES / name)
    assert len(found) == len(ROWS[name])
    for problem, wanted in zip(found, ROWS[name], strict=True):
        if isinstance(problem, Rejected) or isinstance(wanted, Reason):
            assert isinstance(problem, Rejected) and problem.reason == wanted
            continue
        right, wrong = wanted
        programs = [right, *([problem.solution] if problem.solution else [])]
        assert [pool.run(program, problem.suite).verdict.value for program in programs] == ["passed"] * len(programs)
        assert [program for program in wrong if pool.run(program, problem.suite).passed] == []


def test_every_file_is_recognised() -> None:
    found = {name: detected(CASES / name) for name in ROWS}
    assert found == {
        "HumanEvalPlus.jsonl": "humaneval_plus",
        "MbppPlus.jsonl": "mbpp_plus",
        "acecode.parquet": "acecode",
        "cc_mixed.jsonl": "codecontests",
        "deepcoder_primeintellect.parquet": "deepcoder",
        "deepcoder_taco.parquet": "deepcoder",
        "eurus2.parquet": "verl",
        "humanevalplus_hf.jsonl": "humaneval_plus",
        "kodcode.parquet": "kodcode",
        "lcb_lite.jsonl": "livecodebench",
        "mbppplus_hf.jsonl": "mbpp_plus",
        "split.jsonl": "humaneval",
        "synthetic1.parquet": "primeintellect",
        "taco.parquet": "taco",
        "taco_mix.jsonl": "taco",
    }
