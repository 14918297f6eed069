"""The engine's end of a weight transfer over gloo: vLLM's weight-transfer interface on CPUs.

Loading goes through vLLM's layerwise reload, because its CPU linears are packed when the
model is loaded and a plain `load_weights` would leave them half old and half new.
Invariant: between `start_weight_update` and `finish_weight_update` no request is scheduled
(the caller has paused the engine), so no token is ever sampled from a mixture.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

from stepcoder.rollout.gloo import GlooReceiver


@dataclass
class GlooInitInfo(WeightTransferInitInfo):
    """Where to meet; this worker's rank is `rank_offset` plus its rank inside the engine."""

    master_address: str
    master_port: int
    rank_offset: int
    world_size: int
    deadline_s: float


@dataclass
class GlooUpdateInfo(WeightTransferUpdateInfo):
    """What will be sent, in this order."""

    names: list[str]
    dtype_names: list[str]
    shapes: list[list[int]]


class VLLMReceiver(WeightTransferEngine[GlooInitInfo, GlooUpdateInfo]):
    """Receives whole tensors from the learner and loads them layer by layer."""

    init_info_cls = GlooInitInfo
    update_info_cls = GlooUpdateInfo
    _receiver: GlooReceiver | None = None

    def init_transfer_engine(self, init_info: GlooInitInfo) -> None:
        self.shutdown()
        rank = init_info.rank_offset + self.parallel_config.rank
        self._receiver = GlooReceiver(
            rank, init_info.master_address, init_info.master_port, init_info.world_size, init_info.deadline_s
        )

    def start_weight_update(self) -> None:
        initialize_layerwise_reload(self.model)

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """As the base class, without its device synchronisation, which needs an accelerator."""
        self.receive_weights(self.parse_update_info(update_info))

    def receive_weights(self, update_info: GlooUpdateInfo) -> None:
        if self._receiver is None:
            raise RuntimeError("weights were sent before the engine joined the learner; connect the publisher first")
        load: Callable[[list[tuple[str, torch.Tensor]]], object] = getattr(self.model, "load_weights")  # noqa: B009
        try:
            for named in self._receiver.tensors(update_info.names, update_info.dtype_names, update_info.shapes):
                load([named])
        except BaseException:
            self.shutdown()
            raise

    def finish_weight_update(self) -> None:
        finalize_layerwise_reload(self.model, self.model_config)
        # An output layer tied to the embeddings is not loaded itself: it sees their new values, but the packed
        # copy that its CPU kernel reads is still the old one.
        for layer in self.model.modules():
            if isinstance(layer, ParallelLMHead):
                layer.quant_method.process_weights_after_loading(layer)

    def shutdown(self) -> None:
        if self._receiver is not None:
            self._receiver.close()
        self._receiver = None
