"""The engines there are: what makes each, the environment of its process, and how weights reach it.

A new engine is one file with a class that is an `Engine`, its name and settings in `rollout/config.py`, and its line in
`ENGINES`. It is imported only where it is chosen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stepcoder.rollout.config import EngineConfig, RolloutConfig
from stepcoder.rollout.engine import Engine
from stepcoder.rollout.libraries import preload_libraries
from stepcoder.rollout.threads import engine_threads

if TYPE_CHECKING:
    from stepcoder.rollout.weights import Link, Sender


@dataclass(frozen=True, slots=True)
class EngineKind:
    """What is known of an engine before it is made.

    `make` takes what `make_engine` takes, `environment` what `engine_environment` takes. `whole_logprobs`: the devices
    on which its log-probabilities are those of the untruncated distribution. `direct`: whether weights reach it from
    GPU to GPU. `batches`: whether it samples completions together, as estimates of a run's length assume. `sleeps`:
    whether it can free the memory of its GPUs for a while.
    """

    make: Callable[..., Engine]
    environment: Callable[[EngineConfig, str, str], dict[str, str]]
    whole_logprobs: frozenset[str]
    direct: bool
    batches: bool
    sleeps: bool


def _vllm(model: str, config: RolloutConfig, *, device: str, backend: str, version: int) -> Engine:
    from stepcoder.rollout.vllm.engine import VLLMEngine

    return VLLMEngine(model, config, device=device, backend=backend, version=version)


def _vllm_environment(config: EngineConfig, device: str, backend: str) -> dict[str, str]:
    from stepcoder.rollout.vllm.environment import vllm_environment

    return vllm_environment(config, device, backend)


def _transformers(model: str, config: RolloutConfig, *, device: str, backend: str, version: int) -> Engine:
    from stepcoder.rollout.transformers_engine import TransformersEngine

    return TransformersEngine(model, config, device=device, version=version)


ENGINES: Mapping[str, EngineKind] = {
    "vllm": EngineKind(_vllm, _vllm_environment, frozenset({"cpu"}), direct=True, batches=True, sleeps=True),
    "transformers": EngineKind(
        _transformers, lambda *_: {}, frozenset({"cpu", "cuda"}), direct=False, batches=False, sleeps=False
    ),
}


def make_engine(
    model: str, config: RolloutConfig, *, device: str = "cpu", backend: str = "gloo", version: int = 0
) -> Engine:
    """Blocks until the model in the directory `model` is loaded. `version` names its weights; `backend`: see below."""
    return ENGINES[config.engine].make(model, config, device=device, backend=backend, version=version)


def engine_environment(config: EngineConfig, device: str = "cpu", backend: str = "gloo") -> dict[str, str]:
    """Environment variables that an engine's actor must be started with (Ray: `runtime_env["env_vars"]`).

    They have to be there before the process starts: the preloaded libraries and the thread binding
    cannot be changed later.
    """
    environment = {"TOKENIZERS_PARALLELISM": "false"}
    if device == "cpu":
        environment["OMP_NUM_THREADS"] = str(engine_threads(config.cpu_threads))
        if libraries := preload_libraries():
            environment["LD_PRELOAD"] = ":".join(libraries)
    return environment | ENGINES[config.engine].environment(config, device, backend)


def choose_backend(engine: str, learner_device: str, engine_device: str, same_gpu: bool) -> str:
    """How weights travel: ipc on a shared GPU and nccl between GPUs where the engine takes them, else gloo.

    Devices are "cpu" or "cuda". Raises ValueError for a pair that no transfer connects.
    """
    for name, device in (("learner", learner_device), ("engine", engine_device)):
        if device not in ("cpu", "cuda"):
            raise ValueError(f"the {name}'s device is {device!r}; expected 'cpu' or 'cuda'")
    if engine_device == "cpu" or not ENGINES[engine].direct:
        return "gloo"
    if learner_device == "cpu":
        raise ValueError("a learner on CPUs cannot feed engines on GPUs; give the learner GPUs too")
    return "ipc" if same_gpu else "nccl"


def make_sender(backend: str, link: "Link") -> "Sender":
    """The learner's end of a transfer."""
    if backend == "gloo":
        from stepcoder.rollout.gloo import GlooSender

        return GlooSender(link)
    from stepcoder.rollout.vllm.sender import vllm_sender

    return vllm_sender(backend, link)
