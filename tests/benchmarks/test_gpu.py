"""The ten minutes on a GPU, in miniature on a CPU: every part's code runs, and its checks hold."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu

ROOT = Path(__file__).resolve().parents[2]
# What a machine with nothing but torch, transformers, DeepSpeed, peft and jaxtyping does not have.
ABSENT = ("ray", "vllm", "rich", "fsspec.implementations.http", "pandas", "pyarrow", "fastapi", "datasets")


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | variables
    command = [sys.executable, "-m", "benchmarks.gpu", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)


def test_without_a_gpu_it_says_so() -> None:
    done = run(CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2 and "no GPU" in done.stderr and "Nothing was measured" in done.stderr
    assert not done.stdout


def test_the_command_in_miniature(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    done = run("--device", "cpu", "--miniature", "--parts", "attention", "--out", str(out))
    rows = [gpu.Row(**row) for row in json.loads(out.read_text())]
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert {row.part for row in rows} == {"machine", "attention"}
    assert all(row.what in done.stdout for row in rows)


@pytest.mark.parametrize("part", [part for part in gpu.LIMITS_S if part != "attention"])
def test_a_part_in_miniature(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    from benchmarks.gpu_parts import PARTS, Size

    rows = list(PARTS[part](Size("cpu", 2, miniature=True)))
    checked = [row for row in rows if row.ok is not None]
    assert checked and all(row.ok for row in checked), gpu.listed(rows)
    assert {row.part for row in rows} == {part}


@pytest.mark.parametrize(("line", "said"), [("exit 3", "exit code 3"), ("exec sleep 60", "not done after")])
def test_a_part_that_dies_or_hangs_is_a_row_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, said: str
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{line}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    (row,) = gpu.run_part("ipc", [], 1.0)
    assert row.ok is False and said in row.value and "WRONG" in gpu.listed([row])


def test_it_needs_nothing_that_such_a_machine_has_not() -> None:
    code = f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r})); import benchmarks.gpu_parts"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
