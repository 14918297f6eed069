"""The learner of reinforcement learning: its networks, and what they learn from.

"paper" is Dou et al. 2024 (arXiv 2402.01391), "the authors' PPO code" what the same authors have published.
"""

from pydantic import Field, model_validator

from stepcoder.learner.config.advantage import GAE, AdvantageConfig, SeparateCritic, SharedCritic
from stepcoder.learner.config.credit import FGO, AllCredit, CreditConfig
from stepcoder.learner.config.kl import KLConfig, LossKL, NoKL, RewardKL
from stepcoder.learner.config.loss import Constant, LearnerLogprobs, LossConfig, OldLogprobs, PPOClip, SamplerLogprobs
from stepcoder.learner.config.optimizer import OptimizerConfig
from stepcoder.learner.config.parallel import ParallelConfig
from stepcoder.learner.config.reward import Overlong, RewardConfig
from stepcoder.settings import Settings


class GuardsConfig(Settings):
    """Limits that a healthy run never meets; beyond them the run stops with advice."""

    max_kl: float | None = Field(default=5.0, gt=0)
    """Stop when kl/reference is above this (nats a token); none for no limit. A policy that writes random tokens is at
    10."""
    loss_spike: float | None = Field(default=100.0, gt=1)
    """Stop when the policy or value loss is above this multiple of its median over the last 20 steps, or of 1 if that
    is more; none for no limit."""
    max_gap: float | None = Field(default=0.5, gt=0)
    """Raise an alarm (gap/alarm, a warning) when engine and learner disagree by more than this on the mean sampled
    token, gap/logprob_abs_mean (nats); none for no alarm. Rounding in bf16 is 0.03."""
    gap_alarms: int = Field(default=3, ge=1)
    """Stop after this many alarms in a row (steps)."""


class LearnerConfig(ParallelConfig):
    """The DeepSpeed learner: policy, critic, reference. `algorithm` chooses several of its sections at once."""

    policy: OptimizerConfig = OptimizerConfig()
    epochs: int = Field(default=1, ge=1)
    """Passes over one step's trajectories (passes)."""
    minibatches: int = Field(default=1, ge=1)
    """Optimiser updates in one pass, each on its share of the groups (updates)."""
    drop_equal_groups: bool = False
    """Leave out groups whose completions all have the same reward; refill_rounds replaces them. Source: DAPO."""
    reward: RewardConfig = RewardConfig()
    advantage: AdvantageConfig = GAE()
    """How rewards become one number a token. docs/algorithms.md says when to use which."""
    loss: LossConfig = PPOClip()
    """What the policy minimises."""
    old_logprobs: OldLogprobs = LearnerLogprobs()
    """The log-probabilities in the denominator of the loss's ratio."""
    kl: KLConfig = RewardKL()
    """The penalty for leaving the reference, which is loaded for it alone."""
    credit: CreditConfig = FGO()
    """The generated tokens that take the policy loss."""
    guards: GuardsConfig = GuardsConfig()

    @model_validator(mode="after")
    def parts_agree(self) -> "LearnerConfig":
        faults = []
        masks = (("advantage.critic.mask", self.critic), ("kl.mask", self.penalty))
        for name, part in masks:
            if isinstance(self.credit, AllCredit) and part is not None and part.mask == "executed":
                faults.append(f"learner.{name} = executed has no effect with learner.credit.type all: set it to all")
        if self.reference_reset and (self.lora.rank is not None or self.zero_stage == 3):
            why = (
                "learner.lora.rank, whose reference is the policy without adapters"
                if self.lora.rank
                else "zero_stage 3"
            )
            faults.append(f"learner.kl.reset_every is not possible with {why}: leave it out")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def critic_warmup(self) -> int:
        """Steps in which the critic alone learns."""
        return self.critic.warmup_steps if isinstance(self.critic, SeparateCritic) else 0

    @property
    def critic_warmup_updates(self) -> int:
        return self.critic_warmup * self.epochs * self.minibatches

    @property
    def reference_reset(self) -> int | None:
        """Steps after which the policy becomes the reference; None for never."""
        return None if self.penalty is None else self.penalty.reset_every

    @property
    def critic(self) -> SeparateCritic | SharedCritic | None:
        return self.advantage.critic if isinstance(self.advantage, GAE) else None

    @property
    def has_second_network(self) -> bool:
        return isinstance(self.critic, SeparateCritic)

    @property
    def critic_layers(self) -> int | None:
        return self.critic.layers if isinstance(self.critic, SeparateCritic) else None

    @property
    def penalty(self) -> RewardKL | LossKL | None:
        """The KL penalty, if there is one."""
        return None if isinstance(self.kl, NoKL) else self.kl

    @property
    def has_reference(self) -> bool:
        return self.penalty is not None

    @property
    def samples_are_old(self) -> bool:
        """Whether the ratio compares with the engine's log-probabilities."""
        return isinstance(self.old_logprobs, SamplerLogprobs)

    def for_length(self, tokens: int) -> "LearnerConfig":
        """The settings that go by the longest completion, where they are left open, for completions of `tokens`."""
        normalizer, overlong = self.loss.normalizer, self.reward.overlong
        if isinstance(normalizer, Constant) and normalizer.tokens is None:
            normalizer = Constant(tokens=tokens)
        if isinstance(overlong, Overlong):
            end = overlong.end or tokens
            start = end * 4 // 5 if overlong.start is None else overlong.start
            overlong = Overlong(start=start, end=end, penalty=overlong.penalty)
        loss = self.loss.model_copy(update={"normalizer": normalizer})
        reward = self.reward.model_copy(update={"overlong": overlong})
        return self.model_copy(update={"loss": loss, "reward": reward})
