"""Every setting of the learner, with its default, unit and source.

"paper" is Dou et al. 2024 (arXiv 2402.01391) or the code of the same group; "ours" is a decision of this project.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from stepcoder.learner.algorithms import ESTIMATORS, POLICY_LOSSES, EstimatorName, KLEstimatorName, PolicyLossName

STRICT = ConfigDict(extra="forbid", frozen=True)


class OptimizerConfig(BaseModel):
    """AdamW with linear warm-up, then a constant or linearly falling learning rate."""

    model_config = STRICT

    lr: float = Field(default=5e-7, gt=0, description="Peak learning rate. Source: paper, policy.")
    warmup_steps: int = Field(
        default=0, ge=0, description="Updates over which the rate rises from 0 (updates). Source: ours."
    )
    schedule: Literal["constant", "linear"] = Field(
        default="constant",
        description="Rate after the warm-up: constant, or falling linearly to 0 at the last step. Source: ours.",
    )
    beta1: float = Field(default=0.9, ge=0, lt=1, description="Adam's first-moment decay.")
    beta2: float = Field(default=0.95, ge=0, lt=1, description="Adam's second-moment decay. Source: ours.")
    eps: float = Field(default=1e-8, gt=0, description="Adam's denominator constant.")
    weight_decay: float = Field(default=0.0, ge=0, description="Decoupled weight decay. Source: ours.")
    max_grad_norm: float = Field(default=1.0, gt=0, description="Gradients are scaled down to this global L2 norm.")


class LoRAConfig(BaseModel):
    """Low-rank adapters on the policy, in fp32, over weights that stay as they are. Without them all weights are
    trained. With them the reference is the policy without its adapters: no second copy."""

    model_config = STRICT

    rank: int | None = Field(
        default=None,
        ge=1,
        description="Rank r of each adapter; none trains all weights. Adapters want a learner.policy.lr some ten times "
        "higher. Source: LoRA, Hu et al. 2021.",
    )
    alpha: float = Field(
        default=32.0, gt=0, description="An adapter's product counts alpha / rank times. Source: LoRA; TRL's value."
    )
    targets: tuple[str, ...] = Field(
        default=("all-linear",),
        min_length=1,
        description="Linear layers with an adapter, by name (q_proj, v_proj, ...); all-linear for each but the output "
        "layer. Source: QLoRA, Dettmers et al. 2023.",
    )

    @field_validator("targets", mode="before")
    @classmethod
    def one_name_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def settings_agree(self) -> "LoRAConfig":
        if "all-linear" in self.targets and len(self.targets) > 1:
            raise ValueError("learner.lora.targets holds all-linear and names of layers: give the one or the others")
        for name in ("alpha", "targets"):
            value, default = getattr(self, name), type(self).model_fields[name].default
            if self.rank is None and value != default:
                raise ValueError(
                    f"learner.lora.{name} = {value} has no effect without learner.lora.rank: give a rank, or set it "
                    f"back to {default}"
                )
        return self


class CriticConfig(BaseModel):
    """The value model: a network of its own that starts as the policy, or a head on the policy. Only `gae` has one."""

    model_config = STRICT

    kind: Literal["separate", "shared"] = Field(
        default="separate",
        description="separate: a network and an optimiser of its own; shared: a scalar head on the policy's last "
        "hidden state, trained in the same pass by the policy's optimiser. Source: paper, separate.",
    )
    detach: bool = Field(
        default=False,
        description="With kind shared: the value loss trains the head alone. Else its gradient reaches the policy's "
        "weights too, from tokens outside the policy's mask as well (see mask). Source: TRL's value head, false.",
    )
    layers: int | None = Field(
        default=None,
        ge=1,
        description="Use only the model's first layers (layers); none for all. Source: ours.",
    )
    optimizer: OptimizerConfig = Field(
        default_factory=lambda: OptimizerConfig(lr=1.5e-6),
        description="The critic's own optimiser. Source: paper, lr 1.5e-6.",
    )
    value_clip: float | None = Field(
        default=0.2,
        gt=0,
        description="Clip range of the value change within one step; none for no clip. Source: paper's group.",
    )
    mask: Literal["all", "executed"] = Field(
        default="all",
        description="Tokens in the value loss: all generated ones, or only those of the policy loss. Source: ours.",
    )
    loss_weight: float = Field(default=0.5, gt=0, description="Factor of the value loss. Source: ours.")


class RewardConfig(BaseModel):
    """What is done to a completion's reward before advantages are computed, in this order."""

    model_config = STRICT

    overlong_start: int | None = Field(
        default=None,
        ge=0,
        description="Longer completions lose reward, linearly up to overlong_penalty at overlong_end (tokens); none "
        "for no penalty. Source: DAPO, Yu et al. 2025.",
    )
    overlong_end: int | None = Field(
        default=None, ge=1, description="Length from which the whole penalty is paid (tokens). Source: DAPO."
    )
    overlong_penalty: float = Field(default=1.0, gt=0, description="Largest length penalty (reward). Source: DAPO.")
    normalize: bool = Field(
        default=False,
        description="Shift and scale rewards to mean 0, deviation 1 over the completions of the step. Source: ours.",
    )
    clip: float | None = Field(
        default=None,
        gt=0,
        description="Clip the reward, normalised or not, to this size (reward); none for no clip. Source: ours; the "
        "paper's clip value 0.8 may be this one.",
    )

    @model_validator(mode="after")
    def penalty_is_whole(self) -> "RewardConfig":
        start, end = self.overlong_start, self.overlong_end
        if (start is None) != (end is None):
            raise ValueError(
                f"learner.reward.overlong_start = {start} and learner.reward.overlong_end = {end}: give both or none"
            )
        if start is not None and end is not None and start >= end:
            raise ValueError(
                f"learner.reward.overlong_start = {start} must be less than learner.reward.overlong_end = {end}"
            )
        return self


