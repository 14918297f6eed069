"""Sets of problems as the configuration names them: files of several formats, and days of LiveCodeBench."""

import json
from pathlib import Path
from typing import Any

import pytest

from stepcoder.curriculum.data.named import load_named
from stepcoder.errors import UserError
from stepcoder.executor.config import ExecutorConfig

CONFIG = ExecutorConfig()
CONTESTS = {"a": "2024-07-31T00:00:00", "b": "2024-08-01T12:30:00", "c": "2024-09-15T00:00:00", "d": "2025-01-31"}


def write(file: Path, *rows: dict[str, Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def mbpp(number: int, **changes: Any) -> dict[str, Any]:
    row = {"task_id": number, "text": "Double.", "code": "def f(x):\n    return 2 * x\n",
           "test_list": ["assert f(1) == 2"]}  # fmt: skip
    return row | changes


def contest(name: str, date: str | None) -> dict[str, Any]:
    tests = json.dumps([{"input": "1", "output": "2", "testtype": "stdin"}])
    row = {"question_content": "Double.", "question_id": name, "difficulty": "hard", "public_test_cases": tests}
    row |= {"starter_code": "", "metadata": "{}"}
    return row if date is None else row | {"contest_date": date}


def ids(name: str) -> list[str]:
    return [problem.id for problem in load_named(name, CONFIG)]


def test_a_set_is_a_native_file_or_one_of_another_format(tmp_path: Path) -> None:
    assert len(ids("starter:heldout")) > 50
    file = write(tmp_path / "rows.jsonl", mbpp(11), mbpp(12))
    assert ids(f"mbpp:{file}") == ids(f"auto:{file}") == ["mbpp/11", "mbpp/12"]
    with pytest.raises(UserError, match="no such file"):
        load_named(str(tmp_path / "other.jsonl"), CONFIG)


def test_entries_that_cannot_be_used_are_counted_and_a_set_without_any_other_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write(tmp_path / "rows.jsonl", mbpp(11), mbpp(12, test_list=[]), mbpp(13, test_list=[]))
    assert ids(f"mbpp:{file}") == ["mbpp/11"]
    assert "2 entries are left out (no_tests: 2)" in caplog.text
    empty = write(tmp_path / "empty.jsonl", mbpp(12, test_list=[]))
    with pytest.raises(UserError, match=r"holds no problem of mbpp that can be used \(no_tests: 1\)"):
        load_named(f"mbpp:{empty}", CONFIG)


def test_days_choose_problems_of_livecodebench(tmp_path: Path) -> None:
    file = write(tmp_path / "lcb.jsonl", *(contest(*item) for item in CONTESTS.items()))
    every, name = [f"livecodebench/{letter}" for letter in "abcd"], f"livecodebench:{file}"
    assert ids(name) == every
    assert ids(f"{name},since=2024-08-01") == every[1:]
    assert ids(f"{name},until=2024-08-01") == every[:2]
    assert ids(f"{name},since=2024-08-01,until=2025-01-30") == every[1:3]
    with pytest.raises(UserError, match="holds no problem of livecodebench of these days"):
        load_named(f"{name},since=2026-01-01", CONFIG)
    with pytest.raises(UserError, match="since=today is no day; write it as since=2024-08-01"):
        load_named(f"{name},since=today", CONFIG)


def test_days_are_refused_where_there_are_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(tmp_path / "rows.jsonl", mbpp(11))
    with pytest.raises(UserError, match="are for the format livecodebench"):
        load_named(f"mbpp:{file},since=2024-08-01", CONFIG)
    undated = write(tmp_path / "lcb.jsonl", contest("a", None), contest("b", "2024-08-01"))
    assert ids(f"livecodebench:{undated},since=2024-01-01") == ["livecodebench/b"]
    assert "missing_field: 1" in caplog.text
