"""`stepcoder export`: a checkpoint's policy as a Hugging Face directory that transformers and vLLM load."""

import json
import logging
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from stepcoder.deploy.config.sources import read_kept
from stepcoder.deploy.run.checkpoint import POLICY, Checkpoint, best, latest_complete, named
from stepcoder.deploy.run.directory import CONFIG, fetch_checkpoints, fetched
from stepcoder.deploy.run.manifest import ManifestError
from stepcoder.deploy.run.meant import meant, split
from stepcoder.deploy.run.metrics import METRICS, scores
from stepcoder.deploy.run.settings import best_metric
from stepcoder.errors import UserError, disk_fault
from stepcoder.files import publish

log = logging.getLogger(__name__)


def find_checkpoint(directory: str, step: int | None = None, asked: str = "") -> Checkpoint:
    """The newest complete checkpoint of a run (a path or URI), or the one of `step`; raises UserError.

    RUN/checkpoints/step-N is a run and a step. `asked`: the option that named it, where that was neither --run nor
    --step.
    """
    run = asked or f"--run {directory}"
    directory, own = split(directory)
    if own is not None and step not in (None, own):
        raise UserError(f"{run}: it is the checkpoint of step {own}, and --step {step} is another one; leave one out.")
    which = asked or (run if own is not None else f"--step {step}")
    step = step if own is None else own
    folder = fetch_checkpoints(directory)
    present = [number for number, _ in named(folder)]
    if not present:
        raise UserError(f"{run}: there is no run with a checkpoint there.{meant(directory)}")
    if step is None:
        newest = latest_complete(folder, partial(fetched, directory))
        if newest is None:
            raise UserError(f"{run}: none of its checkpoints ({len(present)}) is complete.")
        return newest
    path = dict(named(folder)).get(step)
    if path is None:
        steps = ", ".join(str(number) for number in sorted(present))
        raise UserError(f"{which}: the run {directory} has checkpoints of steps {steps}.")
    try:
        return fetched(directory, path)
    except ManifestError as error:
        raise UserError(f"{which}: the checkpoint is not complete: {error}.") from None


def best_checkpoint(directory: str, metric: str | None = None) -> Checkpoint:
    """The complete checkpoint of a run with the highest `metric`, or run.best_metric; raises UserError."""
    run, own = split(directory)
    if own is not None:
        raise UserError(f"--best: {directory} is one checkpoint already; give its run {run}, or leave --best out.")
    folder = fetch_checkpoints(directory)
    settings = folder.parent / CONFIG
    kept = read_kept(settings) if settings.is_file() else {}
    metric = metric or best_metric(kept)
    found = scores(folder.parent / METRICS, metric, kept.get("run", {}).get("checkpoint_every", 1))
    paths = dict(named(folder))
    for step in best(folder, found, len(paths)):
        try:
            return fetched(directory, paths[step])
        except (ManifestError, OSError) as error:
            log.warning("checkpoint of step %d is passed over: %s", step, error)
    raise UserError(
        f"--best: no checkpoint of {directory} has {metric}. Checkpoints are of steps "
        f"{', '.join(str(step) for step in sorted(paths)) or 'none'}; set eval.every to a multiple of "
        "run.checkpoint_every, or name another metric, such as --best reward/mean."
    )


def export(checkpoint: Checkpoint, out: Path, dtype: str | None = None) -> Path:
    """Copy the policy to `out`, which must not exist or be empty; `dtype` casts its weights. Written aside first."""
    if not (checkpoint.policy / "config.json").is_file():
        raise UserError(f"{checkpoint.path} holds no policy in {POLICY}/ to export.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: it exists and is not an empty directory. Give another one.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise _unwritable(out, error) from None
    try:
        shutil.copytree(checkpoint.policy, scratch, dirs_exist_ok=True)
        scratch.chmod(0o755)
        if dtype is not None:
            cast(scratch, dtype)
        if out.exists():
            out.rmdir()
        publish(scratch, out)
    except Exception as error:
        if (fault := disk_fault(error)) is None:
            raise
        raise _unwritable(out, fault) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return out


def _unwritable(out: Path, error: OSError) -> UserError:
    return UserError(f"--out {out}: can't write there ({error.strerror or error}).")


def cast(directory: Path, dtype: str) -> None:
    """Rewrite the weights of a Hugging Face directory in another floating-point format."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    wanted = getattr(torch, dtype)
    for file in sorted(directory.glob("*.safetensors")):
        with safe_open(file, framework="pt") as source:
            metadata = source.metadata()
            tensors = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118
        save_file({n: t.to(wanted) if t.is_floating_point() else t for n, t in tensors.items()}, file, metadata)
    config = directory / "config.json"
    settings = json.loads(config.read_text(encoding="utf-8"))
    settings.pop("torch_dtype", None)
    settings["dtype"] = dtype
    config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    from stepcoder.deploy.cli import main

    sys.exit(main(["export", *sys.argv[1:]]))
