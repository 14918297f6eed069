"""`stepcoder data refine`: what is dropped under which reason, and that an interruption changes nothing."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import refine
from stepcoder.curriculum.problems.load import load_problems
from stepcoder.deploy.cli import main
from tests.tools.data_sets import APPS, DOUBLE, ECHO, lines, write_lines
from tests.tools.patience import HANG_S

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
HUGE = "7" * 5000


def refined(raw: Path, *words: str) -> tuple[list[str], dict[str, str]]:
    """(ids of what is kept, reason by id or place of what is dropped)."""
    out = raw.with_name("out.jsonl")
    assert main(["data", "refine", str(raw), str(out), "--workers", "2", "--executor.cpu_s=1", *words]) == 0
    dropped = {
        row.get("id") or row["where"].rpartition(", ")[2]: row["reason"] for row in lines(Path(f"{out}.rejected.jsonl"))
    }
    return [problem.id for problem in load_problems(out)], dropped


def test_only_sound_problems_are_kept(tmp_path: Path) -> None:
    huge = DOUBLE | {"id": "huge", "statement": "Add up.", "solution": "def f(x):\n    return x << 1"}
    huge |= {"tests": [{"input": [int(HUGE[:9])], "output": 2}]}
    raw = write_lines(
        tmp_path / "raw.jsonl",
        DOUBLE,
        ECHO,
        DOUBLE | {"id": "again", "statement": DOUBLE["statement"].replace("Give", "Return")},
        DOUBLE | {"id": "named", "tests": [{"input": [], "keywords": {"y": 4}, "output": 8}],
                  "solution": DOUBLE["solution"].replace("f(x)", "g(y)").replace("x", "y"), "entry_point": "g"},
        DOUBLE | {"id": "triple", "solution": "def f(x):\n    return 3 * x\n", "tests": [{"input": [1], "output": 3}]},
        json.dumps(huge).replace(HUGE[:9], HUGE).replace('"output": 2', f'"output": {2 * (10**20)}').encode(),
        json.dumps(huge | {"id": "sound"}).replace(HUGE[:9], f"1{'0' * 5000}").replace(
            '"output": 2', f'"output": 2{"0" * 5000}').encode(),
        ECHO | {"id": "number", "solution": "print(int(input()))", "tests": [{"input": HUGE, "output": HUGE}]},
        ECHO | {"id": "silent", "tests": [{"input": "a", "output": ""}, {"input": "b", "output": "b"}]},
        ECHO | {"id": "nothing", "tests": [{"input": "a", "output": " \n"}]},
        b"[]",
    )  # fmt: skip
    kept, dropped = refined(raw)
    assert kept == ["double", "echo", "triple", "sound", "number"]
    assert dropped == {
        "again": "duplicate", "named": "duplicate", "huge": "wrong_output",
        "silent": "missing_output", "line 10": "missing_output", "line 11": "bad_json",
    }  # fmt: skip
    echo = load_problems(tmp_path / "out.jsonl")[1]
    assert (echo.suite.cases[0].input, echo.suite.cases[0].output) == ("a b\n", "a b\n")


def test_choices_are_changed_without_running_anything_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write_lines(tmp_path / "raw.jsonl", DOUBLE, DOUBLE | {"id": "again"}, ECHO)
    assert refined(raw) == (["double", "echo"], {"again": "duplicate"})
    assert "everything was run before" not in capsys.readouterr().err
    assert refined(raw, "--keep-duplicates") == (["double", "again", "echo"], {})
    assert "everything was run before" in capsys.readouterr().err
    exam = write_lines(tmp_path / "exam.jsonl", ECHO | {"id": "exam", "statement": f"Task: {ECHO['statement']}"})
    assert refined(raw, "--against", str(exam)) == (["double"], {"again": "duplicate", "echo": "contaminated"})
    kept, _ = refined(raw, "--keep-duplicates", "--split", "0.5", "--report", str(tmp_path / "r.html"))
    later = [row["id"] for row in lines(tmp_path / "out.heldout.jsonl")]
    assert sorted(kept + later) == ["again", "double", "echo"]
    write_lines(raw, DOUBLE)
    assert main(["data", "refine", str(raw), str(tmp_path / "out.jsonl"), "--executor.cpu_s=1"]) == 2
    assert "results of other inputs (source_sha256 differs)" in capsys.readouterr().err
    assert refined(raw, "--force") == (["double"], {})


def test_where_nothing_is_kept_the_reasons_are_written_and_no_problems(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out, report = write_lines(tmp_path / "raw.jsonl", DOUBLE, ECHO), tmp_path / "out.jsonl", tmp_path / "r.html"
    assert len(refined(raw, "--split", "0.5")[0]) < 2 and out.exists()
    capsys.readouterr()
    words = ["data", "refine", str(raw), str(out), "--workers", "2", "--executor.cpu_s=1", "--report", str(report)]
    assert main([*words, "--split", "0.5", "--against", str(raw)]) == 2
    said = capsys.readouterr()
    assert said.err.endswith(f"stepcoder: {raw}: none of its 2 problems is kept, so that {out} is not written\n")
    assert "contaminated" in said.out and f"dropped   {out}.rejected.jsonl" in said.out and "kept  " not in said.out
    assert len(lines(Path(f"{out}.rejected.jsonl"))) == 2 and "of 2 problems are kept" in report.read_text()
    assert not out.exists() and not (tmp_path / "out.heldout.jsonl").exists()


def test_of_several_solutions_the_preferred_one_that_passes_is_kept(tmp_path: Path) -> None:
    row = APPS | {"problem_id": 9, "question": "Say twice.", "starter_code": "def twice(n):\n"}
    calls = {"fn_name": "twice", "inputs": [[2], [3]], "outputs": [[4], [6]]}
    row |= {"solutions": json.dumps(["def twice(n): return 2 * n"]), "input_output": json.dumps(calls)}
    raw = write_lines(tmp_path / "raw.jsonl", APPS, row)
    solutions = {}
    for preference in ("first", "shortest", "conditionals"):
        refined(raw, "--from", "apps", "--solution", preference, "--force")
        one, two = load_problems(tmp_path / "out.jsonl")
        assert [case.output for case in two.suite.cases] == [4, 6]  # out of their lists
        solutions[preference] = one.solution
    texts = json.loads(APPS["solutions"])
    assert solutions == {"first": texts[1], "shortest": texts[2], "conditionals": texts[1]}


def test_the_report_tells_what_the_tests_do_not_see(tmp_path: Path) -> None:
    raw = write_lines(tmp_path / "raw.jsonl", DOUBLE, ECHO | {"id": "<b>", "tests": []}, ECHO | {"source": 1})
    kept, _ = refined(raw, "--mutants", "9", "--report", str(tmp_path / "report.html"))
    text = (tmp_path / "report.html").read_text()
    (double, *_) = lines(tmp_path / "out.jsonl.findings.jsonl")
    assert kept == ["double"] and double["missed"] == [3] and double["lines"] == [3, 4]
    survivors = {line: change for line, change in double["survivors"]}
    assert double["mutants"] == 3 and set(survivors) == {2, 3}  # `<` or 0 changed, or the line that never runs
    assert "<b>1</b> of 3 problems are kept (33.3%)" in text and "no_tests" in text and "missing_field" in text
    assert "not executed: line 3" in text and "2 became 3" in text
    assert "http" not in text and "<b>&" not in text  # no other files, and nothing of the data is markup


# -- planted faults and interruptions ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes], dict[int, refine.Fault]]:
    """60 problems, 16 of them with a fault of their own kind each."""
    if not DATA.is_dir():
        pytest.skip(f"no data sets at {DATA}")
    planted_lines, planted = refine.plant(refine.problems(DATA, 30), 1)
    raw = tmp_path_factory.mktemp("sample") / "raw.jsonl"
    raw.write_bytes(b"".join(line + b"\n" for line in planted_lines))
    return raw, planted_lines, planted


def command(raw: Path, folder: Path) -> list[str]:
    folder.mkdir(exist_ok=True)
    outputs = [str(folder / "out.jsonl.gz"), "--report", str(folder / "report.html"), "--split", "0.2"]
    return ["data", "refine", str(raw), *outputs, "--mutants", "1", "--workers", "2"]


@pytest.fixture(scope="module")
def whole(sample: tuple[Path, list[bytes], dict[int, refine.Fault]]) -> Path:
    folder = sample[0].parent / "whole"
    assert main(command(sample[0], folder)) == 0
    return folder


def test_every_planted_fault_is_found_and_no_sound_problem_is_dropped(
    sample: tuple[Path, list[bytes], dict[int, refine.Fault]], whole: Path
) -> None:
    counts, errors = refine.verdict(sample[1], sample[2], whole / "out.jsonl.gz.rejected.jsonl")
    assert errors == []
    assert sum(counts.values()) == len(sample[1]) == 62 and len(sample[2]) == 16
    kept = load_problems(whole / "out.jsonl.gz") + load_problems(whole / "out.heldout.jsonl.gz")
    assert len(kept) == counts["sound", "kept"]


def test_a_run_that_was_killed_ends_with_the_same_files(
    sample: tuple[Path, list[bytes], dict[int, refine.Fault]], whole: Path
) -> None:
    folder = sample[0].parent / "killed"
    words = [sys.executable, "-m", "stepcoder", *command(sample[0], folder)]
    partial = folder / "out.jsonl.gz.findings.jsonl.partial"
    for number in (signal.SIGKILL, signal.SIGINT):
        earlier = found_in(partial)
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_for(lambda n=earlier: found_in(partial) > n + 2, process)
        process.send_signal(number)
        _, said = process.communicate(timeout=HANG_S)
        assert process.returncode == (130 if number == signal.SIGINT else -number), said
        assert not (folder / "out.jsonl.gz").exists()
    with partial.open("ab") as file:
        file.write(b'{"id": "torn')
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0 and "results are there already" in done.stderr, done.stderr
    names = sorted(path.name for path in whole.iterdir())
    assert names == sorted(path.name for path in folder.iterdir()) and len(names) == 6
    for name in names:
        assert (whole / name).read_bytes() == (folder / name).read_bytes(), name


def found_in(partial: Path) -> int:
    return partial.read_bytes().count(b"\n") if partial.exists() else 0


def wait_for(ready: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + HANG_S
    while not ready():
        assert process.poll() is None and time.monotonic() < deadline, "ended before it could be interrupted"
        time.sleep(0.02)
