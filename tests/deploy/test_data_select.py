"""`stepcoder data select`: what is tried, what is refused, what is written."""

import json
from pathlib import Path

import pytest

from stepcoder.curriculum.data.select import Rates
from stepcoder.curriculum.problems.load import load_problems
from stepcoder.curriculum.stages.courses import courses
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.cli import main
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.training import probing
from tests.tools.loop import write_config


def test_every_stage_that_fits_is_tried_once(model: Path) -> None:
    problems = load_problems("starter:train")[:5]
    wide = Config.model_validate(
        {"curriculum": {"prompt": {"max_prompt_tokens": 2000}}, "rollout": {"max_model_len": 4000}}
    )
    found = probing.stages(wide, problems, str(model))
    assert [(s.problem.id, s.stage, s.prefix) for s in found] == [
        (problem.id, course.stage, course.prefix) for problem in problems for course in courses(problem)
    ]
    assert [subtask.ticket for subtask in found] == list(range(len(found)))


def test_what_is_kept_and_every_rate_are_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The engine's part is replaced, since a tiny random model passes nothing: the real one is seen in use."""
    tried = []

    def probe(config: Config, ready: Ready, samples: int) -> dict[str, Rates]:
        tried.append((config.data.heldout, samples))
        every = {problem.id: {0: (0, samples), 1: (samples, samples)} for problem in ready.train}
        return {**every, ready.train[0].id: {0: (samples, samples)}}

    monkeypatch.setattr(probing, "probe", probe)
    config, out, rates = write_config(tmp_path, model, "run"), tmp_path / "out.jsonl", tmp_path / "rates.jsonl"
    words = ["data", "select", "starter:train", str(out), "--config", str(config), "--samples", "4"]
    assert main([*words, "--rates", str(rates)]) == 0
    problems = load_problems("starter:train")[:6]
    assert load_problems(str(out)) == problems[1:] and tried == [((), 4)]
    lines = [json.loads(line) for line in rates.read_text().splitlines()]
    assert lines[0] == {"problem_id": problems[0].id, "stage": 0, "passed": 4, "total": 4} and len(lines) == 11
    printed = capsys.readouterr().out
    assert "0, full generation" in printed and "5 of 6 problems" in printed
    assert main(words) == 2
    assert "exists; give another file, or --force" in capsys.readouterr().err
    words[3], none = str(tmp_path / "none.jsonl"), tmp_path / "none.rates.jsonl"
    assert main([*words, "--full", "0", "--last", "1", "--rates", str(none), "--data.limit", "1"]) == 2
    assert "starter:train: none of its 1 problem is kept" in capsys.readouterr().err
    assert none.read_text() and not Path(words[3]).exists()


@pytest.mark.parametrize("words", [["--samples", "0"], ["--full", "1.5"], ["--last", "-1"]])
def test_impossible_numbers_are_refused(
    words: list[str], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, model, "run")
    out = str(tmp_path / "out.jsonl")
    assert main(["data", "select", "starter:train", out, "--config", str(config), *words]) == 2
    assert "--full and --last are shares" in capsys.readouterr().err
