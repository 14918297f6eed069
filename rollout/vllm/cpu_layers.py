"""Layers of vLLM that run many small operations on a CPU without compilation, with vLLM's own kernels in their place.

RMSNorm and SwiGLU are chains of PyTorch's operations there, a sixth of a small model's decoding, though the CPU library
has each as one kernel. Attention goes through an operator that only a compiler needs. The kernels round once, at the
end, where the operations round after each; but those for AVX2 cut bf16 off instead of rounding it, which would shrink
the residual stream at every layer, and are left alone there.
"""

import torch
from torch import Tensor, nn
from vllm.model_executor.layers.activation import SiluAndMul
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.layers.layernorm import RMSNorm

from stepcoder.rollout.vllm.kernels import loaded


def use_kernels(model: nn.Module) -> None:
    """Change what the model's layers call; parameters and their names stay."""
    cut = loaded() == "_C_AVX2" and any(weight.dtype == torch.bfloat16 for weight in model.parameters())
    for layer in model.modules():
        if type(layer) is Attention:
            layer.use_direct_call = True
        elif cut:
            continue
        elif type(layer) is RMSNorm and layer.variance_size_override is None and layer.has_weight:
            layer._forward_method = _Norm(layer)
        elif type(layer) is SiluAndMul:
            layer._forward_method = silu_and_mul


class _Norm:
    """RMSNorm's forward pass. Holds the layer, whose weight may be replaced, outside of the module tree."""

    def __init__(self, layer: RMSNorm) -> None:
        self._layer = layer

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        weight, epsilon = self._layer.weight, self._layer.variance_epsilon
        if weight.dtype != x.dtype or (residual is not None and not (x.is_contiguous() and residual.is_contiguous())):
            return self._layer.forward_native(x, residual)
        if residual is None:
            return rms_norm(x, weight, epsilon)
        torch.ops._C.fused_add_rms_norm(x, residual, weight, epsilon)
        return x, residual


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    torch.ops._C.rms_norm(out, x.contiguous(), weight, epsilon)
    return out


def silu_and_mul(x: Tensor) -> Tensor:
    out = torch.empty((*x.shape[:-1], x.shape[-1] // 2), dtype=x.dtype)
    torch.ops._C.silu_and_mul(out, x.contiguous())
    return out
