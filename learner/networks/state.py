"""Weights and optimiser state as whole tensors by parameter name, however DeepSpeed has split them over the ranks.

A checkpoint made of whole tensors can be read by any number of ranks under any ZeRO stage, bit for bit; DeepSpeed's own
files only by as many ranks as wrote them. Each parameter is in exactly one rank's file.

    copy.take(engine, copy=True)            # all ranks together; what was copied does not change afterwards
    write(copy.tensors, schedule, folder)   # in any thread
    whole, schedule = read(folder)
    restore(engine, whole)                  # all ranks together
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

WEIGHT, STEP = "weight", "step"  # beside the optimiser's own names of its moments

# Parameter name -> its fp32 weight, its moments and its count of updates; the weight alone if it was never updated.
Whole = Mapping[str, Mapping[str, Tensor]]


class HostCopy:
    """This rank's share of a network's state in main memory.

    Its buffers are kept from one checkpoint to the next: to touch fresh memory takes as long as to write a file. Where
    nothing is split (ZeRO 0) `take` can refer to the tensors instead.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, dict[str, Tensor]] = {}

    def take(self, engine: Any, *, copy: bool) -> None:
        """Copy what `engine` holds now, or without `copy` refer to it where it is whole; all ranks together."""
        copy = copy or _flats(engine) is not None
        held, self.tensors, owners = self.tensors, {}, _owners(engine.module)
        for name, key, tensor in gather(engine):
            if owners[name] == dist.get_rank():
                kept = copied(tensor, held.get(name, {}).get(key)) if copy else tensor.detach()
                self.tensors.setdefault(name, {})[key] = kept

    def drop(self) -> None:
        self.tensors = {}


def copied(tensor: Tensor, buffer: Tensor | None) -> Tensor:
    """A copy in main memory, in the buffer of an earlier copy if it fits."""
    if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
        buffer = torch.empty(tensor.shape, dtype=tensor.dtype)
    return buffer.copy_(tensor.detach())


def write(tensors: Whole, schedule: dict[str, Any], folder: Path) -> Path:
    """This rank's part of a network's state; needs no other rank. Returns its file, raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"part-{dist.get_rank():05d}-of-{dist.get_world_size():05d}.pt"
    return save({"schedule": schedule, "parameters": dict(tensors)}, file)


def save(content: object, file: Path) -> Path:
    """torch.save with the disk's own word for what it refuses: OSError, where torch has a RuntimeError."""
    try:
        torch.save(content, file)
    except RuntimeError as error:
        try:
            with file.open("ab") as more:
                more.write(bytes(1 << 20))
        except OSError as refused:
            raise OSError(refused.errno, refused.strerror, str(file)) from error
        raise
    return file


def read(folder: Path) -> tuple[Whole, dict[str, Any]]:
    """All parts, mapped and not yet read, and the schedule. FileNotFoundError when one is missing."""
    files = sorted(folder.glob("part-*.pt"))
    if not files or int(files[0].stem.rpartition("-")[2]) != len(files):
        raise FileNotFoundError(f"{folder} does not hold all parts of a learner's state, but {len(files)}")
    parts = [torch.load(file, map_location="cpu", mmap=True, weights_only=True) for file in files]
    return {name: found for part in parts for name, found in part["parameters"].items()}, parts[0]["schedule"]


def gather(engine: Any) -> Iterator[tuple[str, str, Tensor]]:
    """(parameter, what, whole tensor) one by one. Every rank must iterate to the end, since all of them take part."""
    from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

    adam, flats = _adam(engine), _flats(engine)
    if flats is None:
        for name, parameter in _trained(engine.module):
            yield name, WEIGHT, parameter
            for key, value in adam.state.get(parameter, {}).items():
                yield name, key, value
        return
    _link(engine)
    state = adam.state.get(flats[0], {})
    moments = [key for key, value in state.items() if value.shape == flats[0].shape]
    for name, parameter in _trained(engine.module):
        yield name, WEIGHT, _present(safe_get_full_fp32_param(parameter), name)
        for key in moments:
            yield name, key, _present(safe_get_full_optimizer_state(parameter, key), name)
        if STEP in state:
            yield name, STEP, state[STEP]


