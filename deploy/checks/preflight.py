"""Everything that can be known to be wrong before anything expensive starts.

All faults are gathered and reported at once, within seconds: no engine and no Ray has been started by then.
A check that needs a cluster's other machines is left to them.
"""

import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from stepcoder.curriculum.config import Levels
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.stages import schedules
from stepcoder.curriculum.stages.sampling import by_level
from stepcoder.deploy.checks import machine
from stepcoder.deploy.checks.best_metric import check_best_metric
from stepcoder.deploy.checks.footprint import model_shape, parts
from stepcoder.deploy.checks.gpu_memory import check_gpu_memory, fit_at_once
from stepcoder.deploy.checks.machine import GIB
from stepcoder.deploy.checks.nodes import check_nodes, look
from stepcoder.deploy.checks.problem_sets import Sets, problems
from stepcoder.deploy.checks.prompts import check_prompts
from stepcoder.deploy.checks.starter_model import STARTER, could_be_hub_name, resolve_model, starter_source
from stepcoder.deploy.checks.tokenizer import Model, exact_model
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.deploy.run.directory import check_writable
from stepcoder.deploy.training.placement import Who, placement
from stepcoder.errors import UserError
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging import reward
from stepcoder.settings import OWN, variant

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """What the checks have found on the way, so that nobody has to look again.

    `model` is where this machine has it, `named` is what other machines find theirs by.
    """

    model: Path
    train: tuple[Problem, ...]
    heldout: Mapping[str, tuple[Problem, ...]]  # by the name of the set
    named: Model | None = None

    @property
    def anywhere(self) -> "Model | str":
        return self.named or str(self.model)

    @property
    def held_out(self) -> tuple[Problem, ...]:
        """Those of all held-out sets."""
        return tuple(problem for found in dict(self.heldout).values() for problem in found)


def preflight(config: BaseConfig, writes: bool = True, trains: bool = True, memory: bool = True) -> Ready:
    """Raises UserError with one line a fault. Converts or downloads the model last, when all else is right.

    `writes` is False for what leaves the run directory alone, `trains` for what starts engines without a learner,
    `memory` for what starts at another time.
    """
    faults: list[str] = []
    isolation: list[str] = []
    data: list[Sets] = []

    def attempt(check: Callable[[], None]) -> None:
        try:
            check()
        except UserError as error:
            if str(error) not in faults:  # two checks may find the same
                faults.append(str(error))

    def read() -> None:
        data.append(problems(config))

    if writes:
        attempt(lambda: check_lasting(config))
        attempt(lambda: check_writable(config.run.directory))
    attempt(read)
    attempt(lambda: check_loggers(config))
    if isinstance(config, Config):
        attempt(lambda: check_sampling(config, data[0].train if data else ()))
        attempt(lambda: check_own(config))
        attempt(lambda: check_best_metric(config) if trains else None)
    attempt(lambda: check_model_is_there(config.model))
    attempt(lambda: check_ray(config))
    if own_machine(config):
        attempt(lambda: check_gpus(config, trains))
        if memory:
            attempt(lambda: check_memory(config, trains))
        attempt(lambda: isolation.append(check_sandbox(config)))
    if faults:
        raise UserError("\n".join(faults))
    for level in isolation:
        _told(level)
    model = resolve_model(config.model)
    check_length(config, model)
    if trains:
        check_architecture(config, model)
    if own_machine(config) and memory:
        check_memory(config.model_copy(update={"model": str(model)}), trains)  # one that was not here before
    exact = exact_model(model, [problem.solution for problem in data[0].train])
    check_prompts(config, exact, data[0], trains)
    given = str(model) if Path(config.model).expanduser().is_dir() else config.model
    return Ready(exact, data[0].train, data[0].heldout, Model(given, repaired=exact != model))


@cache
def _told(level: str) -> None:
    """Once a process: a study checks many configurations."""
    log.info("programs run at %s", level)


def check_loggers(config: BaseConfig) -> None:
    for name in config.run.loggers:
        if importlib.util.find_spec(name) is None:
            extra = "train" if name == "tensorboard" else name
            raise UserError(f"run.loggers: {name} is not installed: pip install 'stepcoder[{extra}]', or leave it out.")


def check_lasting(config: BaseConfig, submitted: bool | None = None) -> None:
    """A submitted job runs in a copy of the source tree that Ray unpacks and throws away.

    `submitted` None: where this process is one.
    """
    directory = config.run.directory
    submitted = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ if submitted is None else submitted
    if submitted and "://" not in directory and not Path(directory).is_absolute():
        raise UserError(
            f"run.directory: {directory!r} would lie in the submitted job's copy of the source tree, which "
            "does not last. Give an absolute path that all nodes see, or a URI."
        )


def own_machine(config: BaseConfig) -> bool:
    """Whether the run starts its own Ray here, so that this machine's memory and GPUs are what it gets."""
    return config.ray.address is None and "RAY_ADDRESS" not in os.environ


def check_sampling(config: Config, train: Iterable[Problem]) -> None:
    """Some problem can be drawn."""
    if isinstance(config.curriculum.sampling, Levels) and train:
        try:
            by_level(train, config.curriculum.sampling)
        except ValueError as error:
            raise UserError(f"curriculum.{error}") from None


