"""A network under a DeepSpeed engine: the only file that knows DeepSpeed's names.

Gradient accumulation is ours: any number of `backward` calls, then one `update`. Gradients are averaged over
ranks, so a loss that is a share of a global sum is scaled by the number of ranks first. An update
whose gradient is not finite is refused: weights and moments stay as they were.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from learner.config import LearnerConfig, OptimizerConfig

# Ranks wait for each other while rank 0 talks to engines or a slow disk writes a checkpoint.
COLLECTIVE_TIMEOUT_S = 1800.0


def join_ranks(rank: int, world: int, address: str, port: int, *, cuda: bool, timeout_s: float) -> None:
    """Enter the learner's process group; raises after `timeout_s` seconds when a rank is missing."""
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK="0", MASTER_ADDR=address, MASTER_PORT=str(port))
    import deepspeed

    # A shared-memory all-reduce for CPU ranks that needs a compiler and 40 s to build; gloo does the same work.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(
        dist_backend="nccl" if cuda else "gloo",
        auto_mpi_discovery=False,
        timeout=timedelta(seconds=max(timeout_s, COLLECTIVE_TIMEOUT_S)),
        rank=rank,
        world_size=world,
    )


class TrainedModel:
    """A module with its optimiser, schedule and gradient clipping; parameters without gradient stay as they are."""

    def __init__(
        self, module: nn.Module, optimizer: OptimizerConfig, config: LearnerConfig, total_updates: int
    ) -> None:
        import deepspeed

        trained = [p for p in module.parameters() if p.requires_grad]
        adam = torch.optim.AdamW(
            trained,
            lr=optimizer.lr,
            betas=(optimizer.beta1, optimizer.beta2),
            eps=optimizer.eps,
            weight_decay=optimizer.weight_decay,
            fused=True,
        )
        adam.register_step_pre_hook(self._before_update)
        schedule: Any = torch.optim.lr_scheduler.LambdaLR(
            adam, lambda update: learning_rate_factor(optimizer, update, total_updates)
        )
        self._max_norm = optimizer.max_grad_norm
        self._master_copy = any(p.dtype == torch.bfloat16 for p in trained)
        self._partitioned = config.zero_stage > 0 or self._master_copy
        self._norm = 0.0
        self._refused = False
        self.engine: Any
        self.engine, *_ = deepspeed.initialize(
            model=module, optimizer=adam, lr_scheduler=schedule, config=self._settings(config)
        )

    def _settings(self, config: LearnerConfig) -> dict[str, Any]:
        return {
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,
            "managed_gradient_accumulation": False,
            "gradient_clipping": self._max_norm if self._partitioned else 0.0,
            "steps_per_print": 10**9,
            "zero_optimization": {"stage": config.zero_stage},
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
            "bf16": {"enabled": self._master_copy},
            "data_types": {"grad_accum_dtype": "fp32"},
        }

    @property
    def module(self) -> nn.Module:
        return self.engine.module

    def __call__(self, *inputs: Tensor) -> Any:
        return self.engine(*inputs)

    def backward(self, loss: Tensor) -> None:
        self.engine.backward(loss)

    def update(self) -> tuple[float, bool]:
        """Apply the accumulated gradients: (global L2 norm before clipping, whether the update was applied)."""
        self._refused = False
        self.engine.step()
        if self._partitioned:
            self._norm = float(self.engine.get_global_grad_norm() or 0.0)
        return self._norm, not self._refused and bool(self.engine.was_step_applied())

    def _before_update(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Runs when gradients are reduced over the ranks and not yet applied: clip and refuse what is not finite."""
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        grads = [p.grad for p in parameters]
        total = torch.nn.utils.get_total_norm(grads) if grads else torch.zeros(())
        self._norm = float(total)
        if not math.isfinite(self._norm):
            self._refused = True
            for p in parameters:
                p.grad = None
        elif not self._partitioned:
            torch.nn.utils.clip_grads_with_norm_(parameters, self._max_norm, total)

    def lr(self) -> float:
        return float(self.engine.get_lr()[0])

    def save(self, directory: Path, name: str) -> None:
        """Trained weights, optimiser and schedule of this rank; every rank calls it."""
        with _trained_state_only(self.module):
            self.engine.save_checkpoint(str(directory), tag=name, save_latest=False, exclude_frozen_parameters=True)

    def load(self, directory: Path, name: str) -> None:
        """Exactly what `save` wrote; FileNotFoundError if it is not there, ValueError if it is another model's."""
        path, _ = self.engine.load_checkpoint(str(directory), tag=name, custom_load_fn=_load_trained)
        if path is None:
            raise FileNotFoundError(f"no learner state {name!r} in {directory}")


@contextmanager
def _trained_state_only(module: nn.Module) -> Iterator[None]:
    """Inside, the module's state dictionary lacks what is not trained, a tied tensor's second name included."""
    frozen = {name for name, p in module.named_parameters(remove_duplicate=False) if not p.requires_grad}

    def drop(_: nn.Module, state: dict[str, Tensor], prefix: str, *__: Any) -> None:
        for name in frozen:
            state.pop(prefix + name, None)

    handle = module.register_state_dict_post_hook(drop)
    try:
        yield
    finally:
        handle.remove()


def _load_trained(src: dict[str, Tensor], dst: nn.Module) -> None:
    missing, unexpected = dst.load_state_dict(src, strict=False)
    trained = {name for name, p in dst.named_parameters(remove_duplicate=False) if p.requires_grad}
    if wrong := [*unexpected, *(name for name in missing if name in trained)]:
        raise ValueError(
            f"the checkpoint is not of this model with these learner.lora and learner.critic settings: {len(wrong)} "
            f"tensors differ, {wrong[0]!r} among them"
        )


def learning_rate_factor(optimizer: OptimizerConfig, update: int, total_updates: int) -> float:
    """Share of the peak rate at an update counted from 0."""
    if update < optimizer.warmup_steps:
        return (update + 1) / (optimizer.warmup_steps + 1)
    if optimizer.schedule == "constant":
        return 1.0
    left = total_updates - update
    return max(0.0, left / max(1, total_updates - optimizer.warmup_steps))
