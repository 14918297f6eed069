"""vLLM's CPU worker, prepared for this project before it builds the model.

It ties the process to its parent, makes our weight-transfer engine known to vLLM (whose
registry lives in the worker process), switches on AMX tiles where a machine has them,
gives the model runner a faster sampler and faster layers, and leaves cores to other programs.
"""

from contextlib import nullcontext
from typing import Any

import torch
from vllm.config import CompilationMode
from vllm.distributed.weight_transfer import WeightTransferEngineFactory
from vllm.v1.worker.cpu_worker import CPUWorker

from stepcoder.rollout.libraries import release_freed_memory
from stepcoder.rollout.lifeline import tie_to_parent
from stepcoder.rollout.vllm.cpu_layers import let_threads_change, use_kernels
from stepcoder.rollout.vllm.cpu_sampler import InverseSampler
from stepcoder.rollout.vllm.cpu_sharing import SharedCores


class TiedCPUWorker(CPUWorker):
    """A CPU worker that ends with its engine and can receive weights over gloo."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        tie_to_parent()
        WeightTransferEngineFactory.register_engine("gloo", "stepcoder.rollout.vllm.receiver", "VLLMReceiver")
        if torch.cpu._is_amx_tile_supported():
            torch.cpu._init_amx()  # bf16 kernels die with SIGILL in a process that has not asked for tiles
        super().__init__(*args, **kwargs)

    def init_device(self) -> None:
        super().init_device()
        self.model_runner.sampler = InverseSampler()
        options: Any = self.vllm_config.additional_config
        shares = options["share_cores"] and self.compilation_config.mode == CompilationMode.NONE
        self.cores = SharedCores(torch.get_num_threads()) if shares else None
        if self.cores:
            let_threads_change()

    def execute_model(self, *args: Any, **kwargs: Any) -> Any:
        with self.cores.step() if self.cores else nullcontext():
            return super().execute_model(*args, **kwargs)

    def load_model(self, *args: Any, **kwargs: Any) -> None:
        super().load_model(*args, **kwargs)
        if self.compilation_config.mode == CompilationMode.NONE:  # a compiler joins operations itself
            use_kernels(self.model_runner.model)

    def compile_or_warm_up_model(self) -> Any:
        """The last of loading: by now each weight was packed and the original freed."""
        taken = super().compile_or_warm_up_model()
        release_freed_memory()
        return taken

    def finish_weight_update(self) -> None:
        super().finish_weight_update()
        release_freed_memory()
