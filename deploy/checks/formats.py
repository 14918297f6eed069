"""What `auto` means: the fastest sound number format of this machine for the engine and for the learner.

    config, notes = settle(config, kept)      # every consumer behind it sees a concrete format

Without GPUs the matrix products of the model's shapes are timed once (`deploy/checks/products.py`) and the figures kept
beside the converted models, under the machine's identity: another CPU, torch or instruction set is measured anew. The
choice is a function of the figures alone. A run keeps the choice that it began with.
"""

import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from stepcoder.deploy.checks import machine
from stepcoder.deploy.checks.footprint import STARTER_SHAPE, ModelShape, model_shape
from stepcoder.deploy.checks.starter_model import cache_directory
from stepcoder.deploy.config.moved import flat
from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.deploy.run.settings import FORMATS
from stepcoder.errors import UserError
from stepcoder.files import write_json
from stepcoder.rollout.engines import engine_environment
from stepcoder.rollout.threads import engine_threads, learner_threads

PRODUCTS = Path(__file__).with_name("products.py")
MARGIN = 1.05  # rounding more is worth a speed that is clearly higher
LONGEST = (1024, 2048)  # hidden size and width of the timed products at most; the rate hardly grows beyond
ATTEMPTS = 3
DISTURBED = 0.1  # share of the cores that others take: a stalled product can look thirty times slower than it is
RESTRICTING = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS")

EngineFormat = Literal["float32", "bfloat16", "float16"]
LearnerFormat = Literal["fp32", "autocast"]
Root = TypeVar("Root", bound=BaseConfig)


@dataclass(frozen=True, slots=True)
class Figures:
    """GFLOP/s of the model's matrix products by format: decoding, and training forward and backward."""

    engine: dict[str, float]
    learner: dict[str, float]
    machine: str = ""  # CPU, threads, torch: for people


def engine_format(figures: Figures, stored: str | None = None) -> EngineFormat:
    """fp32 unless another is clearly faster. fp16 only for a model that is `stored` in it: activations of one that was
    trained in bf16 may be beyond fp16's largest number, 65504."""
    sound = {name: rate for name, rate in figures.engine.items() if name != "float16" or stored == "float16"}
    return cast(EngineFormat, _fastest(sound, "float32"))


def learner_format(figures: Figures) -> LearnerFormat:
    """fp32, or bf16 products over fp32 weights. Never bf16 weights: they lose small updates without a master copy."""
    return cast(LearnerFormat, _fastest(figures.learner, "fp32"))


def _fastest(rates: Mapping[str, float], exact: str) -> str:
    best = max(rates, key=lambda name: rates[name])
    return best if rates[best] > MARGIN * rates[exact] else exact


def settle(config: Root, kept: dict[str, Any] | None = None) -> tuple[Root, tuple[str, ...]]:
    """`config` without `auto`, and for people why. `kept`: the settings of the run that goes on, whose choice stands.

    The machine measured is the driver's: name the formats where engines or learner are on CPUs of another kind.
    """
    engine, learner = config.rollout.dtype, config.learner.precision
    if kept:
        kept_engine, kept_learner = (flat(kept).get(key, "auto") for key in FORMATS)  # a file may lack a setting
        engine = kept_engine if engine == "auto" else engine
        learner = kept_learner if learner == "auto" else learner
    notes: list[str] = []
    if "auto" in (engine, learner) and on_gpus(config):
        engine, learner = (new if old == "auto" else old for old, new in ((engine, "bfloat16"), (learner, "autocast")))
        notes.append("auto: the formats of GPUs, rollout.dtype bfloat16 and learner.precision autocast")
    elif "auto" in (engine, learner):
        found = figures(config)
        notes.append(f"auto, by GFLOP/s of matrix products on {found.machine}:")
        if engine == "auto":
            engine = engine_format(found, stored_format(config.model))
            notes.append(f"rollout.dtype {engine}: {listed(found.engine)}")
        if learner == "auto":
            learner = learner_format(found)
            notes.append(f"learner.precision {learner}: {listed(found.learner)}")
    rollout = config.rollout.model_copy(update={"dtype": engine})
    trained = config.learner.model_copy(update={"precision": learner})
    return config.model_copy(update={"rollout": rollout, "learner": trained}), tuple(notes)


