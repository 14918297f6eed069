"""`stepcoder view`, `report` and `show` as they are typed."""

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from benchmarks.made_run import Words, make_run
from stepcoder.deploy.cli import main
from tests.tools.loop import ROOT
from tests.tools.patience import HANG_S

ESCAPES = "\x1b[2J\x1b]0;title\x07\u202e\x00"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = Words(error=f"ValueError{ESCAPES}", got=ESCAPES)
    return make_run(tmp_path_factory.mktemp("commands") / "made", 4, 4, 3, problems=8, words=words)


def test_a_program_is_shown_in_the_terminal(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(made), "--problem", "made/calculate/4", "--step", "3", "--sample", "2"]) == 0
    shown = capsys.readouterr().out
    assert "made/calculate/4" in shown and "completion 2, group of 3" in shown and "start point" in shown
    assert re.search(r"4  \+ +elif op", shown) and re.search(r"7  - +return a \* b", shown)
    assert all(character.isprintable() or character == "\n" for character in shown)


def test_what_is_not_there_is_said_with_what_is(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, told in (
        (["show", str(made), "--problem", "made/calculat/4"], "did you mean 'made/calculate/4'?"),
        (["show", str(made), "--problem", "made/calculate/4", "--step", "2"], "not tried in step 2, but in 1, 3"),
        (["show", str(made), "--problem", "made/calculate/4", "--sample", "9"], "--sample: there is no completion 9"),
        (["show", str(tmp_path / "none"), "--problem", "x"], "there is no such directory"),
        (["view", str(tmp_path / "none")], "there is no such directory"),
        (["show", str(tmp_path), "--problem", "x"], f"{tmp_path}: there is no run there."),
        (["view", str(made), "--host", "192.0.2.1"], "Give another --host"),
        (["view", str(tmp_path)], "there is no run at or below it"),
        (["view", str(made), "--port", "99999"], "--port: 99999 is no port"),
        (["report", str(made), "-o", str(tmp_path)], "is a directory; give a file"),
        (["report", str(made), "-o", str(tmp_path / "r.html"), "--trajectory", "1:2"], "--trajectory: a completion is"),
        (["report", str(made), "-o", str(tmp_path / "r.html"), "--trajectory", "1:0:99"], "there is no completion 99"),
    ):  # fmt: skip
        assert main(arguments) == 2
        assert told in capsys.readouterr().err


def test_a_report_has_the_programs_that_were_asked_for(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert main(["report", str(made), "-o", str(out), "--trajectory", "2:5:1", "--title", "<b>mine</b>"]) == 0
    page = out.read_text(encoding="utf-8")
    assert page.count('<article class="trajectory"') == 1 and "&lt;b&gt;mine&lt;/b&gt;" in page
    assert "http-equiv" in page and not re.search(r'(?:src|href)="(?!#)', page)


def test_on_an_open_address_the_printed_token_is_needed(made: Path) -> None:
    command = [sys.executable, "-m", "stepcoder.deploy.cli", "view", str(made), "--port", "0", "--host", "0.0.0.0"]
    environment = {name: value for name, value in os.environ.items() if name != "STEPCODER_VIEW_TOKEN"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE,
                               text=True)  # fmt: skip
    try:
        assert process.stderr is not None
        told = process.stderr.readline() + process.stderr.readline()
        found = re.search(r"http://0\.0\.0\.0:(\d+)/\?token=(\S+)", told)
        assert found and f"token {found[2]}" in told
        url = f"http://127.0.0.1:{found[1]}/"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(url, timeout=HANG_S)
        asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {found[2]}"})
        with urllib.request.urlopen(asked, timeout=HANG_S) as answer:
            assert answer.status == 200
    finally:
        process.terminate()
        process.wait(timeout=HANG_S)


def test_pages_need_neither_torch_nor_ray() -> None:
    code = ("import sys, stepcoder.deploy.view.app, stepcoder.deploy.view.report, stepcoder.deploy.view.terminal\n"
            "print([name for name in ('torch', 'ray', 'transformers') if name in sys.modules])")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
                          text=True, timeout=HANG_S, check=True)  # fmt: skip
    assert done.stdout.strip() == "[]"
