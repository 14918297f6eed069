"""`stepcoder courses` as a program and as a person see it."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stepcoder.curriculum.problems.load import load_problems
from stepcoder.curriculum.stages.courses import courses
from stepcoder.deploy.cli import main

ROOT = Path(__file__).resolve().parents[2]
ID = "starter/vowels/count_vowels"


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    assert main(["courses", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("reading", ["ours", "paper"])
def test_a_json_list_nearest_the_end_first(capsys: pytest.CaptureFixture[str], reading: str) -> None:
    (problem,) = [problem for problem in load_problems("starter:train") if problem.id == ID]
    found = listed(capsys, "starter:train", "--id", ID, "--reading", reading)
    expected = courses(problem, reading)  # type: ignore[arg-type]
    assert found == [{"stage": c.stage, "line": c.line, "prefix": c.prefix} for c in expected]
    assert found[-1] == {"stage": 0, "line": 1, "prefix": ""}
    assert [course["line"] for course in found] == ([4, 3, 1] if reading == "ours" else [4, 1])


def test_conditionals_are_chosen(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = json.loads((ROOT / "curriculum/starter/train.jsonl").read_text(encoding="utf-8").splitlines()[0])
    line |= {"id": "é", "solution": "def sign(n):\n    s = 1\n    s = -1 if n < 0 else 1 if n else 0\n    return s\n"}
    (tmp_path / "problems.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert len(listed(capsys, str(tmp_path / "problems.jsonl"), "--id", "é")) == 1
    assert len(listed(capsys, str(tmp_path / "problems.jsonl"), "--id", "é", "--conditionals", "extended")) == 2


@pytest.mark.parametrize(
    ("file", "id_", "message"),
    [
        (
            "starter:train",
            "starter/sign/sgin_word",
            r"has no problem 'starter/sign/sgin_word'; did you mean .*sign_word",
        ),
        ("starter:train", "SIGN_word", "did you mean starter/sign/sign_word"),
        ("starter:train", "zzzzzz", "its first is starter/"),
        ("starter:trian", ID, "no such starter set; known: heldout, study, train"),
        ("no.jsonl", ID, "no.jsonl: no such file"),
        ("taco:no.jsonl", ID, "'stepcoder data convert --from taco no.jsonl OUT' reads this"),
    ],
)
def test_what_is_not_there_is_told(capsys: pytest.CaptureFixture[str], file: str, id_: str, message: str) -> None:
    assert main(["courses", file, "--id", id_]) == 2
    output = capsys.readouterr()
    assert re.search(message, output.err) and not output.out


def test_in_a_terminal_the_program_is_shown_with_its_start_points() -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "deploy.cli", "courses", "starter:train", "--id", ID]
    process = subprocess.Popen(command, cwd=ROOT, stdout=theirs, env=os.environ | {"TERM": "xterm", "COLUMNS": "100"})
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # the other end is closed
        pass
    assert process.wait(60) == 0
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).replace("\r\n", "\n").split("\n")
    assert text[:4] == [
        "  ──▶ stage 0: full generation",
        "1 │ def count_vowels(text):",
        "2 │     count = 0",
        "  ──▶ stage 1: the model writes from here",
    ]
    assert "  ──▶ stage 2: the model writes from here" in text and f"{ID}: 3 stages" in text
