"""The parts of `benchmarks/gpu.py`, each in a process of its own. With `device` cpu the same code runs in miniature."""

import gc
import importlib.util
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu import Row
from benchmarks.gpu_ipc import digest, filled_twice
from stepcoder.deploy.checks.footprint import model_shape
from stepcoder.deploy.checks.gpu_memory import activations, learner_need
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.run import Config
from stepcoder.executor.report import Verdict
from stepcoder.learner.networks import state
from stepcoder.learner.networks.attention import Group, shared_prompt_attention
from stepcoder.learner.networks.models import load_critic
from stepcoder.learner.rank import LearnerRank
from stepcoder.rollout.trajectory import Trajectory

GIB = 2**30
FLASH = ("flash", "cudnn", "fmha", "efficient")  # in the names of attention's fused kernels


@dataclass(frozen=True, slots=True)
class Size:
    """How large a part is. `packed_tensor`: vLLM's file, where vLLM is not installed."""

    device: str
    layers: int
    miniature: bool
    packed_tensor: Path | None = None

    def shape(self, layers: int | None = None) -> dict[str, int]:
        """Of a Llama model of 7B width."""
        kept = layers or self.layers
        if self.miniature:
            kept, sizes = 2, (64, 176, 4, 300)
        else:
            sizes = (4096, 11008, 32, 32256)
        names = ("hidden_size", "intermediate_size", "num_attention_heads", "vocab_size")
        return dict(zip(names, sizes, strict=True)) | {"num_hidden_layers": kept, "max_position_embeddings": 8192}

    def tokens(self, whole: int) -> int:
        return max(4, whole // 32) if self.miniature else whole


# -- what the parts share ---------------------------------------------------------------------------------------------


def save_model(folder: Path, shape: Mapping[str, int], device: str) -> Path:
    """A Llama of random weights in bf16, with a tokenizer that is never asked."""
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    with torch.device(device):
        network = LlamaForCausalLM(LlamaConfig(**shape, dtype="bfloat16"))  # pyright: ignore[reportArgumentType]
    network.to(torch.bfloat16).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="a").save_pretrained(folder)
    return folder


def settings(stage: int, size: Size, *words: str) -> Config:
    """PPO with a critic of its own in bf16, and no reference."""
    given = (
        f"--learner.device {size.device} --learner.precision bf16 --learner.zero_stage {stage} --learner.kl none "
        f"--learner.token_budget {size.tokens(8192)} --learner.gradient_checkpointing true"
    )
    return load_config(None, [*given.split(), *words], {})


def build(model: Path, config: Config, size: Size) -> LearnerRank:
    cuda = size.device == "cuda"
    rank = LearnerRank(0, 1, str(model), config.learner, seed=0, total_updates=100, temperature=1.0, cuda=cuda)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    rank.build("127.0.0.1", port)
    return rank


def groups(size: Size, count: int) -> list[list[Trajectory]]:
    """Groups of eight completions of up to 1,024 tokens after a prompt of 512."""
    draw, vocabulary, found = np.random.default_rng(0), size.shape()["vocab_size"], []
    for ticket in range(count):
        prompt = draw.integers(0, vocabulary, size.tokens(512)).astype(np.int32)
        lengths = draw.integers(size.tokens(512), size.tokens(1024), 8, endpoint=True)
        found.append([_trajectory(ticket, k, prompt, int(n), draw, vocabulary) for k, n in enumerate(lengths)])
    return found


def _trajectory(
    ticket: int, sample: int, prompt: np.ndarray, n: int, draw: np.random.Generator, vocabulary: int
) -> Trajectory:
    return Trajectory(
        ticket=ticket, sample=sample, problem_id=f"p{ticket}", level="introductory", stage=0, prompt_ids=prompt,
        response_ids=draw.integers(0, vocabulary, n).astype(np.int32), logprobs=np.full(n, -10.0, np.float32),
        executed=np.ones(n, bool), code=np.ones(n, bool), token_lines=np.ones(n, np.int32), error_line=None,
        reward=float(draw.choice([1.0, -0.3])), verdict=Verdict.PASSED, finish_reason="eos", weight_version=0,
        program="",
    )  # fmt: skip


def wait(size: Size) -> None:
    if size.device == "cuda":
        torch.cuda.synchronize()


def timed(size: Size, work: Callable[[], object]) -> float:
    """Seconds."""
    wait(size)
    begun = time.perf_counter()
    work()
    wait(size)
    return time.perf_counter() - begun


def held(size: Size) -> int:
    """Bytes on the GPU; a CPU's are not counted."""
    return torch.cuda.memory_allocated() if size.device == "cuda" else 0


def peak(size: Size, work: Callable[[], object]) -> int:
    """The most that was on the GPU meanwhile (bytes)."""
    if size.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    work()
    wait(size)
    return torch.cuda.max_memory_allocated() if size.device == "cuda" else 0


