"""A tokenizer that loses white space is replaced by one that reads its own file, or the run is refused."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import AutoTokenizer

from stepcoder.curriculum.problems.load import load_problems
from stepcoder.deploy.checks.preflight import preflight
from stepcoder.deploy.checks.tokenizer import Model, exact_model, first_difference, repaired_copy
from stepcoder.deploy.config.run import Config
from stepcoder.errors import UserError
from stepcoder.paths import local
from tests.tools.tiny_model import build_tiny_model

PROGRAM = "def f(a, b):\n    return a  # é\n"


@pytest.fixture
def misread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A byte-level tokenizer that its configuration has read by Llama's class, as DeepSeek's models have it."""
    monkeypatch.setenv("STEPCODER_CACHE", str(tmp_path / "cache"))
    model = build_tiny_model(tmp_path / "model")
    file = model / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tokenizer_class": "LlamaTokenizerFast"}))
    return model


def there_and_back(model: Path) -> str:
    tokenizer = AutoTokenizer.from_pretrained(model)
    return str(tokenizer.decode(tokenizer.encode(PROGRAM, add_special_tokens=False)))


def test_a_tokenizer_that_loses_indents_is_repaired_in_a_copy(misread: Path) -> None:
    assert there_and_back(misread) != PROGRAM
    copy = exact_model(misread, [PROGRAM])
    assert copy != misread and there_and_back(copy) == PROGRAM
    assert (copy / "model.safetensors").samefile(misread / "model.safetensors")
    assert AutoTokenizer.from_pretrained(copy).chat_template == AutoTokenizer.from_pretrained(misread).chat_template
    assert exact_model(misread) == repaired_copy(misread) == copy
    (misread / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')  # another model now
    assert repaired_copy(misread) != copy


def test_an_exact_tokenizer_is_left_alone(tmp_path: Path) -> None:
    model = build_tiny_model(tmp_path)
    assert exact_model(model, [PROGRAM] * 1000) == model


def test_one_that_no_class_makes_exact_is_refused_with_what_it_loses(tmp_path: Path) -> None:
    model = build_tiny_model(tmp_path / "model")
    words = Tokenizer(models.BPE(unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.train_from_iterator([PROGRAM], BpeTrainer(vocab_size=60, special_tokens=["?"]))
    words.save(str(model / "tokenizer.json"))
    with pytest.raises(UserError, match="does not give programs back unchanged: '.*' comes back as '.*'"):
        exact_model(model)


def test_composition_of_characters_is_no_difference(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(build_tiny_model(tmp_path))
    assert first_difference(tokenizer, ["e\u0301 = 'e\u0301'", "\t\tx\r\n"]) is None


def test_the_checks_before_a_run_return_the_copy(misread: Path, tmp_path: Path) -> None:
    config = Config.model_validate(
        {
            "model": str(misread), "run": {"directory": str(tmp_path / "run")}, "data": {"limit": 2},
            "curriculum": {"prompt": {"max_prompt_tokens": 512}},
            "rollout": {"max_model_len": 1024, "max_new_tokens": 256, "kv_cache_gib": 1},
            "executor": {"level": 4},
        }
    )  # fmt: skip
    ready = preflight(config)
    assert ready.model == repaired_copy(misread)
    assert there_and_back(ready.model) == PROGRAM
    assert len(load_problems("starter:train")) > 2 == len(ready.train)


def test_each_machine_has_its_own_copy(misread: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = local(Model(str(misread), repaired=True))
    monkeypatch.setenv("STEPCODER_CACHE", str(tmp_path / "of another machine"))
    there = Path(local(Model(str(misread), repaired=True)))
    assert there != Path(here) and there.is_relative_to(tmp_path) and there_and_back(there) == PROGRAM
    assert local(Model(str(misread))) == local(str(misread)) == str(misread)
