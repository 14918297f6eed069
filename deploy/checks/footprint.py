"""How much memory a run will need, estimated from the model's files and the configuration.

Proportional set size: a page that several processes share counts once. An estimate is within a fifth of the peak of the
starter run (`python -m benchmarks.memory`); it is there to refuse what can't fit before minutes go into starting it.
"""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepcoder.deploy.checks.machine import GIB
from stepcoder.deploy.checks.starter_model import STARTER, check_directory
from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.errors import UserError

PROCESS = 0.5 * GIB  # a Python process that has imported torch
ENGINE = 0.7 * GIB  # an engine's own buffers beside weights and cache
RAY = 1.0 * GIB  # Ray's own processes, its idle workers, curriculum, executors and the programs that run


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What the estimate needs to know of a model."""

    parameters: int
    layers: int
    hidden: int
    mlp: int
    vocabulary: int
    max_positions: int | None
    key_values: int = 0  # numbers that a token's key and value are in one layer


# Before it is converted, the starter model has no files to read.
STARTER_SHAPE = ModelShape(134_515_008, 30, 576, 1_536, 49_152, 8_192, 384)


def safetensors_parameters(path: Path) -> int:
    """Number of parameters in a safetensors file, from its header (8 bytes of length, then JSON)."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(length))
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")


def model_shape(name_or_directory: str | Path) -> ModelShape | None:
    """Shape of a local model directory or the starter's name; None for one that is not here yet. UserError for a
    directory that holds no model."""
    directory = Path(name_or_directory).expanduser()
    if not directory.is_dir():
        return STARTER_SHAPE if str(name_or_directory) == STARTER else None
    try:
        return _shape(directory)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, struct.error) as error:
        check_directory(directory)
        raise UserError(f"model: a file of {directory} is damaged ({error or type(error).__name__}).") from None


def _shape(directory: Path) -> ModelShape:
    settings: Mapping[str, Any] = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    settings = settings.get("text_config", settings)
    weights = list(directory.glob("*.safetensors"))
    if weights:
        parameters = sum(safetensors_parameters(path) for path in weights)
    else:
        parameters = sum(path.stat().st_size for path in directory.glob("pytorch_model*.bin")) // 2

    def number(*names: str, default: int = 0) -> int:
        return next((int(settings[name]) for name in names if settings.get(name)), default)

    hidden, heads = number("hidden_size", "n_embd", default=1), number("num_attention_heads", "n_head", default=1)
    head = number("head_dim", default=hidden // heads)
    return ModelShape(
        parameters,
        number("num_hidden_layers", "n_layer", default=1),
        hidden,
        number("intermediate_size", "n_inner", default=4 * hidden),
        number("vocab_size", default=1),
        number("max_position_embeddings", "n_positions") or None,
        2 * head * number("num_key_value_heads", default=heads),
    )


def network_parameters(config: BaseConfig, model: ModelShape) -> tuple[float, float, float]:
    """Numbers in the policy, in a critic of its own and in the reference that is a copy; 0 for what there is not."""
    settings = config.learner
    embedding = model.vocabulary * model.hidden
    share = min(1.0, (settings.critic_layers or model.layers) / model.layers)
    critic = embedding + max(0, model.parameters - embedding) * share  # it keeps its own embedding
    reference = settings.has_reference and settings.lora.rank is None
    return model.parameters, critic * settings.has_second_network, model.parameters * reference


def learner_bytes(config: BaseConfig, model: ModelShape) -> float:
    """All learner ranks together: weights, gradients, Adam's two moments, reference, activations, logits, and what is
    copied for a checkpoint."""
    settings = config.learner
    _, critic, reference = network_parameters(config, model)
    rank = settings.lora.rank
    # Seven linear layers of a block, one side of three of them some four times as wide
    trained = critic + (model.parameters if rank is None else rank * model.layers * model.hidden * 23)
    width = 2 if settings.precision == "bf16" else 4
    split = settings.ranks  # what ZeRO splits exists once, what it does not exists in every rank
    optimiser = trained * (8 if width == 4 else 12) * (1 if settings.zero_stage >= 1 else split)
    gradients = trained * 4 * (1 if settings.zero_stage >= 2 else split)
    frozen = 0 if rank is None else model.parameters
    weights = (trained + frozen) * width * (1 if settings.zero_stage == 3 else split)
    frozen_width = 2 if settings.precision in ("autocast", "bf16") else 4
    reference *= frozen_width * split
    per_token = model.hidden * (2 if settings.gradient_checkpointing else 24) * 4
    activations = settings.token_budget * model.layers * per_token * split
    logits = min(settings.logprob_chunk, settings.token_budget) * model.vocabulary * 4 * 2 * split
    # What of a checkpoint is not there as whole tensors: the state under ZeRO, the policy under ZeRO 3 or with adapters
    checkpoint = trained * 12 * (settings.zero_stage >= 1)
    checkpoint += model.parameters * width * (settings.zero_stage == 3 or rank is not None)
    return weights + gradients + optimiser + reference + activations + logits + checkpoint + PROCESS * split


def engine_bytes(config: BaseConfig, model: ModelShape) -> float:
    """All engines together, without GPUs: weights, key-value cache, buffers, two processes each."""
    width = 2 if config.rollout.dtype in ("bfloat16", "float16") else 4
    one = model.parameters * width * 1.3 + config.rollout.kv_cache_gib * GIB + ENGINE + 2 * PROCESS
    return config.rollout.engines * one


def parts(config: BaseConfig, model: ModelShape) -> dict[str, float]:
    """Bytes of main memory by part of a run on one machine without GPUs."""
    return {
        "learner": learner_bytes(config, model),
        "rollout": engine_bytes(config, model),
        "Ray and driver": RAY + PROCESS,
    }
