"""A sample of the real data sets: their solutions pass, and the judge tells most mutants from them."""

import pytest

from benchmarks.references import DATA, DATA_SETS, DataSet, measure
from stepcoder.executor.config import ExecutorConfig

CONFIG = ExecutorConfig(workers=2, cpu_s=20.0, wall_s=120.0, coverage=False)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no data sets at {DATA}")
@pytest.mark.parametrize("data_set", DATA_SETS, ids=[d.reader for d in DATA_SETS])
def test_references_pass(data_set: DataSet) -> None:
    outcome = measure(data_set, DATA, CONFIG, limit=2 if data_set.reader == "apps" else 20)
    assert outcome.problems and not outcome.rejected
    assert set(outcome.failed) <= set(data_set.faults)
    assert len(outcome.survived) <= outcome.mutants / 2
