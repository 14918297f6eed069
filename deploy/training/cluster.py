"""Ray and the services on it: what is started where."""

import asyncio
import json
import logging
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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
from stepcoder.deploy.run.faults import Faults
from stepcoder.deploy.training.exchange import Exchange
from stepcoder.deploy.training.executors import A_PROCESS, free_cores, sites
from stepcoder.deploy.training.guardian import watch_over
from stepcoder.deploy.training.placement import Placement, placement
from stepcoder.deploy.training.reservation import NOTHING, Reservation, bundles, reserve
from stepcoder.executor.config import ExecutorConfig
from stepcoder.learner.service import LearnerService
from stepcoder.rollout.config import RolloutConfig
from stepcoder.rollout.engines import choose_backend
from stepcoder.rollout.names import free
from stepcoder.rollout.service import RolloutService
from stepcoder.waiting import within

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


@dataclass(slots=True)
class Engines:
    """What outlives a learner that is lost: engines, executors, the GPUs of all. Nothing at first, and once closed."""

    faults: Faults
    rollout: RolloutService | None = None
    reservation: Reservation = NOTHING
    ended: tuple[str, ...] = ()
    """Names of actors that may not be gone yet."""

    async def close(self) -> None:
        rollout, self.rollout = self.rollout, None
        if rollout is not None:
            self.ended = rollout.names
            await stop_rollout(rollout)
        self.reservation.release()
        self.reservation = NOTHING


@dataclass(frozen=True, slots=True)
class Services:
    """The four services of a run. Closing ends the actors of learner and curriculum."""

    curriculum: CurriculumClient
    rollout: RolloutService
    learner: LearnerService
    exchange: Exchange

    async def close(self) -> None:
        self.learner.close()
        self.curriculum.close()


def gpus() -> float:
    return ray.cluster_resources().get("GPU", 0)


def reserved(config: BaseConfig, place: Placement, who: Literal["both", "learner", "engines"] = "both") -> Reservation:
    """The GPUs of learner, engines or both; nothing where they compute on CPUs."""
    if not place.cuda:
        return NOTHING
    ranks = 0 if who == "engines" or place.shared else config.learner.ranks
    engines = 0 if who == "learner" else config.rollout.engines
    wanted = bundles(ranks, engines, config.rollout.tensor_parallel, shared=place.shared)
    return reserve(wanted, ranks, config.ray.gpus_deadline_s)


def start_rollout(
    config: BaseConfig,
    ready: Ready,
    place: Placement,
    faults: Faults,
    reservation: Reservation = NOTHING,
    learner: Sequence[str] = (),
) -> RolloutService:
    """Engines and executors; they load while the caller goes on. `learner`: the nodes of ranks that take all cores."""
    cores = free_cores()
    busy = dict(Counter(reservation.nodes() * A_PROCESS)) | {node: cores.get(node, 0.0) for node in learner}
    return RolloutService(
        ready.anywhere,
        RolloutConfig.model_validate(config.rollout.model_dump() | own_cache(config, ready, place)),
        config.curriculum.prompt,
        ExecutorConfig.model_validate(config.executor.model_dump()),
        faults,
        seed=config.run.seed,
        device=place.device,
        gpu_share=place.gpu_share,
        backend=choose_backend(config.rollout.engine, place.device, place.device, place.shared),
        heartbeat=config.ray.heartbeat,
        deadline_s=config.ray.start_deadline_s,
        sites=sites(config.executor, cores, busy),
        options=reservation.engine,
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


async def start_services(config: Config, ready: Ready, journal: Path, engines: Engines) -> Services:
    """Start all actors at once, since each needs seconds to minutes.

    `engines` of an earlier life go on, with the weights that they have.
    """
    c, deadline = config.rollout, config.ray.start_deadline_s
    names = ["curriculum", *(f"learner-{rank}" for rank in range(config.learner.ranks))]
    await within(deadline, "the actors of an earlier life to end", free(*names, *engines.ended))
    place = placement(config, gpus())
    if engines.rollout is None:
        engines.reservation = reserved(config, place)
    learner = LearnerService(
        ready.anywhere,
        config.learner.for_length(c.max_new_tokens),
        seed=config.run.seed,
        total_updates=config.run.steps * config.learner.epochs * config.learner.minibatches,
        temperature=c.temperature,
        gpu_share=place.gpu_share,
        options=engines.reservation.rank,
    )
    building = asyncio.ensure_future(within(deadline, "the learner to load its networks", learner.build()))
    waits: list[Awaitable[Any]] = [building]
    curriculum, first = None, engines.rollout is None
    try:
        if engines.rollout is None:
            if place.shared:  # the engine's cache is of what the learner has left
                await building
            ranks: list[str] = []
            if not place.cuda and len(free_cores()) > 1:
                ranks = await within(deadline, "the learner's processes to start", learner.nodes())
            engines.rollout = start_rollout(config, ready, place, engines.faults, engines.reservation, ranks)
            waits.append(within(deadline, "the engines to load the model", engines.rollout.ready()))
        curriculum = start_curriculum(config, ready, journal)
        waits.append(within(deadline, "the curriculum to start", curriculum.actor.ready.remote()))
        await asyncio.gather(*waits)
        return Services(curriculum, engines.rollout, learner, Exchange(learner, engines.rollout))
    except BaseException:
        building.cancel()
        learner.close()
        if curriculum is not None:
            curriculum.close()
        if first:
            await engines.close()
        raise


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
        scheduling_strategy=NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False),
    )
    started = actor.remote(str(origin), config.curriculum, config.run.seed, str(journal))
    return CurriculumClient(started, origin, config.ray.start_deadline_s)


def fits(model: str, config: BaseConfig) -> Any:
    """The curriculum's question whether a prompt is short enough for this model's tokenizer."""
    from transformers import AutoTokenizer

    return Prompter(AutoTokenizer.from_pretrained(model), config.curriculum.prompt).fits
