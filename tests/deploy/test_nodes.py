"""Nodes that can't compute a run are refused, each with one message, before anything is loaded on them."""

import platform
from dataclasses import replace

import pytest

from stepcoder.deploy.checks import nodes
from stepcoder.deploy.checks.footprint import STARTER_SHAPE
from stepcoder.deploy.checks.machine import GIB
from stepcoder.deploy.checks.nodes import Node, check_nodes, look
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.training.placement import Placement
from stepcoder.errors import UserError
from tests.deploy.test_gpu_memory import CODER_7B

VERSIONS = {"Python": "3.12.3", "torch": "2.13.0", "vLLM": "0.32.0"}
HERE = Node("head", VERSIONS, ("torch", "vLLM"), ())  # a head without GPUs may have builds for CPUs
GOOD = Node("gpu-1", VERSIONS, (), (80 * GIB,) * 8)
GPUS = Placement(cuda=True)
CONFIG = load_config(None, [], {})


def refused(*found: Node, config=CONFIG, shape=STARTER_SHAPE, place: Placement = GPUS) -> str:
    with pytest.raises(UserError) as caught:
        check_nodes(config, shape, place, found, HERE)
    return str(caught.value)


def test_nodes_that_fit_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = list[int]()
    real = nodes.check_gpu_memory
    monkeypatch.setattr(
        nodes, "check_gpu_memory", lambda *given, **more: looked.append(given[2]) or real(*given, **more)
    )
    without = replace(HERE, versions=VERSIONS | {"vLLM": nodes.MISSING})
    takes = ((GPUS, [GOOD, GOOD], HERE), (Placement(cuda=False), [HERE], HERE), (GPUS, [GOOD], without))
    found = [check_nodes(CONFIG, STARTER_SHAPE, place, there, here) for place, there, here in takes]
    assert found == [None] * 3 and looked == [80 * GIB] * 2


def test_a_cpu_build_on_gpus_is_refused_with_the_command_that_mends_it() -> None:
    said = refused(GOOD, replace(GOOD, name="gpu-2", builds=("torch",)))
    assert "torch is a build for CPUs on gpu-2" in said and nodes.GPU_SET in said and "gpu-1" not in said
    vllm = replace(GOOD, builds=("vLLM",))
    assert "vLLM is a build for CPUs on gpu-1" in refused(vllm)
    check_nodes(load_config(None, ["--rollout.engine", "transformers"], {}), STARTER_SHAPE, GPUS, [vllm], HERE)


def test_versions_that_differ_between_nodes_are_told_with_their_places() -> None:
    other = replace(GOOD, name="gpu-2", versions=VERSIONS | {"torch": "2.12.1"})
    assert refused(GOOD, other).splitlines() == [
        "versions: the nodes differ in torch: 2.13.0 on gpu-1, head, 2.12.1 on gpu-2. Install the same on all, or use "
        "one image."
    ]
    assert "differ in torch" in refused(other, place=Placement(cuda=False))


def test_a_model_that_does_not_fit_the_smallest_gpu_of_the_cluster_is_refused() -> None:
    small = replace(GOOD, name="gpu-2", memory=(24 * GIB,))
    config = load_config(None, ["--learner.precision", "autocast", "--rollout.dtype", "bfloat16"], {})
    assert "GPU memory" in refused(GOOD, small, config=config, shape=CODER_7B)
    check_nodes(config, CODER_7B, GPUS, [GOOD, small], HERE, "engines")  # an evaluation has no learner


def test_every_fault_is_told_at_once() -> None:
    bad = Node("gpu-2", VERSIONS | {"vLLM": "missing"}, ("torch",), (8 * GIB,))
    said = refused(GOOD, bad, shape=CODER_7B)
    assert all(word in said for word in ("build for CPUs", "differ in vLLM", "GPU memory"))


def test_a_look_at_this_machine() -> None:
    import torch

    found = look()
    assert found.versions["torch"] == torch.__version__.partition("+")[0]
    assert found.versions["Python"] == platform.python_version() and found.versions["vLLM"] != "missing"
    assert ("torch" in found.builds) == (torch.version.cuda is None)
