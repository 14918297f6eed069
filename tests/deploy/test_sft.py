"""`stepcoder sft` as a user meets it: settings, mistakes, and one run to the end on a tiny model."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from stepcoder.deploy.checks.footprint import STARTER_SHAPE, learner_bytes
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.checks.problem_sets import problems
from stepcoder.deploy.cli import main
from stepcoder.deploy.config.fields import flatten
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.config.sft import SFTRunConfig, root_of
from stepcoder.deploy.run.directory import RunDirectory
from stepcoder.deploy.run.metrics import MetricsWriter, read_metrics
from stepcoder.deploy.shown.summary import evaluations
from stepcoder.deploy.training import sft as driver
from stepcoder.deploy.training.placement import placement
from stepcoder.deploy.training.sft import batch
from stepcoder.deploy.training.sft_data import prepare
from stepcoder.errors import UserError
from stepcoder.learner.config import LearnerConfig
from stepcoder.learner.sft.examples import Example
from tests.learner.test_sft import examples, make_rank
from tests.tools.patience import HANG_S
from tests.tools.tiny_model import build_tiny_model, build_tiny_tokenizer

ROOT = Path(__file__).resolve().parents[2]
STARTER = str(ROOT / "configs" / "sft-starter.yaml")
ROOMY = ("--curriculum.prompt.max_prompt_tokens", "900", "--rollout.max_model_len", "1024")


def load(*words: str) -> SFTRunConfig:
    return load_config(STARTER, words, {}, root=SFTRunConfig)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["sft", "--config", STARTER, *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_the_defaults_are_the_papers_and_those_of_a_policy_alone() -> None:
    config = SFTRunConfig()
    assert (config.sft.epochs, config.sft.batch_size, config.learner.policy.lr) == (3, 64, 2e-5)
    learner = config.policy_alone(examples=64)
    assert learner.critic is None and not learner.has_reference
    assert learner_bytes(config, STARTER_SHAPE) < 0.7 * learner_bytes(Config(), STARTER_SHAPE)


def test_lengths_in_passes_become_updates() -> None:
    config = load("--sft.epochs", "4", "--sft.batch_size", "10", "--sft.warmup_epochs", "0.5")
    assert config.updates(21) == 12  # 10 + 10 + 1 problems a pass
    assert config.policy_alone(21).policy.warmup_steps == 2  # 1.5, to even
    with pytest.raises(UserError, match="sft.warmup_epochs = 3 must be less than sft.epochs = 3"):
        load("--sft.warmup_epochs", "3")


def test_a_pass_takes_every_example_once_in_an_order_of_its_own() -> None:
    every = examples(count=7)

    def order(epoch: int, seed: int) -> list[Example]:
        return [e for step in range(3 * epoch + 1, 3 * epoch + 4) for e in batch(step, every, 3, seed)]

    assert [len(batch(step, every, 3, 0)) for step in (1, 2, 3, 4)] == [3, 3, 1, 3]
    orders = [[every.index(e) for e in order(*at)] for at in ((0, 0), (1, 0), (0, 1))]
    assert all(sorted(found) == list(range(7)) for found in orders)
    assert len({tuple(found) for found in orders}) == 3
    assert [id(e) for e in order(1, 0)] == [id(e) for e in order(1, 0)]


def test_settings_without_effect_are_refused_with_what_has_it() -> None:
    with pytest.raises(UserError) as caught:
        load(
            "--run.steps", "5", "--learner.loss.clip_low", "1", "--learner.polcy.lr", "1e-5", "--curriculum.alpha", "1"
        )
    assert str(caught.value).splitlines() == [
        "run.steps (command line) has no effect in 'stepcoder sft'; give sft.epochs.",
        "learner.loss.clip_low (command line) has no effect in 'stepcoder sft'; leave it out.",
        "unknown key learner.polcy.lr (command line). The nearest known key is learner.policy.lr.",
        "curriculum.alpha (command line) has no effect in 'stepcoder sft'; leave it out.",
    ]
    with pytest.raises(UserError, match="unknown key sft.epochs"):
        load_config(None, ["--sft.epochs", "2"], {})
    train, own = flatten(Config).keys, flatten(SFTRunConfig).keys
    for name, instead in SFTRunConfig.instead.items():
        assert name in train and name not in own and instead in own, name


def test_a_config_file_says_which_command_it_is_of(tmp_path: Path) -> None:
    assert root_of(STARTER) is SFTRunConfig
    assert root_of(Path(STARTER).with_name("starter.yaml")) is Config
    assert root_of(None) is root_of(tmp_path / "none.yaml") is Config
    written = tmp_path / "config.yaml"
    config = load("--sft.epochs", "7")
    written.write_text(yaml.safe_dump(config.settings()))
    assert root_of(written) is SFTRunConfig
    assert load_config(written, [], {}, root=SFTRunConfig) == config


def test_learner_and_engines_each_need_their_own_gpus_only() -> None:
    config = load("--learner.device", "cuda", "--learner.ranks", "4", "--rollout.engines", "2")
    assert placement(config, 4, "learner").rank_gpus == placement(config, 4, "engines").engine_gpus == 1.0
    with pytest.raises(UserError, match="need 6 GPUs"):
        placement(config, 4)
    with pytest.raises(UserError, match="4 learner ranks and 0 GPUs for engines need 4 GPUs, but there are 3"):
        placement(config, 3, "learner")


def test_help_teaches_what_counts_here_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sft", "--help", "all"])
    shown = capsys.readouterr().out
    assert "--sft.epochs" in shown and "--learner.policy.lr  number, > 0; default 2e-05" in shown
    for absent in ("--learner.advantage", "--learner.kl", "--run.steps", "--curriculum.alpha", "--subtasks_per_step"):
        assert absent not in shown
    assert all(f"--{leaf.key}" in shown and leaf.description for leaf in flatten(SFTRunConfig).leaves)


def test_mistakes_are_one_message_each(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("--run.directory", str(tmp_path / "run"))
    message = refused(capsys, "--data.train", "none.jsonl", "--run.directory", "/proc/run", "--model", "./none")
    assert [line.split(":")[1].strip() for line in message.splitlines()] == ["run.directory", "data.train", "model"]
    message = refused(capsys, "--model", str(model), *run, "--rollout.max_new_tokens", "3", *ROOMY)
    assert "data.train: 86 of 86 problems are left out, 86 too long (starter/" in message
    assert "rollout.max_new_tokens 3. Nothing is left to train on." in message
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "cal.txt").write_text("x")
    message = refused(capsys, "--model", str(model), *run, "--curriculum.prompt.templates", str(tmp_path / "templates"))
    assert "cal.txt: no template has this name" in message
    endless = build_tiny_model(tmp_path / "endless")
    tokenizer = build_tiny_tokenizer()
    tokenizer.eos_token = None
    tokenizer.save_pretrained(endless)
    assert "has no end token (eos_token)" in refused(capsys, "--model", str(endless), *run)
    assert not (tmp_path / "run").exists()


def tiny(model: Path, place: Path, *more: str) -> tuple[str, ...]:
    """Five problems in batches of two: three updates a pass."""
    return (
        "--config", STARTER, "--model", str(model), "--run.directory", str(place), *ROOMY, "--data.limit", "5",
        "--sft.epochs", "2", "--sft.batch_size", "2", "--rollout.max_new_tokens", "100", "--rollout.dtype", "float32",
        "--executor.workers", "1", "--eval.samples", "1", "--eval.train_limit", "2",
        "--learner.precision", "fp32", "--learner.policy.lr", "1e-3", *more,
    )  # fmt: skip


def step_lines(place: Path) -> dict[int, dict[str, Any]]:
    lines = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if "eval" not in line}


class HereService:
    """The learner without Ray, which would cost half a minute: one rank, in this process."""

    def __init__(self, model: str, config: LearnerConfig, *, seed: int, total_updates: int, **_: object) -> None:
        self.rank = make_rank(Path(model), config, seed, total_updates)

    def __getattr__(self, method: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def call(*arguments: Any) -> Any:
            return getattr(self.rank, method)(*arguments) if method != "build" else None

        return call

    def close(self) -> None: ...


def outcome(place: Path) -> tuple[dict[int, dict[str, Any]], dict[str, torch.Tensor]]:
    timeless = {
        step: {key: value for key, value in line.items() if "seconds" not in key and "per_s" not in key}
        for step, line in step_lines(place).items()
    }
    return timeless, load_file(place / "checkpoints" / "step-00000006" / "policy" / "model.safetensors")


def test_a_run_killed_at_any_step_ends_as_if_it_had_not_been(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "SFTService", HereService)
    monkeypatch.setattr(driver, "gpus", lambda: 0)
    monkeypatch.setattr(driver, "join_cluster", lambda config: None)
    monkeypatch.setattr(driver.ray, "shutdown", lambda: None)  # the session's goes on
    write = MetricsWriter.write

    def go(place: Path, killed_at: tuple[int, ...] = ()) -> RunDirectory:
        """A run; beside it what would be left, were it killed after one of these steps."""

        def write_and_keep(self: MetricsWriter, step: int, metrics: Any) -> None:
            write(self, step, metrics)
            if step in killed_at:
                shutil.copytree(place, place.with_name(f"killed-{step}"))

        monkeypatch.setattr(MetricsWriter, "write", write_and_keep)
        words = tiny(model, place, "--eval.at_start", "false", "--eval.at_end", "false", "--run.checkpoint_every", "1")
        config = load_config(STARTER, words[2:], {}, root=SFTRunConfig)
        ready = Ready(model, *problems(config))
        data = prepare(config, ready)
        with RunDirectory.open(config, steps=config.updates(len(data.train))) as run:
            if not run.finished:
                driver.fine_tune(config, run, ready, data)
            return run

    # the checkpoints gone on from: none, after the first step, at the end of a pass, before the last step
    killed_at = (1, 2, 4, 6)
    go(tmp_path / "straight", killed_at)
    expected, weights = outcome(tmp_path / "straight")
    assert sorted(expected) == [0, 1, 2, 3, 4, 5, 6]
    assert [step for step, line in expected.items() if "sft/validation_loss" in line] == [0, 3, 6]
    for last in killed_at:
        assert go(tmp_path / f"killed-{last}").resumed_step == last - 1
        found, resumed = outcome(tmp_path / f"killed-{last}")
        assert found == expected, last
        assert all(torch.equal(resumed[name], tensor) for name, tensor in weights.items()), last
    assert go(tmp_path / "straight").messages == ["all 6 steps are done; raise sft.epochs to go on"]

    async def full(self: HereService, directory: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(HereService, "save", full, raising=False)
    with pytest.raises(UserError, match="checkpoint of step 1 can't be written: .*No space left"):
        go(tmp_path / "full")
    assert list((tmp_path / "full" / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("engine", ["transformers", pytest.param("vllm", marks=pytest.mark.exhaustive)])
def test_a_run_from_the_first_pass_rate_to_the_last(engine: str, model: Path, tmp_path: Path) -> None:
    """Real Ray, DeepSpeed, engine and sandbox."""
    place = tmp_path / "run"
    command = [sys.executable, "-m", "stepcoder", "sft", *tiny(model, place, "--rollout.engine", engine)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert result.returncode == 0, result.stderr
    for told in ("5 prompts to train on: 6 updates", "evaluation after step 0", "step 6/6", "held-out loss"):
        assert told in result.stderr
    assert "difference" in result.stdout and "step-00000006/policy" in result.stdout
    assert (place / "learning_curve.png").stat().st_size > 10_000
    steps = step_lines(place)
    assert steps[6]["sft/validation_loss"] < steps[0]["sft/validation_loss"] and steps[6]["sft/epoch"] == 2
    assert [step for step, _ in evaluations(read_metrics(place / "metrics.jsonl"))["heldout"]] == [0, 6]
    assert json.loads((place / "report.json").read_text())["splits"]["train"]["difference"]

    # what follows takes the result: the RL command, and the other commands that read a run
    policy = ("--model", str(place / "checkpoints" / "step-00000006" / "policy"))
    rl = ("--config", str(Path(STARTER).with_name("starter.yaml")), "--run.directory", str(tmp_path / "rl"))
    assert main(["train", *rl, *policy, "--check"]) == 0
    assert main(["export", "--run", str(place), "--out", str(tmp_path / "exported")]) == 0
