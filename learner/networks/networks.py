"""Policy, critic and reference as the update sees them: the one place that knows what stands behind each.

A token's value comes from a second network, from a head on the policy, or from nowhere; the reference's
log-probability from a frozen copy, from the policy without its adapters, or from nowhere.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stepcoder.learner.networks.adapters import without_adapters
from stepcoder.learner.networks.engine import TrainedModel

# Inputs of a `Policy`: a row's tensors and the tokens to score.
Network = Callable[..., tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What the networks say of a batch before an update. All [N]; None where there is no such network."""

    logprobs: Float[Tensor, " N"] | None = None
    values: Float[Tensor, " N"] | None = None
    reference: Float[Tensor, " N"] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """`critic` is a second network; a policy with a value head needs none. `reference` takes what the policy takes."""

    policy: TrainedModel
    critic: TrainedModel | None = None
    reference: Network | None = None

    @property
    def trained(self) -> Mapping[str, TrainedModel]:
        return {"policy": self.policy} | ({} if self.critic is None else {"critic": self.critic})

    def passes(self, *, logprobs: bool) -> Iterator[tuple[tuple[str, ...], Network]]:
        """The forward passes before an update: fields of `Scores`, and the network that answers them.

        Without `logprobs` the policy is asked only if it is the critic too.
        """
        policy, critic = self.policy, self.critic
        if policy.module.value_head is not None:
            yield ("logprobs", "values"), lambda *inputs: policy(*inputs)[::2]
        elif logprobs:
            yield ("logprobs",), policy
        if critic is not None:
            yield ("values",), lambda *inputs: (critic(*inputs[:-1]),)
        if self.reference is not None:
            yield ("reference",), self.reference

    def backward(
        self,
        inputs: tuple[Tensor, ...],
        policy_loss: Callable[[Float[Tensor, " M"], Float[Tensor, " M"]], Tensor],
        value_loss: Callable[[Float[Tensor, " M"]], Tensor],
        *,
        trains_policy: bool = True,
    ) -> None:
        """Gradients of one row. `policy_loss` gets log-probabilities and entropies, `value_loss` values.

        Without `trains_policy` a second network alone gets gradients; the policy's loss is computed for its numbers.

        A second network runs after the policy's backward pass, so that the activations of one are alive at a time;
        a value head shares the policy's passes.
        """
        with torch.set_grad_enabled(trains_policy):
            logprobs, entropy, *values = self.policy(*inputs)
        loss = policy_loss(logprobs, entropy)
        if trains_policy:
            self.policy.backward(loss + value_loss(values[0]) if values else loss)
        if self.critic is not None:
            self.critic.backward(value_loss(self.critic(*inputs[:-1])))

    def update(self, refuse: bool = False, *, trains_policy: bool = True) -> tuple[dict[str, float], bool]:
        """Apply what `backward` gathered, unless told to refuse: gradient norms by network, and False when an update
        was refused."""
        learning = {name: network for name, network in self.trained.items() if trains_policy or name != "policy"}
        done = {name: network.update(refuse) for name, network in learning.items()}
        return {name: norm for name, (norm, _) in done.items()}, all(applied for _, applied in done.values())

    @torch.no_grad()
    def reset_reference(self) -> None:
        """The policy, as it is, becomes the reference, which has to be a copy of its own."""
        assert isinstance(self.reference, nn.Module), "the reference is the policy's own weights"
        policy = dict(self.policy.module.named_parameters())
        for name, parameter in self.reference.named_parameters():
            parameter.copy_(policy[name])


def unadapted(policy: TrainedModel) -> Network:
    """The policy as it was before its adapters learnt anything: the reference without a second copy."""

    def score(*inputs: Tensor) -> tuple[Tensor, ...]:
        with without_adapters(policy.module):
            return policy(*inputs)

    return score
