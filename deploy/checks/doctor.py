"""`stepcoder doctor`: what this machine has, what is missing for training, and what to do about it."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.deploy.checks import machine
from stepcoder.deploy.checks.duration import run_seconds
from stepcoder.deploy.checks.footprint import ModelShape, model_shape, parts
from stepcoder.deploy.checks.formats import figures, on_gpus, settle, shape_of
from stepcoder.deploy.checks.gpu_memory import check_gpu_memory, fit_at_once, needs
from stepcoder.deploy.checks.machine import GIB
from stepcoder.deploy.checks.preflight import check_gpus, check_model_is_there, own_machine
from stepcoder.deploy.checks.problem_sets import problems
from stepcoder.deploy.checks.starter_model import STARTER, cache_directory
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.config.shared import HELDOUT, BaseConfig
from stepcoder.deploy.run.manifest import ManifestError, verify
from stepcoder.deploy.training.placement import placement
from stepcoder.errors import UserError
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.interpreters import examine, faster
from stepcoder.rollout.engines import ENGINES
from stepcoder.words import duration as time_in_words
from stepcoder.words import plural

State = Literal["ok", "note", "problem"]
# (package, module to import, what it is for). vLLM's CPU build has another distribution name and the same module.
PACKAGES = (
    ("torch", "torch", "training"),
    ("transformers", "transformers", "models"),
    ("vllm", "vllm", "generation"),
    ("deepspeed", "deepspeed", "training"),
    ("peft", "peft", "adapters"),
    ("ray", "ray", "processes"),
    ("pydantic", "pydantic", "settings"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `advice` says what to do; a `problem` keeps one from training, a `note` does not."""

    what: str
    found: str
    state: State = "ok"
    advice: str = ""


def findings(config: BaseConfig) -> Iterator[Finding]:
    config, numbers = formats(config)
    yield Finding("the run", f"{config.model}; {config.about()}")
    yield from hardware(config)
    yield from software()
    yield from helpers()
    yield numbers
    yield from duration(config)
    yield from gpu_memory(config)
    yield from isolation(config)
    yield from inputs(config)


def hardware(config: BaseConfig) -> Iterator[Finding]:
    cores = machine.cores()
    yield Finding("cores", str(cores), "ok" if cores >= 2 else "note", "" if cores >= 2 else "two or more train faster")
    graphics = machine.gpus()
    fault = ""
    try:
        if own_machine(config):
            check_gpus(config)
    except UserError as error:
        fault = str(error)
    yield Finding("GPUs", "\n".join(graphics) or "none", "problem" if fault else "ok", fault)
    total, free = machine.memory_total(), machine.memory_available()
    shape = shape_here(config)
    need = sum(parts(config, shape).values()) if shape is not None and not graphics else 0.0
    enough = free >= need
    yield Finding(
        "memory",
        f"{free / GIB:.1f} of {total / GIB:.1f} GiB free"
        + (f"; {config.model} needs about {need / GIB:.1f}" if need else ""),
        "ok" if enough else "problem",
        "" if enough else "free memory, take a smaller model, or lower learner.token_budget and rollout.kv_cache_gib",
    )
    shared = machine.shared_memory_free()
    yield Finding(
        "/dev/shm",
        f"{shared / GIB:.1f} GiB free",
        "ok" if shared >= GIB else "note",
        "" if shared >= GIB else "Ray's object store falls back to slow disk; in a container give --shm-size=4g",
    )


def shape_here(config: BaseConfig) -> ModelShape | None:
    """None too for what is no model: `inputs` tells it."""
    try:
        return model_shape(config.model)
    except UserError:
        return None


def gpu_memory(config: BaseConfig) -> Iterator[Finding]:
    """What a learner rank and an engine take of a GPU, by part; nothing for a run on CPUs or an unknown model."""
    shape = shape_here(config)
    if shape is None or not on_gpus(config):
        return
    here = machine.gpu_memory()
    found = "\n".join(str(need) for need in needs(config, shape, min(here, default=0.0)))
    if not here:
        yield Finding(
            "GPU memory", found, "note", "no GPU here to compare with; a run compares before it loads anything"
        )
        return
    try:
        place = placement(config, len(here), "both" if config.at_once else "learner", fit_at_once(config, shape, here))
        check_gpu_memory(config, shape, min(here), shared=place.shared, sleeps=place.sleeps)
    except UserError as error:
        yield Finding("GPU memory", found, "problem", str(error).partition(". ")[2] or str(error))
        return
    yield Finding("GPU memory", f"{found}\nof {min(here) / GIB:.1f} GiB")
    if place.why:
        yield Finding("placement", place.why)


