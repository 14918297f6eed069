"""`stepcoder grade`: results in order, how an interrupted run ends, and what its settings reach."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stepcoder.executor.grading.files import read_results
from tests.tools.grading import PROGRAMS, ROOT, command, fresh, samples
from tests.tools.patience import HANG_S

TIMINGS = ("cpu_s", "wall_s", "peak_memory_mib")
Run = subprocess.CompletedProcess[str]


def grade(folder: Path, *words: str) -> Run:
    return subprocess.run(command(folder, *words), cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)


def without_timings(file: Path) -> list[str]:
    """The lines of a result file less what no two runs have in common."""
    found = []
    for record in read_results(file):
        for part in (record, *record["tests"]):
            for name in TIMINGS:
                part.pop(name, None)
        found.append(json.dumps(record))
    return found


def interrupt(folder: Path, after: int, number: int) -> tuple[int, str]:
    """Starts the command, sends a signal once `after` results are written; exit code and stderr."""
    partial = folder / "R.jsonl.partial"
    process = subprocess.Popen(
        command(folder), cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores it
    )  # fmt: skip
    deadline = time.monotonic() + HANG_S
    while not partial.exists() or partial.read_bytes().count(b"\n") < after:
        assert process.poll() is None and time.monotonic() < deadline, "ended before it could be interrupted"
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=HANG_S)
    return process.returncode, said


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """2,000 programs, graded without an interruption."""
    folder = fresh(tmp_path_factory.mktemp("whole"), samples(2000))
    return folder, grade(folder, "--summary", str(folder / "summary.json"))


def test_every_sample_gets_its_result_in_order(whole: tuple[Path, Run]) -> None:
    folder, run = whole
    assert run.returncode == 0, run.stderr
    found = list(read_results(folder / "R.jsonl"))
    assert [record["id"] for record in found] == list(range(2000))
    for number, record in enumerate(found):
        problem = ("double", "echo")[number % 2]
        _, verdict, reward = PROGRAMS[problem][number // 2 % 5]
        assert (record["problem_id"], record["verdict"], record["reward"]) == (problem, verdict, reward)
    wrong = found[2]
    assert wrong["executed_lines"] == [1, 2, 3, 4, 5] and wrong["stdout"] == "no\n"
    assert [test["verdict"] for test in wrong["tests"]] == ["wrong_answer", "passed"]
    assert all(test["cpu_s"] >= 0 for test in wrong["tests"])
    crashed = found[4]
    assert crashed["error_line"] == 2 and "ZeroDivisionError" in crashed["error"]
    assert found[6]["executed_lines"] == [] and found[6]["tests"] == []
    assert not (folder / "R.jsonl.partial").exists()


def test_the_summary_at_the_end(whole: tuple[Path, Run]) -> None:
    folder, run = whole
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    rates = summary["levels"]["all"]["pass_at_k"]
    assert rates["1"] == {"rate": 0.4, "left_out": 0}
    expected = 1 - math.comb(600, 5) / math.comb(1000, 5)
    assert rates["5"]["rate"] == pytest.approx(expected)
    assert summary["levels"]["interview"]["verdicts"]["compile_error"] == 0.2
    assert "2,000 programs, 2 problems" in run.stdout and "programs/s" in run.stdout
    assert f"{100 * expected:.1f} %" in run.stdout


def test_a_run_stopped_and_killed_ends_in_the_same_file(whole: tuple[Path, Run], tmp_path: Path) -> None:
    folder = fresh(tmp_path, samples(2000))
    for after, number, ends in ((300, signal.SIGINT, 130), (600, signal.SIGTERM, 143)):
        code, said = interrupt(folder, after, number)
        assert code == ends and "of 2,000 results are kept" in said and "Traceback" not in said
    code, said = interrupt(folder, 1100, signal.SIGKILL)
    assert code == -signal.SIGKILL and "results are there already" in said
    assert not (folder / "R.jsonl").exists()
    with (folder / "R.jsonl.partial").open("ab") as partial:
        partial.write(b'{"problem_id": "echo", "verdi')
    last = grade(folder)
    assert last.returncode == 0 and "results are there already" in last.stderr
    assert without_timings(folder / "R.jsonl") == without_timings(whole[0] / "R.jsonl")
    assert last.stdout.splitlines()[:12] == whole[1].stdout.splitlines()[:12]


def test_a_finished_file_is_kept_and_shown_again(whole: tuple[Path, Run]) -> None:
    folder, first = whole
    content = (folder / "R.jsonl").read_bytes()
    again = grade(folder)
    assert again.returncode == 0 and "already graded" in again.stderr
    assert again.stdout.splitlines()[:12] == first.stdout.splitlines()[:12]
    other = grade(folder, "--compare", "apps")
    assert other.returncode == 2 and "executor.compare: 'problem' -> 'apps'" in other.stderr
    assert (folder / "R.jsonl").read_bytes() == content


def test_other_settings_reach_the_pool(tmp_path: Path) -> None:
    slow = "import time\ndef f(x):\n    while time.process_time() < 0.8: pass\n    return 2 * x"
    folder = fresh(tmp_path, [{"problem_id": "double", "program": slow}])
    run = grade(folder, "--executor.cpu_s", "0.3", "--reward=binary", "--no-coverage", "--level", "4")
    assert run.returncode == 0, run.stderr
    (record,) = read_results(folder / "R.jsonl")
    assert (record["verdict"], record["reward"], record["executed_lines"]) == ("timeout", 0.0, None)
    assert "WITHOUT isolation" in run.stderr
    (folder / "S.jsonl").write_text(json.dumps({"problem_id": "echo", "program": "print(input())"}), encoding="utf-8")
    assert "samples_sha256 differs" in grade(folder, "--level", "4").stderr
    anew = grade(folder, "--level", "4", "--force")
    assert anew.returncode == 0, anew.stderr
    assert [record["problem_id"] for record in read_results(folder / "R.jsonl")] == ["echo"]


def test_a_sandbox_that_fails_gives_no_reward_and_exit_code_1(tmp_path: Path) -> None:
    """An interpreter that tells its version but starts no fork server while `broken` is there."""
    broken, python = tmp_path / "broken", tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ -e {broken} ] && [ "$1" != -I ] && exit 1\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    broken.touch()
    words = ("--level", "4", "--executor.python", str(python), "--executor.infra_retries", "0")
    few = fresh(tmp_path / "few", samples(3))
    run = grade(few, *words)
    assert run.returncode == 1 and "3 programs could not be judged" in run.stderr
    assert [(r["verdict"], r["reward"]) for r in read_results(few / "R.jsonl")] == [("infra_error", None)] * 3
    many = fresh(tmp_path / "many", samples(40))
    run = grade(many, *words)
    assert run.returncode == 2 and "20 programs in a row" in run.stderr
    assert not (many / "R.jsonl").exists() and (many / "R.jsonl.partial").stat().st_size == 0
    broken.unlink()
    assert grade(many, *words).returncode == 0
    assert len(list(read_results(many / "R.jsonl"))) == 40


def test_a_reward_of_ones_own_is_found_and_its_failure_loses_nothing(tmp_path: Path) -> None:
    """The module lies in the working directory; it fails for one program that differs from all that it is tried on."""
    (tmp_path / "mine.py").write_text(
        "def worth(report):\n    if not report.passed and report.error_line == 2: raise KeyError('two')\n"
        "    return 10.0 * report.passed\n"
    )
    folder = fresh(tmp_path / "files", samples(6))
    given = [*command(folder), "--reward", "mine:worth"]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    run = subprocess.run(given, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=HANG_S)
    assert run.returncode == 2 and "the reward mine:worth failed" in run.stderr and "KeyError: 'two'" in run.stderr
    kept = (folder / "R.jsonl.partial").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["reward"] for line in kept] == [10.0, 10.0, 0.0, 0.0]


def test_help_teaches_with_examples_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom stepcoder.deploy.cli import main\n"
        "try:\n    main(['grade', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'ray', 'rich', 'pydantic', 'stepcoder.executor.pool.local'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert result.returncode == 0, result.stderr
    assert "stepcoder grade --problems P.jsonl --samples S.jsonl --out R.jsonl" in result.stdout
    assert '{"problem_id": "my/clamp"' in result.stdout and "--executor.cpu_s" in result.stdout


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_streams_change_no_result(tmp_path: Path, closed: str) -> None:
    """As a service manager or a detached shell leaves them: what is opened next would get their numbers."""
    words = command(fresh(tmp_path, samples(20)))
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    expected = [PROGRAMS[("double", "echo")[number % 2]][number // 2 % 5][1] for number in range(20)]
    assert [record["verdict"] for record in read_results(tmp_path / "R.jsonl")] == expected
