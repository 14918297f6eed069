"""Policy losses over flat token vectors. The mask is in the weights already; no loss decides again who counts.

Each is a pure function of `LossTokens` and its own settings, in a file of its own; `learner.config.loss` has the
settings. A user's own is a function of the same kind: `learner.loss: {type: package.module:function}`.
"""

from collections.abc import Callable, Mapping

import torch

from stepcoder.learner.config import LossConfig, OwnLoss
from stepcoder.learner.losses.cispo import cispo
from stepcoder.learner.losses.gspo import gspo
from stepcoder.learner.losses.ppo import dual_clip, ppo_clip
from stepcoder.learner.losses.reinforce import reinforce
from stepcoder.learner.losses.tokens import LossTokens, PolicyLoss
from stepcoder.own import own, trial

FUNCTIONS: Mapping[str, Callable[..., PolicyLoss]] = {
    "ppo_clip": ppo_clip,
    "dual_clip": dual_clip,
    "gspo": gspo,
    "cispo": cispo,
    "reinforce": reinforce,
}


def policy_loss(config: LossConfig, tokens: LossTokens) -> PolicyLoss:
    """ValueError for a user's own that gives anything but a `PolicyLoss` of a number and a mask of the tokens."""
    if not isinstance(config, OwnLoss):
        return FUNCTIONS[config.type](tokens, **config.arguments())
    found = own(config.type, "the loss")(tokens, **config.arguments())
    if not isinstance(found, PolicyLoss):
        raise ValueError(f"the loss {config.type} gives a {type(found).__name__}, not a PolicyLoss")
    if found.loss.ndim or found.clipped.dtype != torch.bool or found.clipped.shape != tokens.weights.shape:
        raise ValueError(f"the loss {config.type} has to give a PolicyLoss of one number and a mask of the tokens")
    return found


def check(config: LossConfig) -> None:
    """ValueError where a user's own loss cannot be used: it is tried on five tokens of two completions."""
    if not isinstance(config, OwnLoss):
        return
    logprobs = torch.tensor([-0.5, -1.0, -2.0, -0.1, -3.0], requires_grad=True)
    advantages, weights = torch.tensor([1.0, 1.0, -0.5, -0.5, -0.5]), torch.full((5,), 0.2)
    tokens = LossTokens(logprobs, torch.full((5,), -1.0), advantages, weights, torch.tensor([0, 0, 1, 1, 1]))
    with trial(f"the loss {config.type}"):
        policy_loss(config, tokens).loss.backward()
    if logprobs.grad is None or not logprobs.grad.isfinite().all():
        raise ValueError(f"the loss {config.type} gives no finite gradient for an example")
