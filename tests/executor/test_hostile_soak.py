"""A short form of benchmarks/soak.py: mixed programs twice, in another order and under load; fork servers killed."""

import pytest

from benchmarks.soak import Held, grown, mix, ordinary, soak
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.isolation import choose
from stepcoder.executor.pool.local import LocalPool
from tests.executor.hostile.canaries import canaries


@pytest.mark.exhaustive
def test_nothing_grows_and_no_verdict_changes() -> None:
    level = choose(ExecutorConfig.model_validate({}))
    assert soak(count=300, kills=10, level=level, workers=2, seed=1) == []


def test_the_mix_is_what_it_says() -> None:
    with canaries() as canary:
        samples = mix(3000, canary.facts)
    hostile = [s for s in samples if "threat" in s.key]
    assert len(hostile) == 300 and len({s.program for s in hostile}) > 200
    assert len({s.key for s in samples}) == 3000
    kinds = {"passes": True, "fails": False, "wrong": False, "raises": False, "compile": False}
    some = [ordinary(number) for number in range(1, 43)]
    with LocalPool(ExecutorConfig(workers=2, memory_mib=128)) as pool:
        reports = list(pool.map((s.program, s.suite) for s in some))
    for sample, report in zip(some, reports, strict=True):
        (expected,) = [right for word, right in kinds.items() if word in sample.key]
        assert report.passed is expected, (sample.key, report)


def test_growth_is_seen() -> None:
    small, large = Held(40, 70, 60, 4, 0), Held(60, 90, 70, 5, 1)
    assert grown([small, small]) == []
    assert grown([large, small, small, small]) == [] == grown([small, large, small, large])
    assert grown([small, large]) == ["descriptors", "processes", "files", "parent_mib", "servers_mib"]
