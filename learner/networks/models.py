"""The networks over packed rows: policy, critic (or a value head on the policy), frozen reference.

Each takes a `Row`'s tensors and answers one number a response token. The matrix [tokens x vocabulary]
exists only for a part of the tokens at a time, in the forward and in the backward pass.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedModel

from stepcoder.learner.networks.architectures import require_packable
from stepcoder.learner.networks.attention import ATTENTION, Group
from stepcoder.learner.networks.heads import ScalarHead, compute_in_fp32, logit_divisor, require_own_logits
from stepcoder.learner.networks.logprobs import chunked_logprobs, idle_tokens


class Policy(nn.Module):
    """Log-probabilities and entropies of given tokens under a causal language model at a sampling temperature; with a
    value head, their values too, which makes it the critic as well.

    The tokens are scored in `pieces` parts, always as many: under ZeRO 3 each part gathers the output layer, and
    every rank must do so equally often.
    """

    def __init__(
        self, model: PreTrainedModel, pieces: int, temperature: float = 1.0, *, autocast: bool = False
    ) -> None:
        super().__init__()
        self.model = model
        self.pieces = pieces
        self.temperature = temperature
        self.divisor = temperature * logit_divisor(model.config)
        self.autocast = autocast
        self.value_head: ValueHead | None = None
        self.entropy_gradient = False

    def forward(
        self,
        input_ids: Int[Tensor, "1 L"],
        position_ids: Int[Tensor, "1 L"],
        layout: Sequence[Group],
        select: Int[Tensor, " M"],
        targets: Int[Tensor, " M"],
    ) -> tuple[Float[Tensor, " M"], ...]:
        with _products(input_ids.device, self.autocast):
            hidden = _hidden(self.model.get_decoder(), input_ids, position_ids, layout)[select]
            values = () if self.value_head is None else (self.value_head(hidden),)
            head = self.model.get_output_embeddings()
            assert head is not None
            scored = chunked_logprobs(
                head, hidden, targets, self.pieces, self.divisor, entropy_gradient=self.entropy_gradient
            )
            return *scored, *values


class Critic(nn.Module):
    """Expected return at each response token: first layers of the language model, a linear head, zero at first."""

    def __init__(self, trunk: PreTrainedModel, *, autocast: bool = False) -> None:
        super().__init__()
        self.trunk = trunk
        self.autocast = autocast
        self.head = ScalarHead(trunk.config.hidden_size, trunk.dtype)

    def forward(
        self,
        input_ids: Int[Tensor, "1 L"],
        position_ids: Int[Tensor, "1 L"],
        layout: Sequence[Group],
        select: Int[Tensor, " M"],
    ) -> Float[Tensor, " M"]:
        with _products(input_ids.device, self.autocast):
            return self.head(_hidden(self.trunk, input_ids, position_ids, layout)[select])[:, 0]


class ValueHead(nn.Module):
    """Expected return from a policy's last hidden state, zero at first. `detach`: its gradient ends here."""

    def __init__(self, hidden_size: int, dtype: torch.dtype, *, detach: bool) -> None:
        super().__init__()
        self.detach = detach
        self.linear = ScalarHead(hidden_size, dtype)

    def forward(self, hidden: Float[Tensor, "M D"]) -> Float[Tensor, " M"]:
        seen = hidden.detach() if self.detach else hidden
        return self.linear(seen)[:, 0]


def _products(device: torch.device, autocast: bool) -> AbstractContextManager[object]:
    """bf16 matrix products over weights of any dtype. Entered here, inside the module, so that gradients
    keep the weights' dtype on their way between ranks."""
    return torch.autocast(device.type, torch.bfloat16) if autocast else nullcontext()


def _hidden(trunk: nn.Module, input_ids: Tensor, position_ids: Tensor, layout: Sequence[Group]) -> Float[Tensor, "L D"]:
    if idle := idle_tokens(input_ids.shape[1], input_ids.device):
        input_ids, position_ids = F.pad(input_ids, (0, idle)), F.pad(position_ids, (0, idle))
        longest = max(group.longest for group in layout)  # a fill is no longer sequence than a sliding window allows
        layout = (*layout, *(Group(min(longest, idle - at)) for at in range(0, idle, longest)))
    out = trunk(input_ids=input_ids, position_ids=position_ids, layout=layout, use_cache=False)
    return out.last_hidden_state[0]


def load_policy(
    path: Path,
    dtype: torch.dtype,
    pieces: int,
    temperature: float = 1.0,
    *,
    autocast: bool = False,
    checkpointing: bool = False,
    fp32_output: bool = False,
) -> Policy:
    """A causal language model of a family whose packed computation equals the padded one and whose logits are its
    output layer's, else ValueError."""
    require_packable(AutoConfig.from_pretrained(path))
    model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, attn_implementation=ATTENTION)
    require_own_logits(model)
    if fp32_output:
        compute_in_fp32(model.get_output_embeddings())
    if checkpointing:
        _recompute(model)
    return Policy(_without_dropout(model), pieces, temperature, autocast=autocast)


def load_critic(
    path: Path, dtype: torch.dtype, layers: int | None, *, autocast: bool = False, checkpointing: bool = False
) -> Critic:
    """The language model's trunk (its first `layers` layers) with a fresh value head."""
    config = AutoConfig.from_pretrained(path)
    require_packable(config)
    if layers is not None:
        if layers > config.num_hidden_layers:
            raise ValueError(
                f"learner.advantage.critic.layers is {layers}, but {path} has {config.num_hidden_layers} layers"
            )
        config.num_hidden_layers = layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:layers]
    trunk = AutoModel.from_pretrained(path, config=config, dtype=dtype, attn_implementation=ATTENTION)
    if checkpointing:
        _recompute(trunk)
    return Critic(_without_dropout(trunk), autocast=autocast)


def add_value_head(policy: Policy, *, detach: bool) -> None:
    """Make the policy the critic too. Beside bf16 weights that are trained the head is bf16, else fp32."""
    trained = {p.dtype for p in policy.model.parameters() if p.requires_grad}
    policy.value_head = ValueHead(policy.model.config.hidden_size, trained.pop(), detach=detach)


def frozen(policy: Policy) -> Policy:
    """The same network without gradients: the reference."""
    return policy.requires_grad_(False).eval()


def _recompute(model: PreTrainedModel) -> None:
    """Keep a layer's input alone, and compute the rest again for the gradient."""
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def _without_dropout(model: PreTrainedModel) -> PreTrainedModel:
    """Ratios compare two passes over the same tokens, so a pass must not be random."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attention_dropout"):
            vars(module)["attention_dropout"] = 0.0
    return model.train()
