"""The terms of the GPUs' estimate against what a real learner allocates on a CPU, for three shapes, within a tenth.

`tests/deploy/test_gpu_memory.py` has the activations. What ZeRO 3 gathers for a while and CUDA's own are not seen here.
"""

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributed._tools.mem_tracker import MemTracker

from stepcoder.deploy.checks.footprint import ModelShape, model_shape
from stepcoder.deploy.checks.gpu_memory import learner_need
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.run import Config
from stepcoder.learner.networks.logprobs import chunked_logprobs
from tests.tools.learner import make_groups, make_rank

# (hidden size, the MLP's, heads, key-value heads, vocabulary)
SHAPES = [(64, 176, 2, 2, 512), (128, 344, 4, 4, 1024), (96, 512, 3, 1, 768)]
SIZES = ["hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "vocab_size"]


def settings(*words: str) -> Config:
    return load_config(None, ["--learner.device", "cpu", *words], {})


def size(tensors: Iterable[Tensor]) -> int:
    """Bytes of what lies under these tensors; what several share counts once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


@pytest.mark.parametrize("kind", [("fp32", 0), ("bf16", 2)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_a_learner_holds(tmp_path: Path, shape: tuple[int, ...], kind: tuple[str, int]) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = dict(zip(SIZES, shape, strict=True))
    LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=6, tie_word_embeddings=False)).save_pretrained(tmp_path)  # pyright: ignore
    config = settings("--learner.precision", kind[0], "--learner.zero_stage", str(kind[1]))
    rank, found = make_rank(tmp_path, config.learner), {"gradients": 0, "optimiser": 0, "weights": 0}
    networks = rank._update.networks
    optimisers = [getattr(n.engine.optimizer, "optimizer", n.engine.optimizer) for n in networks.trained.values()]

    def before_update(adam: torch.optim.Optimizer, *_: object) -> None:
        found["gradients"] += size(p.grad for group in adam.param_groups for p in group["params"] if p.grad is not None)

    for adam in optimisers:
        adam.register_step_pre_hook(before_update)
    rank.step(1, [t for group in make_groups(2, vocabulary=500) for t in group])
    for network, adam in zip(networks.trained.values(), optimisers, strict=True):
        own = list(network.module.parameters())
        master = [p for group in adam.param_groups for p in group["params"]]
        moments = [value for state in adam.state.values() for value in state.values() if value.numel() > 1]
        found["weights"] += size(own)
        found["optimiser"] += size([*moments, *master]) - size(own) * (size([*own, *master]) == size(own))
    assert networks.reference is not None
    found["reference"] = size(networks.reference.parameters())  # pyright: ignore[reportFunctionMemberAccess]
    known = model_shape(tmp_path)
    assert known is not None
    need = learner_need(config, known).parts
    assert found == {name: pytest.approx(need[name], rel=0.1) for name in found}


class Scored(torch.nn.Module):
    """The output layer and what is made of its logits, in four parts."""

    def __init__(self, hidden: int, vocabulary: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.head = torch.nn.Linear(hidden, vocabulary, bias=False, dtype=dtype)

    def forward(self, states: Tensor, targets: Tensor) -> Tensor:
        return chunked_logprobs(self.head, states, targets, 4, 0.8)[0].sum()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_logits(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    hidden, *_, vocabulary = shape
    tokens, scored = 1024, Scored(hidden, vocabulary, dtype)
    states = torch.randn(4 * tokens, hidden, dtype=dtype, requires_grad=True)
    targets = torch.randint(0, vocabulary, (4 * tokens,))
    tracker = MemTracker()
    tracker.track_external(scored, states, targets)
    with tracker:
        scored(states, targets).backward()
    (peak,) = tracker.get_tracker_snapshot("peak").values()
    lasting = 2 * size([states]) + 2 * size([scored.head.weight]) + size([targets])  # the gradients too
    config = settings("--learner.precision", "fp32" if dtype == torch.float32 else "bf16", "--learner.zero_stage", "2")
    learner = config.learner.model_copy(update={"token_budget": 4 * tokens, "logprob_chunk": tokens})
    known = ModelShape(1, 1, hidden, 1, vocabulary, None)
    need = learner_need(config.model_copy(update={"learner": learner}), known).parts["logits"]
    assert peak["Total"] - lasting == pytest.approx(need, rel=0.1)