class PPOConfig(BaseModel):
    """Advantages and the policy loss."""

    model_config = STRICT

    estimator: EstimatorName = Field(
        default="gae",
        description="Advantages: gae has a critic (PPO); the others compare completions and build none. "
        "docs/algorithms.md says when to use which. Source: paper.",
    )
    loss: PolicyLossName = Field(
        default="ppo_clip",
        description="Policy loss: PPO's clip, the same with a bound for negative advantages, sequence ratios (GSPO), "
        "clipped weights (CISPO), or no ratio. Source: paper.",
    )
    gamma: float = Field(default=1.0, gt=0, le=1, description="Discount per token. Source: paper's group.")
    lam: float = Field(default=0.95, ge=0, le=1, description="GAE lambda. Source: paper's group.")
    clip_low: float = Field(
        default=0.2, gt=0, le=1, description="The ratio is clipped below at 1 - clip_low. Source: paper's group."
    )
    clip_high: float = Field(
        default=0.2, gt=0, description="The ratio is clipped above at 1 + clip_high. Source: paper's group."
    )
    dual_clip: float = Field(
        default=3.0,
        gt=1,
        description="With loss dual_clip: a negative advantage counts at most this many times. Source: Ye et al. 2020.",
    )
    epochs: int = Field(default=1, ge=1, description="Passes over one step's trajectories (passes). Source: ours.")
    minibatches: int = Field(
        default=1,
        ge=1,
        description="Optimiser updates in one pass, each on its share of the groups (updates). Source: ours.",
    )
    drop_equal_groups: bool = Field(
        default=False,
        description="Leave out groups whose completions all have the same reward; refill_rounds replaces them. "
        "Source: DAPO.",
    )
    reward_baseline: Literal["none", "group"] = Field(
        default="none",
        description="With gae. group: subtract from each reward the mean of the subtask's other completions: the "
        "critic then explains only the rest. Pays while the critic knows little. Source: RLOO, Ahmadian et al. 2024.",
    )
    normalize_advantage: Literal["auto", "batch", "none"] = Field(
        default="auto",
        description="batch: shift and scale advantages to mean 0, deviation 1 over the loss tokens of the step; those "
        "that are centred by group already are scaled alone, to mean square 1. auto: batch for gae and both "
        "reinforce_plus_plus, none for the others. Source: ours.",
    )
    advantage_clip: float | None = Field(
        default=None, gt=0, description="Clip the advantage, normalised or not, to this size; none for no clip."
    )
    normalizer: Literal["masked_tokens", "all_tokens", "sequences", "constant"] = Field(
        default="masked_tokens",
        description="The policy loss is divided by: loss tokens, generated tokens, each sequence by its own loss "
        "tokens and then by the number of sequences, or the number of completions times normalizer_tokens. Changes the "
        "step size. Source: ours.",
    )
    normalizer_tokens: int | None = Field(
        default=None,
        ge=1,
        description="With normalizer constant: what a completion counts for, whatever its length (tokens); "
        "rollout.max_new_tokens in its source. Source: Dr.GRPO, Liu et al. 2025.",
    )
    old_logprobs: Literal["learner", "sampler"] = Field(
        default="learner",
        description="Log-probabilities in the ratio's denominator: recomputed by the learner, or the engine's own (one "
        "forward pass less; the ratio then also corrects the sampler-learner gap). Source: ours.",
    )
    importance_cap: float | None = Field(
        default=2.0,
        gt=0,
        description="With old_logprobs learner: weigh a token by its probability under the learner over that under the "
        "engine that sampled it, at most this; none for no weight. Source: truncated importance sampling.",
    )
    importance_mask_low: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="With old_logprobs learner: leave out a token whose ratio of learner to engine is below this; none "
        "for no limit. Source: masked importance sampling (IcePop).",
    )
    importance_mask_high: float | None = Field(
        default=None,
        gt=1,
        description="With old_logprobs learner: leave out a token whose ratio of learner to engine is above this; none "
        "for no limit. Source: masked importance sampling (IcePop).",
    )


