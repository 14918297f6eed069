"""Precision, ZeRO stage, adapters, critic and offload together, to the checkpoint and back."""

import dataclasses
from pathlib import Path

import pytest
import torch

from stepcoder.learner.config import (
    RLOO,
    NoKL,
    OffloadConfig,
)
from stepcoder.learner.networks.engine import TrainedModel
from tests.tools.learner import (
    LORA,
    SHARED,
    full_weights,
    learner_config,
    loaded,
    make_groups,
    make_rank,
    partition_everything,
)

# -- every combination, to the checkpoint and back -------------------------------------------------------------------

COMBINATIONS: dict[str, dict[str, object]] = {
    "LoRA": dict(lora=LORA),
    "LoRA, no critic": dict(lora=LORA, advantage=RLOO(), kl=NoKL()),
    "LoRA, shared, checkpointing": dict(lora=LORA, advantage=SHARED, gradient_checkpointing=True),
    "LoRA, shared, bf16": dict(lora=LORA, advantage=SHARED, precision="bf16"),
    "LoRA, shared, autocast, ZeRO 1": dict(lora=LORA, advantage=SHARED, precision="autocast", zero_stage=1),
    "LoRA, bf16, ZeRO 2": dict(lora=LORA, precision="bf16", zero_stage=2),
    "LoRA, shared, bf16, ZeRO 3, checkpointing": dict(
        lora=LORA, advantage=SHARED, precision="bf16", zero_stage=3, gradient_checkpointing=True
    ),
    "shared, bf16, ZeRO 1": dict(advantage=SHARED, precision="bf16", zero_stage=1),
    "shared, bf16, ZeRO 2, checkpointing": dict(
        advantage=SHARED, precision="bf16", zero_stage=2, gradient_checkpointing=True
    ),
    "bf16, ZeRO 3, checkpointing": dict(precision="bf16", zero_stage=3, gradient_checkpointing=True),
    "ZeRO 1, optimiser aside": dict(zero_stage=1, offload=OffloadConfig(optimizer=True)),
    "bf16, ZeRO 2, optimiser aside": dict(precision="bf16", zero_stage=2, offload=OffloadConfig(optimizer=True)),
    "ZeRO 3, weights aside": dict(zero_stage=3, offload=OffloadConfig(parameters=True)),
    "shared, bf16, ZeRO 3, all aside": dict(
        advantage=SHARED, precision="bf16", zero_stage=3, offload=OffloadConfig(optimizer=True, parameters=True)
    ),
}


@pytest.mark.parametrize("name", COMBINATIONS)
def test_it_trains_publishes_saves_and_resumes_exactly(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setattr(TrainedModel, "_settings", partition_everything(TrainedModel._settings))
    config, start = learner_config(**COMBINATIONS[name]), loaded(model)
    straight = make_rank(model, config)
    assert straight.step(1, *make_groups(seed=1))["updates/refused"] == 0
    straight.save(str(tmp_path))
    sent = full_weights(straight)
    assert [(n, p.shape) for n, p in sent.items()] == [(n, p.shape) for n, p in start.items()]
    assert sum(not torch.equal(p.float(), start[n]) for n, p in sent.items()) >= 14
    exported = loaded(tmp_path / "policy")
    assert exported.keys() == sent.keys() and all(torch.equal(p.float(), exported[n]) for n, p in sent.items())
    assert {file.name for file in (tmp_path / "policy").glob("*.safetensors")} == {"model.safetensors"}
    assert not (tmp_path / "policy" / "adapter_config.json").exists()
    last = straight.step(2, *make_groups(seed=2))

    resumed = make_rank(model, config, seed=99)
    resumed._update = dataclasses.replace(resumed._update, seed=0)
    resumed.load(str(tmp_path))
    assert all(torch.equal(p, sent[n]) for n, p in full_weights(resumed).items())
    again = resumed.step(2, *make_groups(seed=2))
    timeless = {k for k in last if not k.startswith(("seconds/", "tokens_per_s/"))}
    assert {k: last[k] for k in timeless} == {k: again[k] for k in timeless}
    expected = full_weights(straight)
    assert all(torch.equal(p, expected[n]) for n, p in full_weights(resumed).items())
    assert any(not torch.equal(p, sent[n]) for n, p in expected.items())


def test_what_is_set_aside_is_where_deepspeed_keeps_it_in_main_memory(model: Path):
    for stage in (1, 2, 3):
        config = learner_config(zero_stage=stage, offload=OffloadConfig(optimizer=True, parameters=stage == 3))
        engine = make_rank(model, config).policy.engine
        assert engine.zero_cpu_offload() and (engine.zero_offload_param() is not None) == (stage == 3)
        assert not make_rank(model, learner_config(zero_stage=stage)).policy.engine.zero_cpu_offload()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_offload_changes_where_an_update_is_made_and_not_what_it_does(
    model: Path, monkeypatch: pytest.MonkeyPatch, stage: int, precision: str
):
    monkeypatch.setattr(TrainedModel, "_settings", partition_everything(TrainedModel._settings))
    start, found = loaded(model), []
    for aside in (False, True):
        offload = OffloadConfig(optimizer=aside, parameters=aside and stage == 3)
        rank = make_rank(model, learner_config(zero_stage=stage, precision=precision, offload=offload))
        for step in (1, 2):
            assert rank.step(step, *make_groups(seed=step))["updates/refused"] == 0
        found.append(full_weights(rank))
    for name, weight in found[0].items():
        moved = (weight.float() - start[name]).norm()
        assert moved > 0 and (found[1][name].float() - weight.float()).norm() <= 0.02 * moved, name
