"""The configuration of `stepcoder train`: one tree, composed of each part's own settings."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from stepcoder.curriculum.config import CurriculumConfig
from stepcoder.deploy.config.recipes import RECIPES
from stepcoder.deploy.config.shared import BaseConfig, PassRateConfig, PlaceConfig
from stepcoder.executor.config import ExecutorConfig
from stepcoder.learner.config import LearnerConfig, Overlong
from stepcoder.learner.config.credit import Executed
from stepcoder.rollout.config import RolloutConfig, Turns
from stepcoder.rollout.engines import ENGINES
from stepcoder.words import plural


class RunConfig(PlaceConfig):
    """Where a run lives, how long it is, and what it keeps."""

    steps: int = Field(default=100, ge=1)
    """Length of the run (steps: generate, train, publish weights)."""
    max_minutes: float | None = Field(default=None, gt=0)
    """Take no further step when it, its checkpoint and the final evaluation would not end within so many minutes of
    the command's start (minutes); none for run.steps alone. The same command goes on, for as long again. A learning
    rate that falls to run.steps does not reach its end."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Take no further step once so many tokens were generated in training, over all commands of the run (tokens); none
    for run.steps alone. Unlike steps and minutes it is the same work for every algorithm and schedule. A learning rate
    that falls to run.steps does not reach its end."""
    keep_best: int = Field(default=1, ge=0)
    """Checkpoints with the highest run.best_metric that are kept beside the newest (checkpoints)."""
    best_metric: str = Field(default="eval/heldout/pass_rate", min_length=1)
    """What the best checkpoint has most of: eval/heldout/pass_rate (of the first set, where held-out sets have names),
    eval/train/pass_rate or eval/NAME/pass_rate (checkpoints that were evaluated, see eval.every), or a name in
    metrics.jsonl such as reward/mean (mean of the last run.checkpoint_every steps)."""
    trajectories_every: int = Field(default=1, ge=0)
    """Write every so many steps' trajectories to Parquet (steps); 0 for never."""
    trajectories_groups: int | None = Field(default=None, ge=1)
    """Write the trajectories of at most so many groups of a step, drawn by their tickets (groups); none for all. How
    each group ended is always in groups.jsonl."""


class EvalConfig(PassRateConfig):
    """Pass rate at full generation, no prefix given, on training and held-out problems."""

    every: int = Field(default=0, ge=0)
    """Evaluate after every so many steps (steps); 0 for none in between."""


class Config(BaseConfig):
    """Settings of the run as a whole."""

    command: ClassVar[str] = "train"
    length: ClassVar[str] = "run.steps"
    at_once: ClassVar[bool] = True
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = RECIPES

    subtasks_per_step: int = Field(default=512, ge=1)
    """Subtasks of a step; each gets rollout.group_size completions (subtasks)."""
    max_staleness: int = Field(default=1, ge=0)
    """Age that a trajectory's weights may have when it is trained on (steps), and steps that are generated ahead:
    0 is strict on-policy. The more, the less do training and generation wait for each other, and for the longest
    completions."""
    placement: Literal["auto", "split", "colocated"] = "auto"
    """Where learner and engines compute on GPUs. split: on GPUs of their own. colocated: on the same ones, where an
    engine sleeps, its weights and cache freed, while the learner trains. auto: split where there are GPUs enough."""
    refill_rounds: int = Field(default=0, ge=0)
    """With learner.drop_equal_groups: generate groups of further subtasks in place of those left out, in at most so
    many rounds a step (rounds); 0 for no replacement. Source: DAPO's dynamic sampling."""
    run: RunConfig = RunConfig()
    eval: EvalConfig = EvalConfig()
    curriculum: CurriculumConfig = CurriculumConfig()
    rollout: RolloutConfig = RolloutConfig.model_validate({})
    executor: ExecutorConfig = ExecutorConfig.model_validate({})
    learner: LearnerConfig = LearnerConfig()

    def about(self) -> str:
        each = f"{self.subtasks_per_step} x {self.rollout.group_size} completions"
        types = f"{self.learner.advantage.type}, {self.learner.loss.type}"
        return f"{plural(self.run.steps, 'step')} of {each}, {self.rollout.max_new_tokens} tokens at most ({types})"

    @model_validator(mode="after")
    def parts_agree(self) -> "Config":
        """Settings of different parts that are each possible and together are not."""
        for check in (_groups, _refilling, _warming, _unsampled, _uncorrected, _overlong, _turns, _by_turn):
            if fault := check(self):
                raise ValueError(fault)
        return self


def _groups(config: Config) -> str | None:
    """A step's groups are enough for its minibatches, and each is large enough to be compared."""
    learner, group = config.learner, config.rollout.group_size
    share = config.subtasks_per_step // learner.ranks
    if learner.minibatches > share:
        return (
            f"learner.minibatches = {learner.minibatches} is more than the {share} groups that each learner rank gets "
            f"in a step (subtasks_per_step {config.subtasks_per_step} over learner.ranks {learner.ranks})"
        )
    if group < 2 and (learner.advantage.centred or learner.drop_equal_groups):
        advantage = learner.advantage
        asked = f"advantage.type {advantage.type}" if advantage.group else "advantage.reward_baseline group"
        asked = "drop_equal_groups" if learner.drop_equal_groups else asked
        return f"rollout.group_size = {group}, but learner.{asked} compares a subtask's completions: give 2 or more"
    return None