# -- the parts --------------------------------------------------------------------------------------------------------


def attention(size: Size) -> Iterator[Row]:
    """16 completions of 1,024 tokens behind a prompt of 512, 32 heads of 128."""
    layout = [Group(size.tokens(512), (size.tokens(1024),) * 16)]
    length, heads, width = sum(layout[0].segments), 4 if size.miniature else 32, 128
    torch.manual_seed(0)
    inputs = [torch.randn(1, heads, length, width, device=size.device, dtype=torch.bfloat16) for _ in range(3)]
    weight = torch.randn(1, length, heads, width, device=size.device)

    def both(dtype: torch.dtype) -> list[Tensor]:
        q, k, v = (x.to(dtype).requires_grad_() for x in inputs)
        out, _ = shared_prompt_attention(torch.nn.Module(), q, k, v, None, layout=layout)
        grads = torch.autograd.grad((out * weight).sum(), (q, k, v))
        return [out.detach(), *grads]

    exact, found = both(torch.float32), both(torch.bfloat16)
    for name, a, b in zip(("output", "dq", "dk", "dv"), exact, found, strict=True):
        error = float((a - b.float()).norm() / a.norm())
        yield Row("attention", f"{name}: error against fp32", f"{error:.2e}", "< 1e-2", error < 1e-2)
    del exact, found
    seconds = timed(size, lambda: both(torch.bfloat16))
    most = peak(size, lambda: both(torch.bfloat16)) / GIB
    yield Row("attention", f"forward and backward, {length:,} tokens", f"{1000 * seconds:.1f} ms, {most:.2f} GiB")
    with torch.profiler.profile() as profile:
        both(torch.bfloat16)
        wait(size)
    own = "self_device_time_total" if size.device == "cuda" else "self_cpu_time_total"
    names = [event.key[:60] for event in sorted(profile.key_averages(), key=lambda event: -getattr(event, own))]
    fused = any(word in name.lower() for name in names for word in FLASH)
    yield Row("attention", "kernels", "; ".join(names[:3]), "a fused one", fused)


def zero(size: Size, stage: int) -> Iterator[Row]:
    """Policy and critic of 7B width: static memory, a step, and a checkpoint's way out and back."""
    part, work = f"zero{stage}", groups(size, 4)
    flat = [t for group in work for t in group]
    with tempfile.TemporaryDirectory() as scratch:
        model = save_model(Path(scratch) / "model", size.shape(), size.device)
        config, shape = settings(stage, size), model_shape(model)
        assert shape is not None
        rank, need = build(model, config, size), learner_need(config, shape)
        static = sum(need.parts[name] for name in ("weights", "gradients", "optimiser"))
        yield compared(part, "memory before a step (GiB)", held(size), static, size)
        rank.step(1, flat)  # compiles, and makes what is made once
        tokens = sum(len(t.response_ids) for t in flat) + sum(len(group[0].prompt_ids) for group in work)
        seconds = timed(size, lambda: rank.step(2, flat))
        yield Row(part, f"a step of {tokens:,} tokens", f"{seconds:.2f} s, {tokens / seconds:,.0f} tokens/s")
        most = peak(size, lambda: rank.step(3, flat))
        yield compared(part, "peak of a step (GiB)", most, need.total - need.parts["CUDA"], size, at_most=True)
        yield Row(part, "a checkpoint's copy to main memory", f"{timed(size, rank.capture):.2f} s")
        before = {name: digest(tensor) for name, tensor in rank._full_weights()}
        rank.step(4, flat)
        moved = sum(digest(tensor) != before[name] for name, tensor in rank._full_weights())
        trained = rank._update.networks.trained.values()
        seconds = timed(size, lambda: [state.restore(n.engine, n._copy.tensors) for n in trained])
        same = all(digest(tensor) == before[name] for name, tensor in rank._full_weights())
        what = f"its way back ({moved} tensors had moved)"
        yield Row(part, what, f"{seconds:.2f} s", "equal bits", same and moved > 0)
        if stage == 2:
            yield from kept(part, model, config, size)


def compared(part: str, what: str, found: float, estimate: float, size: Size, *, at_most: bool = False) -> Row:
    """Measured beside the estimate; on a CPU, where nothing is counted, only shown."""
    ok = found <= estimate if at_most else abs(found - estimate) <= 0.1 * estimate
    expected = f"{'<=' if at_most else ''} {estimate / GIB:.2f}, the estimate's"
    return Row(part, what, f"{found / GIB:.2f}", expected, ok if size.device == "cuda" else None)


