"""Whole algorithms by name: `algorithm: grpo` is short for the settings below, written in its place.

An algorithm is an estimator, a loss with its normaliser and a KL penalty; DAPO has rules for rewards and groups beside
them. No single section can hold all of that, and each part is of use with the others' parts, so the sections stay
separate and a name chooses them together. Settings given beside the name win. It is not kept: what a run computes is
what its sections say.
"""

from collections.abc import Mapping
from typing import Any

ALGORITHM = "algorithm"  # the key
ABOUT = (
    "Short for the settings of a published algorithm: its learner.advantage, learner.loss, learner.kl, "
    "learner.reward.overlong, learner.drop_equal_groups and refill_rounds. Settings given beside it win; what a lower "
    "source says of these sections is dropped. docs/algorithms.md has the table."
)

_BARE = {"learner.reward.overlong.type": "none", "learner.drop_equal_groups": False, "refill_rounds": 0}


def _recipe(advantage: str, loss: str = "ppo_clip", kl: str = "none", **more: Any) -> dict[str, Any]:
    keys = {"learner.advantage.type": advantage, "learner.loss.type": loss, "learner.kl.type": kl}
    return keys | _BARE | {f"learner.{name.replace('__', '.')}": value for name, value in more.items()}


RECIPES: Mapping[str, Mapping[str, Any]] = {
    "ppo": _recipe("gae", kl="reward"),
    "grpo": _recipe("grpo", kl="loss", kl__coef=0.04, loss__normalizer__type="sequences"),
    "dr_grpo": _recipe("dr_grpo", loss__normalizer__type="constant"),
    "rloo": _recipe("rloo", kl="reward"),
    "reinforce_plus_plus": _recipe("reinforce_plus_plus", kl="reward"),
    "reinforce_plus_plus_baseline": _recipe("reinforce_plus_plus_baseline", kl="loss", kl__estimator="k2"),
    "dapo": _recipe(
        "grpo", loss__clip_high=0.28, loss__normalizer__type="all_tokens", drop_equal_groups=True,
        reward__overlong__type="linear",
    ) | {"refill_rounds": 3},
    "gspo": _recipe("grpo", "gspo"),
    "cispo": _recipe("grpo", "cispo"),
}  # fmt: skip
