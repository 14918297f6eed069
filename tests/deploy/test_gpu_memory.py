"""The estimate of a GPU's memory: its terms against what tensors take, the shipped sizes, refusals with advice."""

from pathlib import Path

import pytest
import torch

from stepcoder.deploy.checks import doctor, machine, preflight
from stepcoder.deploy.checks.footprint import ModelShape, model_shape
from stepcoder.deploy.checks.gpu_memory import (
    CONTEXT,
    HELD,
    activations,
    cache_bytes,
    check_gpu_memory,
    fit_at_once,
    learner_need,
    needs,
    phases,
    shared_cache,
)
from stepcoder.deploy.checks.machine import GIB
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.training.placement import Placement, placement
from stepcoder.errors import UserError
from stepcoder.learner.networks.attention import Group
from stepcoder.learner.networks.models import load_critic

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
CODER_7B = ModelShape(6_740_512_768, 32, 4096, 11008, 32256, 16384, 8192)
QWEN_7B = ModelShape(7_615_616_512, 28, 3584, 18944, 152_064, 32768, 1024)
QWEN_1_5B = ModelShape(1_543_714_304, 28, 1536, 8960, 151_936, 32768, 512)


def config(*settings: str, file: str = "stepcoder-deepseek-6.7b.yaml") -> Config:
    return load_config(CONFIGS / file, [*settings], {})


def test_what_is_held_all_the_time_is_counted() -> None:
    """bf16 weights, fp32 gradients, moments and master copy of policy and critic over four ranks, and a reference."""
    parts = learner_need(config("--learner.ranks", "4"), CODER_7B).parts
    assert parts["weights"] + parts["gradients"] + parts["optimiser"] == pytest.approx(
        2 * 18 * CODER_7B.parameters / 4, rel=0.01
    )
    assert parts["reference"] == pytest.approx(2 * CODER_7B.parameters / 4)
    aside = learner_need(config("--learner.offload.optimizer", "true"), CODER_7B).parts
    assert aside["optimiser"] == aside["gradients"] == 0 and aside["weights"] == parts["weights"]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("shape", [(64, 176, 2, 2), (128, 344, 4, 4), (96, 512, 3, 1)])
def test_activations_agree_with_what_a_network_keeps(
    tmp_path: Path, shape: tuple[int, int, int, int], checkpointing: bool
) -> None:
    from transformers import LlamaConfig, LlamaModel

    hidden, mlp, heads, key_heads = shape
    LlamaModel(
        LlamaConfig(
            vocab_size=64, hidden_size=hidden, intermediate_size=mlp, num_hidden_layers=6, num_attention_heads=heads,
            num_key_value_heads=key_heads, tie_word_embeddings=True,
        )
    ).save_pretrained(tmp_path)  # fmt: skip
    critic, tokens, seen = load_critic(tmp_path, torch.float32, None, checkpointing=checkpointing), 512, {}
    weights = {p.data_ptr() for p in critic.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in weights:
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        values = critic(
            torch.randint(0, 64, (1, tokens)), torch.arange(tokens)[None], (Group(tokens),), torch.arange(tokens)
        )
    kept = sum(seen.values())
    settings = config(
        "--learner.precision", "fp32", "--learner.token_budget", str(tokens), "--rollout.max_model_len", str(tokens),
        "--rollout.max_new_tokens", "128", "--curriculum.prompt.max_prompt_tokens", "128",
        "--learner.gradient_checkpointing", str(checkpointing).lower(),
    )  # fmt: skip
    found = model_shape(tmp_path)
    assert found is not None and values.shape == (tokens,)
    each = activations(settings, found)
    if checkpointing:  # beside the inputs of the layers there is one layer at work, forward and backward
        whole = settings.learner.model_copy(update={"gradient_checkpointing": False})
        last = 3 * tokens * shape[0] * 4
        each -= 2 * (activations(settings.model_copy(update={"learner": whole}), found) - last) / found.layers
    assert kept == pytest.approx(each, rel=0.1)


def test_a_model_that_does_not_fit_is_refused_with_what_to_change() -> None:
    with pytest.raises(UserError, match=r"does not fit. learner .* GiB a GPU \(weights .*optimiser.*\).*Set .*lora"):
        check_gpu_memory(config(), CODER_7B, 24 * GIB, shared=False)
    plain = config("--learner.zero_stage", "2", "--learner.gradient_checkpointing", "false")
    with pytest.raises(UserError, match="Set learner.gradient_checkpointing true, learner.zero_stage 3"):
        check_gpu_memory(plain, CODER_7B, 80 * GIB, shared=False)
    small = config("--learner.ranks", "1", "--learner.advantage", "grpo", "--learner.lora.rank", "16")
    with pytest.raises(UserError, match="engine .* GiB a GPU"):
        check_gpu_memory(small.model_copy(update={"learner": small.learner.model_copy(update={"ranks": 99})}),
                         CODER_7B, 14 * GIB, shared=False)  # fmt: skip
    with pytest.raises(UserError, match="both on one GPU need"):
        check_gpu_memory(small, CODER_7B, 24 * GIB, shared=True)


def test_an_engine_has_at_least_room_for_one_sequence() -> None:
    engine = needs(config(), CODER_7B, 80 * GIB)[1]
    assert engine.total == pytest.approx(0.85 * 80 * GIB)
    least = needs(config(), CODER_7B, 0.0)[1].parts["key-value cache"]
    assert least == 2048 * 32 * 8192 * 2
    given = needs(config("--rollout.gpu_cache_gib", "3"), CODER_7B, 80 * GIB)[1].parts["key-value cache"]
    assert given == 3 * GIB


def test_the_checks_before_a_run_and_doctor_tell_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: ["NVIDIA Some GPU, 8192 MiB"] * 8)
    monkeypatch.setattr(preflight, "model_shape", lambda model: CODER_7B)
    monkeypatch.setattr(doctor, "model_shape", lambda model: CODER_7B)
    with pytest.raises(UserError, match="GPU memory: .* does not fit"):
        preflight.check_memory(config())
    with pytest.raises(UserError, match="torch is a build for CPUs on .*Install the GPU set there"):
        preflight.check_gpus(config())
    (gpus,) = (found for found in doctor.hardware(config()) if found.what == "GPUs")
    assert gpus.state == "problem" and "build for CPUs" in gpus.advice
    (finding,) = doctor.gpu_memory(config())
    assert finding.state == "problem" and "learner " in finding.found and "engine " in finding.found
    assert "Set " in finding.advice
    assert not list(doctor.gpu_memory(config("--learner.device", "cpu")))


