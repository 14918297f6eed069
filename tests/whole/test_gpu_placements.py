"""A run's services on GPUs that Ray was only told of: whose weights arrive, who sleeps when, who sees which GPU.

vLLM's own NCCL and IPC transfers run, with the device's stand-in of `tests/tools/cuda_on_cpu.py`.
"""

import asyncio
import io
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from rich.console import Console

from stepcoder.curriculum.problems.load import load_problems
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.run.directory import RunDirectory
from stepcoder.deploy.run.faults import Faults
from stepcoder.deploy.shown.progress import RunProgress
from stepcoder.deploy.training.cluster import Engines, Services, start_services
from stepcoder.deploy.training.controller import Life
from tests.tools.cluster import cluster_with_gpus
from tests.tools.cuda_on_cpu import BUFFER, digest, on_cpu
from tests.tools.learner import make_groups
from tests.tools.loop import ROOT, write_config
from tests.tools.tiny_model import build_tiny_model

# A query projection is larger than a buffer, so that the parts of the fused one come in different chunks.
SHAPE = {"hidden_size": 256, "intermediate_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2}
WAIT_S = 300.0


def settings(folder: Path, model: Path, *words: str) -> Config:
    """Two ranks under ZeRO 3 and one engine of two devices, bf16 throughout."""
    given = (
        "--learner.device cuda --learner.ranks 2 --learner.precision bf16 --learner.zero_stage 3 --learner.kl none "
        "--learner.advantage grpo --rollout.tensor_parallel 2 --rollout.dtype bfloat16 --rollout.cpu_threads 1"
    )
    return load_config(write_config(folder, model, "run"), [*given.split(), *words], {})


def shards(sent: dict[str, torch.Tensor], part: int, of: int) -> dict[str, str]:
    """What process `part` of a Llama engine of `of` devices holds: vLLM's name -> digest."""

    def rows(*names: str) -> torch.Tensor:
        return torch.cat([sent[name].chunk(of)[part] for name in names])

    embedding, norm = "model.embed_tokens.weight", "model.norm.weight"
    found = {norm: sent[norm], embedding: rows(embedding)}
    for layer in range(2):
        own = f"model.layers.{layer}."
        q, k, v = (f"{own}self_attn.{name}_proj.weight" for name in "qkv")
        found[f"{own}self_attn.qkv_proj.weight"] = rows(q, k, v)
        found[f"{own}mlp.gate_up_proj.weight"] = rows(f"{own}mlp.gate_proj.weight", f"{own}mlp.up_proj.weight")
        for name in (f"{own}self_attn.o_proj.weight", f"{own}mlp.down_proj.weight"):
            found[name] = sent[name].chunk(of, dim=1)[part]
        for name in (f"{own}input_layernorm.weight", f"{own}post_attention_layernorm.weight"):
            found[name] = sent[name]
    return {name: digest(tensor) for name, tensor in found.items()}


async def learnt(services: Services, step: int) -> dict[str, torch.Tensor]:
    """A step of the learner and its news to the engines; the weights that it has then."""
    groups = make_groups(4, seed=step)
    await services.turns.train(WAIT_S)
    sizes = [sum(len(t.response_ids) for t in group) for group in groups]
    await services.learner.step(step, [ray.put(group) for group in groups], sizes)
    await services.turns.publish(services.exchange, step, WAIT_S)
    return (await services.learner._all("sent"))[0]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("placed", "gpus"), [("split", 4), ("colocated", 2)])
