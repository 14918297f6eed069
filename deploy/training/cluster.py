"""Ray and the services on it: what is started where."""

import asyncio
import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from stepcoder.curriculum.prompts import Prompter
from stepcoder.curriculum.service.actor import MAX_RESTARTS, StoredCurriculumActor, store
from stepcoder.curriculum.service.client import CurriculumClient
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.deploy.training.guardian import watch_over
from stepcoder.deploy.training.placement import Placement, placement
from stepcoder.executor.config import ExecutorConfig
from stepcoder.learner.service import LearnerService
from stepcoder.rollout.config import RolloutConfig
from stepcoder.rollout.engines import choose_backend
from stepcoder.rollout.service import RolloutService

START_ATTEMPTS = 3


def own_cluster() -> list[psutil.Process]:
    """Ray's processes that this driver has just started."""
    return [p for p in psutil.Process().children(recursive=True) if p.is_running()]


def join_cluster(config: BaseConfig) -> None:
    """Join the named cluster, that of the submitted job, or start one on this machine that ends with this process."""
    handler = signal.getsignal(signal.SIGTERM)
    _join(config)
    signal.signal(signal.SIGTERM, handler)  # Ray takes it, and aborts the process


def _join(config: BaseConfig) -> None:
    r = config.ray
    address = r.address or os.environ.get("RAY_ADDRESS")
    common: dict[str, Any] = {"logging_level": "warning", "log_to_driver": r.worker_logs}
    if address is not None:
        ray.init(address=address, **common)
        return
    # Ray starts its workers at niceness 15: any other program would leave the engine a thirtieth of a shared core, and
    # its threads wait for the slowest. Programs under test lower their own priority.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # A cluster of our own takes a token by default, which concerns nobody: it ends with this process.
    logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            ray.init(
                address="local",  # not a cluster that someone once started on this machine
                num_cpus=r.num_cpus,
                include_dashboard=r.dashboard,
                dashboard_host=r.dashboard_host,
                dashboard_port=r.dashboard_port,
                object_store_memory=None if r.object_store_mib is None else r.object_store_mib << 20,
                **common,
            )
            break
        except Exception as error:
            # Ray gives its processes 30 s to find each other, which a busy machine may exceed.
            if attempt == START_ATTEMPTS or "timed out during startup" not in str(error):
                raise
            for process in own_cluster():
                process.kill()
            ray.shutdown()
    watch_over(own_cluster())


@dataclass(frozen=True, slots=True)
class Services:
    """The four services of a run. Closing ends their actors."""

    curriculum: CurriculumClient
    rollout: RolloutService
    learner: LearnerService

    async def close(self) -> None:
        self.learner.close()
        self.curriculum.close()
        await stop_rollout(self.rollout)


def gpus() -> float:
    return ray.cluster_resources().get("GPU", 0)


def start_rollout(config: BaseConfig, ready: Ready, place: Placement) -> RolloutService:
    """Engines and executors; they load while the caller goes on."""
    return RolloutService(
        str(ready.model),
        RolloutConfig.model_validate(config.rollout.model_dump()),
        config.curriculum.prompt,
        ExecutorConfig.model_validate(config.executor.model_dump()),
        seed=config.run.seed,
        device=place.device,
        gpu_share=place.gpu_share,
        backend=choose_backend(config.rollout.engine, place.device, place.device, place.shared),
    )


async def stop_rollout(rollout: RolloutService) -> None:
    """End the engines' processes, then their actors and the executors."""
    await rollout.close()
    rollout.executor.close()


async def start_services(config: Config, ready: Ready, journal: Path) -> Services:
    """Start all actors at once, since each needs seconds to minutes, and connect learner and engines."""
    model, seed, c = str(ready.model), config.run.seed, config.rollout
    updates = config.run.steps * config.learner.epochs * config.learner.minibatches
    place = placement(config, gpus())
    rollout = start_rollout(config, ready, place)  # first: it takes longest
    settings = config.learner.for_length(c.max_new_tokens)
    learner = LearnerService(
        model, settings, seed=seed, total_updates=updates, temperature=c.temperature, gpu_share=place.gpu_share
    )
    curriculum = start_curriculum(config, ready, journal)
    services = Services(curriculum, rollout, learner)
    try:
        await asyncio.gather(learner.build(), rollout.ready(), curriculum.actor.ready.remote())
        await learner.connect_engines(
            rollout.workers, rollout.backend, c.dtype, c.tensor_parallel, c.weights_deadline_s
        )
    except BaseException:
        await services.close()
        raise
    return services


def start_curriculum(config: Config, ready: Ready, journal: Path) -> CurriculumClient:
    """The curriculum beside the driver, where its files are, brought back with all it knew when it dies."""
    journal.unlink(missing_ok=True)  # an earlier life's: this one begins at a checkpoint, or at nothing
    origin = journal.with_suffix(".origin")
    store(origin, ready.train, fits(str(ready.model), config))
    actor = ray.remote(StoredCurriculumActor).options(
        name="curriculum",
        num_cpus=0,
        max_restarts=MAX_RESTARTS,
        max_task_retries=-1,
        scheduling_strategy=NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True),
    )
    return CurriculumClient(actor.remote(str(origin), config.curriculum, config.run.seed, str(journal)), origin)


def fits(model: str, config: BaseConfig) -> Any:
    """The curriculum's question whether a prompt is short enough for this model's tokenizer."""
    from transformers import AutoTokenizer

    return Prompter(AutoTokenizer.from_pretrained(model), config.curriculum.prompt).fits
