"""Problems without a solution: converted, checked, refined, and given one by `stepcoder data solve`."""

from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from stepcoder.curriculum.config import CurriculumConfig
from stepcoder.curriculum.problems.load import load_problems
from stepcoder.curriculum.service.curriculum import Curriculum
from stepcoder.deploy.cli import main
from tests.tools.data_sets import APPS, DOUBLE, ECHO, lines, write_lines

OPEN = DOUBLE | {"id": "open", "solution": ""}
NEVER = ECHO | {"id": "never", "solution": ""}
PROGRAMS = [
    "def f(x):\n    return x + x  # much longer than need be\n",
    "def f(x):\n    return x * 3\n",
    "def f(x): return 2 * x\n",
    "def f(x): return x\n",
    "def f(x: return\n",
    "",
]


def test_conversion_and_check_count_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write_lines(tmp_path / "rows.jsonl", APPS, APPS | {"problem_id": 8, "solutions": ""})
    out = str(tmp_path / "out.jsonl")
    assert main(["data", "convert", "--from", "apps", str(rows), out]) == 0
    said = capsys.readouterr().out
    assert "1 problem has no solution: full generation only" in said
    assert [bool(problem.solution) for problem in load_problems(out)] == [True, False]
    assert main(["data", "check", out]) == 0
    assert "2 problems are sound" in capsys.readouterr().out
    assert main(["data", "refine", out, str(tmp_path / "kept.jsonl")]) == 2
    refused = {line["reason"] for line in lines(tmp_path / "kept.jsonl.rejected.jsonl")}
    assert "no_solution" in refused and "data solve" in capsys.readouterr().out


def test_refinement_keeps_them_on_request_and_knows_copies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(write_lines(tmp_path / "rows.jsonl", DOUBLE, OPEN, NEVER, NEVER | {"id": "again"}))
    report = tmp_path / "report.html"
    words = ["data", "refine", source, str(tmp_path / "kept.jsonl")]
    assert main(words) == 0
    assert [line["id"] for line in lines(tmp_path / "kept.jsonl")] == ["double"]
    assert main([*words, "--keep-unsolved", "--report", str(report)]) == 0
    assert [line["id"] for line in lines(tmp_path / "kept.jsonl")] == ["double", "never"]
    assert [line["id"] for line in lines(tmp_path / "kept.jsonl.rejected.jsonl")] == ["open", "again"]
    assert "1 of them without a solution" in capsys.readouterr().out and report.stat().st_size


def test_the_curriculum_draws_them_at_full_generation(tmp_path: Path) -> None:
    problems = load_problems(write_lines(tmp_path / "rows.jsonl", DOUBLE, OPEN))
    curriculum = Curriculum(problems, CurriculumConfig(), seed=0)
    drawn = curriculum.next(4)
    assert {task.stage for task in drawn if task.problem.id == "open"} == {0}
    assert {task.prefix for task in drawn if task.problem.id == "open"} == {""}
    assert curriculum.metrics()["curriculum/unsolved_problems"] == 1.0


def test_the_shortest_program_that_passes_becomes_the_solution(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_lines(tmp_path / "rows.jsonl", DOUBLE, OPEN, NEVER)
    answer = f"So:\n```python\n{PROGRAMS[2]}```\nThis doubles it."  # of a chat, as `grade` takes them
    texts = (*PROGRAMS[:2], answer, *PROGRAMS[3:], PROGRAMS[0])
    samples = [{"problem_id": "open", "program": program} for program in texts]
    file = write_lines(tmp_path / "samples.jsonl", *samples, {"problem_id": "never", "program": "print(1)"})
    out = tmp_path / "out.jsonl"
    assert main(["data", "solve", str(source), str(out), "--samples", str(file)]) == 0
    assert [line["solution"] for line in lines(out)] == [DOUBLE["solution"], PROGRAMS[2], ""]
    said = capsys.readouterr().out
    assert "1 of 2 problems without a solution have one now" in said
    assert "2 texts for them are no Python, and were left out" in said
    folder = tmp_path / "trajectories"
    folder.mkdir()
    rows = [{"problem_id": "open", "program": PROGRAMS[n], "verdict": verdict, "prompt_ids": [1]}
            for n, verdict in ((0, "passed"), (1, "passed"), (2, "wrong_answer"))]  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "step-00000001.parquet")
    assert main(["data", "solve", str(source), str(out), "--samples", str(folder), "--force"]) == 0
    assert [line["solution"] for line in lines(out)][1] == PROGRAMS[0]


def test_mistakes_are_told_before_a_sandbox_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("stepcoder.curriculum.data.solve.LocalPool", lambda _: pytest.fail("made already"))
    source = str(write_lines(tmp_path / "rows.jsonl", OPEN))
    out = str(tmp_path / "out.jsonl")
    unknown = write_lines(tmp_path / "unknown.jsonl", {"problem_id": "opn", "program": "x"})
    table = tmp_path / "other.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"]}), table)
    for samples, told in (
        (unknown, "did you mean 'open'"),
        (table, "these are no trajectories"),
        ("x", "no such file"),
    ):
        assert main(["data", "solve", source, out, "--samples", str(samples)]) == 2
        assert told in capsys.readouterr().err
    assert not Path(out).exists()