@pytest.mark.parametrize(
    ("file", "shape", "gib", "gpus", "shared"),
    [
        ("coder-1.5b-24gb.yaml", QWEN_1_5B, 24, 1, True),
        ("coder-1.5b-80gb.yaml", QWEN_1_5B, 80, 1, True),
        ("stepcoder-deepseek-6.7b.yaml", CODER_7B, 80, 8, False),
        ("coder-7b-4x8.yaml", QWEN_7B, 80, 32, False),
    ],
)
def test_the_shipped_configurations_fit_the_gpus_that_they_name(
    file: str, shape: ModelShape, gib: int, gpus: int, shared: bool
) -> None:
    shipped, memory = config(file=file), gib * GIB
    place = placement(shipped, gpus, at_once=fit_at_once(shipped, shape, [memory]))
    assert place.cuda and place.shared == place.sleeps == shared
    check_gpu_memory(shipped, shape, memory, shared=place.shared, sleeps=place.sleeps)
    if shared:
        cache = shipped.rollout.gpu_cache_gib or shared_cache(shipped, shape, memory, sleeps=True) / GIB
        assert cache * GIB > 32 * cache_bytes(shipped, shape, 0.0) or cache == 3.0


def test_a_sleeping_engine_leaves_the_learner_what_it_needs() -> None:
    """A 7B model on GPUs of 80 GB: in turns it fits eight of them, both at once it does not."""
    words = "--learner.ranks 8 --rollout.engines 8 --max_staleness 0 --placement colocated".split()
    both = config(*words, "--rollout.gpu_cache_gib", "20")
    check_gpu_memory(both, CODER_7B, 80 * GIB, shared=True, sleeps=True)
    with pytest.raises(UserError, match="both on one GPU need.*a lower rollout.gpu_cache_gib.*take turns: placement"):
        check_gpu_memory(both, CODER_7B, 80 * GIB, shared=True)
    assert fit_at_once(both, CODER_7B, [80 * GIB]) is False and fit_at_once(both, CODER_7B, []) is None
    found = phases(both, CODER_7B)
    learner, engine = needs(both, CODER_7B, 0.0)
    assert found["training"].total == learner.total + CONTEXT
    assert found["generating"].total == engine.total + sum(learner.parts[name] for name in HELD)
    with pytest.raises(UserError, match="generating .*learner's optimiser.*engine's key-value cache.*can be used"):
        check_gpu_memory(config(*words, "--rollout.gpu_cache_gib", "70"), CODER_7B, 80 * GIB, shared=True, sleeps=True)
    less = config(*words, "--rollout.gpu_cache_gib", "70", "--learner.offload.optimizer", "true")
    assert phases(less, CODER_7B)["generating"].total < phases(both, CODER_7B)["generating"].total + 50 * GIB


def test_auto_takes_what_there_is_room_for_and_says_why() -> None:
    def placed(gpus: int, at_once: bool | None, *words: str) -> Placement:
        return placement(config(*words, "--learner.ranks", "4", "--rollout.engines", "4"), gpus, at_once=at_once)

    turns = ("--max_staleness", "0")
    assert placed(8, True).why.startswith("split: of 8 GPUs the learner takes 4 and the engines 4")
    beside = placed(4, True, *turns)
    assert beside.shared and not beside.sleeps and "both fit into one at once" in beside.why
    for known in (False, None):
        asleep = placed(4, known, *turns)
        assert asleep.shared and asleep.sleeps and "4 of the 8 GPUs" in asleep.why and "sleeps" in asleep.why
    assert (asleep.rank_gpus, asleep.engine_gpus) == (1.0, 0.0)
    assert placed(8, None, "--placement", "split") == Placement(cuda=True)
    assert placed(8, None, *turns, "--placement", "colocated") == Placement(cuda=True, shared=True, sleeps=True)
    with pytest.raises(UserError, match="need 8 GPUs, but there are 4"):
        placed(4, True, "--placement", "split")
    with pytest.raises(UserError, match="(?s)need 8 GPUs, but there are 4.*can't share.*Set max_staleness to 0"):
        placed(4, False)
    with pytest.raises(UserError, match="need 4 GPUs, but there are 2"):
        placed(2, True, *turns, "--placement", "colocated")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--max_staleness", "1"), "Set max_staleness to 0"),
        (("--max_staleness", "0", "--learner.ranks", "2"), "Set them equal"),
        (("--max_staleness", "0", "--rollout.engine", "transformers"), "can't sleep. Set it to vllm"),
    ],
)
def test_settings_that_can_not_be_colocated_are_refused(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_config(None, ["--placement", "colocated", *words], {})
