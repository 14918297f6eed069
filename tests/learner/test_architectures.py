"""Architectures and settings that packed rows would compute wrongly are refused."""

import pytest
import torch
from transformers import AutoConfig

from stepcoder.learner.networks.architectures import PACKABLE, require_packable
from stepcoder.learner.networks.heads import require_own_logits
from stepcoder.learner.networks.models import Critic, Policy
from stepcoder.learner.packing import pack
from tests.tools.packing import SIZES, make_pieces, network


@pytest.mark.parametrize("kind", sorted(PACKABLE))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_accepted_architectures_output_layer_is_its_own(kind: str, dtype: torch.dtype) -> None:
    model = network(kind).to(dtype)
    trunk = model.get_decoder()
    require_own_logits(model)
    assert model.get_decoder() is trunk


def test_a_model_that_changes_its_logits_by_itself_is_refused_when_it_is_loaded() -> None:
    model = network("llama")
    forward = model.forward

    def capped(**inputs: object) -> object:  # as remote code may do, whatever it calls the option
        out = forward(**inputs)
        out.logits = 2 * torch.tanh(out.logits / 2)
        return out

    model.forward = capped
    with pytest.raises(ValueError, match="a llama model changes its logits"):
        require_own_logits(model)


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        ("llama", dict(logits_scaling=8.0)),
        ("gemma", dict(final_logit_softcapping=30.0)),
        ("qwen2", dict(logit_scale=0.0625)),
        ("mistral", dict(lm_head_multiplier=0.5)),
        ("llama", dict(dim_model_base=256)),
    ],
)
def test_an_option_of_the_output_layer_that_nobody_honours_is_refused(kind: str, option: dict[str, float]) -> None:
    name, value = next(iter(option.items()))
    assert f"{name} = {value} in its config.json changes its logits" in refusal(kind, **option)
    require_packable(AutoConfig.for_model("granite", logits_scaling=8.0), 64)
    require_packable(AutoConfig.for_model(kind, **{name: None}), 64)


def refusal(kind: str, longest: int | None = None, **settings: object) -> str:
    with pytest.raises(ValueError) as error:
        require_packable(AutoConfig.for_model(kind, **settings), longest)
    return str(error.value)


def test_architectures_that_packing_cannot_express_are_refused() -> None:
    for kind in ("bloom", "mpt", "mamba2", "falcon_h1", "gemma2", "gpt_oss", "recurrent_gemma"):
        assert f"a {kind} model" in refusal(kind) and "qwen2" in refusal(kind)
    assert "encoder-decoder" in refusal("t5")
    assert "use_bidirectional_attention" in refusal("gemma", use_bidirectional_attention=True)
    assert "add_cross_attention" in refusal("gpt2", add_cross_attention=True)


def test_a_sliding_window_is_refused_when_a_sequence_can_be_longer() -> None:
    assert "64 tokens (sliding_window)" in refusal("mistral", 65, sliding_window=64)
    assert "may have 65" in refusal("qwen2", 65, use_sliding_window=True, sliding_window=64, max_window_layers=0)
    require_packable(AutoConfig.for_model("mistral", sliding_window=64), 64)
    require_packable(AutoConfig.for_model("mistral", sliding_window=None), 10**6)
    require_packable(AutoConfig.for_model("qwen2", use_sliding_window=False, sliding_window=64), 65)


def test_positions_whose_angles_depend_on_other_sequences_are_refused() -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    assert "(dynamic) changes" in refusal("llama", 129, max_position_embeddings=128, rope_parameters=rope)
    require_packable(AutoConfig.for_model("llama", max_position_embeddings=128, rope_parameters=rope), 128)
    long = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "rope_theta": 1e4}
    sizes = SIZES | {"original_max_position_embeddings": 64, "rope_parameters": long}
    assert "longer than 64" in refusal("phi3", 65, **sizes)


def test_a_window_that_nobody_asked_about_is_refused_in_the_layer() -> None:
    model = network("mistral", sliding_window=16)
    (row,) = pack(make_pieces([(9, [12])]), 100)
    with pytest.raises(ValueError, match="sees 16 tokens; a prompt and its completion have 20"):
        Policy(model, 1)(row.input_ids, row.position_ids, row.layout, row.select, row.targets)


@pytest.mark.parametrize("window", [1, 5, 16])
@pytest.mark.parametrize("critic", [False, True])
def test_tokens_that_only_fill_a_row_are_no_sequence(window: int, critic: bool) -> None:
    model = network("mistral", sliding_window=window)
    prompt = window // 2 + 1
    (row,) = pack(make_pieces([(prompt, [window - prompt + 1])]), 100)
    assert row.layout[0].longest == window  # the last token is only predicted
    inputs = (row.input_ids, row.position_ids, row.layout, row.select)
    if critic:
        Critic(model.get_decoder(), autocast=True)(*inputs).sum().backward()
    else:
        Policy(model, 1, autocast=True)(*inputs, row.targets)[0].sum().backward()