class KLConfig(BaseModel):
    """Penalty for leaving the frozen reference model."""

    model_config = STRICT

    coef: float = Field(
        default=0.05,
        ge=0,
        description="Beta of the token-level penalty; 0 drops the reference model. Source: paper.",
    )
    place: Literal["reward", "loss"] = Field(
        default="reward", description="Where the penalty stands: in each token's reward, or in the loss. Source: paper."
    )
    estimator: KLEstimatorName = Field(
        default="k1",
        description="k1: log-ratio; k2: half its square; k3: never negative and unbiased. In the loss k2 or k3. "
        "Source: paper, k1.",
    )
    mask: Literal["all", "executed"] = Field(
        default="all",
        description="Tokens with the penalty: all generated ones, or only those of the policy loss. Source: ours.",
    )
    target: float | None = Field(
        default=None,
        gt=0,
        description="Let beta follow this KL per token, the logged kl/reference (nats); none keeps beta fixed. "
        "Source: Ziegler et al. 2019.",
    )
    gain: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="With a target: beta changes by at most a fifth of this share in a step. Source: Ziegler et al.",
    )


class CreditConfig(BaseModel):
    """Which generated tokens take part in the policy loss."""

    model_config = STRICT

    tokens: Literal["fgo", "all", "random"] = Field(
        default="fgo",
        description="fgo: tokens that a unit test executed (paper); all: every one; random: as many per sequence as "
        "fgo, at random (control).",
    )
    compile_error: Literal["all", "prefix", "line", "none"] = Field(
        default="all",
        description="Tokens of a program that does not compile: all, up to the error line, that line only, or none. "
        "Source: ours.",
    )


class GuardsConfig(BaseModel):
    """Limits that a healthy run never meets; beyond them the run stops with advice."""

    model_config = STRICT

    max_kl: float | None = Field(
        default=5.0,
        gt=0,
        description="Stop when kl/reference is above this (nats a token); none for no limit. A policy that writes "
        "random tokens is at 10. Source: ours.",
    )
    loss_spike: float | None = Field(
        default=100.0,
        gt=1,
        description="Stop when the policy or value loss is above this multiple of its median over the last 20 steps, "
        "or of 1 if that is more; none for no limit. Source: ours.",
    )
    max_gap: float | None = Field(
        default=0.5,
        gt=0,
        description="Raise an alarm (gap/alarm, a warning) when engine and learner disagree by more than this on the "
        "mean sampled token, gap/logprob_abs_mean (nats); none for no alarm. Rounding in bf16 is 0.03. Source: ours.",
    )
    gap_alarms: int = Field(default=3, ge=1, description="Stop after this many alarms in a row (steps). Source: ours.")


class OffloadConfig(BaseModel):
    """What waits in main memory instead of on the learner's GPU; slower, for models that do not fit."""

    model_config = STRICT

    optimizer: bool = Field(
        default=False,
        description="Adam's moments, the fp32 master copy and the update itself: in main memory, on the CPU's cores. "
        "Needs learner.zero_stage 1, 2 or 3.",
    )
    parameters: bool = Field(
        default=False,
        description="Weights, fetched layer by layer when they are needed. Needs learner.zero_stage 3.",
    )


