"""One learner process: its share of policy, critic and reference, and its end of weight updates and checkpoints.

A thin Ray actor (decorated by the service). Every method that changes state or meets other ranks is called
on all ranks together, in the same order.
"""

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from stepcoder.learner.config import LearnerConfig, SeparateCritic, SharedCritic
from stepcoder.learner.networks.adapters import add_adapters, plain_weights
from stepcoder.learner.networks.engine import FrozenModel, TrainedModel, join_ranks
from stepcoder.learner.networks.models import Policy, add_value_head, frozen, load_critic, load_policy
from stepcoder.learner.networks.networks import Network, Networks, unadapted
from stepcoder.learner.networks.state import copied, save
from stepcoder.learner.tally import Reduce
from stepcoder.learner.trained import Trained
from stepcoder.learner.update import PolicyUpdate
from stepcoder.paths import Located, local
from stepcoder.rollout.libraries import preload_libraries, release_freed_memory
from stepcoder.rollout.threads import learner_threads
from stepcoder.rollout.trajectory import Trajectory
from stepcoder.rollout.weights import WeightPublisher

DTYPES = {"fp32": torch.float32, "autocast": torch.float32, "bf16": torch.bfloat16}
KL_STATE, REFERENCE = "kl.json", "reference.pt"


class HeldGPU(NamedTuple):
    """A rank's GPU: what CUDA_VISIBLE_DEVICES calls it on its node, and its memory (bytes)."""

    name: str
    memory: float


