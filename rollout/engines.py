"""The engines there are: what makes each, the environment of its process, and how weights reach it.

A new engine is one file with a class that is an `Engine`, its name in `RolloutConfig.engine`, and its lines here. An
engine is imported only where it is chosen.
"""

from typing import TYPE_CHECKING

from stepcoder.rollout.config import EngineConfig, RolloutConfig
from stepcoder.rollout.engine import Engine
from stepcoder.rollout.libraries import preload_libraries
from stepcoder.rollout.threads import engine_threads

if TYPE_CHECKING:
    from stepcoder.rollout.weights import Link, Sender


def make_engine(
    model: str, config: RolloutConfig, *, device: str = "cpu", backend: str = "gloo", version: int = 0
) -> Engine:
    """Blocks until the model in the directory `model` is loaded. `version` names its weights; `backend`: see below."""
    if config.engine == "transformers":
        from stepcoder.rollout.transformers_engine import TransformersEngine

        return TransformersEngine(model, config, device=device, version=version)
    from stepcoder.rollout.vllm.engine import VLLMEngine

    return VLLMEngine(model, config, device=device, backend=backend, version=version)


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
    if config.engine == "vllm":
        from stepcoder.rollout.vllm.environment import vllm_environment

        environment |= vllm_environment(config, device, backend)
    return environment


def choose_backend(engine: str, learner_device: str, engine_device: str, same_gpu: bool) -> str:
    """How weights travel: ipc on a shared GPU and nccl between GPUs where the engine is vLLM, else gloo.

    Devices are "cpu" or "cuda". Raises ValueError for a pair that no transfer connects.
    """
    for name, device in (("learner", learner_device), ("engine", engine_device)):
        if device not in ("cpu", "cuda"):
            raise ValueError(f"the {name}'s device is {device!r}; expected 'cpu' or 'cuda'")
    if engine_device == "cpu" or engine == "transformers":
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