def installed(package: str) -> str | None:
    if (found := machine.package_version(package)) is not None:
        return found
    build = machine.package_version(f"{package}-cpu")
    return None if build is None else f"{build} (CPU build)"


def software() -> Iterator[Finding]:
    good = (3, 11) <= sys.version_info < (3, 14)
    advice = "" if good else "needs Python 3.11, 3.12 or 3.13: make setup PYTHON=python3.12, say"
    yield Finding("python", sys.version.split()[0], "ok" if good else "problem", advice)
    for package, module, purpose in PACKAGES:
        found = installed(package)
        if found is None or importlib.util.find_spec(module) is None:
            yield Finding(package, "missing", "problem", f"needed for {purpose}: run 'make setup'")
        else:
            yield Finding(package, found)
    yield from imports()


def imports() -> Iterator[Finding]:
    """Whether torch loads and sees the GPUs, asked of another process: a broken build can abort its importer."""
    if importlib.util.find_spec("torch") is None:
        return
    facts = "[torch.version.cuda, torch.cuda.device_count(), torch.get_num_threads()]"
    code = f"import json, torch; print(json.dumps({facts}))"
    try:
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
        cuda, count, threads = json.loads(answer.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or ["no message"]
        yield Finding("torch loads", last[0], "problem", "run 'make setup' again")
        return
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        yield Finding("torch loads", type(error).__name__, "problem", "run 'make setup' again")
        return
    build = f"CUDA {cuda} build, {plural(count, 'GPU')}" if cuda else "CPU build"
    blind = bool(machine.gpus()) and not count
    advice = "the machine has GPUs that this torch can't use: install its CUDA build" if blind else ""
    yield Finding("torch loads", f"{build}, {plural(threads, 'thread')}", "note" if blind else "ok", advice)


def helpers() -> Iterator[Finding]:
    if not machine.gpus():
        yield preload("tcmalloc", tcmalloc(), "install libtcmalloc-minimal4 (apt): generation is slower without it")
        yield preload("libiomp5", libiomp5(), "pip install intel-openmp: generation is slower without it")
    missing = [tool for tool in ("g++", "ninja") if tool_path(tool) is None]
    advice = f"install {' and '.join(missing)}: DeepSpeed builds a small part once" if missing else ""
    yield Finding(
        "g++, ninja", "missing: " + ", ".join(missing) if missing else "there", "problem" if missing else "ok", advice
    )


def preload(name: str, path: Path | None, advice: str) -> Finding:
    return Finding(name, str(path), "ok") if path else Finding(name, "missing", "note", advice)


def tool_path(tool: str) -> str | None:
    """A build tool on the path or beside this interpreter."""
    return shutil.which(tool) or shutil.which(tool, path=str(Path(sys.executable).parent))


def tcmalloc() -> Path | None:
    for folder in (f"/usr/lib/{os.uname().machine}-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"):
        for name in ("libtcmalloc_minimal.so.4", "libtcmalloc.so.4"):
            if (path := Path(folder) / name).exists():
                return path
    return None


def libiomp5() -> Path | None:
    for folder in (Path(sys.prefix) / "lib", Path(sysconfig.get_paths()["purelib"]).parent.parent):
        if (path := folder / "libiomp5.so").exists():
            return path
    return None


def formats(config: BaseConfig) -> tuple[BaseConfig, Finding]:
    """The configuration without `auto`, which number formats those are and why."""
    try:
        settled, notes = settle(config)
    except UserError as error:
        return config, Finding("number formats", "not measured", "problem", str(error))
    named = f"rollout.dtype {settled.rollout.dtype}, learner.precision {settled.learner.precision}, as configured"
    return settled, Finding("number formats", "\n".join(notes) or named)


def duration(config: BaseConfig) -> Iterator[Finding]:
    """How long the run will take, by the speed of its number formats; nothing where that can't be told."""
    if not isinstance(config, Config) or config.rollout.dtype == "auto" or on_gpus(config):
        return
    if not ENGINES[config.rollout.engine].batches:
        return
    try:
        data, found = problems(config), figures(config)
    except UserError:  # said elsewhere
        return
    seconds = run_seconds(config, found, shape_of(config.model), data.train, sum(map(len, data.heldout.values())))
    limit = config.run.max_minutes
    ends = f"; run.max_minutes ends it after {limit:g}" if limit is not None and limit < 1.5 * seconds / 60 else ""
    yield Finding("the run will take", f"about {time_in_words(seconds)}, two thirds to one and a half times that{ends}")


def isolation(config: BaseConfig) -> Iterator[Finding]:
    """The best level of the sandbox here, each level by itself, and what runs the programs."""
    from stepcoder.executor.pool.isolation import LEFT_OPEN, LEVELS, check

    try:
        version, monitoring = examine(config.executor.python)
    except RuntimeError as error:
        yield Finding("programs run on", "nothing", "problem", f"{error}; set executor.python")
        return
    way = "sys.monitoring" if monitoring else "probes"
    better = faster(version) if config.executor.python is None else None
    advice = f"faster: --executor.python {better}" if better else ""
    if better is None and not monitoring:
        advice = "3.13 runs them 1.3 times as fast: install it and set executor.python"
    yield Finding("programs run on", f"Python {version}, executed lines by {way}", "ok", advice)
    programs = ExecutorConfig.model_validate(config.executor.model_dump())
    missing = {level: check(programs, level) for level in (1, 2, 3)}
    best = next((level for level, reason in missing.items() if reason is None), 4)
    wanted = config.executor.level
    if wanted in missing and missing[wanted] is not None:
        yield Finding("sandbox", f"no isolation level {wanted}", "problem", "set executor.level to auto")
    elif best == 4 and wanted != 4:
        advice = "allow what is named below, or, only for programs you trust, set executor.level 4"
        yield Finding("sandbox", f"isolation level 4 ({LEVELS[4]})", "problem", advice)
    else:
        level = best if wanted == "auto" else wanted
        found, state = f"isolation level {level} ({LEVELS[level]})", "note" if level > 1 else "ok"
        yield Finding("sandbox", found, state, LEFT_OPEN[level])
    for level, reason in missing.items():
        shown = f"{'available' if reason is None else 'not available'} ({LEVELS[level]})"
        yield Finding(f"level {level}", shown, "ok" if reason is None else "note", reason or LEFT_OPEN[level])


def inputs(config: BaseConfig) -> Iterator[Finding]:
    yield model_finding(config.model)
    try:
        data = problems(config)
        yield Finding("problems", f"{len(data.train)} to train on, {_held_out(data.heldout)}")
    except UserError as error:
        yield Finding("problems", "not usable", "problem", str(error))


def _held_out(sets: Mapping[str, Sequence[Problem]]) -> str:
    """`57 held out`, or by name `100 + 164 held out (mbpp, humaneval)`."""
    named = f" ({', '.join(sets)})" if list(sets) not in ([], [HELDOUT]) else ""
    return f"{' + '.join(str(len(found)) for found in sets.values()) or 0} held out{named}"


def model_finding(name: str) -> Finding:
    try:
        check_model_is_there(name)
    except UserError as error:
        return Finding("model", name, "problem", str(error).removeprefix("model: "))
    cached = cache_directory() / STARTER
    if name != STARTER or Path(name).is_dir():
        return Finding("model", name)
    if not cached.is_dir():
        return Finding("model", f"{name}, not converted yet", "ok", "the first run converts it (about 30 s)")
    try:
        verify(cached)
    except ManifestError as error:
        return Finding("model", f"{name}, damaged", "note", f"{error}; the next run converts it again")
    return Finding("model", f"{name} in {cached}")


def report(found: list[Finding]) -> Any:
    """The findings as a rich table."""
    from rich.table import Table
    from rich.text import Text

    view = Table(title="stepcoder doctor", show_lines=False)
    for column in ("", "what", "found", "what to do"):
        view.add_column(column, overflow="fold")
    marks = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("problem", "bold red")}
    for item in found:
        mark, style = marks[item.state]
        view.add_row(Text(mark, style), item.what, Text(item.found), Text(item.advice))
    return view


if __name__ == "__main__":
    from stepcoder.deploy.cli import main

    sys.exit(main(["doctor", *sys.argv[1:]]))