class LearnerRank:
    """Rank `rank` of `world`. `total_updates` is the length of the learning-rate schedule (updates)."""

    def __init__(
        self,
        rank: int,
        world: int,
        model: str | Located,
        config: LearnerConfig,
        *,
        seed: int,
        total_updates: int,
        temperature: float,
        cuda: bool,
    ) -> None:
        if config.precision == "auto":
            raise ValueError("learner.precision auto has to be settled before a learner is made (checks/formats.py)")
        self.rank, self.world, self.config = rank, world, config
        self._named, self._seed, self._total_updates, self._temperature = model, seed, total_updates, temperature
        self.device = torch.device("cuda", 0) if cuda else torch.device("cpu")
        self._weights: dict[str, Tensor] = {}  # the policy's, as of the last `capture`
        self._reference: dict[str, Tensor] = {}  # the same, where it is not the start any more
        self._copied = True
        self._shares_gpu = False

    def address(self) -> tuple[str, int]:
        """Where other ranks can meet this one: its node's address and a free port."""
        import ray

        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.util.get_node_ip_address(), probe.getsockname()[1]

    def node(self) -> str:
        import ray

        return ray.get_runtime_context().get_node_id()

    def build(self, address: str, port: int) -> dict[str, float]:
        """Meet the other ranks and build the networks. Returns sizes (parameters)."""
        self._model = Path(local(self._named))
        cuda = self.device.type == "cuda"
        join_ranks(self.rank, self.world, address, port, cuda=cuda, timeout_s=self.config.rendezvous_timeout_s)
        torch.manual_seed(self._seed)
        c, dtype, autocast = self.config, DTYPES[self.config.precision], self.config.precision == "autocast"
        pieces = -(-c.token_budget // c.logprob_chunk)

        def policy(kind: torch.dtype, checkpointing: bool) -> Policy:
            return load_policy(
                self._model, kind, pieces, self._temperature, autocast=autocast, checkpointing=checkpointing,
                fp32_output=c.output_precision == "fp32",
            )  # fmt: skip

        trained = policy(dtype, c.gradient_checkpointing)
        if c.lora.rank is not None:
            add_adapters(trained.model, c.lora)
        if isinstance(c.critic, SharedCritic):
            add_value_head(trained, detach=c.critic.detach)
        trained.entropy_gradient = c.loss.entropy_bonus > 0
        self.policy = TrainedModel(trained, c.policy, c, self._total_updates - c.critic_warmup_updates)
        self.critic: TrainedModel | None = None
        if isinstance(c.critic, SeparateCritic):
            critic = load_critic(
                self._model, dtype, c.critic.layers, autocast=autocast, checkpointing=c.gradient_checkpointing
            )
            self.critic = TrainedModel(critic, c.critic.optimizer, c, self._total_updates)
        frozen_dtype = torch.float32 if c.precision == "fp32" else torch.bfloat16
        self.reference: Network | None = None
        if c.has_reference and c.lora.rank is not None:
            self.reference = unadapted(self.policy)
        elif c.has_reference:
            copy = frozen(policy(frozen_dtype, False))
            self.reference = FrozenModel(copy, c) if c.zero_stage == 3 else copy.to(self.device)
        self._update = PolicyUpdate(
            Networks(self.policy, self.critic, self.reference),
            c,
            Reduce(self.world, self._sum, self._max),
            self.device,
            self._seed,
        )
        return {
            "policy": float(sum(_numel(p) for p in self.policy.module.parameters())),
            "critic": float(sum(_numel(p) for p in self.critic.module.parameters())) if self.critic else 0.0,
        }

    def gpu(self) -> HeldGPU:
        """Of a rank on a GPU."""
        name = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
        return HeldGPU(name, float(torch.cuda.get_device_properties(self.device).total_memory))

    def step(self, step: int, *groups: Sequence[Trajectory]) -> dict[str, float]:
        """One step on this rank's groups (Ray hands references over as values)."""
        learned = self._update.step(step, [t for group in groups for t in group])
        self._trained = learned.trained
        if self._shares_gpu:
            torch.cuda.empty_cache()  # the engine wakes into what is free
        release_freed_memory()
        return learned.metrics

    def trained(self) -> tuple[Trained, ...]:
        """What the loss of the last step used."""
        return self._trained

    def connect_engines(self, workers: Sequence[Any], backend: str, dtype: str, ranks: int, deadline_s: float) -> None:
        """Meet the rollout engines; again after one was restarted."""
        if hasattr(self, "_publisher"):
            self._publisher.close()
        self._shares_gpu = backend == "ipc"
        self._publisher = WeightPublisher(backend, dtype, self.rank, deadline_s)
        shapes = [(w.name, _shape(w.parameter)) for w in plain_weights(self._network.model)]
        self._publisher.connect(workers, shapes, ranks)

    def publish(self, version: int) -> None:
        """Send the policy to every engine as weights `version`."""
        self._publisher.publish(self._full_weights(), version)
        if self._shares_gpu:
            torch.cuda.empty_cache()

    def save(self, directory: str) -> dict[str, int]:
        """`capture` and `write` in one."""
        self.capture(copy=self.device.type != "cpu")
        return self.write(directory)

    def capture(self, copy: bool = True) -> None:
        """Copy to main memory everything of this rank that the next step depends on, and (rank 0) the policy's weights.

        About 12 bytes a trained parameter over all ranks, kept for the next time. Without `copy` nothing may change
        until `write` is done; whole tensors then take no memory, those that ZeRO has split or that adapters are merged
        into are copied all the same, until then.
        """
        self._copied = copy
        for network in self._update.networks.trained.values():
            network.capture(copy=copy)
        self._random, self._factor = torch.get_rng_state(), self._update.kl_factor.value
        for name, tensor in self._own_reference():
            self._reference[name] = copied(tensor, self._reference.get(name)) if copy else tensor
        whole = not copy and self.config.zero_stage < 3
        for name, tensor in self._full_weights():
            if self.rank == 0:
                self._weights[name] = tensor.detach() if whole else copied(tensor, self._weights.get(name))

    def write(self, directory: str) -> dict[str, int]:
        """What `capture` copied, as files: training may go on in another thread, but not another `capture`.

        Returns the files by their name in `directory`, with their sizes (bytes).
        """
        folder = Path(directory)
        files = [network.write(folder / "learner", name) for name, network in self._update.networks.trained.items()]
        files.append(save(self._random, folder / "learner" / f"random-{self.rank}.pt"))
        if self.rank == 0:
            (folder / "learner" / KL_STATE).write_text(json.dumps({"factor": self._factor}), encoding="utf-8")
            self._save_hugging_face(folder / "policy", self._weights)
            files += [folder / "learner" / KL_STATE, *(folder / "policy").iterdir()]
            if self._reference:
                files.append(save(self._reference, folder / "learner" / REFERENCE))
        if not self._copied:
            self._weights = {}
            for network in self._update.networks.trained.values():
                network.forget()
        return {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}

    def load(self, directory: str) -> None:
        """Exactly the state that `save` wrote, with any number of ranks."""
        folder = Path(directory) / "learner"
        for name, network in self._update.networks.trained.items():
            network.load(folder, name)
        self._update.kl_factor.value = json.loads((folder / KL_STATE).read_text(encoding="utf-8"))["factor"]
        if (kept := folder / REFERENCE).is_file():
            assert isinstance(self.reference, torch.nn.Module)
            self.reference.load_state_dict(torch.load(kept, weights_only=True), strict=False)
        if (random := folder / f"random-{self.rank}.pt").is_file():  # not of a rank that is new
            torch.set_rng_state(torch.load(random, weights_only=True))

    def _own_reference(self) -> Iterator[tuple[str, Tensor]]:
        """Its weights, which rank 0 alone writes, where resets make it another than the model of the run's start."""
        if self.config.reference_reset and self.rank == 0:
            assert isinstance(self.reference, torch.nn.Module)
            yield from ((name, p.detach()) for name, p in self.reference.named_parameters())

    def _save_hugging_face(self, folder: Path, weights: dict[str, Tensor]) -> None:
        from transformers import AutoTokenizer

        self._network.model.save_pretrained(folder, state_dict=weights)
        AutoTokenizer.from_pretrained(self._model).save_pretrained(folder)

    @property
    def _network(self) -> Policy:
        module = self.policy.module
        assert isinstance(module, Policy)
        return module

    def _full_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Whole tensors of the model, adapters merged, under their Hugging Face names, one by one; under ZeRO 3 every
        rank must iterate, since each gathers its part."""
        for weight in plain_weights(self._network.model):
            with _gathered(weight.parts):
                yield weight.name, weight.value()

    def _sum(self, values: Tensor) -> Tensor:
        if self.world > 1:
            values = values.to(self.device)
            dist.all_reduce(values)
        return values.cpu()

    def _max(self, value: int) -> int:
        tensor = torch.tensor([value], device=self.device)
        if self.world > 1:
            dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return int(tensor)


def _gathered(parameters: list[torch.nn.Parameter]) -> Any:
    if not hasattr(parameters[0], "ds_id"):
        return nullcontext()
    import deepspeed

    return deepspeed.zero.GatheredParameters(parameters)


def _numel(parameter: torch.nn.Parameter) -> int:
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def _shape(parameter: torch.nn.Parameter) -> tuple[int, ...]:
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def learner_environment(*, cuda: bool, ranks: int) -> dict[str, str]:
    """Environment variables that a rank's process must be started with.

    Ranks share the cores: Ray would give an actor that reserves none a single thread, too few for what is
    computed on CPUs, be it only an offloaded update.
    """
    environment = {
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "OMP_NUM_THREADS": str(learner_threads(ranks)),
    }
    if cuda:
        return environment
    environment["DS_ACCELERATOR"] = "cpu"
    if libraries := preload_libraries():
        environment["LD_PRELOAD"] = ":".join(libraries)
    return environment