def _by_turn(config: Config) -> str | None:
    """Rewards by turn need an estimator that looks at where a reward comes."""
    repair, advantage = config.rollout.repair, config.learner.advantage
    if isinstance(repair, Turns) and repair.reward == "turn" and advantage.group:
        return (
            f"rollout.repair.reward = turn has no effect with learner.advantage.type {advantage.type}, which compares "
            "whole trajectories: set rollout.repair.reward to end, or learner.advantage to gae or reinforce_plus_plus"
        )
    return None


def _refilling(config: Config) -> str | None:
    if config.refill_rounds and not config.learner.drop_equal_groups:
        return f"refill_rounds = {config.refill_rounds} has no effect without learner.drop_equal_groups true"
    return None


def _warming(config: Config) -> str | None:
    """The policy stays as it is while the critic warms up."""
    warmup, steps = config.learner.critic_warmup, config.run.steps
    if warmup >= steps:
        return (
            f"learner.advantage.critic.warmup_steps = {warmup} leaves the policy no step to learn in: run.steps = "
            f"{steps}. Give fewer than that, or more steps"
        )
    return None


def _unsampled(config: Config) -> str | None:
    """What the learner is to use of the engines or the executor, and these do not give."""
    faults, rollout, learner, credit = [], config.rollout, config.learner, config.learner.credit
    if isinstance(credit, Executed) and not config.executor.coverage:
        faults.append(
            f"learner.credit.type = {credit.type} needs the executed lines, which executor.coverage = false does not "
            "record: no token would take the loss. Set executor.coverage to true, or learner.credit to all"
        )
    devices = {"cpu", "cuda"} if learner.device == "auto" else {learner.device}
    compared = learner.samples_are_old and (learner.loss.has_ratio or learner.has_reference)
    if compared and not devices <= ENGINES[rollout.engine].whole_logprobs:
        for name, value, neutral in (("top_p", rollout.top_p, 1.0), ("top_k", rollout.top_k, 0)):
            if value != neutral:
                faults.append(
                    f"learner.old_logprobs.type = sampler with rollout.{name} = {value}: the engine's "
                    "log-probabilities on a GPU are those of the truncated distribution, the learner's of the whole "
                    "one, so that neither a ratio nor a KL penalty can compare them. "
                    f"Set rollout.{name} to {neutral}, or learner.old_logprobs to learner, or learner.device to cpu"
                )
    return "; ".join(faults) or None


def _uncorrected(config: Config) -> str | None:
    """Without a ratio, only importance weights correct for what older weights sampled."""
    learner = config.learner
    if config.max_staleness and learner.samples_are_old and not learner.loss.has_ratio:
        return (
            f"learner.loss {learner.loss.type} has no ratio, learner.old_logprobs sampler no importance weight: with "
            f"max_staleness = {config.max_staleness} nothing would correct for completions of older weights. Set "
            "max_staleness to 0, or learner.old_logprobs to learner"
        )
    return None


def _overlong(config: Config) -> str | None:
    """The length penalty can be paid."""
    overlong, longest = config.learner.reward.overlong, config.rollout.max_new_tokens
    if not isinstance(overlong, Overlong):
        return None
    end = overlong.end or longest
    if end > longest:
        return (
            f"learner.reward.overlong.end = {end} is more than rollout.max_new_tokens {longest}: no completion would "
            "pay the whole penalty"
        )
    if overlong.start is not None and overlong.start >= end:
        return f"learner.reward.overlong.start = {overlong.start} must be less than rollout.max_new_tokens = {longest}"
    return None


def _turns(config: Config) -> str | None:
    return cannot_take_turns(config) if config.placement == "colocated" else None


def cannot_take_turns(config: Config) -> str | None:
    """Why an engine can't sleep on the learner's GPUs while these train, and what to change; None where it can."""
    ranks, engines = config.learner.ranks, config.rollout.engines * config.rollout.tensor_parallel
    if config.max_staleness:
        return (
            f"placement colocated with max_staleness = {config.max_staleness}: engines sleep while the learner trains, "
            "so that they can't write the next step meanwhile. Set max_staleness to 0"
        )
    if not ENGINES[config.rollout.engine].sleeps:
        able = " or ".join(name for name, kind in ENGINES.items() if kind.sleeps)
        return f"placement colocated with rollout.engine {config.rollout.engine}, which can't sleep. Set it to {able}"
    if ranks != engines:
        return (
            f"placement colocated with learner.ranks = {ranks} and {plural(engines, 'GPU')} for engines "
            "(rollout.engines times rollout.tensor_parallel): each GPU has a rank and a part of an engine. "
            "Set them equal"
        )
    return None
