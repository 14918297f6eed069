"""What runs first inside vLLM's engine process: its tie to the actor that owns it.

vLLM takes the class that starts its workers as an argument; a subclass is the one
official way to run code in the engine process before the model is loaded.
"""

from typing import Any

from stepcoder.rollout.vllm.kernels import honour_restriction

honour_restriction()  # the import of vLLM's executors loads its kernels

from vllm.v1.engine.core import EngineCoreProc  # noqa: E402
from vllm.v1.executor.multiproc_executor import MultiprocExecutor  # noqa: E402
from vllm.v1.executor.uniproc_executor import UniProcExecutor  # noqa: E402

from stepcoder.rollout.lifeline import tie_to_parent  # noqa: E402

_run_engine_core = EngineCoreProc.run_engine_core


def run_engine_core(*args: Any, **kwargs: Any) -> None:
    """In the place of vLLM's own function, so that the new process imports this module before anything of vLLM."""
    _run_engine_core(*args, **kwargs)


setattr(EngineCoreProc, "run_engine_core", staticmethod(run_engine_core))  # noqa: B010  it is no part of its type


class TiedExecutor(UniProcExecutor):
    """The model runs in the engine process itself: one process, and no messages at every step."""

    def _init_executor(self) -> None:
        tie_to_parent()
        super()._init_executor()


class TiedMultiprocExecutor(MultiprocExecutor):
    """One more process for every device of a tensor-parallel engine; they end with the engine process."""

    def _init_executor(self) -> None:
        tie_to_parent()
        super()._init_executor()
