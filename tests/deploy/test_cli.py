"""The command as a user meets it: each mistake one clear message and exit code 2, no traceback, nothing started."""

import contextlib
import io
import json
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from stepcoder.deploy.checks.formats import settle
from stepcoder.deploy.checks.preflight import check_architecture
from stepcoder.deploy.cli import TAKES_SETTINGS, main, parser
from stepcoder.deploy.config.fields import flatten
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.run.checkpoint import CheckpointWriter
from stepcoder.deploy.run.directory import RunDirectory
from stepcoder.deploy.run.metrics import MetricsWriter
from stepcoder.deploy.shown.summary import evaluation
from stepcoder.errors import UserError
from tests.tools.patience import HANG_S

ROOT = Path(__file__).resolve().parents[2]
STARTER = ["--config", "configs/starter.yaml"]


@dataclass(frozen=True)
class Said:
    returncode: int
    stdout: str
    stderr: str


def stepcoder(*arguments: str) -> Said:
    """The command in this process, which has imported the large libraries already; a traceback is raised here."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as ended:  # the parser of the command line
            code = ended.code
    return Said(int(code or 0), out.getvalue(), err.getvalue())


def in_a_process(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=HANG_S, check=False
    )


def refused(*arguments: str) -> str:
    """What the command says that refuses something, before it starts a service."""
    result = stepcoder(*arguments)
    assert result.returncode == 2, result.stderr
    assert "starting" not in result.stderr
    assert "Traceback" not in result.stderr and result.stdout == ""
    return result.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A run directory with checkpoints of steps 4 and 8."""
    folder = tmp_path_factory.mktemp("run")
    for step in (4, 8):
        with CheckpointWriter(folder / "checkpoints", step) as writer:
            shutil.copytree(model, writer.path / "policy")
            writer.write_state({"step": step})
    lines = [{"step": 4, "reward/mean": 0.5}, {"step": 4, "eval": {"heldout": {"pass_rate": 0.3}}}]
    lines += [{"step": 8, "reward/mean": 0.6}, {"step": 8, "eval": {"heldout": {"pass_rate": 0.2}}}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def test_version() -> None:
    assert in_a_process("stepcoder", "--version").stdout.startswith("stepcoder ")


def test_python_m_deploy_train_is_the_same_command() -> None:
    result = in_a_process("deploy.train", *STARTER, "--run.stepz", "3")
    assert result.returncode == 2
    assert result.stderr == "stepcoder: unknown key run.stepz (command line). The nearest known key is run.steps.\n"


def test_check_prints_the_resolved_settings_and_leaves_nothing(model: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    result = stepcoder("train", *STARTER, "--check", "--model", str(model), "--run.directory", str(place))
    assert result.returncode == 0, result.stderr
    (tmp_path / "resolved.yaml").write_text(result.stdout, encoding="utf-8")
    again = load_config(tmp_path / "resolved.yaml", [], {})
    words = ["--model", str(model), "--run.directory", str(place)]
    assert again == settle(load_config(ROOT / "configs/starter.yaml", words, {}))[0]
    assert "auto" not in (again.rollout.dtype, again.learner.precision)
    assert not place.exists()


@pytest.mark.parametrize("file", [None, "configs/starter.yaml"])
def test_a_run_says_first_what_it_trains_and_without_a_file_that_defaults_run(model: Path, file: str | None) -> None:
    words = ["--model", str(model), "--data.levels", "introductory", "--data.limit", "1", "--run.steps", "1"]
    words += (
        [] if file else ["--subtasks_per_step", "2", "--rollout.max_model_len", "1000", "--rollout.max_new_tokens=9"]
    )
    told = stepcoder("train", "--check", *words, *(["--config", file] if file else [])).stderr
    assert f"{model} on 1 problem, 1 held out; 1 step of " in told
    assert ("without --config" in told and "configs/starter.yaml" in told) == (file is None)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["trian"], "Did you mean train?"),
        (["data", "chek", "x"], "Did you mean check?"),
        (["train", *STARTER, "--algorithm", "GRPO"], "Did you mean grpo?"),
        (["train", "--config", "configs/sft-starter.yaml"], "sft is for 'stepcoder sft'"),
        (["train", "--config", "configs/study-starter.yaml"], "arms is for 'stepcoder study'"),
        (["sft", "--config", "configs/study-starter.yaml"], "arms is for 'stepcoder study'"),
        (["study", "configs/starter.yaml"], "'stepcoder train --config configs/starter.yaml'"),
        (["train", "configs/starter.yaml"], "a file is given as --config FILE"),
        (["train", "--config", "starter.yaml"], "Did you mean configs/starter.yaml?"),
        (["train", "--chek"], "there is no option --chek. Did you mean --check?"),
        (["eval", "--stp", "9"], "there is no option --stp. Did you mean --step?"),
        (["study", "show", "runs/study", "--jobs", "3"], "--jobs is for 'stepcoder study FILE'"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_what_was_meant(words: list[str], told: str) -> None:
    *usage, line = refused(*words).splitlines()
    assert told in line and len([part for part in usage if not part.startswith(" ")]) <= 1


@pytest.mark.parametrize("command", TAKES_SETTINGS)
def test_no_setting_is_taken_for_an_option(command: str) -> None:
    needed = {"grade": ["--problems=p", "--samples=s", "--out=o"], "data": ["solve", "p", "o", "--samples=s"]}
    flags = [f"--{key}=1" for key in flatten(Config).keys if "." not in key]
    assert "--model=1" in flags and parser().parse_known_args([command, *needed.get(command, []), *flags])[1] == flags


def test_a_wrong_model_path_is_refused() -> None:
    assert "model: './no-such-model' was not found" in refused("train", *STARTER, "--model", "./no-such-model")


def test_a_missing_data_file_is_refused() -> None:
    assert "data.train: no-such.jsonl" in refused("train", *STARTER, "--data.train", "no-such.jsonl")


def test_a_broken_line_is_refused_with_file_line_and_field(tmp_path: Path) -> None:
    good = (ROOT / "curriculum/starter/train.jsonl").read_text(encoding="utf-8").splitlines()[:3]
    bad = json.loads(good[2]) | {"level": "hard"}
    file = tmp_path / "mine.jsonl"
    file.write_text("\n".join([*good[:2], json.dumps(bad)]) + "\n", encoding="utf-8")
    message = refused("train", *STARTER, "--data.train", str(file))
    assert "mine.jsonl, line 3" in message and "level" in message


def test_a_held_out_problem_that_is_trained_on_is_refused() -> None:
    assert "also in data.train" in refused("train", *STARTER, "--data.heldout", "starter:train")


def test_weights_that_leave_no_level_to_draw_from_are_refused() -> None:
    weights = ["--curriculum.sampling", "level", "--curriculum.sampling.interview", "0"]
    assert "curriculum.sampling: the weights are 0 for every level that the problems have (interview)" in refused(
        "train", *STARTER, "--data.levels", "[interview]", *weights
    )


def test_an_unwritable_run_directory_is_refused() -> None:
    assert "run.directory: can't write to /proc/run" in refused("train", *STARTER, "--run.directory", "/proc/run")


def test_a_port_in_use_is_refused() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        message = refused("train", *STARTER, "--ray.dashboard", "--ray.dashboard_port", port)
    assert f"port {port} on 127.0.0.1 is in use" in message


def test_a_cluster_that_does_not_answer_is_refused() -> None:
    assert "no Ray cluster answers" in refused("train", *STARTER, "--ray.address", "127.0.0.1:1")


def test_too_little_memory_is_refused_with_the_parts_of_the_estimate() -> None:
    message = refused("train", *STARTER, "--rollout.kv_cache_gib", "100000")
    assert "GiB with these settings (learner" in message and "are free" in message


def test_gpus_that_are_not_there_are_refused() -> None:
    message = refused("train", *STARTER, "--learner.device", "cuda", "--rollout.engines", "4096")
    assert "need 4,097 GPUs" in message


def test_a_model_shorter_than_the_run_is_refused(model: Path) -> None:
    message = refused("train", *STARTER, "--model", str(model), "--rollout.max_model_len", "100000")
    assert "more than the 1024 tokens" in message


def test_a_model_that_packed_rows_do_not_fit_is_refused(model: Path, tmp_path: Path) -> None:
    other = shutil.copytree(model, tmp_path / "model")
    settings = json.loads((other / "config.json").read_text(encoding="utf-8"))
    settings |= {"model_type": "mistral", "sliding_window": 256}
    (other / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    message = refused("train", *STARTER, "--model", str(other))  # transformers reads the configuration
    assert "it sees 256 tokens (sliding_window)" in message and "lower rollout.max_model_len" in message


def test_a_model_of_another_architecture_is_refused(model: Path, tmp_path: Path) -> None:
    config = load_config(ROOT / "configs/starter.yaml", [], {})
    check_architecture(config, model)
    for kind, reason in (("mamba2", "a mamba2 model is not known"), ("t5", "encoder-decoder"), ("x", "`x`")):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
        with pytest.raises(UserError, match=reason):
            check_architecture(config, tmp_path)


def test_all_faults_are_told_at_once_and_no_library_says_anything_beside_them() -> None:
    words = ["--model", "./nothing", "--data.train", "nothing.jsonl", "--run.directory", "/proc/run"]
    result = in_a_process("stepcoder", "train", *STARTER, *words)
    assert result.returncode == 2 and result.stdout == "" and len(result.stderr.splitlines()) == 3, result.stderr


def test_a_finished_run_shows_its_result_and_starts_nothing(model: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    words = ["--model", str(model), "--run.directory", str(place), "--run.steps", "3"]
    with (
        RunDirectory.open(settle(load_config(ROOT / "configs/starter.yaml", words, {}))[0]) as run,
        MetricsWriter(place) as metrics,
    ):
        for step, passed in ((0, 1), (3, 3)):
            metrics.write_evaluation(
                step, {"train": evaluation({"a": [passed, 4], "b": [passed, 4]}, dict.fromkeys("ab", "x"))}
            )
        with CheckpointWriter(run.checkpoints, 3) as writer:
            writer.write_state({})
    result = stepcoder("train", *STARTER, *words)
    assert result.returncode == 0, result.stderr
    assert "all 3 steps are done" in result.stderr
    assert "25.0 %" in result.stdout and "75.0 %" in result.stdout and "+50.0 points" in result.stdout
    assert (place / "learning_curve.png").stat().st_size > 10_000
    report = json.loads((place / "report.json").read_text(encoding="utf-8"))
    assert report["splits"]["train"]["difference"]["mean"] == 0.5


def test_a_run_with_other_settings_is_refused(model: Path, run: Path) -> None:
    words = ["--model", str(model), "--run.directory", str(run), "--rollout.group_size", "6"]
    begun = stepcoder("train", *STARTER, *words, "--run.directory", f"{run}-1", "--check").stdout
    (run / "config.yaml").write_text(begun, encoding="utf-8")
    for more in ([], ["--check", "--model", "./no-such-model"], ["--resume", str(run), "--run.directory", f"{run}-2"]):
        message = refused("train", *STARTER, *words, "--rollout.group_size", "4", *more)
        assert "holds a run with other settings:\n" in message and "  rollout.group_size: 6 -> 4\n" in message
    assert not Path(f"{run}-2").exists()


def test_resuming_from_where_no_run_is_is_refused_before_the_model_is_looked_for() -> None:
    message = refused("train", *STARTER, "--model", "./no-such-model", "--resume", "no-such-run")
    assert "--resume no-such-run" in message and "there is no run with a checkpoint there" in message


def test_export_writes_a_directory_that_loads(run: Path, model: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    result = stepcoder("export", "--run", str(run), "--out", str(tmp_path / "plain"))
    assert result.returncode == 0 and "after 8 steps" in result.stdout
    half = stepcoder("export", "--run", str(run), "--step", "4", "--dtype", "float16", "--out", str(tmp_path / "half"))
    assert half.returncode == 0, half.stderr
    original = AutoModelForCausalLM.from_pretrained(model).state_dict()
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "plain").state_dict()
    assert all(torch.equal(original[name], plain[name]) for name in original)
    cast = AutoModelForCausalLM.from_pretrained(tmp_path / "half")
    assert cast.dtype == torch.float16
    assert all(torch.equal(original[name].half(), tensor) for name, tensor in cast.state_dict().items())
    assert AutoTokenizer.from_pretrained(tmp_path / "half").decode([5]) == AutoTokenizer.from_pretrained(model).decode(
        [5]
    )


def test_export_takes_the_best_checkpoint_by_the_named_metric(run: Path, tmp_path: Path) -> None:
    for arguments, step in (([], 4), (["reward/mean"], 8)):
        result = stepcoder("export", "--run", str(run), "--best", *arguments, "--out", str(tmp_path / f"best-{step}"))
        assert result.returncode == 0 and f"after {step} steps" in result.stdout
    said = refused("export", "--run", str(run), "--best", "eval/train/pass_rate", "--out", str(tmp_path / "x"))
    assert "no checkpoint of" in said and "steps 4, 8" in said and "eval.every" in said


def test_export_refuses_what_it_cannot_do(run: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("", encoding="utf-8")
    assert "not an empty directory" in refused("export", "--run", str(run), "--out", str(tmp_path / "full"))
    assert "checkpoints of steps 4, 8" in refused(
        "export", "--run", str(run), "--step", "5", "--out", str(tmp_path / "x")
    )
    assert "no run with a checkpoint" in refused("export", "--run", str(tmp_path), "--out", str(tmp_path / "x"))


def test_doctor_names_each_fault_and_what_to_do(model: Path) -> None:
    good = stepcoder("doctor", *STARTER, "--model", str(model))
    assert good.returncode == 0, good.stdout + good.stderr
    for word in (
        "cores",
        "memory",
        "GPUs",
        "sandbox",
        "isolation level",
        "torch",
        "vllm",
        "deepspeed",
        "ray",
        "problems",
    ):
        assert word in good.stdout
    assert "the run will take" in good.stdout
    assert good.stdout.rstrip().endswith(f"Ready: stepcoder train --config configs/starter.yaml --model {model}")
    bad = stepcoder("doctor", *STARTER, "--model", "./nothing", "--data.train", "nothing.jsonl")
    assert bad.returncode == 1
    assert "Not ready to train: model, problems." in bad.stdout