@torch.no_grad()
def restore(engine: Any, whole: Whole) -> None:
    """Put every rank's share in its place; all ranks together. ValueError when the parameters are not the engine's."""
    own = {name: tuple(getattr(p, "ds_shape", p.shape)) for name, p in _trained(engine.module)}
    if faults := [name for name in sorted(own.keys() | whole.keys()) if own.get(name) != _shape(whole, name)]:
        raise ValueError(
            "the checkpoint is not of this model with these learner.lora and learner.advantage.critic settings: "
            f"{faults[0]} has shape {_shape(whole, faults[0])} in it and "
            f"{own.get(faults[0])} here ({len(faults)} such parameters)"
        )
    adam, flats = _adam(engine), _flats(engine)
    if flats is None:
        for name, parameter in _trained(engine.module):
            found = whole[name]
            parameter.copy_(found[WEIGHT])
            adam.state.pop(parameter, None)
            if moments := {key: value for key, value in found.items() if key != WEIGHT}:
                adam.state[parameter] = {key: value.to(parameter.device, copy=True) for key, value in moments.items()}
        return
    moments = sorted({key for found in whole.values() for key in found} - {WEIGHT, STEP})
    for flat in flats:
        adam.state.pop(flat, None)
        if moments:
            # one count for all: they differ only where a parameter was never updated, whose moments are 0
            count = max(float(found[STEP]) for found in whole.values() if STEP in found)
            adam.state[flat] = {STEP: torch.tensor(count, device=flat.device)} | {
                key: torch.zeros_like(flat) for key in moments
            }
    _link(engine)
    for name, parameter in _trained(engine.module):
        for key in (WEIGHT, *moments):
            if key in whole[name]:
                _set(parameter, whole[name][key], key)


def _set(parameter: nn.Parameter, value: Tensor, key: str) -> None:
    """This rank's share of one tensor of a parameter that ZeRO has split; the weight also in its working precision."""
    import deepspeed
    from deepspeed import utils

    if hasattr(parameter, "ds_id"):
        size = parameter.partition_numel()  # type: ignore[attr-defined]
        padded = nn.functional.pad(value.flatten(), (0, size * dist.get_world_size() - value.numel()))
        share = padded.narrow(0, size * dist.get_rank(), size)
        if key != WEIGHT:
            utils.safe_set_local_optimizer_state(parameter, share, key)
            return
        utils.safe_set_local_fp32_param(parameter, share)
        with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):
            parameter.copy_(value)
    elif key != WEIGHT:
        utils.safe_set_full_optimizer_state(parameter, value, key)
    else:
        utils.safe_set_full_fp32_param(parameter, value)
        parameter.copy_(value)


def _trained(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad)


def _shape(whole: Whole, name: str) -> tuple[int, ...] | None:
    return tuple(whole[name][WEIGHT].shape) if name in whole else None


def _owners(module: nn.Module) -> dict[str, int]:
    """Parameter -> the rank that keeps and writes it: in order, each to the rank with the least so far."""
    loads, owners = [0] * dist.get_world_size(), {}
    for name, parameter in _trained(module):
        owners[name] = loads.index(min(loads))
        loads[owners[name]] += int(getattr(parameter, "ds_numel", parameter.numel()))
    return owners


def _adam(engine: Any) -> torch.optim.Optimizer:
    """The optimiser itself, below what DeepSpeed wraps around it."""
    return getattr(engine.optimizer, "optimizer", engine.optimizer)


def _flats(engine: Any) -> list[Tensor] | None:
    """The flat fp32 tensors that hold this rank's share of the parameters; None where nothing is split."""
    if engine.optimizer is _adam(engine):
        return None
    if engine.zero_optimization_stage() == 3:
        return engine.optimizer.fp32_partitioned_groups_flat
    return [flat for group in _adam(engine).param_groups for flat in group["params"]]


def _link(engine: Any) -> None:
    """Tell DeepSpeed where the moments are now: it looks once, after its first update, even if that was refused."""
    if hasattr(engine.optimizer, "_hp_optimizer_states_linked"):
        engine.optimizer._hp_optimizer_states_linked = False
        engine.optimizer._lazy_init_hp_params_optimizer_state()


def _present(tensor: Tensor | None, name: str) -> Tensor:
    assert tensor is not None, name
    return tensor
