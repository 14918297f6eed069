"""Ray and the services on it: what is started where."""

import asyncio
import json
import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from stepcoder.curriculum.prompts import Prompter
from stepcoder.curriculum.service.actor import MAX_RESTARTS, StoredCurriculumActor, store
from stepcoder.curriculum.service.client import CurriculumClient
from stepcoder.deploy.checks.footprint import model_shape
from stepcoder.deploy.checks.gpu_memory import SLACK, needs
from stepcoder.deploy.checks.machine import GIB, gpu_memory
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.deploy.training.guardian import watch_over
from stepcoder.deploy.training.placement import Placement, Who, placement
from stepcoder.deploy.training.reservation import NOTHING, Reservation, bundles, reserve
from stepcoder.deploy.training.waiting import within
from stepcoder.executor.config import ExecutorConfig
from stepcoder.learner.config import Divergence, LearnerConfig
from stepcoder.learner.service import LearnerService
from stepcoder.rollout.config import RolloutConfig
from stepcoder.rollout.engines import choose_backend
from stepcoder.rollout.service import RolloutService

START_ATTEMPTS = 3
PASSED_ON = ("HF_", "NCCL_", "STEPCODER_")  # what begins so, the actors need as the driver does


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
        ray.init(address=address, runtime_env={"env_vars": actors_environment(r.env_vars, os.environ)}, **common)
        return
    common["runtime_env"] = {"env_vars": dict(r.env_vars)}
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


def actors_environment(named: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Variables that the actors of a joined cluster get: those that are named, and the driver's own of these kinds.

    What a submitted job has set for itself they have already; Ray refuses to be told twice.
    """
    job = json.loads(own.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}").get("runtime_env", {}).get("env_vars", {})
    passed = {name: value for name, value in own.items() if name.startswith(PASSED_ON)}
    return {name: value for name, value in (passed | dict(named)).items() if name not in job}


@dataclass(frozen=True, slots=True)
class Services:
    """The four services of a run. Closing ends their actors."""

    curriculum: CurriculumClient
    rollout: RolloutService
    learner: LearnerService
    reservation: Reservation = NOTHING

    async def close(self) -> None:
        self.learner.close()
        self.curriculum.close()
        await stop_rollout(self.rollout)
        self.reservation.release()


def gpus() -> float:
    return ray.cluster_resources().get("GPU", 0)


def reserved(config: BaseConfig, place: Placement, who: Who = "both") -> Reservation:
    """The GPUs of learner, engines or both; nothing where they compute on CPUs."""
    if not place.cuda:
        return NOTHING
    ranks = 0 if who == "engines" or place.shared else config.learner.ranks
    engines = 0 if who == "learner" else config.rollout.engines
    wanted = bundles(ranks, engines, config.rollout.tensor_parallel, shared=place.shared)
    return reserve(wanted, ranks, config.ray.gpus_deadline_s)


def start_rollout(
    config: BaseConfig, ready: Ready, place: Placement, reservation: Reservation = NOTHING
) -> RolloutService:
    """Engines and executors; they load while the caller goes on."""
    return RolloutService(
        str(ready.model),
        RolloutConfig.model_validate(config.rollout.model_dump() | own_cache(config, ready, place)),
        config.curriculum.prompt,
        ExecutorConfig.model_validate(config.executor.model_dump()),
        seed=config.run.seed,
        device=place.device,
        gpu_share=place.gpu_share,
        backend=choose_backend(config.rollout.engine, place.device, place.device, place.shared),
        options=reservation.engine,
        traces_solutions=isinstance(config.learner, LearnerConfig) and isinstance(config.learner.credit, Divergence),
    )


def own_cache(config: BaseConfig, ready: Ready, place: Placement) -> dict[str, float]:
    """On a GPU that learner and engine share: the engine's cache, where it has no size, of what the estimate leaves."""
    shape, here = model_shape(ready.model), gpu_memory()
    given = config.rollout.gpu_cache_gib is not None or "gpu_cache_gib" in config.rollout.unread()
    if not place.shared or given or shape is None or not here:
        return {}
    learner, engine = needs(config, shape, 0.0)
    cache = SLACK * here[0] - learner.total - engine.total + engine.parts["key-value cache"]
    return {"gpu_cache_gib": cache / GIB}


async def stop_rollout(rollout: RolloutService) -> None:
    """End the engines' processes, then their actors and the executors."""
    await rollout.close()
    rollout.executor.close()


async def start_services(config: Config, ready: Ready, journal: Path) -> Services:
    """Start all actors at once, since each needs seconds to minutes, and connect learner and engines."""
    model, seed, c = str(ready.model), config.run.seed, config.rollout
    updates = config.run.steps * config.learner.epochs * config.learner.minibatches
    place = placement(config, gpus())
    reservation = reserved(config, place)
    settings = config.learner.for_length(c.max_new_tokens)
    learner = LearnerService(
        model, settings, seed=seed, total_updates=updates, temperature=c.temperature, gpu_share=place.gpu_share,
        options=reservation.rank,
    )  # fmt: skip
    deadline = config.ray.start_deadline_s
    if place.shared:  # the engine's cache is of what the learner has left
        try:
            await within(deadline, "the learner to load its networks", learner.build())
        except BaseException:
            learner.close()
            reservation.release()
            raise
    rollout = start_rollout(config, ready, place, reservation)
    services = Services(start_curriculum(config, ready, journal), rollout, learner, reservation)
    try:
        await asyncio.gather(
            within(deadline, "the learner to load its networks", _nothing() if place.shared else learner.build()),
            within(deadline, "the engines to load the model", rollout.ready()),
            within(deadline, "the curriculum to start", services.curriculum.actor.ready.remote()),
        )
        joining = learner.connect_engines(
            rollout.workers, rollout.backend, c.dtype, c.tensor_parallel, c.weights_deadline_s
        )
        await within(2 * c.weights_deadline_s, "learner and engines to meet for their weights", joining)
    except BaseException:
        await services.close()
        raise
    return services


async def _nothing() -> None: ...


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
