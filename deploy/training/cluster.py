"""Ray and the services on it: what is started where."""

import asyncio
import json
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import AuthenticationError, GetTimeoutError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from stepcoder.curriculum.prompts import Prompter
from stepcoder.curriculum.service.actor import MAX_RESTARTS, StoredCurriculumActor, store
from stepcoder.curriculum.service.client import CurriculumClient
from stepcoder.deploy.checks import nodes
from stepcoder.deploy.checks.footprint import model_shape
from stepcoder.deploy.checks.gpu_memory import fit_at_once, shared_cache
from stepcoder.deploy.checks.machine import GIB, gpu_memory
from stepcoder.deploy.checks.nodes import check_nodes
from stepcoder.deploy.checks.preflight import Ready, own_machine
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.deploy.jobs.client import token_refused
from stepcoder.deploy.run.faults import Faults
from stepcoder.deploy.training.exchange import Exchange
from stepcoder.deploy.training.executors import A_PROCESS, free_cores, sites
from stepcoder.deploy.training.guardian import watch_over
from stepcoder.deploy.training.placement import Placement, Who, placement
from stepcoder.deploy.training.reservation import NOTHING, Reservation, bundles, reserve
from stepcoder.deploy.training.starting import own_cluster, own_handlers, whole_or_gone
from stepcoder.deploy.training.turns import Turns
from stepcoder.errors import UserError
from stepcoder.executor.config import ExecutorConfig
from stepcoder.learner.config import Divergence, LearnerConfig
from stepcoder.learner.rank import HeldGPU
from stepcoder.learner.service import LearnerService
from stepcoder.rollout.config import RolloutConfig
from stepcoder.rollout.engines import choose_backend
from stepcoder.rollout.names import free
from stepcoder.rollout.service import RolloutService
from stepcoder.waiting import WaitedTooLong, within
from stepcoder.words import plural

log = logging.getLogger(__name__)

START_ATTEMPTS = 3
UNSTARTED = ("timed out during startup", "Failed to connect to GCS")  # what Ray says of such a start
LOOK_S = 120.0  # a new process on each node
PASSED_ON = ("HF_", "NCCL_", "STEPCODER_")  # what begins so, the actors need as the driver does


def join_cluster(config: BaseConfig) -> None:
    """Join the named cluster, that of the submitted job, or start one on this machine that ends with this process."""
    _join(config)
    if own_machine(config) or (config.learner.device != "cpu" and gpus()):
        return  # nodes with GPUs are looked at when these are reserved
    alive = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    check_nodes(config, None, Placement(cuda=False), looked(alive), nodes.look())


def _join(config: BaseConfig) -> None:
    r = config.ray
    address = r.address or os.environ.get("RAY_ADDRESS")
    common: dict[str, Any] = {"logging_level": "warning", "log_to_driver": r.worker_logs}
    if address is not None:
        _enter(address, runtime_env={"env_vars": actors_environment(r.env_vars, os.environ)}, **common)
        return
    common["runtime_env"] = {"env_vars": dict(r.env_vars)}
    # Ray starts its workers at niceness 15: any other program would leave the engine a thirtieth of a shared core, and
    # its threads wait for the slowest. Programs under test lower their own priority.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # A cluster of our own takes a token by default, which concerns nobody: it ends with this process.
    logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            with whole_or_gone(), own_handlers():
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
            if not any(said in str(error) for said in UNSTARTED):
                raise
            if attempt == START_ATTEMPTS:
                raise UserError(
                    f"Ray did not start here, at {START_ATTEMPTS} attempts: the machine is too busy, or /tmp is full. "
                    "Give the same command again when it has less to do."
                ) from None
            log.warning("Ray did not start here, at attempt %d of %d: once more", attempt, START_ATTEMPTS)
    watch_over(own_cluster())


def _enter(address: str, **options: Any) -> None:
    """Join a running cluster; its refusals as UserError."""
    try:
        with own_handlers():
            ray.init(address=address, **options)
    except Exception as error:
        said = str(error).strip()
        if isinstance(error, AuthenticationError) or "unauthenticated" in said.lower() or "InvalidAuthToken" in said:
            missing = os.environ.get("RAY_AUTH_MODE") != "token"
            raise token_refused(f"ray.address {address}", missing=missing) from None
        if isinstance(error, ConnectionError) or "ersion mismatch" in said:
            raise UserError(f"ray.address {address}: {said}") from None
        if "GCS" in said:  # what Ray makes of a wrong token too, after a minute of trying
            raise UserError(
                f"ray.address {address}: {said}. If it asks for a token: RAY_AUTH_MODE, RAY_AUTH_TOKEN."
            ) from None
        raise


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
    turns: Turns = Turns()

    async def close(self) -> None:
        self.learner.close()
        self.curriculum.close()


def gpus() -> float:
    return ray.cluster_resources().get("GPU", 0)


