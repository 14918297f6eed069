"""Grading: memory, the file of results, and the figures at the end."""

import itertools
import json
import resource
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcoder.errors import UserError
from stepcoder.executor.grading.files import ResultFile, read_results
from stepcoder.executor.grading.grade import Tests, check_inputs, check_ks
from stepcoder.executor.grading.summary import Tally, notes, pass_at_k, summarise
from stepcoder.executor.suite import Case, Suite
from tests.tools.grading import samples, write_lines

LEVELS = ("introductory", "interview", "competition")
RECORD = {"problem_id": "echo", "verdict": "passed", "text": "x" * 100}


def test_checking_a_long_file_needs_little_memory(tmp_path: Path) -> None:
    row = json.dumps({"problem_id": "double", "program": "# " + "x" * 500}) + "\n"
    (tmp_path / "S.jsonl").write_text(row * 50_000, encoding="utf-8")
    suites = {name: Suite("stdin", (Case("", ""),)) for name in ("double", "echo")}
    tests = Tests(suites, dict.fromkeys(suites, "interview"), str, "")
    check_inputs(tests, write_lines(tmp_path / "T.jsonl", samples(2)))  # what is loaded once
    tracemalloc.start()
    try:
        inputs = check_inputs(tests, tmp_path / "S.jsonl")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert inputs.total == 50_000
    assert peak < 1 << 20  # the file has 27 MB


# -- the result file ---------------------------------------------------------------------------------------------------


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with ResultFile(tmp_path / "R.jsonl", {}) as results:
        assert list(results.earlier()) == []
        results.write(RECORD)
        size = results.partial.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))
        try:
            with pytest.raises(UserError, match="All results until here are kept"):
                results.write(RECORD)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert results.partial.stat().st_size == size
    with ResultFile(tmp_path / "R.jsonl", {}) as results:
        assert list(results.earlier()) == [RECORD]
        results.write(RECORD)
        results.finish()
    assert list(read_results(tmp_path / "R.jsonl")) == [RECORD, RECORD]


@pytest.mark.parametrize(
    "damage", [b'{"problem_id": "e', b"\0\0\0\n", b"{}\n", b'[1]\n{"problem_id": "echo"}\n', b"\xff\n"]
)
def test_results_go_on_before_the_first_damaged_line(damage: bytes, tmp_path: Path) -> None:
    good = json.dumps(RECORD).encode() + b"\n"
    (tmp_path / "R.jsonl.partial").write_bytes(good * 3 + damage + (good if damage.endswith(b"\n") else b""))
    with ResultFile(tmp_path / "R.jsonl", {}) as results:
        assert list(results.earlier()) == [RECORD] * 3
        results.write(RECORD)
        results.finish()
    assert (tmp_path / "R.jsonl").read_bytes() == good * 4


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    with ResultFile(tmp_path / "R.jsonl", {}):
        with pytest.raises(UserError, match="another process"), ResultFile(tmp_path / "R.jsonl", {}):
            pass
        with pytest.raises(UserError, match="another process"):
            ResultFile(tmp_path / "R.jsonl", {}).discard()


# -- figures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "passed", "k", "expected"),
    [(5, 2, 1, 0.4), (5, 2, 2, 0.7), (5, 2, 3, 0.9), (5, 2, 4, 1.0), (5, 0, 5, 0.0), (5, 5, 1, 1.0), (1, 1, 1, 1.0)],
)
def test_pass_at_k_by_hand(total: int, passed: int, k: int, expected: float) -> None:
    assert pass_at_k(total, passed, k) == expected


@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_pass(total: int, data: st.DataObject) -> None:
    passed = data.draw(st.integers(0, total))
    k = data.draw(st.integers(1, total))
    subsets = list(itertools.combinations(range(total), k))
    share = sum(any(index < passed for index in subset) for subset in subsets) / len(subsets)
    assert pass_at_k(total, passed, k) == share


@pytest.mark.parametrize("k", [0, 6])
def test_pass_at_k_needs_k_samples(k: int) -> None:
    with pytest.raises(ValueError, match=f"pass@{k}"):
        pass_at_k(5, 2, k)


def test_the_summary_by_hand() -> None:
    levels = {"a": "introductory", "b": "introductory", "c": "competition", "d": "interview"}
    tally = Tally(levels, LEVELS)
    for problem, verdict, reward in (
        ("a", "passed", 1.0), ("a", "wrong_answer", -0.3), ("a", "wrong_answer", -0.3), ("a", "infra_error", None),
        ("b", "passed", 1.0), ("b", "passed", 1.0),
        ("c", "timeout", -0.6),
    ):  # fmt: skip
        tally.add({"problem_id": problem, "verdict": verdict, "reward": reward})
    summary = summarise(tally, [1, 2])
    everything, levels = summary["levels"]["all"], summary["levels"]
    assert list(levels) == ["all", "introductory", "competition"]
    assert (summary["samples"], summary["problems"], summary["problems_without_samples"]) == (7, 3, 1)
    assert everything["pass_at_k"]["1"] == {"rate": pytest.approx((1 / 3 + 1 + 0) / 3), "left_out": 0}
    assert everything["pass_at_k"]["2"] == {"rate": pytest.approx((2 / 3 + 1) / 2), "left_out": 1}
    assert levels["competition"]["pass_at_k"]["2"] == {"rate": None, "left_out": 1}
    assert everything["mean_reward"] == pytest.approx((3 * 1.0 - 0.6 - 0.6) / 6)
    assert everything["verdicts"] == pytest.approx(
        {"passed": 3 / 7, "wrong_answer": 2 / 7, "timeout": 1 / 7, "infra_error": 1 / 7}
    )
    assert tally.infra_errors == 1
    assert notes(summary) == (
        "problems of the file without a program, left out: 1; "
        "problems with fewer than 2 judged programs, left out of pass@2: 1"
    )


def test_the_usual_k_are_those_that_every_problem_has_samples_for() -> None:
    assert check_ks(None, {"a": 12, "b": 7}) == (1, 5)
    assert check_ks([1, 12], {"a": 12, "b": 7}) == (1, 12)
