"""LoRA adapters on a causal language model: put on, switched off, merged. The only file that knows peft's names.

The model keeps its class, and its own weights never change; without its adapters it is exactly the model that
was loaded.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from stepcoder.learner.config import LoRAConfig

if TYPE_CHECKING:
    from peft.tuners.lora import Linear

ADAPTER = "default"


def add_adapters(model: PreTrainedModel, config: LoRAConfig) -> None:
    """Put adapters of `config.rank` on the model's linear layers, in fp32; only they are trained from here on.

    The product is zero at first, so the model computes what it did. Raises ValueError for a target that the model has
    not. No dropout: ratios compare two passes over the same tokens, so a pass must not be random.
    """
    from peft import LoraConfig, inject_adapter_in_model

    assert config.rank is not None, "adapters need a rank"
    layers = _linear_layers(model)
    if config.targets != ("all-linear",):
        layers = _named(layers, config.targets)
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # any number
        target_modules=list(layers),
        lora_dropout=0.0,
        fan_in_fan_out=any(isinstance(layer, Conv1D) for layer in layers.values()),
    )
    inject_adapter_in_model(lora, model, ADAPTER)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _linear_layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    output = model.get_output_embeddings()
    kinds = (nn.Linear, Conv1D)
    return {name: m for name, m in model.named_modules() if isinstance(m, kinds) and m is not output}


def _named(layers: dict[str, nn.Module], targets: Iterable[str]) -> dict[str, nn.Module]:
    """The layers whose name is or ends with a target."""
    found: dict[str, nn.Module] = {}
    for target in targets:
        matching = {name: m for name, m in layers.items() if f".{name}".endswith(f".{target}")}
        if not matching:
            known = ", ".join(sorted({name.rpartition(".")[2] for name in layers}))
            raise ValueError(f"learner.lora.targets: the model has no linear layer {target!r}; it has {known}")
        found |= matching
    return found


@contextmanager
def without_adapters(model: nn.Module) -> Iterator[None]:
    """Inside, the model computes as if it had no adapters. Only for passes without gradients."""
    layers = list(_adapted(model).values())
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


@dataclass(frozen=True, slots=True, eq=False)
class Weight:
    """One tensor of the plain model, under its Hugging Face name: a parameter, with an adapter's product or without."""

    name: str
    parameter: nn.Parameter
    adapter: "Linear | None" = None

    @property
    def parts(self) -> list[nn.Parameter]:
        """The parameters that `value` reads."""
        if self.adapter is None:
            return [self.parameter]
        return [self.parameter, *(p for name, p in self.adapter.named_parameters() if "lora_" in name)]

    def value(self) -> Tensor:
        """The tensor as the engines need it: W, or W + alpha / r B A (Hu et al. 2021, eq. 3), summed in fp32."""
        weight = self.parameter.detach()
        if self.adapter is None:
            return weight
        with torch.no_grad():
            product = self.adapter.get_delta_weight(ADAPTER)
            return (weight.float() + product.float()).to(weight.dtype)


def plain_weights(model: nn.Module) -> Iterator[Weight]:
    """The model's tensors as if it had no adapters, in the plain model's order; tied ones come once."""
    adapted = _adapted(model)
    for name, parameter in model.named_parameters():
        owner, base, leaf = name.rpartition(".base_layer.")
        if base:
            yield Weight(f"{owner}.{leaf}", parameter, adapted[owner] if leaf == "weight" else None)
        elif not any(name.startswith(f"{layer}.") for layer in adapted):
            yield Weight(name, parameter)


def _adapted(model: nn.Module) -> "dict[str, Linear]":
    from peft.tuners.lora import Linear

    return {name: m for name, m in model.named_modules() if isinstance(m, Linear)}
