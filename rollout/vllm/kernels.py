"""Which of vLLM's kernel libraries a process loads, and the restriction of it to older CPUs' instructions.

vLLM ships one library for each of AVX2, AVX-512 and AVX-512 with bf16, and chooses by what the CPU has. PyTorch, oneDNN
and MKL can be told by environment variables to leave newer instructions alone; vLLM cannot, so that a process
restricted in that way would still run vLLM's kernels for the newer CPU. Invariant: after `honour_restriction`, which
has to come before vLLM is imported, vLLM sees no instruction that those variables forbid.
"""

import os
from collections.abc import Mapping
from pathlib import Path

# What a test or a benchmark sets to make a newer x86-64 CPU behave as one with AVX2 only.
AVX2_ONLY = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}

_NO_AVX512 = ("_is_avx512_supported", "_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_amx_fp16_supported")


def forbidden(environment: Mapping[str, str]) -> tuple[str, ...]:
    """torch's functions that must say no in this environment, by the names of its levels and oneDNN's."""
    level = environment.get("ATEN_CPU_CAPABILITY", "").lower()
    isa = environment.get("ONEDNN_MAX_CPU_ISA", "").upper()
    if level in ("default", "avx2") or isa in ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2"):
        return _NO_AVX512
    if isa in ("AVX512_CORE", "AVX512_CORE_VNNI"):
        return _NO_AVX512[1:]
    return _NO_AVX512[2:] if isa == "AVX512_CORE_BF16" else ()


def honour_restriction() -> None:
    """Let torch answer vLLM's questions about the CPU as the environment restricts it."""
    if names := forbidden(os.environ):
        import torch

        for name in names:
            if hasattr(torch.cpu, name):
                setattr(torch.cpu, name, _no)


def _no() -> bool:
    return False


def loaded(pid: int | None = None) -> str:
    """The library that a process has loaded: `_C` (AVX-512 with bf16, or no x86-64), `_C_AVX512` or `_C_AVX2`.

    Empty when there is none, or no permission to look.
    """
    try:
        maps = Path(f"/proc/{pid or 'self'}/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = {Path(line.split(maxsplit=5)[5]).name.split(".")[0] for line in maps.splitlines() if "/vllm/_C" in line}
    return "+".join(sorted(found))