def reserved(config: BaseConfig, model: Path, place: Placement, who: Who = "both") -> Reservation:
    """The GPUs of learner, engines or both, on nodes that can compute `model`; nothing where they compute on CPUs."""
    if not place.cuda:
        return NOTHING
    ranks = 0 if who == "engines" or place.shared else config.learner.ranks
    engines, each = 0 if who == "learner" else config.rollout.engines, config.rollout.tensor_parallel
    wanted = bundles(ranks, engines, each, shared=place.shared)
    found = reserve(wanted, ranks, config.ray.gpus_deadline_s, each if place.shared else 1)
    try:
        check_nodes(config, model_shape(model), place, looked(found.nodes()), nodes.look(), who)
    except BaseException:
        found.release()
        raise
    return found


def looked(ids: Sequence[str]) -> list[nodes.Node]:
    """At each of these nodes."""
    look = ray.remote(nodes.look)
    asked = [
        look.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(id, soft=False)).remote()
        for id in sorted(set(ids))
    ]
    try:
        return ray.get(asked, timeout=LOOK_S)
    except (GetTimeoutError, TaskUnschedulableError):  # or one of them is gone
        raise WaitedTooLong(f"waited {LOOK_S:g} s for {plural(len(asked), 'node')} to say what they have") from None


def start_rollout(
    config: BaseConfig,
    ready: Ready,
    place: Placement,
    faults: Faults,
    reservation: Reservation = NOTHING,
    held: Sequence[HeldGPU] = (),
    learner: Sequence[str] = (),
) -> RolloutService:
    """Engines and executors; they load while the caller goes on. `held`: the ranks' GPUs, where engines share them;
    `learner`: the nodes of ranks that take all cores."""
    cores = free_cores()
    busy = dict(Counter(reservation.nodes() * A_PROCESS)) | {node: cores.get(node, 0.0) for node in learner}
    return RolloutService(
        ready.anywhere,
        RolloutConfig.model_validate(config.rollout.model_dump() | own_cache(config, ready, place, held)),
        config.curriculum.prompt,
        ExecutorConfig.model_validate(config.executor.model_dump()),
        faults,
        seed=config.run.seed,
        device=place.device,
        gpu_share=place.engine_gpus,
        backend=choose_backend(config.rollout.engine, place.device, place.device, place.shared),
        heartbeat=config.ray.heartbeat,
        deadline_s=config.ray.start_deadline_s,
        sites=sites(config.executor, cores, busy),
        options=reservation.engine,
        environment=lambda index: visible(held, index, config.rollout.tensor_parallel),
        traces_solutions=isinstance(config.learner, LearnerConfig) and isinstance(config.learner.credit, Divergence),
    )


def own_cache(config: BaseConfig, ready: Ready, place: Placement, held: Sequence[HeldGPU]) -> dict[str, float]:
    """On GPUs that learner and engines share: an engine's cache, where it has no size, of what the estimate leaves."""
    shape = model_shape(ready.model)
    given = config.rollout.gpu_cache_gib is not None or "gpu_cache_gib" in config.rollout.unread()
    if not place.shared or given or shape is None:
        return {}
    memory = min(gpu.memory for gpu in held)
    return {"gpu_cache_gib": shared_cache(config, shape, memory, sleeps=place.sleeps) / GIB}


def visible(held: Sequence[HeldGPU], engine: int, each: int) -> dict[str, str]:
    """The GPUs of the ranks that an engine shares: it holds none of its own, and Ray shows it none."""
    shared = held[engine * each : (engine + 1) * each]
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpu.name for gpu in shared)} if shared else {}


def place_of(config: BaseConfig, ready: Ready) -> Placement:
    """Of learner and engines together. What is known of the GPUs' memory is that of this machine's."""
    memory = gpu_memory() if own_machine(config) else []
    return placement(config, gpus(), at_once=fit_at_once(config, model_shape(ready.model), memory))


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
    place = place_of(config, ready)
    if engines.rollout is None:
        engines.reservation = reserved(config, ready.model, place)
    learner = LearnerService(
        ready.anywhere,
        config.learner.for_length(c.max_new_tokens),
        seed=config.run.seed,
        total_updates=config.run.steps * config.learner.epochs * config.learner.minibatches,
        temperature=c.temperature,
        gpu_share=place.rank_gpus,
        options=engines.reservation.rank,
    )
    building = within(deadline, "the learner to load its networks", learner.build())
    waits: list[asyncio.Future[Any]] = [building]
    curriculum, first = None, engines.rollout is None
    try:
        if engines.rollout is None:
            held, ranks = list[HeldGPU](), list[str]()
            if place.shared:  # the engine's cache is of what the learner has left
                await building
                held = await within(deadline, "the learner to name its GPUs", learner.gpus())
            if not place.cuda and len(free_cores()) > 1:
                ranks = await within(deadline, "the learner's processes to start", learner.nodes())
            engines.rollout = start_rollout(config, ready, place, engines.faults, engines.reservation, held, ranks)
            waits.append(within(deadline, "the engines to load the model", engines.rollout.ready()))
        curriculum = start_curriculum(config, ready, journal)
        waits.append(within(deadline, "the curriculum to start", curriculum.actor.ready.remote()))
        await asyncio.gather(*waits)
        turns = Turns(engines.rollout if place.sleeps else None, place.why)
        return Services(curriculum, engines.rollout, learner, Exchange(learner, engines.rollout), turns)
    except BaseException:
        for wait in waits:
            wait.cancel()
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
