"""Which algorithms there are, and what each needs: read by the configuration, so nothing heavy is imported here.

An algorithm is an advantage estimator and a policy loss over the same batch and the same mask. The functions are in
`learner.advantages` and `learner.losses`, one file each, under the names used here.
"""

from dataclasses import dataclass
from typing import Literal

EstimatorName = Literal["gae", "grpo", "dr_grpo", "rloo", "reinforce_plus_plus", "reinforce_plus_plus_baseline"]
PolicyLossName = Literal["ppo_clip", "dual_clip", "gspo", "cispo", "reinforce"]
KLEstimatorName = Literal["k1", "k2", "k3"]


@dataclass(frozen=True, slots=True)
class EstimatorTraits:
    """`critic`: it needs a value model; without, none is built. `group`: it compares a subtask's completions, so it
    needs two. `whiten`: its source normalises advantages over the batch. `settings`: those of learner.ppo that it
    reads, of the ones that not all read."""

    critic: bool = False
    group: bool = False
    whiten: bool = False
    settings: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PolicyLossTraits:
    """`settings` as above. `sequence_ratio`: the clip range is one of a whole sequence's mean ratio. `ratio`: it
    compares with the old log-probabilities at all."""

    settings: frozenset[str] = frozenset()
    sequence_ratio: bool = False
    ratio: bool = True


ESTIMATORS: dict[EstimatorName, EstimatorTraits] = {
    "gae": EstimatorTraits(critic=True, whiten=True, settings=frozenset({"gamma", "lam", "reward_baseline"})),
    "grpo": EstimatorTraits(group=True),
    "dr_grpo": EstimatorTraits(group=True),
    "rloo": EstimatorTraits(group=True),
    "reinforce_plus_plus": EstimatorTraits(whiten=True, settings=frozenset({"gamma"})),
    "reinforce_plus_plus_baseline": EstimatorTraits(group=True, whiten=True, settings=frozenset({"gamma"})),
}

_RANGE = frozenset({"clip_low", "clip_high"})

POLICY_LOSSES: dict[PolicyLossName, PolicyLossTraits] = {
    "ppo_clip": PolicyLossTraits(settings=_RANGE),
    "dual_clip": PolicyLossTraits(settings=_RANGE | {"dual_clip"}),
    "gspo": PolicyLossTraits(settings=_RANGE, sequence_ratio=True),
    "cispo": PolicyLossTraits(settings=_RANGE),
    "reinforce": PolicyLossTraits(ratio=False),
}