class LearnerConfig(BaseModel):
    """The DeepSpeed learner: policy, critic, reference."""

    model_config = STRICT

    ranks: int = Field(
        default=1, ge=1, description="Learner processes; one a GPU, or CPU processes over gloo (processes)."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where the learner computes; auto takes GPUs if there are any."
    )
    precision: Literal["auto", "fp32", "autocast", "bf16"] = Field(
        default="auto",
        description="fp32 throughout; autocast: fp32 weights, bf16 products; bf16: bf16 weights, fp32 master copy in "
        "the optimiser; auto: autocast on GPUs, which a Ray cluster that is joined is taken to have unless "
        "learner.device is cpu, else the faster of fp32 and autocast on this machine, measured.",
    )
    output_precision: Literal["same", "fp32"] = Field(
        default="same",
        description="Output layer of policy and reference: same as the rest, or multiplied in fp32, also under "
        "autocast and over bf16 weights: log-probabilities are then rounded by 0.0033 nats instead of 0.0053, and the "
        "product is several times slower where bf16 is computed in hardware. Source: ours.",
    )
    zero_stage: Literal[0, 1, 2, 3] = Field(
        default=0, description="DeepSpeed ZeRO stage: what is split over the ranks."
    )
    offload: OffloadConfig = Field(default_factory=OffloadConfig, description="What waits in main memory.")
    gradient_checkpointing: bool = Field(
        default=False, description="Recompute activations in the backward pass: less memory, a third more time."
    )
    token_budget: int = Field(
        default=1024, ge=16, description="Tokens in one micro-batch; a longer group of completions is split (tokens)."
    )
    logprob_chunk: int = Field(
        default=512, ge=1, description="About so many response tokens of a micro-batch have logits at a time (tokens)."
    )
    policy: OptimizerConfig = Field(default_factory=OptimizerConfig, description="The policy's optimiser.")
    lora: LoRAConfig = Field(default_factory=LoRAConfig, description="Adapters on the policy.")
    critic: CriticConfig = Field(default_factory=CriticConfig, description="The value model.")
    reward: RewardConfig = Field(default_factory=RewardConfig, description="Rewards before advantages.")
    ppo: PPOConfig = Field(default_factory=PPOConfig, description="Advantages and loss.")
    kl: KLConfig = Field(default_factory=KLConfig, description="Penalty towards the reference.")
    credit: CreditConfig = Field(default_factory=CreditConfig, description="Tokens that take the policy loss.")
    guards: GuardsConfig = Field(default_factory=GuardsConfig, description="Limits that stop a run.")
    max_bad_steps: int = Field(
        default=3, ge=1, description="Stop after this many refused steps in a row: loss or gradient not finite (steps)."
    )
    rendezvous_timeout_s: float = Field(
        default=120.0, gt=0, description="Deadline for learner processes to find each other (seconds)."
    )

    @model_validator(mode="after")
    def parts_agree(self) -> "LearnerConfig":
        adapters_alone = self.lora.rank is not None and not self.has_second_network
        if self.precision == "bf16" and self.zero_stage == 0 and not adapters_alone:
            raise ValueError(
                "learner.precision bf16 needs learner.zero_stage 1, 2 or 3, which keep the fp32 master copy"
            )
        if self.offload.optimizer and self.zero_stage == 0:
            raise ValueError("learner.offload.optimizer needs learner.zero_stage 1, 2 or 3")
        if self.offload.parameters and self.zero_stage != 3:
            raise ValueError("learner.offload.parameters needs learner.zero_stage 3, which splits the weights")
        faults = [*_unread(self.ppo), *_loss_faults(self.ppo), *_kl_faults(self.kl)]
        if faults := [*faults, *_critic_faults(self), *_credit_faults(self)]:
            raise ValueError("; ".join(faults))
        return self

    @property
    def has_critic(self) -> bool:
        return ESTIMATORS[self.ppo.estimator].critic

    @property
    def has_second_network(self) -> bool:
        """Whether the critic is a network of its own."""
        return self.has_critic and self.critic.kind == "separate"

    @property
    def has_value_head(self) -> bool:
        """Whether the critic is a head on the policy."""
        return self.has_critic and self.critic.kind == "shared"

    @property
    def whitens(self) -> bool:
        """Whether advantages are normalised over the batch."""
        choice = self.ppo.normalize_advantage
        return choice == "batch" or (choice == "auto" and ESTIMATORS[self.ppo.estimator].whiten)

    @property
    def centred(self) -> bool:
        """Whether advantages are already compared within each group, so that their zero means something."""
        return ESTIMATORS[self.ppo.estimator].group or self.ppo.reward_baseline == "group"