def kept(part: str, model: Path, config: Config, size: Size) -> Iterator[Row]:
    """Bytes that the critic keeps for the gradient, a token of a row, with and without recomputation."""
    shape, tokens = model_shape(model), size.tokens(2048)
    assert shape is not None
    for checkpointing in (False, True):
        critic = load_critic(model, torch.bfloat16, None, checkpointing=checkpointing).to(size.device)
        row = torch.zeros(1, tokens, dtype=torch.long, device=size.device)
        where = torch.arange(tokens, device=size.device)
        before = held(size)
        values = critic(row, where[None], (Group(tokens),), where)
        bytes_kept = (held(size) - before) / tokens
        values.sum().backward()
        learner = config.learner.model_copy(update={"gradient_checkpointing": checkpointing, "token_budget": tokens})
        rollout = config.rollout.model_copy(update={"max_model_len": tokens})
        plain = activations(config.model_copy(update={"learner": learner, "rollout": rollout}), shape) / tokens
        how = "with" if checkpointing else "without"
        yield Row(part, f"critic {how} recomputation", f"{bytes_kept:,.0f} B/token", f"{plain:,.0f} at most, estimated")
        del critic, values


def packed(size: Size) -> Iterator[Row]:
    """vLLM's producer and consumer over a group that hands chunks on, with the weights of a ZeRO 3 learner."""
    file = size.packed_tensor or _of_vllm()
    if file is None:
        yield Row("packed", "vLLM's packing", "left out: no vLLM", "--packed-tensor FILE")
        return
    module, sent, receiving = load_file(file), list[Tensor](), False
    if size.device == "cpu":
        module.torch = _Streamless()

    class Loop:
        def broadcast(self, tensor: Tensor, src: int) -> None:
            if receiving:
                tensor.copy_(sent.pop(0))
            else:
                sent.append(tensor.clone())

    with tempfile.TemporaryDirectory() as scratch:
        model = save_model(Path(scratch) / "model", size.shape(2), size.device)
        rank = build(model, settings(3, size, "--learner.advantage", "grpo"), size)
        buffer, came = (1 << 14) if size.miniature else (1 << 28), dict[str, str]()
        shapes = [(name, (list(t.shape), t.dtype)) for name, t in rank._full_weights()]
        produce, take = module.packed_nccl_broadcast_producer, lambda item: item[1]
        seconds = timed(size, lambda: produce(rank._full_weights(), Loop(), 0, take, buffer))
        total = sum(tensor.numel() for tensor in sent)
        chunks, receiving = len(sent), True
        module.packed_nccl_broadcast_consumer(
            iter(shapes), Loop(), 0, lambda named: came.update((n, digest(t)) for n, t in named), buffer,
            device=size.device,
        )  # fmt: skip
        own = {name: digest(tensor) for name, tensor in rank._full_weights()}
    yield Row("packed", f"gathered and packed, {chunks} chunks", f"{seconds:.2f} s, {total / seconds / 1e9:.1f} GB/s")
    right = sum(came.get(name) == found for name, found in own.items())
    yield Row("packed", "weights that came, equal to the bit", str(right), str(len(own)), came == own)


class _Streamless:
    """torch, but for streams: they are the device's."""

    accelerator = SimpleNamespace(current_device_index=lambda: 0)
    cuda = SimpleNamespace(
        Stream=lambda device: SimpleNamespace(synchronize=lambda: None), stream=lambda stream: nullcontext()
    )

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def _of_vllm() -> Path | None:
    """Found without importing vLLM, of which no other build than the GPU's may be here."""
    spec = importlib.util.find_spec("vllm")
    place = next(iter(spec.submodule_search_locations or []), None) if spec else None
    return Path(place) / "distributed" / "weight_transfer" / "packed_tensor.py" if place else None


def load_file(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location("packed_tensor", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stream(size: Size) -> Iterator[Row]:
    """Two steps from the same weights: twice as they are, which tells the noise, and once on another stream."""
    work = [t for group in groups(size, 1) for t in group]
    with tempfile.TemporaryDirectory() as scratch:
        model = save_model(Path(scratch) / "model", size.shape(2), size.device)
        found = []
        for other in (False, False, True):
            rank = build(model, settings(2, size, "--learner.advantage", "grpo"), size)
            if other and size.device == "cuda":
                torch.cuda.set_stream(torch.cuda.Stream())
            metrics = [rank.step(step, work) for step in (1, 2)]
            found.append([m[key] for m in metrics for key in ("policy/loss", "grad_norm/policy")])
            del rank
            gc.collect()
    plain, again, moved = (np.array(values) for values in found)
    noise, change = (float(np.abs(x - plain).max() / np.abs(plain).max()) for x in (again, moved))
    bound = max(10 * noise, 1e-6)
    what = "loss and gradient norms, another stream"
    yield Row("stream", what, f"{change:.1e} off", f"<= {bound:.1e}", change <= bound)


PARTS: Mapping[str, Callable[[Size], Iterator[Row]]] = {
    "attention": attention,
    "zero2": lambda size: zero(size, 2),
    "zero3": lambda size: zero(size, 3),
    "packed": packed,
    "ipc": lambda size: filled_twice(size.device, 1 << 20 if size.miniature else 1 << 30),
    "stream": stream,
}
