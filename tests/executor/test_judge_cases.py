"""Cases in which judges disagree, through the native format and the real pool: what this one has to say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stepcoder.curriculum.problems.load import parse_line
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool

FILE = Path(__file__).parents[3] / "shared" / "cases" / "judge.jsonl"
CASES = [json.loads(line) for line in FILE.read_text().splitlines()] if FILE.exists() else []


def config_of(options: str) -> ExecutorConfig:
    """`--compare KIND` and `--executor.packages [NAME]`, as on a command line."""
    compare = re.search(r"--compare (\w+)", options)
    packages = re.search(r"--executor.packages \[([\w, ]+)\]", options)
    given: dict[str, Any] = {"workers": 1}
    given |= {"compare": compare[1]} if compare else {}
    given |= {"packages": tuple(re.findall(r"\w+", packages[1]))} if packages else {}
    return ExecutorConfig.model_validate(given)


@pytest.mark.skipif(not CASES, reason="the shared cases are not here")
@pytest.mark.parametrize("case", CASES, ids=[case["note"] for case in CASES])
def test_shared_case(case: dict[str, Any]) -> None:
    problem = parse_line(json.dumps(case["problem"]).encode(), "case", 1)
    with LocalPool(config_of(case["options"])) as pool:
        report = pool.run(case["program"], problem.suite)
    assert report.verdict in case["expected"], report
