"""How much memory of a GPU a run will need, by part, estimated from the model's shape and the configuration.

What is held all the time (weights, gradients, optimiser, reference) is counted exactly; what comes and goes
(activations, logits, the largest gathered tensors) by its largest tensors. A run that cannot fit is refused before a
model is loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from stepcoder.deploy.checks.footprint import ModelShape, network_parameters
from stepcoder.deploy.checks.machine import GIB
from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.errors import UserError

CONTEXT = 1.0 * GIB  # CUDA's context, kernels of libraries, NCCL's buffers
TRANSFER = 2.0 * GIB  # chunks of weights on their way, two at a time
SLACK = 0.95  # of a GPU's memory that can be had: the driver keeps some, and the allocator's blocks do not close up
REDUCED = 50_000_000  # numbers of a bucket of gradients, in fp32 (`learner/networks/engine.py`)
# Numbers that a layer keeps for the gradient, by token: attention's inputs and outputs, two norms, and four of the MLP.
ATTENTION_WIDTHS, MLP_WIDTHS = 8, 4
LAST = 3  # times the hidden size, behind the last layer


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes of one GPU by part."""

    who: str
    parts: Mapping[str, float]

    @property
    def total(self) -> float:
        return sum(self.parts.values())

    def __str__(self) -> str:
        listed = ", ".join(f"{name} {size / GIB:.1f}" for name, size in self.parts.items() if size)
        return f"{self.who} {self.total / GIB:.1f} GiB a GPU ({listed})"


def learner_need(config: BaseConfig, model: ModelShape) -> Need:
    """One learner rank."""
    c = config.learner
    policy, critic, reference = network_parameters(config, model)
    adapters = 0.0 if c.lora.rank is None else c.lora.rank * model.layers * model.hidden * 23
    trained = critic + (adapters or policy)
    width = 2 if c.precision == "bf16" else 4
    master = 12 if c.precision == "bf16" else 8  # Adam's moments, and the fp32 copy of bf16 weights
    ranks, stage = c.ranks, c.zero_stage
    on_gpu = 0.0 if c.offload.parameters else 1.0
    weights = (policy + critic) * width / (ranks if stage == 3 else 1) * on_gpu + adapters * 4
    optimiser = 0.0 if c.offload.optimizer else trained * master / (ranks if stage else 1)
    gradients = 0.0 if c.offload.optimizer else trained * 4 / (ranks if stage >= 2 else 1)
    frozen = reference * (4 if c.precision == "fp32" else 2) / (ranks if stage == 3 else 1) * on_gpu
    return Need(
        "learner",
        {
            "weights": weights,
            "gradients": gradients,
            "optimiser": optimiser,
            "reference": frozen,
            "activations": activations(config, model),
            "logits": min(c.logprob_chunk, c.token_budget) * model.vocabulary * (4 + width + 4),
            "gathered tensors": gathered(config, model),
            "weights on their way": TRANSFER,
            "CUDA": CONTEXT,
        },
    )


def activations(config: BaseConfig, model: ModelShape) -> float:
    """Of the longest row: kept by every layer, or with recomputation a layer's input each and all of one."""
    c = config.learner
    width = 4 if c.precision == "fp32" else 2
    each = ATTENTION_WIDTHS * model.hidden + 2 * model.key_values + MLP_WIDTHS * model.mlp
    tokens = max(c.token_budget, config.rollout.max_model_len)
    kept = model.layers * model.hidden + 2 * each if c.gradient_checkpointing else model.layers * each
    return tokens * (kept + LAST * model.hidden) * width


def gathered(config: BaseConfig, model: ModelShape) -> float:
    """Under ZeRO 3 a layer, the next one and the output layer are whole while they compute; buckets of gradients."""
    c, layer = config.learner, 4 * model.hidden**2 + 3 * model.hidden * model.mlp
    width = 2 if c.precision == "bf16" else 4
    buckets = 2 * REDUCED * 4 if c.zero_stage >= 1 else 0.0
    return buckets + (width * (2 * layer + model.vocabulary * model.hidden) if c.zero_stage == 3 else 0.0)


def engine_need(config: BaseConfig, model: ModelShape, memory: float) -> Need:
    """One of an engine's GPUs, of `memory` bytes: without a size of its own the cache takes what is left."""
    r = config.rollout
    width = 4 if r.dtype == "float32" else 2
    weights = model.parameters * width / r.tensor_parallel
    # While prompts are read: hidden states, the MLP's products, and the logits of what is sampled, in fp32
    computed = r.batched_tokens * (4 * model.hidden + 2 * model.mlp / r.tensor_parallel) * width
    computed += r.max_num_seqs * model.vocabulary * 4 * 2
    fixed = {"weights": weights, "activations": computed, "weights on their way": TRANSFER, "CUDA": CONTEXT}
    left = memory * r.gpu_memory_utilization - sum(fixed.values())
    return Need("engine", fixed | {"key-value cache": cache_bytes(config, model, left)})


def cache_bytes(config: BaseConfig, model: ModelShape, left: float) -> float:
    """The given size; else what `rollout.gpu_memory_utilization` leaves, and never less than the longest sequence."""
    r = config.rollout
    width = 4 if r.dtype == "float32" else 2
    one = r.max_model_len * model.layers * max(model.key_values, 1) * width / r.tensor_parallel
    if r.gpu_cache_gib is not None:
        return max(one, r.gpu_cache_gib * GIB)
    return max(one, left)


def needs(config: BaseConfig, model: ModelShape, memory: float) -> list[Need]:
    """Of a learner rank and of an engine on GPUs of `memory` bytes; with 0 the engine's cache is the smallest."""
    return [learner_need(config, model), engine_need(config, model, memory)]


def check_gpu_memory(
    config: BaseConfig, model: ModelShape, memory: float, *, shared: bool, trains: bool = True
) -> None:
    """Raises UserError unless learner and engine fit into GPUs of `memory` bytes, or both into one that they share.

    `trains` False: the engine alone."""
    least, room = needs(config, model, 0.0)[0 if trains else 1 :], SLACK * memory
    if shared and config.at_once:
        total, told = sum(need.total for need in least), "; ".join(map(str, least))
        if total > room:
            raise _too_large(config, f"both on one GPU need {total / GIB:.1f} GiB: {told}", room)
        return
    for need in least:
        if need.total > room:
            raise _too_large(config, str(need), room)


def _too_large(config: BaseConfig, told: str, room: float) -> UserError:
    return UserError(
        f"GPU memory: {config.model} does not fit. {told}; {room / GIB:.1f} GiB can be used. {advice(config)}"
    )


def advice(config: BaseConfig) -> str:
    """The settings that are left to save with, those that cost least first."""
    c, ways = config.learner, list[str]()
    if not c.gradient_checkpointing:
        ways.append("learner.gradient_checkpointing true")
    if c.precision != "bf16":
        ways.append("learner.precision bf16 with learner.zero_stage 2")
    if c.ranks > 1 and c.zero_stage < 3:
        ways.append("learner.zero_stage 3")
    ways.append("a lower learner.token_budget")
    if c.lora.rank is None:
        ways.append("learner.lora.rank 32")
    if c.zero_stage and not c.offload.optimizer:
        ways.append("learner.offload.optimizer true")
    ways.append("more learner.ranks or rollout.tensor_parallel")
    return f"Set {', '.join(ways[:-1])}, or {ways[-1]}."
