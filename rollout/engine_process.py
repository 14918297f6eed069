"""What runs first inside vLLM's engine process: its tie to the actor that owns it.

vLLM takes the class that starts its workers as an argument; a subclass is the one
official way to run code in the engine process before the model is loaded.
"""

from vllm.v1.executor.multiproc_executor import MultiprocExecutor
from vllm.v1.executor.uniproc_executor import UniProcExecutor

from rollout.lifeline import tie_to_parent


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
