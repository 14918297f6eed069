"""Layers of vLLM that run many small operations on a CPU without compilation, with vLLM's own kernels in their place.

RMSNorm and SwiGLU are chains of PyTorch's operations there, a sixth of a small model's decoding, though the CPU library
has each as one kernel. Attention goes through an operator that only a compiler needs. The kernels round once, at the
end, where the operations round after each; but those for AVX2 cut bf16 off instead of rounding it, which would shrink
the residual stream at every layer, and are left alone there.

Matrix products go to PyTorch's packed oneDNN operator where the threads may change (`cpu_sharing.py`): vLLM's own keeps
for each batch size the number of threads that was set when it first met that size.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from vllm.model_executor.layers import utils as layers
from vllm.model_executor.layers.activation import SiluAndMul
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.layers.layernorm import RMSNorm

from stepcoder.rollout.vllm.kernels import loaded

_ROWS = 64  # of the batch that the packed layout of a weight is chosen for
# oneDNN keeps what it compiled for each number of rows: 0.8 GiB after 400 of them. Rows are filled up to a multiple of
# the first number while they are at most the second, and of that beyond.
_FILLED = (8, 64)


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


def let_threads_change() -> None:
    """From here on each linear layer that is loaded obeys `torch.set_num_threads` at every call."""
    pack: Any = layers.dispatch_cpu_unquantized_gemm
    if not isinstance(pack, _PackedLinear):
        layers.dispatch_cpu_unquantized_gemm = _PackedLinear(pack)


class _PackedLinear:
    """Takes the place of vLLM's choice of a product, and leaves to that what oneDNN does not pack."""

    def __init__(self, otherwise: Any) -> None:
        self._otherwise = otherwise

    def __call__(self, layer: Any, remove_weight: bool) -> None:
        weight: Any = layer.weight
        if (
            weight.is_meta
            or weight.ndim != 2
            or layers.check_cpu_sgl_kernel(weight.shape[0], weight.shape[1], weight.dtype)
        ):
            return self._otherwise(layer, remove_weight)
        try:
            packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)
        except RuntimeError:  # a format that oneDNN does not multiply here
            return self._otherwise(layer, remove_weight)
        layer.cpu_linear = lambda x, _, bias: packed_linear(x, packed, bias)
        if remove_weight:
            layer.weight = nn.Parameter(torch.empty(0, dtype=weight.dtype), requires_grad=False)


def packed_linear(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    """x [..., in] times a weight [out, in] that `_reorder_linear_weight` has packed, plus bias [out]: [..., out]."""
    rows = x.numel() // x.shape[-1]
    flat = F.pad(x.reshape(rows, -1), (0, 0, 0, -rows % _FILLED[rows > _FILLED[1]]))
    out = torch.ops.mkldnn._linear_pointwise(flat, packed, bias, "none", [], "")
    return out[:rows].unflatten(0, x.shape[:-1])


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