def listed(rates: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {rate:.4g}" for name, rate in rates.items())


def on_gpus(config: BaseConfig) -> bool:
    """Whether the run computes on GPUs; one that joins a cluster is taken to, unless it says cpu."""
    if config.learner.device != "auto":
        return config.learner.device == "cuda"
    return bool(machine.gpus() or config.ray.address or "RAY_ADDRESS" in os.environ)


def shape_of(model: str) -> ModelShape:
    """Of a model that is not here yet, the starter's: the rates of larger products differ by little."""
    return model_shape(model) or STARTER_SHAPE


def stored_format(model: str) -> str | None:
    """The number format that a local model's `config.json` names."""
    try:
        settings = json.loads((Path(model).expanduser() / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or damaged, which is told elsewhere
        return None
    return (settings.get("dtype") or settings.get("torch_dtype")) if isinstance(settings, dict) else None


# -- measuring, and keeping what was measured ------------------------------------------------------------------------


def figures(config: BaseConfig) -> Figures:
    """Of this machine, for products of the model's shapes: from the cache, else measured."""
    shape = shape_of(config.model)
    settings = {
        "hidden": min(shape.hidden, LONGEST[0]),
        "mlp": min(shape.mlp, LONGEST[1]),
        "engine_threads": engine_threads(config.rollout.cpu_threads),
        "learner_threads": learner_threads(config.learner.ranks),
    }
    identity = machine_identity() | settings
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    file = cache_directory().parent / "formats" / f"{digest}.json"
    try:
        return Figures(**json.loads(file.read_text(encoding="utf-8"))["figures"])
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or cut off
        pass
    found = _measured(config, settings, f"{identity['cpu']}, {settings['engine_threads']} threads")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"machine": identity, "figures": asdict(found)})
    except OSError:
        pass  # measured again next time
    return found


def machine_identity() -> dict[str, Any]:
    """What the speed of a format depends on: CPU, its instruction set, cores, torch, and what restricts them."""
    cpu, flags = machine.processor()
    torch = machine.package_version("torch") or ""
    restricting = {name: os.environ[name] for name in RESTRICTING if name in os.environ}
    return {"cpu": cpu, "flags": flags, "cores": machine.cores(), "torch": torch, "restricted": restricting}


def _measured(config: BaseConfig, settings: Mapping[str, int], where: str) -> Figures:
    """The best rates of as many measurements as it takes until one had the cores to itself, three at most."""
    best: dict[str, dict[str, float]] = {}
    for _ in range(ATTEMPTS):
        before, begun = machine.busy_seconds(), time.monotonic()
        found, own = _timed(config, settings)
        for part, rates in found.items():
            known = best.setdefault(part, rates)
            best[part] = {name: max(rate, known[name]) for name, rate in rates.items()}
        others = machine.busy_seconds() - before - own
        if others < DISTURBED * machine.cores() * (time.monotonic() - begun):
            break
    return Figures(**best, machine=where)


def _timed(config: BaseConfig, settings: Mapping[str, int]) -> tuple[dict[str, dict[str, float]], float]:
    """What the program that measures prints, and the processor seconds that it took."""
    command = [sys.executable, "-P", str(PRODUCTS), json.dumps(settings)]
    environment = os.environ | engine_environment(config.rollout)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
        found = json.loads(answer.stdout.splitlines()[-1])
        Figures(**found)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError, TypeError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
        raise UserError(
            f"rollout.dtype and learner.precision auto: the number formats can't be timed here ({' '.join(said)}). "
            "Run 'stepcoder doctor', or name them: --rollout.dtype float32 --learner.precision fp32."
        ) from None
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