def _unread(ppo: PPOConfig) -> list[str]:
    """Settings that were changed and that the chosen estimator or loss does not read.

    A lambda of 1 passes: it is what the estimators without a critic do.
    """
    faults = []
    choices = (
        ("estimator", ppo.estimator, ESTIMATORS[ppo.estimator], ESTIMATORS.values()),
        ("loss", ppo.loss, POLICY_LOSSES[ppo.loss], POLICY_LOSSES.values()),
    )
    for key, chosen, traits, every in choices:
        known = {name for entry in every for name in entry.settings}
        for name in sorted(known - traits.settings):
            value, default = getattr(ppo, name), PPOConfig.model_fields[name].default
            if value != default and not (name == "lam" and value == 1):
                faults.append(
                    f"learner.ppo.{name} = {value} has no effect with learner.ppo.{key} {chosen}: set it back to "
                    f"{default}"
                )
    return faults


def _loss_faults(ppo: PPOConfig) -> list[str]:
    faults = []
    loss, constant = POLICY_LOSSES[ppo.loss], ppo.normalizer == "constant"
    if loss.sequence_ratio and max(ppo.clip_low, ppo.clip_high) >= 0.1:
        faults.append(
            f"learner.ppo.clip_low = {ppo.clip_low} and learner.ppo.clip_high = {ppo.clip_high} would clip nothing "
            f"with learner.ppo.loss {ppo.loss}, whose ratio is a whole sequence's mean: set them to 0.0003 and 0.0004"
        )
    if not loss.ratio and ppo.old_logprobs == "sampler" and ppo.importance_cap is not None:
        faults.append(
            f"learner.ppo.loss {ppo.loss} has no ratio, so with learner.ppo.old_logprobs sampler nothing would correct "
            "for the gap to the engine: set old_logprobs to learner, or learner.ppo.importance_cap to none to go "
            "without"
        )
    if constant != (ppo.normalizer_tokens is not None):
        faults.append(
            "learner.ppo.normalizer constant needs learner.ppo.normalizer_tokens, for example rollout.max_new_tokens"
            if constant
            else f"learner.ppo.normalizer_tokens = {ppo.normalizer_tokens} has no effect with "
            f"learner.ppo.normalizer {ppo.normalizer}: set it to none"
        )
    if ppo.old_logprobs == "sampler" and (ppo.importance_mask_low or ppo.importance_mask_high):
        faults.append(
            "learner.ppo.importance_mask_low and learner.ppo.importance_mask_high need learner.ppo.old_logprobs learner"
        )
    return faults


def _kl_faults(kl: KLConfig) -> list[str]:
    faults = []
    if kl.place == "loss" and kl.estimator == "k1":
        faults.append(
            "learner.kl.estimator k1 is no loss, its gradient is 0 in expectation: with learner.kl.place loss take k2 "
            "or k3"
        )
    if kl.target is not None and kl.coef == 0:
        faults.append("learner.kl.target needs a learner.kl.coef above 0 to start from")
    return faults


def _credit_faults(config: LearnerConfig) -> list[str]:
    """Settings of the mask that nothing reads."""
    credit, whole, faults = config.credit, config.credit.tokens == "all", []
    if whole and credit.compile_error != "all":
        faults.append(
            f"learner.credit.compile_error = {credit.compile_error} has no effect with learner.credit.tokens all, "
            "which takes every token of every program: set it to all, or tokens to fgo"
        )
    absent = {"critic": f"learner.ppo.estimator {config.ppo.estimator}" * (not config.has_critic)}
    absent |= {"kl": "learner.kl.coef 0" * (config.kl.coef == 0)}
    for name, mask in (("critic", config.critic.mask), ("kl", config.kl.mask)):
        if mask == "executed" and (cause := absent[name] or "learner.credit.tokens all" * whole):
            faults.append(f"learner.{name}.mask = executed has no effect with {cause}: set it to all")
    return faults


def _critic_faults(config: LearnerConfig) -> list[str]:
    critic, chosen = config.critic, f"learner.critic.kind {config.critic.kind}"
    if critic.kind == "separate":
        return [f"learner.critic.detach = true has no effect with {chosen}: set it to false"] if critic.detach else []
    if not config.has_critic:
        return [f"{chosen} has no effect with learner.ppo.estimator {config.ppo.estimator}: set it to separate"]
    faults, default = [], CriticConfig().optimizer
    for name in OptimizerConfig.model_fields:
        value, usual = getattr(critic.optimizer, name), getattr(default, name)
        if value != usual:
            faults.append(
                f"learner.critic.optimizer.{name} = {value} has no effect with {chosen}, which learner.policy trains: "
                f"set it back to {usual}"
            )
    if critic.layers is not None:
        faults.append(
            f"learner.critic.layers = {critic.layers} has no effect with {chosen}, which has the policy's: set it to "
            "none"
        )
    return faults
