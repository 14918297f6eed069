"""A network under a DeepSpeed engine: the only file besides `learner/networks/state.py` that knows DeepSpeed's names.

Gradient accumulation is ours: any number of `backward` calls, then one `update`. Gradients are averaged over
ranks, so a loss that is a share of a global sum is scaled by the number of ranks first. An update
whose gradient is not finite is refused: weights and moments stay as they were.
"""

import gc
import math
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from stepcoder.learner.config import OptimizerConfig, ParallelConfig
from stepcoder.learner.networks import state

# Ranks wait for each other while rank 0 talks to engines or a slow disk writes a checkpoint.
COLLECTIVE_TIMEOUT_S = 1800.0
# Gradients reduced at a time (numbers). ZeRO 3 allocates so much in fp32 for each network, and DeepSpeed's
# default, 2 GB, is more than a small network.
REDUCE_BUCKET = 50_000_000


def join_ranks(rank: int, world: int, address: str, port: int, *, cuda: bool, timeout_s: float) -> None:
    """Enter the learner's process group; raises after `timeout_s` seconds when a rank is missing."""
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK="0", MASTER_ADDR=address, MASTER_PORT=str(port))
    import deepspeed

    if not dist.is_initialized():
        gc.freeze()  # DeepSpeed collects garbage several times an engine, 0.4 s each through all that was imported
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
        self, module: nn.Module, optimizer: OptimizerConfig, config: ParallelConfig, total_updates: int
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
        adam.register_step_post_hook(self._after_update)
        schedule: Any = torch.optim.lr_scheduler.LambdaLR(
            adam, lambda update: learning_rate_factor(optimizer, update, total_updates)
        )
        self._max_norm = optimizer.max_grad_norm
        self._master_copy = any(p.dtype == torch.bfloat16 for p in trained)
        self._partitioned = config.zero_stage > 0 or self._master_copy
        self._offloaded = config.offload.optimizer
        self._norm = 0.0
        self._refused = False
        self._withheld: list[tuple[nn.Parameter, Tensor]] = []
        self._copy = state.HostCopy()
        self.engine: Any
        self.engine, *_ = deepspeed.initialize(
            model=module, optimizer=adam, lr_scheduler=schedule, config=self._settings(config)
        )
        if not self._partitioned and dist.get_world_size() == 1:
            self.engine.enable_backward_allreduce = False  # it would copy all gradients into one tensor, and back

    def _settings(self, config: ParallelConfig) -> dict[str, Any]:
        zero = _zero(config)
        if config.offload.optimizer:
            zero["offload_optimizer"] = _aside()
        return {
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,
            "managed_gradient_accumulation": False,
            "gradient_clipping": self._max_norm if self._partitioned else 0.0,
            "steps_per_print": 10**9,
            "zero_optimization": zero,
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

    def update(self, refuse: bool = False) -> tuple[float, bool]:
        """Apply the accumulated gradients: (global L2 norm before clipping, whether the update was applied).

        `refuse`, the same on all ranks, drops them instead.
        """
        self._refused = refuse
        self.engine.step()
        if self._partitioned:
            self._norm = float(self.engine.get_global_grad_norm() or 0.0)
        applied = not self._refused and bool(self.engine.was_step_applied())
        if not applied and self._offloaded:
            self._forget_gradients()
        return self._norm, applied

    def _forget_gradients(self) -> None:
        """DeepSpeed's own way out of an overflow leaves them where the next update would add to them."""
        held = getattr(self.engine.optimizer, "averaged_gradients", {})
        for group in held:
            held[group] = None

    def _before_update(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Runs when gradients are reduced over the ranks and not yet applied: clip and refuse what is not finite."""
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        grads = [p.grad for p in parameters]
        total = torch.nn.utils.get_total_norm(grads) if grads else torch.zeros(())
        self._norm = float(total)
        self._refused = self._refused or not math.isfinite(self._norm)
        if self._refused:
            if self._offloaded:
                self._withheld = [(p, p.grad) for p in parameters]
            for p in parameters:
                p.grad = None
        elif not self._partitioned:
            torch.nn.utils.clip_grads_with_norm_(parameters, self._max_norm, total)

    def _after_update(self, *_: Any) -> None:
        """Under offload the gradients of the flat parameters are buffers that DeepSpeed makes once and fills anew."""
        for p, grad in self._withheld:
            p.grad = grad
        self._withheld = []

    def lr(self) -> float:
        return float(self.engine.get_lr()[0])

    def capture(self, *, copy: bool = True) -> None:
        """Copy weights, optimiser state and schedule to main memory, or refer to them; all ranks together."""
        self._copy.take(self.engine, copy=copy)
        self._schedule = self.engine.lr_scheduler.state_dict()

    def write(self, directory: Path, name: str) -> Path:
        """This rank's part of what `capture` copied; may run in a thread of its own while training goes on."""
        return state.write(self._copy.tensors, self._schedule, directory / name)

    def forget(self) -> None:
        """Let go of what `capture` referred to."""
        self._copy.drop()

    def load(self, directory: Path, name: str) -> None:
        """Exactly what any number of ranks under any ZeRO stage wrote; all ranks together.

        Raises FileNotFoundError if a part is missing, ValueError if it is of another network.
        """
        whole, schedule = state.read(directory / name)
        state.restore(self.engine, whole)
        scheduler = self.engine.lr_scheduler
        scheduler.load_state_dict(schedule)
        for group, rate in zip(scheduler.optimizer.param_groups, scheduler.get_last_lr(), strict=True):
            group["lr"] = rate


class FrozenModel:
    """A module that is only asked, its weights split over the ranks as ZeRO 3 splits those that are trained."""

    def __init__(self, module: nn.Module, config: ParallelConfig) -> None:
        import deepspeed

        narrow = next(module.parameters()).dtype == torch.bfloat16
        settings = {
            "train_micro_batch_size_per_gpu": 1,
            "steps_per_print": 10**9,
            "zero_optimization": _zero(config),
            "bf16": {"enabled": narrow},
        }
        self.engine: Any
        self.engine, *_ = deepspeed.initialize(model=module, config=settings)
        self.engine.eval()

    def __call__(self, *inputs: Tensor) -> Any:
        return self.engine(*inputs)


def _zero(config: ParallelConfig) -> dict[str, Any]:
    zero: dict[str, Any] = {"stage": config.zero_stage, "reduce_bucket_size": REDUCE_BUCKET}
    return zero | ({"offload_param": _aside()} if config.offload.parameters else {})


def _aside() -> dict[str, Any]:
    # Page-locked memory, from which a GPU reads faster, needs a GPU's driver.
    return {"device": "cpu", "pin_memory": torch.cuda.is_available()}


def learning_rate_factor(optimizer: OptimizerConfig, update: int, total_updates: int) -> float:
    """Share of the peak rate at an update counted from 0."""
    if update < optimizer.warmup_steps:
        return (update + 1) / (optimizer.warmup_steps + 1)
    if optimizer.schedule == "constant":
        return 1.0
    left = max(0.0, (total_updates - update) / max(1, total_updates - optimizer.warmup_steps))
    return left if optimizer.schedule == "linear" else (1 - math.cos(math.pi * left)) / 2
