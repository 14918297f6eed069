"""From a model's name to a directory: the starter model's conversion and cache, local directories, refusals."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest

from stepcoder.deploy.checks import doctor
from stepcoder.deploy.checks.footprint import STARTER_SHAPE, learner_bytes, model_shape
from stepcoder.deploy.checks.gguf import ROUND_TRIP
from stepcoder.deploy.checks.preflight import preflight
from stepcoder.deploy.checks.starter_model import GGUF_SHA256, could_be_hub_name, resolve_model
from stepcoder.deploy.checks.tokenizer import exact_model
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.run.manifest import verify
from stepcoder.errors import UserError


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The starter model made in an empty cache in which an earlier conversion was cut short, and all that was said."""
    cache = tmp_path_factory.mktemp("cache")
    broken = cache / "models" / "smollm2-135m"
    broken.mkdir(parents=True)
    (broken / "config.json").write_text("{}", encoding="utf-8")
    program = (
        "from stepcoder.deploy.checks import starter_model; from stepcoder.deploy.cli import set_up_logging\n"
        "set_up_logging(); starter_model.resolve_model('smollm2-135m')"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPCODER_CACHE", str(cache))
        said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stderr
        yield resolve_model("smollm2-135m"), said.stdout + said.stderr
    shutil.rmtree(cache)  # 270 MB that pytest would keep


def test_the_starter_model_is_converted_and_loads(converted: tuple[Path, str]) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path, said = converted
    first, second = said.splitlines()  # and nothing of a library
    assert "manifest.json is missing" in first and second.startswith("converting the starter model, once")
    assert verify(path)["source_sha256"] == GGUF_SHA256
    assert [entry.name for entry in path.parent.iterdir()] == ["smollm2-135m"]
    tokenizer = AutoTokenizer.from_pretrained(path)
    assert tokenizer.decode(tokenizer(ROUND_TRIP).input_ids) == ROUND_TRIP
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    model = AutoModelForCausalLM.from_pretrained(path)
    assert model.dtype == torch.bfloat16 and "quantization_config" not in model.config.to_dict()
    written = model.generate(**ids, max_new_tokens=12, do_sample=False)  # pyright: ignore[reportAttributeAccessIssue]
    answer = written[0, ids["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)


def test_the_cache_is_used_as_long_as_it_verifies(converted: tuple[Path, str]) -> None:
    path, _ = converted
    stamp = (path / "model.safetensors").stat().st_mtime_ns
    assert resolve_model("smollm2-135m") == path
    assert (path / "model.safetensors").stat().st_mtime_ns == stamp


def test_the_starters_shape_is_known_before_it_is_converted(converted: tuple[Path, str]) -> None:
    assert model_shape(converted[0]) == STARTER_SHAPE == model_shape("smollm2-135m")
    assert model_shape("some/model") is None


def test_a_local_directory_is_taken_as_it_is(model: Path) -> None:
    assert resolve_model(str(model)) == model
    shape = model_shape(model)
    assert shape is not None and (shape.layers, shape.hidden, shape.max_positions) == (2, 64, 1024)


@pytest.mark.parametrize(
    ("lacking", "named"),
    [("config.json", "config.json"), ("model.safetensors", "weights"), ("tokenizer.json", "tokenizer")],
)
def test_a_directory_that_is_no_model_is_refused_with_what_it_lacks(tmp_path: Path, lacking: str, named: str) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if name != lacking:
            (tmp_path / name).write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=f"not a Hugging Face model directory: it has no {named}"):
        resolve_model(str(tmp_path))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_model_whose_files_are_damaged_is_refused(model: Path, tmp_path: Path, name: str) -> None:
    damaged = shutil.copytree(model, tmp_path / "model")
    for kept in (b"", b"[1]", (model / name).read_bytes()[:200]):
        (damaged / name).write_bytes(kept)
        with pytest.raises(UserError, match=f"^model: .*{damaged}.* (is damaged|can't be read)"):
            model_shape(damaged)
            exact_model(damaged)


def test_a_run_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(UserError, match="is not a Hugging Face model directory: it has no config.json"):
        preflight(load_config(None, ["--model", str(tmp_path), "--run.directory", str(tmp_path / "run")], {}))
    assert [found.state for found in doctor.hardware(load_config(None, ["--model", str(tmp_path)], {}))]


def test_a_wrong_path_names_what_was_tried_and_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    (tmp_path / "my-model" / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"was not found.*Did you mean '.*my-model'"):
        resolve_model(str(tmp_path / "my-modle"))
    with pytest.raises(UserError, match="Did you mean 'smollm2-135m'"):
        resolve_model("smollm-135m")


def test_a_hub_name_that_cannot_be_had_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> str:
        raise ConnectionError("no network here")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", away)
    with pytest.raises(UserError, match="could not be had from the Hugging Face hub: no network here. Check the name"):
        resolve_model("nobody-at-all/no-such-model")


def test_what_may_be_a_hub_name(tmp_path: Path) -> None:
    assert could_be_hub_name("deepseek-ai/deepseek-coder-6.7b-instruct")
    for local in ("./a/b", "/a/b", "~/a", "a/b/c", "a", "", "tests/nothing"):
        assert not could_be_hub_name(local), local


def test_the_memory_estimate_counts_what_training_keeps() -> None:
    whole = learner_bytes(load_config(None, [], {}), STARTER_SHAPE)
    # Two networks of 16 bytes a parameter (weights, gradients, two moments) and a reference of 4, in the widest format
    # that `auto` may choose, are its least.
    assert whole > STARTER_SHAPE.parameters * (16 + 16 + 4)
    small = load_config(
        None, ["--learner.advantage.critic.layers", "6", "--learner.kl", "none", "--learner.token_budget", "512"], {}
    )
    assert learner_bytes(small, STARTER_SHAPE) < 0.75 * whole
    ranks = [load_config(None, ["--learner.ranks", "4", "--learner.zero_stage", str(stage)], {}) for stage in (0, 2, 3)]
    assert sorted((learner_bytes(c, STARTER_SHAPE) for c in ranks), reverse=True) == [
        learner_bytes(c, STARTER_SHAPE) for c in ranks
    ]


def test_the_pinned_source_is_what_is_installed(converted: tuple[Path, str]) -> None:
    manifest = json.loads((converted[0] / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["source"].endswith(".gguf") and set(manifest["files"]) >= {
        "model.safetensors",
        "tokenizer.json",
        "config.json",
    }
