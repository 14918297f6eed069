"""`stepcoder grade`: what it refuses before anything runs, how an interrupted run ends, its figures, its doctor."""

import gzip
import itertools
import json
import math
import os
import platform
import resource
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcoder.curriculum.problems.problem import Level
from stepcoder.deploy.checks.doctor import isolation
from stepcoder.deploy.cli import main
from stepcoder.deploy.commands.grade import read_tests
from stepcoder.deploy.config.load import load_config
from stepcoder.errors import UserError
from stepcoder.executor.grading.files import ResultFile, read_results
from stepcoder.executor.grading.grade import check_inputs, check_ks
from stepcoder.executor.grading.summary import Tally, notes, pass_at_k, summarise
from tests.tools.patience import HANG_S

ROOT = Path(__file__).resolve().parents[2]
TIMINGS = ("cpu_s", "wall_s", "peak_memory_mib")
Run = subprocess.CompletedProcess[str]

DOUBLE = {
    "id": "double", "source": "test", "level": "introductory", "statement": "Twice x.", "starter_code": "",
    "solution": "def f(x):\n    return 2 * x\n", "style": "call", "entry_point": "f",
    "tests": [{"input": [1], "output": 2}, {"input": [5], "output": 10}],
}  # fmt: skip
ECHO = {
    "id": "echo", "source": "test", "level": "interview", "statement": "Print the input.", "starter_code": "",
    "solution": "print(input())\n", "style": "stdin", "tests": [{"input": "a b\n", "output": "a b\n"}],
}  # fmt: skip
PROGRAMS = {
    "double": [
        ("def f(x):\n    return 2 * x\n", "passed", 1.0),
        ("def f(x):\n    if x > 1:\n        return 2 * x\n    print('no')\n    return 0\n", "wrong_answer", -0.3),
        ("def f(x):\n    return 1 / 0\n", "runtime_error", -0.6),
        ("def f(x:\n", "compile_error", -1.0),
        ("f = lambda x: x + x", "passed", 1.0),
    ],
    "echo": [
        ("print(input())", "passed", 1.0),
        ("print('no')", "wrong_answer", -0.3),
        ("import sys\nsys.exit(3)", "runtime_error", -0.6),
        ("import sys\nsys.stdout.write(sys.stdin.read())", "passed", 1.0),
        ("print(1", "compile_error", -1.0),
    ],
}


def write_lines(file: Path, rows: list[Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def samples(count: int) -> list[dict[str, Any]]:
    """Programs for both problems in turn, each with a comment of its own."""
    rows = []
    for number in range(count):
        problem = ("double", "echo")[number % 2]
        program, _, _ = PROGRAMS[problem][number // 2 % 5]
        rows.append({"problem_id": problem, "program": f"{program}\n# {number}\n", "id": number, "model": "m"})
    return rows


def command(folder: Path, *words: str) -> list[str]:
    files = [
        "--problems",
        str(folder / "P.jsonl"),
        "--samples",
        str(folder / "S.jsonl"),
        "--out",
        str(folder / "R.jsonl"),
    ]
    return [sys.executable, "-m", "deploy", "grade", *files, "--workers", "2", *words]


def grade(folder: Path, *words: str) -> Run:
    return subprocess.run(command(folder, *words), cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)


def fresh(folder: Path, rows: list[Any]) -> Path:
    folder.mkdir(exist_ok=True)
    write_lines(folder / "P.jsonl", [DOUBLE, ECHO])
    write_lines(folder / "S.jsonl", rows)
    return folder


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
    process = subprocess.Popen(command(folder), cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
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


# -- results -----------------------------------------------------------------------------------------------------------


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
    code, said = interrupt(folder, 300, signal.SIGINT)
    assert code == 130 and "of 2,000 results are kept" in said and "Traceback" not in said
    code, said = interrupt(folder, 900, signal.SIGKILL)
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
    assert other.returncode == 2 and "executor.compare: 'strict' -> 'apps'" in other.stderr
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


def test_doctor_tells_every_level_and_what_runs_programs() -> None:
    found = {item.what: item for item in isolation(load_config(None, [], {}))}
    assert list(found) == ["programs run on", "sandbox", "level 1", "level 2", "level 3"]
    assert found["programs run on"].found.startswith(f"Python {platform.python_version()}, executed lines by ")
    for level in (1, 2, 3):
        item = found[f"level {level}"]
        assert item.found.startswith("available") if item.state == "ok" else item.advice
    best = next((level for level in (1, 2, 3) if found[f"level {level}"].state == "ok"), 4)
    assert f"isolation level {best}" in found["sandbox"].found
    for level in (2, 3):
        if found[f"level {level}"].state == "ok":
            forced = {item.what: item for item in isolation(load_config(None, ["--executor.level", str(level)], {}))}
            assert "names, sizes and dates" in forced["sandbox"].advice == found[f"level {level}"].advice
    (broken,) = isolation(load_config(None, ["--executor.python", "/no/python"], {}))
    assert broken.state == "problem" and "/no/python does not start" in broken.advice


# -- refusals ----------------------------------------------------------------------------------------------------------

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
        (_nothing, ["--problems", "starter:no"], "no such starter set; known: heldout, train"),
        (_nothing, ["--out", "S.jsonl"], "is an input"),
        (_nothing, ["--out", "no/R.jsonl"], "no directory"),
        (_nothing, ["--out", "."], "is a directory"),
        (_nothing, ["--out", "R.jsonl.gz"], "without .gz"),
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


def test_checking_a_long_file_needs_little_memory(tmp_path: Path) -> None:
    fresh(tmp_path, [])
    row = json.dumps({"problem_id": "double", "program": "# " + "x" * 500}) + "\n"
    (tmp_path / "S.jsonl").write_text(row * 50_000, encoding="utf-8")
    tests = read_tests(str(tmp_path / "P.jsonl"))
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

RECORD = {"problem_id": "echo", "verdict": "passed", "text": "x" * 100}


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
    assert pass_at_k(total, passed, k) == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_pass(total: int, data: st.DataObject) -> None:
    passed = data.draw(st.integers(0, total))
    k = data.draw(st.integers(1, total))
    subsets = list(itertools.combinations(range(total), k))
    share = sum(any(index < passed for index in subset) for subset in subsets) / len(subsets)
    assert pass_at_k(total, passed, k) == pytest.approx(share)


@pytest.mark.parametrize("k", [0, 6])
def test_pass_at_k_needs_k_samples(k: int) -> None:
    with pytest.raises(ValueError, match=f"pass@{k}"):
        pass_at_k(5, 2, k)


def test_the_summary_by_hand() -> None:
    levels = {"a": "introductory", "b": "introductory", "c": "competition", "d": "interview"}
    tally = Tally(levels, get_args(Level))
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
