"""Sets of an evaluation, pass@k, and the file of every program."""

import errno
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from stepcoder.deploy.checks.best_metric import check_best_metric
from stepcoder.deploy.checks.problem_sets import problems
from stepcoder.deploy.checks.prompts import check_prompts
from stepcoder.deploy.cli import main
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.run.programs import programs_file, write_programs
from stepcoder.deploy.run.settings import best_metric
from stepcoder.deploy.shown.summary import evaluation
from stepcoder.errors import UserError
from stepcoder.executor.grading.files import read_samples
from stepcoder.executor.grading.summary import pass_at_k
from tests.deploy.test_runs import written
from tests.tools.learner import make_groups

SETS = "{first: starter:heldout, second: [starter:train]}"


def test_held_out_sets_have_names_or_are_one(tmp_path: Path) -> None:
    assert load_config(None, [], {}).data.heldout_sets == {"heldout": ("starter:heldout",)}
    assert load_config(None, ["--data.heldout", "a.jsonl,b.jsonl"], {}).data.heldout_sets == {
        "heldout": ("a.jsonl", "b.jsonl")
    }
    assert load_config(None, ["--data.heldout", "[]"], {}).data.heldout_sets == {}
    named = {"first": ("starter:heldout",), "second": ("starter:train",)}
    assert load_config(None, ["--data.heldout", SETS], {}).data.heldout_sets == named
    file = tmp_path / "sets.yaml"
    file.write_text(f"data:\n  heldout: {SETS}\nray:\n  env_vars: {{A: b}}\n")
    config = load_config(file, [], {})
    assert config.data.heldout_sets == named
    # what a run keeps of it is read again as it was
    kept = tmp_path / "kept.yaml"
    kept.write_text(json.dumps(config.settings()))
    assert load_config(kept, [], {}, kept=True) == config


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["--data.heldout", "{train: a.jsonl}"], "train is what the training problems are called"),
        (["--data.heldout", "{a/b: a.jsonl}"], "data.heldout = .*the name 'a/b' has more than letters"),
        (["--data.heldout", "{a: a.jsonl, b: []}"], "data.heldout = .*the set b has no file"),
        (["--eval.samples", "4", "--eval.k", "1,5"], "eval.k = 5 is more than eval.samples = 4"),
        (["--eval.temperature", "0"], "Set eval.samples to 1"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(settings: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_config(None, settings, {})


def test_problems_are_read_by_set_and_none_may_be_trained_on_too() -> None:
    config = load_config(None, ["--data.heldout", "{a: starter:heldout, b: starter:heldout}", "--data.limit", "3"], {})
    found = problems(config)
    assert [(name, len(of)) for name, of in found.heldout.items()] == [("a", 3), ("b", 3)] and len(found.train) == 3
    with pytest.raises(UserError, match="also in data.train"):
        problems(load_config(None, ["--data.heldout", SETS], {}))
    with pytest.raises(UserError, match="data.heldout.b: nowhere.jsonl: no such file"):
        problems(load_config(None, ["--data.heldout", "{b: nowhere.jsonl}"], {}))


def test_the_best_checkpoint_goes_by_the_first_set() -> None:
    def metric(*settings: str) -> str:
        return best_metric(load_config(None, settings, {}).settings())

    assert metric() == "eval/heldout/pass_rate"
    assert metric("--data.heldout", SETS) == "eval/first/pass_rate"
    assert metric("--data.heldout", SETS, "--run.best_metric", "eval/second/pass_rate") == "eval/second/pass_rate"


def test_a_best_checkpoint_by_a_set_that_is_not_there_is_refused() -> None:
    for metric in ("eval/heldout/pass_rate", "eval/second/pass_rate", "eval/train/pass_rate", "reward/mean"):
        check_best_metric(load_config(None, ["--data.heldout", SETS, "--run.best_metric", metric], {}))
    with pytest.raises(UserError, match="run.best_metric = eval/mbpp/.*'mbpp'; there are train, first, second"):
        check_best_metric(load_config(None, ["--data.heldout", SETS, "--run.best_metric", "eval/mbpp/pass_rate"], {}))


@pytest.mark.parametrize(
    ("metric", "near"),
    [
        ("nonsense", "eval/second/pass_rate"), ("reward/maen", "reward/mean"), ("eval/first/pass_rte", "eval/first"),
        ("eval/first/pass_at_k/9", "eval/first/pass_at_k/1"), ("eval/first/greedy/pass_rate", "eval/first/pass_rate"),
        ("verdict/pased", "verdict/passed"), ("pass_rate/fulll", "pass_rate/full"),
    ],
)  # fmt: skip
def test_a_best_checkpoint_by_what_no_run_measures_is_refused_with_what_is_near(metric: str, near: str) -> None:
    config = load_config(None, ["--data.heldout", SETS, "--run.best_metric", metric], {})
    with pytest.raises(UserError, match=f"run.best_metric = {metric}: no step and no evaluation has it; near.*{near}"):
        check_best_metric(config)


def test_pass_at_k_is_the_mean_over_problems() -> None:
    # of 4: none, 1 and 2 pass. k = 1: 0, 1/4, 2/4; k = 2: 0, 1 - 3/6, 1 - 1/6; k = 4: 0, 1, 1
    counts = {"a": (0, 4), "b": (1, 4), "c": (2, 4)}
    found = evaluation(counts, dict.fromkeys("abc", "x"), (1, 2, 4))
    assert found["pass_at_k"] == pytest.approx({"1": 1 / 4, "2": 4 / 9, "4": 2 / 3})
    assert found["pass_at_k"]["1"] == pytest.approx(found["pass_rate"])
    spread = np.std([0, 1, 1], ddof=1) / 3**0.5
    assert found["pass_at_k_stderr"]["4"] == pytest.approx(spread)
    assert "pass_at_k" not in evaluation(counts, dict.fromkeys("abc", "x"))


@pytest.mark.parametrize("k", [1, 5, 10])
def test_pass_at_k_is_the_published_product(k: int) -> None:
    # 1 - prod over i from n - c + 1 to n of (1 - k / i), Chen et al. 2021, figure 3; 1 where fewer than k fail
    for passed in range(11):
        product = np.prod([1 - k / i for i in range(10 - passed + 1, 11)]) if 10 - passed >= k else 0.0
        assert pass_at_k(10, passed, k) == pytest.approx(1 - product, abs=2e-16)


def test_every_program_is_a_line_that_grading_reads(tmp_path: Path) -> None:
    groups = make_groups(groups=2, completions=2)
    file = programs_file(tmp_path, 7)
    heads = [{"set": "mbpp", "greedy": False}, {"set": "mine", "greedy": True}]
    write_programs(str(file), heads, *groups)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert file.relative_to(tmp_path) == Path("evaluations/step-00000007.jsonl") and len(lines) == 4
    assert [(line["set"], line["greedy"], line["problem_id"], line["sample"]) for line in lines] == [
        ("mbpp", False, "p0", 0), ("mbpp", False, "p0", 1), ("mine", True, "p1", 0), ("mine", True, "p1", 1),
    ]  # fmt: skip
    assert lines[0]["tokens"] == len(groups[0][0].response_ids) and lines[0]["verdict"] == "passed"
    assert len(list(read_samples(file, {"p0", "p1"}, hashlib.sha256()))) == 4


@pytest.mark.parametrize("option", ["--out", "--programs"])
def test_a_file_that_cannot_be_written_is_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert main(["eval", "--model", str(tmp_path), option, str(tmp_path / "none" / "p.jsonl")]) == 2
    assert f"{option}: there is no directory" in capsys.readouterr().err
    assert main(["eval", "--model", str(tmp_path), option, str(tmp_path)]) == 2
    assert f"{option}: {tmp_path} is a directory" in capsys.readouterr().err


def test_what_would_be_lost_or_is_nothing_is_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both, nothing = str(tmp_path / "both"), ("--data.heldout", "[]", "--eval.train_limit", "0")
    written(tmp_path / "run", 10)
    for words, said in (
        (("--out", both, "--programs", both), f"--programs: {both} is what --out names"),
        (nothing, "there is nothing to evaluate"),
        (("--run", str(tmp_path / "run"), "--model=other"), "--run and --model are two models"),
    ):
        assert main(["eval", *words]) == 2
        assert said in capsys.readouterr().err


def test_the_result_is_shown_also_where_the_disk_is_full(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    result = {"mine": evaluation({"a": (1, 4)}, {"a": "interview"})}
    monkeypatch.setattr("stepcoder.deploy.training.evaluation.evaluate", lambda *_: result)
    monkeypatch.setattr("stepcoder.files.os.fsync", full)
    words = ("--rollout.max_model_len", "512", "--rollout.max_new_tokens", "8", "--curriculum.prompt.max_prompt_tokens")
    assert main(["eval", "--model", str(model), "--out", str(tmp_path / "out"), *words, "400"]) == 2
    shown = capsys.readouterr()
    assert "25.0 %" in shown.out and not list(tmp_path.iterdir())
    said = f"No space left on device: '{tmp_path / 'out'}'. Make room there and give the same command again.\n"
    assert shown.err.endswith(said)


def test_sets_of_which_no_prompt_is_short_enough_are_refused_before_anything_starts(model: Path) -> None:
    sets = ("--data.heldout", "{mine: starter:heldout}", "--curriculum.prompt.max_prompt_tokens", "16")
    found = problems(load_config(None, sets, {}))
    with pytest.raises(UserError) as caught:
        check_prompts(load_config(None, sets, {}), model, found, trains=True)
    first, second = str(caught.value).splitlines()
    assert first.startswith("data.train: no prompt is short enough: the shortest of ")
    assert second.startswith("data.heldout.mine: no prompt is short enough: the shortest of ")
    assert "max_prompt_tokens is 16. Raise it" in second
    with pytest.raises(UserError) as caught:
        check_prompts(load_config(None, (*sets, "--eval.train_limit", "0"), {}), model, found, trains=False)
    assert str(caught.value) == second
    enough = load_config(None, (*sets[:3], second.split(" tokens,")[0].split()[-1]), {})
    assert check_prompts(enough, model, found._replace(train=found.heldout["mine"]), trains=True) is None


def test_an_evaluation_without_a_problem_is_told(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepcoder.deploy.training.evaluation.evaluate", lambda *_: {})
    monkeypatch.setattr("stepcoder.deploy.checks.preflight.preflight", lambda *_, **__: None)
    assert main(["eval", "--model", str(model)]) == 2
    shown = capsys.readouterr()
    assert "nothing was evaluated" in shown.err and not shown.out
