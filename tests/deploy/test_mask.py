"""`stepcoder mask`: spans as JSON, colours on a terminal, and refusals that say what to do."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stepcoder.deploy.cli import main
from stepcoder.deploy.commands.mask import EXECUTED, NOT_EXECUTED, coloured
from stepcoder.executor.spans import executed_spans

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "def f(x):\n    if x:  # é\n        return 1\n    else:\n        return 2\nf(1)\n"


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return str(path)


def test_prints_exactly_the_spans(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mask", file, "--lines", "1,2,3,6"]) == 0
    said = capsys.readouterr()
    end, rest = PROGRAM.index("\n    else"), PROGRAM.index("\nf(1)")
    assert json.loads(said.out) == {"executed": [[0, end], [rest, len(PROGRAM)]]}
    assert (said.out.count("\n"), said.err) == (1, "")


@pytest.mark.parametrize(("lines", "same"), [("1-3,6", "1,2,3,6"), (" 6, 1 , 1-2,3-3,", "1,2,3,6"), ("", " , ")])
def test_ways_to_give_lines(file: str, lines: str, same: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mask", file, "--lines", lines]) == main(["mask", file, "--lines", same]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])
def test_standard_input_with_newlines_as_they_are(
    prefix: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(prefix + b"a = 1\r\nb = 2\r\n"), encoding="utf-8"))
    assert main(["mask", "-", "--lines", "2"]) == 0
    assert json.loads(capsys.readouterr().out) == {"executed": [[5, 14]]}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("1,x", "--lines: 'x' is not a line. Give lines as 1,2,5"),
        ("1.5", "'1.5' is not a line"),
        ("²", "'²' is not a line"),
        ("0", "--lines: 0 is outside of"),
        ("2-7", "has lines 1 to 6"),
        ("3-2", "3-2 runs backwards"),
    ],
)
def test_lines_that_cannot_be(file: str, lines: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mask", file, "--lines", lines]) == 2
    output = capsys.readouterr()
    assert said in output.err and output.out == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = 1\nb = (\n", "line 2: not a Python program ('(' was never closed)"),
        (b"a = 1\n\xff\n", "byte 6 is not UTF-8"),
        (b"a = '\0'\n", "null bytes"),
        (b"-" * 100_000 + b"1\n", "cannot be parsed"),
    ],
)
def test_programs_that_cannot_be_parsed(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.py"
    path.write_bytes(content)
    assert main(["mask", str(path), "--lines", "1"]) == 2
    output = capsys.readouterr()
    assert "broken.py" in output.err and said in output.err and output.out == ""


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mask", str(tmp_path / "no.py"), "--lines", "1"]) == 2
    assert main(["mask", str(tmp_path), "--lines", "1"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert "no.py: cannot be read (No such file or directory)" in said[0] and "(Is a directory)" in said[1]


def test_colours_are_the_spans() -> None:
    spans = executed_spans(PROGRAM, [1, 2, 3, 6])
    text = coloured(PROGRAM, spans)
    plain = text.plain
    assert plain.splitlines() == [
        "1 + def f(x):",
        "2 +     if x:  # é",
        "3 +         return 1",
        "4 -     else:",
        "5 -         return 2",
        "6 + f(1)",
        "  + executed   - not executed",
    ]
    shown = {
        style: "".join(plain[s.start : s.end] for s in text.spans if s.style == style)
        for style in (EXECUTED, NOT_EXECUTED)
    }
    assert shown[EXECUTED] == "def f(x):    if x:  # é        return 1f(1)+ executed"
    assert shown[NOT_EXECUTED] == "    else:        return 2- not executed"


def test_a_line_with_both_values_says_so() -> None:
    program = "a = [\n    1]; b = 2\n"
    text = coloured(program, executed_spans(program, [1]))
    assert text.plain.splitlines() == [
        "1 + a = [",
        "2 ±     1]; b = 2",
        "  + executed   - not executed   ± both on a line",
    ]


def test_a_program_cannot_steer_the_terminal() -> None:
    program = "a = '\x1b[2J\x9b\u202e'\tif 1 else 2\nb = 1\x0c\n"
    assert coloured(program, []).plain.splitlines()[:2] == ["1 - a = '�[2J��'    if 1 else 2", "2 - b = 1�"]


def test_on_a_terminal_the_program_comes_in_colours_and_the_spans_last(file: str) -> None:
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "deploy.cli", "mask", file, "--lines", "1,2,3,6"]
    with subprocess.Popen(command, stdout=child, stderr=child, env=environment) as process:
        os.close(child)
        said = b""
        try:
            while chunk := os.read(parent, 65536):
                said += chunk
        except OSError:  # how a terminal ends on Linux
            pass
    os.close(parent)
    assert process.returncode == 0
    *shown, spans = said.decode().replace("\r\n", "\n").splitlines()
    assert json.loads(spans) == {"executed": [list(span) for span in executed_spans(PROGRAM, [1, 2, 3, 6])]}
    assert re.search(r"\x1b\[1;32mdef f\(x\):\x1b\[0m", shown[0]) and "\x1b[31m    else:" in shown[3]