def test_an_engines_weights_are_the_learners_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, placed: str, gpus: int
) -> None:
    model = build_tiny_model(tmp_path / "model", **SHAPE)
    config = settings(tmp_path, model, "--placement", placed)
    ready = Ready(model, load_problems("starter:train")[:6], ())

    async def course() -> tuple[list[Any], list[str], str]:
        engines = Engines(Faults(0))
        services = await start_services(config, ready, tmp_path / "journal", engines)
        engine, found = services.rollout.crew.members[0].actor, []
        try:
            named = {"curriculum", "learner-0", "learner-1", "rollout-0", "executor-0"}
            assert named <= set(ray.util.list_named_actors())
            for step in (1, 2):
                sent = await learnt(services, step)
                found.append((sent, await engine.weights.remote(), await engine.greedy.remote([14, 71, 52], 5)))
            return found, await services.learner.ranks[0].events.remote(), await engine.gpus.remote()
        finally:
            await services.close()
            await engines.close()

    with cluster_with_gpus(gpus), on_cpu(monkeypatch):
        found, events, seen = asyncio.run(course())
    for sent, held, written in found:
        assert len(held) == 2 and len(written) == 5
        assert [shards(sent, part, 2) for part in range(2)] == held
    assert not torch.equal(found[0][0]["model.norm.weight"], found[1][0]["model.norm.weight"])
    assert len(set(seen.split(","))) == 2
    # vLLM has made another stream the current one when it met the engines; its own streams wait for nobody
    assert events.index("stream restored") < events.index("synchronised")
    if placed == "split":
        sizes = [int(event.split()[1]) for event in events if event.startswith("broadcast")]
        first = found[0][0]
        embedding, query = (first[f"model.{name}.weight"] for name in ("embed_tokens", "layers.0.self_attn.q_proj"))
        parted = (embedding.numel() + query.numel()) * 2  # bytes before the first layer's keys
        assert parted in itertools.accumulate(sizes) and max(sizes) < 4 * BUFFER
        assert events.index("synchronised") < events.index(f"broadcast {sizes[0]}")


async def lived(config: Config, run: RunDirectory, ready: Ready, progress: RunProgress) -> None:
    engines = Engines(Faults(0))
    try:
        await Life(config, run, ready, progress, engines=engines).train()
    finally:
        await engines.close()


# Of each shipped configuration: GPUs that there are, what makes it small, and its model with few and narrow layers.
QWEN = {"num_attention_heads": 12, "num_key_value_heads": 2, "hidden_size": 384, "intermediate_size": 2240}
STARTS = {
    "coder-1.5b-24gb.yaml": (1, "", QWEN),
    "coder-1.5b-80gb.yaml": (1, "", QWEN),
    "stepcoder-deepseek-6.7b.yaml": (
        4, "--learner.ranks 2 --rollout.engines 2 --learner.minibatches 1",
        {"num_attention_heads": 8, "num_key_value_heads": 8, "hidden_size": 256, "intermediate_size": 688},
    ),
    "coder-7b-4x8.yaml": (
        4, "--learner.ranks 2 --rollout.engines 2 --learner.minibatches 1",
        {"num_attention_heads": 14, "num_key_value_heads": 2, "hidden_size": 448, "intermediate_size": 2368},
    ),
}  # fmt: skip


@pytest.mark.exhaustive
@pytest.mark.parametrize("file", STARTS)
def test_a_shipped_configuration_starts_trains_and_evaluates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """A step on GPUs that Ray was told of, by a model of the same shape with few layers, on a few GPUs of each kind."""
    gpus, fewer, shape = STARTS[file]
    model = build_tiny_model(tmp_path / "model", **shape)
    small = (
        f"{fewer} --model {model} --run.directory {tmp_path / 'run'} --run.steps 1 --run.checkpoint_every 1 "
        "--subtasks_per_step 2 --rollout.group_size 2 --rollout.max_new_tokens 8 --rollout.max_model_len 1024 "
        "--rollout.dtype bfloat16 --curriculum.prompt.max_prompt_tokens 960 --data.train starter:train "
        "--data.heldout [] --data.limit 4 --eval.every 0 --eval.at_start false --eval.samples 1 "
        "--rollout.kv_cache_gib 1 --rollout.cpu_threads 1 --rollout.max_num_seqs 8 --executor.workers 1"
    )
    config = load_config(ROOT / "configs" / file, small.split(), {})
    ready, said = Ready(model, load_problems("starter:train")[:4], ()), io.StringIO()
    with cluster_with_gpus(gpus), on_cpu(monkeypatch), RunDirectory.open(config) as run:
        with RunProgress(1, 0, Console(file=said, width=200)) as progress:
            asyncio.run(lived(config, run, ready, progress))
        lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert {line["step"] for line in lines} == {1} and any("eval" in line for line in lines)
    assert [line["updates/refused"] for line in lines if "eval" not in line] == [0.0]
