"""Ten minutes on one GPU: what of the learner and of weights on their way can be checked where only torch is.

    python -m benchmarks.gpu                 a table, and the same as JSON in gpu.json

Needs torch with CUDA, transformers, DeepSpeed, peft and jaxtyping; neither vLLM nor Ray; 80 GB on the GPU and in main
memory (--layers for less). Each part is a process of its
own with a deadline, so that one that dies costs the others nothing; what there is no time for is said.

  attention    the learner's over packed rows in bf16 against fp32: error, kernels, time, memory
  zero2, zero3 a step in bf16 at the width of 7B: time, memory beside the estimate's, bytes that a token keeps with and
               without recomputation, a checkpoint's copy and its way back
  packed       vLLM's packing of weights (its file alone) over the ZeRO 3 learner's, sent in a loop: equal to the bit
  ipc          a buffer of weights shared with another process by CUDA IPC, filled twice
  stream       the same step with another CUDA stream made the current one: same loss, same gradients

It can't cover vLLM's kernels, CUDA graphs, sleep, tensor parallelism, or NCCL over several ranks. Exit code: 2 without
a GPU, 1 where a check fails or a part does not end, else 0.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

WHOLE_S = 570.0
LIMITS_S = {"attention": 60.0, "zero2": 130.0, "zero3": 130.0, "packed": 90.0, "ipc": 60.0, "stream": 90.0}
MARK = "row: "


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `ok`: whether it is as it should be, which `expected` says; None where nothing is expected."""

    part: str
    what: str
    value: str
    expected: str = ""
    ok: bool | None = None


def run_part(part: str, words: Sequence[str], limit_s: float) -> Iterator[Row]:
    """The rows that a part gives before it ends, dies or has to be ended."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--part", part, *words]
    begun = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s)
        out, fault = done.stdout, "" if done.returncode == 0 else _last(done.stderr) or f"exit code {done.returncode}"
    except subprocess.TimeoutExpired as error:
        out, fault = error.stdout or b"", f"not done after {limit_s:.0f} s"
        out = out.decode() if isinstance(out, bytes) else out
    for line in out.splitlines():
        if line.startswith(MARK):
            yield Row(**json.loads(line.removeprefix(MARK)))
    yield Row(part, "the part's end", fault or f"after {time.monotonic() - begun:.0f} s", "no error", not fault)


def _last(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")[:200]


def listed(rows: Sequence[Row]) -> str:
    """Columns of plain text: nothing beside torch need be installed."""
    marks = {None: "", True: "ok", False: "WRONG"}
    table = [("part", "what", "value", "expected", "")]
    table += [(row.part, row.what, row.value, row.expected, marks[row.ok]) for row in rows]
    widths = [max(len(line[i]) for line in table) for i in range(5)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table)


def about(device: str) -> Row:
    import deepspeed
    import torch
    import transformers

    name = torch.cuda.get_device_name(0) if device == "cuda" else "CPU"
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, DeepSpeed {deepspeed.__version__}"
    return Row("machine", name, versions)


def no_gpu() -> str | None:
    """Why nothing can be measured here."""
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    if torch.cuda.is_available():
        return None
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "a CPU build"
    return f"torch {torch.__version__} ({build}) sees no GPU"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=LIMITS_S, default=list(LIMITS_S), help="only these")
    parser.add_argument("--layers", type=int, default=8, help="of the model of 7B width; 1 for a GPU of 24 GB")
    parser.add_argument("--packed-tensor", type=Path, help="vLLM's packed_tensor.py, where vLLM is not installed")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help=argparse.SUPPRESS)
    parser.add_argument("--miniature", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=LIMITS_S, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.device == "cuda" and (why := no_gpu()):
        print(f"no GPU: {why}. Nothing was measured.", file=sys.stderr)
        return 2
    os.environ["DS_ACCELERATOR"] = options.device
    if options.part:
        from benchmarks import gpu_parts

        size = gpu_parts.Size(options.device, options.layers, options.miniature, options.packed_tensor)
        for row in gpu_parts.PARTS[options.part](size):
            print(MARK + json.dumps(asdict(row)), flush=True)
        return 0
    words = ["--device", options.device, "--layers", str(options.layers)]
    words += ["--miniature"] * options.miniature
    words += ["--packed-tensor", str(options.packed_tensor)] if options.packed_tensor else []
    rows, begun = [about(options.device)], time.monotonic()
    for part in options.parts:
        left = WHOLE_S - (time.monotonic() - begun)
        if left < LIMITS_S[part] / 3:
            rows.append(Row(part, "the part", "no time was left", "run with --parts", False))
            continue
        print(f"{part} ...", file=sys.stderr)
        rows += run_part(part, words, left if options.miniature else min(LIMITS_S[part], left))
    print(listed(rows))
    options.out.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    return int(any(row.ok is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
