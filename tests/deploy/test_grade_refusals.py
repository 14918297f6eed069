"""`stepcoder grade`: what it refuses before anything runs."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stepcoder.deploy.cli import main
from tests.tools.grading import DOUBLE, ECHO, command, fresh, samples

GOOD = json.dumps({"problem_id": "echo", "program": "print(1)"}).encode()
BROKEN_SAMPLES: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"print(1)", "not valid JSON"),
    "cut off": (GOOD[:-5], "not valid JSON"),
    "two objects": (GOOD + GOOD, "not valid JSON: Extra data"),
    "NUL": (b"\0" + GOOD, "not valid JSON"),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, "not valid JSON: Unexpected UTF-8 BOM"),
    "not UTF-8": (GOOD.replace(b"print", b"pr\xe4nt"), "not UTF-8: byte 0xe4"),
    "a list": (b"[1, 2]", "expected a JSON object, got list"),
    "a text": (b'"print(1)"', "expected a JSON object, got str"),
    "nested too deeply": (b"[" * 100_000, "JSON nested too deeply"),
    "no problem_id": (b'{"program": "print(1)"}', "field `problem_id`: missing"),
    "another name": (b'{"problem": "echo", "program": ""}', "field `problem_id`: missing; is `problem` meant?"),
    "no program": (b'{"problem_id": "echo"}', "field `program`: missing"),
    "a number as problem_id": (b'{"problem_id": 1, "program": ""}', "field `problem_id`: expected text, got int"),
    "null as program": (b'{"problem_id": "echo", "program": null}', "field `program`: expected text, got NoneType"),
    "a list of programs": (b'{"problem_id": "echo", "program": ["x"]}', "field `program`: expected text, got list"),
    "true as id": (b'{"problem_id": "echo", "program": "", "id": true}', "field `id`: expected text or an integer"),
    "a key twice": (b'{"problem_id": "echo", "program": "a", "program": "b"}', "key `program` given twice"),
    "a huge number": (b'{"problem_id": "echo", "program": "", "n": ' + b"9" * 5000 + b"}", "4300 digits"),
    "unknown problem": (
        b'{"problem_id": "ecko", "program": ""}',
        "no problem 'ecko' in the problem file, did you mean",
    ),
    "upper case": (b'{"problem_id": "ECHO", "program": ""}', "no problem 'ECHO'"),
}
BROKEN_PROBLEMS: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "not valid JSON"),
    "misspelt key": (ECHO | {"test": []}, "unknown key"),
    "unknown level": (ECHO | {"level": "hard"}, "level"),
    "no tests": (ECHO | {"tests": []}, "no tests"),
    "missing output": (ECHO | {"tests": [{"input": ""}]}, "output"),
    "same id": (DOUBLE, "duplicate id"),
    "an assert that does not parse": (
        {k: v for k, v in ECHO.items() if k != "tests"} | {"style": "assert", "tests": [{"code": "assert f(("}]},
        "does not parse",
    ),
}


def refused(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The message of a refusal, after which nothing has been written or run."""
    before = sorted(folder.iterdir())
    assert main([*command(folder, *words)[3:]]) == 2
    assert sorted(folder.iterdir()) == before
    output = capsys.readouterr()
    assert output.out == ""
    return output.err


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("name", BROKEN_SAMPLES)
def test_a_broken_sample_is_refused_with_file_line_and_reason(
    name: str, compressed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line, reason = BROKEN_SAMPLES[name]
    fresh(tmp_path, [])
    content = GOOD + b"\n\n" + GOOD + b"\n" + line + b"\n" + GOOD + b"\n"
    file = tmp_path / ("S.jsonl.gz" if compressed else "S.jsonl")
    file.write_bytes(gzip.compress(content) if compressed else content)
    message = refused(tmp_path, capsys, "--samples", str(file))
    assert message.startswith(f"stepcoder: {file}, line 4") and reason in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("name", BROKEN_PROBLEMS)
def test_a_broken_problem_is_refused_with_file_line_and_reason(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, reason = BROKEN_PROBLEMS[name]
    fresh(tmp_path, samples(4))
    line = broken if isinstance(broken, str) else json.dumps(broken)
    (tmp_path / "P.jsonl").write_text(f"{json.dumps(DOUBLE)}\n\n{line}\n", encoding="utf-8")
    message = refused(tmp_path, capsys)
    assert f"{tmp_path / 'P.jsonl'}, line 3" in message and reason in message


def _empty(folder: Path) -> None:
    (folder / "S.jsonl").write_text("\n \n", encoding="utf-8")


def _absent(folder: Path) -> None:
    (folder / "S.jsonl").unlink()


def _pipe(folder: Path) -> None:
    (folder / "S.jsonl").unlink()
    os.mkfifo(folder / "S.jsonl")


def _cut_gzip(folder: Path) -> None:
    data = gzip.compress((folder / "S.jsonl").read_bytes() * 100)
    (folder / "S.jsonl.gz").write_bytes(data[: len(data) // 2])


def _foreign(folder: Path) -> None:
    (folder / "R.jsonl").write_text("mine\n", encoding="utf-8")


def _nothing(folder: Path) -> None:
    assert folder.is_dir()


@pytest.mark.parametrize(
    ("prepare", "words", "reason"),
    [
        (_empty, [], "the file holds no sample"),
        (_absent, [], "S.jsonl: no such file"),
        (_pipe, [], "not a regular file"),
        (_cut_gzip, ["--samples", "S.jsonl.gz"], "S.jsonl.gz: cannot be read"),
        (_foreign, [], "was not written by this command"),
        (_nothing, ["--problems", "starter:no"], "no such starter set; known: heldout, study, train"),
        (_nothing, ["--out", "S.jsonl"], "is an input"),
        (_nothing, ["--out", "no/R.jsonl"], "no directory"),
        (_nothing, ["--out", "."], "is a directory"),
        (_nothing, ["--out", "R.jsonl.gz"], "without .gz"),
        (_nothing, ["--out", "R.parquet"], "without .parquet"),
        (_nothing, ["--k", "1,50"], "no problem has more than 2 samples"),
        (_nothing, ["--compare", "apsp"], "executor.compare = 'apsp'"),
        (_nothing, ["--reward", "best"], "executor.reward = 'best'"),
        (_nothing, ["--reward", "no_module:f"], "the reward no_module:f cannot be imported"),
        (_nothing, ["--workers", "0"], "executor.workers = '0'"),
        (_nothing, ["--executor.cpus", "3"], "nearest known key is executor.cpu_s"),
        (_nothing, ["--learner.policy.lr", "3"], "grade does not know --learner.policy.lr"),
        (_nothing, ["--executor.python", "/no/python"], "executor.python: /no/python does not start"),
    ],
)
def test_other_mistakes_are_refused(
    prepare: Callable[[Path], None],
    words: list[str],
    reason: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fresh(tmp_path, samples(4))
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert reason in refused(tmp_path, capsys, *words)
