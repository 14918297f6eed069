"""What vLLM loads and runs on a CPU: the library for older CPUs in a restricted process, its kernels in layers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from vllm.config import VllmConfig, set_current_vllm_config
from vllm.model_executor.layers import utils as layers
from vllm.model_executor.layers.activation import SiluAndMul
from vllm.model_executor.layers.layernorm import RMSNorm

from stepcoder.rollout.vllm.cpu_layers import let_threads_change, packed_linear, use_kernels
from stepcoder.rollout.vllm.kernels import AVX2_ONLY, forbidden, loaded

X86 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="one library there is")


@pytest.fixture
def vllm() -> Iterator[None]:
    with set_current_vllm_config(VllmConfig()):
        yield


def test_levels_by_hand() -> None:
    avx512 = ("_is_avx512_supported", "_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_amx_fp16_supported")
    assert forbidden({}) == ()
    assert forbidden({"ONEDNN_MAX_CPU_ISA": "avx512_core_amx"}) == ()
    assert forbidden({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}) == avx512[2:]
    assert forbidden({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}) == avx512[1:]
    assert forbidden({"ONEDNN_MAX_CPU_ISA": "AVX2"}) == avx512
    assert forbidden({"ATEN_CPU_CAPABILITY": "avx2"}) == avx512
    assert forbidden(AVX2_ONLY) == avx512


@X86
def test_a_process_restricted_to_avx2_loads_vllm_s_library_for_avx2() -> None:
    program = (
        "from stepcoder.rollout.vllm.kernels import *; honour_restriction()\nimport vllm._custom_ops; print(loaded())"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=os.environ | AVX2_ONLY, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "_C_AVX2"


def test_a_process_that_is_gone_has_loaded_nothing() -> None:
    assert loaded(2**22 + 1) == ""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layers_give_with_vllm_s_kernels_what_they_give_without(vllm: None, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    norm, act = RMSNorm(96, eps=1e-5, dtype=dtype), SiluAndMul()
    norm.weight.data.normal_()
    x, residual = torch.randn(2, 7, 96, dtype=dtype).unbind()
    wide = torch.randn(7, 2 * 96, dtype=dtype)
    normed, active = norm.forward_native(x.float()), act.forward_native(wide.float())
    added = norm.forward_native(x.float(), residual.float())
    use_kernels(torch.nn.ModuleList([norm, act]))
    near = {torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    with torch.inference_mode():
        torch.testing.assert_close(norm(x).float(), normed, atol=near, rtol=near)
        torch.testing.assert_close(act(wide).float(), active, atol=near, rtol=near)
        norm.weight = torch.nn.Parameter(norm.weight.clone())  # as an update of the weights may do
        for found, wanted in zip(norm(x.clone(), residual.clone()), added, strict=True):
            torch.testing.assert_close(found.float(), wanted, atol=near, rtol=near)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 8, 13, 64, 65, 200])
def test_a_packed_product_of_any_number_of_rows(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, rows: int) -> None:
    monkeypatch.setattr(layers, "dispatch_cpu_unquantized_gemm", layers.dispatch_cpu_unquantized_gemm)
    let_threads_change()
    let_threads_change()
    layer: Any = torch.nn.Linear(96, 512, dtype=dtype)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach()
    x = torch.randn(rows, 96, dtype=dtype)
    with torch.inference_mode():
        layers.dispatch_cpu_unquantized_gemm(layer, remove_weight=True)
        assert (layer.weight.numel() == 0) == packs(dtype)  # else vLLM's own way keeps it
        found = layer.cpu_linear(x, layer.weight, bias)
        near = {torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
        wanted = torch.nn.functional.linear(x.float(), weight.float(), bias.float())
        torch.testing.assert_close(found.float(), wanted, atol=near, rtol=near)
        three = layer.cpu_linear(x.view(1, rows, 96), layer.weight, None)
        torch.testing.assert_close(three[0].float(), wanted - bias.float(), atol=near, rtol=near)


def packs(dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies the format here: bf16 only with AVX-512."""
    try:
        torch.ops.mkldnn._reorder_linear_weight(torch.randn(16, 32, dtype=dtype), 64)
    except RuntimeError:
        return False
    return True


def test_few_numbers_of_rows_are_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set[int]()
    multiply = torch.ops.mkldnn._linear_pointwise
    monkeypatch.setattr(
        torch.ops.mkldnn, "_linear_pointwise", lambda x, *rest: (seen.add(len(x)), multiply(x, *rest))[1]
    )
    packed = torch.ops.mkldnn._reorder_linear_weight(torch.randn(16, 32), 64)
    with torch.inference_mode():
        for rows in range(1, 200):
            assert packed_linear(torch.randn(rows, 32), packed, None).shape == (rows, 16)
    assert sorted(seen) == [8, 16, 24, 32, 40, 48, 56, 64, 128, 192, 256]
