"""The output layer: what a family does to its logits, and in which precision they are computed.

The learner multiplies hidden states with the output layer by itself, a part of the tokens at a time. What a model's own
forward adds to that must be known, or the model is refused: before a run by its configuration, and when it is loaded
by comparing the two on random hidden states.
"""

import types

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions as Output

# What configurations of transformers call changes to the logits, and the value at which each does nothing.
OPTIONS = {
    "logits_scaling": 1.0, "final_logit_softcapping": None, "logit_scale": None, "logits_soft_cap": None,
    "lm_head_multiplier": 1.0, "output_multiplier_scale": 1.0, "dim_model_base": None,
}  # fmt: skip
HONOURED = {"granite": "logits_scaling"}  # logits = head(hidden) / logits_scaling


def require_known_head(config: PreTrainedConfig) -> None:
    """Raises ValueError for an option of the output layer that `logit_divisor` does not cover."""
    for name, neutral in OPTIONS.items():
        value = getattr(config, name, neutral)
        if value not in (neutral, None) and HONOURED.get(config.model_type) != name:
            raise ValueError(f"{name} = {value} in its config.json changes its logits, which the learner does not do")


def logit_divisor(config: PreTrainedConfig) -> float:
    """What the output layer's product is divided by to give the model's own logits."""
    name = HONOURED.get(config.model_type)
    return 1.0 if name is None else float(getattr(config, name))


@torch.no_grad()
def require_own_logits(model: PreTrainedModel) -> None:
    """Raises ValueError unless the model's own forward gives, for random hidden states, what the learner computes."""
    head, trunk = model.get_output_embeddings(), model.get_decoder()
    assert isinstance(head, nn.Module)
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(1, 3, head.weight.shape[1], generator=random).to(head.weight)  # type: ignore[union-attr]
    place = next(name for name, child in model.named_children() if child is trunk)
    setattr(model, place, _Given(hidden))
    try:
        own = model(input_ids=torch.zeros(1, 3, dtype=torch.long), use_cache=False).logits
    finally:
        setattr(model, place, trunk)
    ours = head(hidden).float() / logit_divisor(model.config)
    if not torch.allclose(own.float(), ours, rtol=0.02, atol=0.02 * float(ours.abs().max())):
        kind = model.config.model_type
        raise ValueError(f"a {kind} model changes its logits behind the output layer, which the learner does not do")


class _Given(nn.Module):
    """In the place of a model's trunk: says what it was given."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden

    def forward(self, *_: object, **__: object) -> Output:
        return Output(last_hidden_state=self.hidden)  # type: ignore[arg-type]


class ScalarHead(nn.Linear):
    """One number a hidden state, zero at first, in fp32 whatever autocast and the weights' own type are: values are
    regressed on returns, and bf16 keeps only 8 bits of them."""

    def __init__(self, hidden_size: int, dtype: torch.dtype) -> None:
        super().__init__(hidden_size, 1, dtype=dtype)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, input: Float[Tensor, "M D"]) -> Float[Tensor, "M 1"]:
        return _linear_in_fp32(self, input)


def compute_in_fp32(head: nn.Module | None) -> None:
    """Make an output layer multiply in fp32, also under autocast and over bf16 weights.

    Its forward is replaced, so that hooks on the layer (ZeRO 3 gathers its weights in one) stay.
    """
    if not isinstance(head, nn.Linear):
        raise ValueError(f"learner.output_precision fp32 needs a linear output layer, not a {type(head).__name__}")
    head.forward = types.MethodType(_linear_in_fp32, head)


def _linear_in_fp32(layer: nn.Linear, hidden: Tensor) -> Tensor:
    with torch.autocast(hidden.device.type, enabled=False):
        bias = None if layer.bias is None else layer.bias.float()
        return F.linear(hidden.float(), layer.weight.float(), bias)