def check_own(config: Config) -> None:
    """A user's own functions are imported and tried before anything learns from them."""
    learner, faults = config.learner, []
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # where a function of one's own is looked for first

    def attempt(key: str, check: Callable[[], None]) -> None:
        try:
            check()
        except ValueError as error:
            faults.append(f"{key}: {error}")

    attempt("executor.reward", lambda: reward.check(config.executor.reward))
    attempt("curriculum.schedule", lambda: schedules.check(config.curriculum))
    if OWN in (variant(learner.advantage), variant(learner.loss)):  # torch takes seconds to import
        from stepcoder.learner import advantages, losses

        attempt("learner.advantage", lambda: advantages.check(learner.advantage))
        attempt("learner.loss", lambda: losses.check(learner.loss))
    if faults:
        raise UserError("\n".join(faults))


def check_model_is_there(name: str) -> None:
    """A quick look; conversion and download come after all other checks."""
    if name == STARTER and not Path(name).is_dir():
        starter_source()
    elif Path(name).expanduser().is_dir() or not could_be_hub_name(name):
        resolve_model(name)


def check_length(config: BaseConfig, model: Path) -> None:
    """The model must have been made for sequences as long as the run's."""
    shape = model_shape(model)
    if shape is not None and shape.max_positions is not None and config.rollout.max_model_len > shape.max_positions:
        raise UserError(
            f"rollout.max_model_len = {config.rollout.max_model_len} is more than the {shape.max_positions} tokens "
            f"that {config.model} was made for (max_position_embeddings). Set it to {shape.max_positions} or less."
        )


def check_architecture(config: BaseConfig, model: Path) -> None:
    """What the model computes for packed rows must be what it computes for one sequence at a time."""
    from transformers import AutoConfig

    from stepcoder.learner.networks.architectures import require_packable

    try:
        require_packable(AutoConfig.from_pretrained(model), config.rollout.max_model_len)
    except (ValueError, KeyError) as error:  # ValueError too from transformers, for a type that it does not know
        raise UserError(
            f"model: {config.model} can't be trained: {error}. Take another model, or (where it is the length) lower "
            "rollout.max_model_len."
        ) from None


def check_ray(config: BaseConfig) -> None:
    """A given cluster answers; the port of a dashboard of our own is free."""
    address = config.ray.address
    if address is not None and address not in ("auto", "local"):
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if not host or not port.isdigit():
            raise UserError(f"ray.address = {address!r} is not host:port, ray://host:port or auto.")
        if not machine.reachable(host, int(port)):
            raise UserError(f"ray.address: no Ray cluster answers at {address}. Start one with 'ray start --head'.")
    elif (
        own_machine(config)
        and config.ray.dashboard
        and machine.port_in_use(config.ray.dashboard_host, config.ray.dashboard_port)
    ):
        raise UserError(
            f"ray.dashboard_port: port {config.ray.dashboard_port} on {config.ray.dashboard_host} is in use. "
            "Give another --ray.dashboard_port, or --ray.dashboard false, or stop what uses it."
        )


def check_gpus(config: BaseConfig, trains: bool = True) -> None:
    """This machine has enough of them, and builds of torch and the engine that can use them."""
    memory, here = machine.gpu_memory(), look()
    fit = fit_at_once(config, model_shape(config.model), memory)
    for who in services(config, trains):
        check_nodes(config, None, placement(config, len(memory), who, fit), [here], here, who)


def services(config: BaseConfig, trains: bool) -> tuple[Who, ...]:
    """What computes, one after the other."""
    if not trains:
        return ("engines",)
    return ("both",) if config.at_once else ("learner", "engines")


def check_memory(config: BaseConfig, trains: bool = True) -> None:
    """Learner and engines fit into this machine's GPUs, or without them into its main memory."""
    shape, memory = model_shape(config.model), machine.gpu_memory()
    place = placement(config, len(memory), services(config, trains)[0], fit_at_once(config, shape, memory))
    if shape is None:
        return
    if place.cuda:
        who: Who = "both" if trains else "engines"
        check_gpu_memory(config, shape, min(memory), shared=place.shared, sleeps=place.sleeps, who=who)
        return
    need, available = parts(config, shape), machine.memory_available()
    if not trains:
        need.pop("learner")
    elif not config.at_once:
        need.pop(min(("learner", "rollout"), key=lambda name: need[name]))
    if sum(need.values()) > available:
        listed = ", ".join(f"{name} {size / GIB:.1f}" for name, size in need.items())
        raise UserError(
            f"memory: {config.model} needs about {sum(need.values()) / GIB:.1f} GiB with these settings ({listed}), "
            f"{available / GIB:.1f} GiB are free. Take a smaller model, lower learner.token_budget or "
            "rollout.kv_cache_gib, limit learner.advantage.critic.layers, train adapters (learner.lora.rank), or free "
            "memory."
        )


def check_sandbox(config: BaseConfig) -> str:
    """Programs of a model are not run without the isolation that was asked for; which it is, in words."""
    from stepcoder.executor.pool.isolation import choose, described

    try:
        return described(choose(ExecutorConfig.model_validate(config.executor.model_dump())))
    except UserError as error:
        raise UserError(f"executor.level = {config.executor.level}: {error}") from None
