"""The comparison with TRL: both sides are given the same work, and what is not sound does not count."""

import pytest

from benchmarks.peer import SIDES, Result, comparisons, unsound
from benchmarks.peer_work import COMMON, Step, settings


@pytest.mark.parametrize("name", SIDES)
def test_every_side_has_the_same_work(name: str) -> None:
    config = settings(COMMON | SIDES[name].settings)
    r, learner = config.rollout, config.learner
    assert (config.subtasks_per_step, r.group_size, r.max_new_tokens) == (8, 8, 128)
    assert (r.temperature, r.top_p, r.top_k) == (1.0, 1.0, 0)
    assert config.curriculum.prompt.form == "instruct"  # only the end token ends a reply
    assert learner.precision == "autocast"  # fp32 master weights
    assert (learner.epochs, learner.minibatches, learner.policy.lr) == (1, 1, 1e-5)
    if name != "ppo":
        assert learner.advantage.type == "grpo" and learner.kl.type == "none"


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"weights": ["float32"], "gap": 0.02, "gap_if_stale": 0.2}, None),
        ({"weights": ["float32"]}, None),  # one network samples and is trained
        ({"weights": ["bfloat16"]}, "not float32"),
        ({"weights": ["float32"], "gap": 0.3, "gap_if_stale": 0.3}, "0.300 nats"),
        ({"weights": ["float32"], "gap": float("nan"), "gap_if_stale": 0.3}, "nan nats"),
        ({"weights": ["float32"], "gap": 0.04, "gap_if_stale": 0.05}, "weights of before"),
    ],
)
def test_what_is_not_sound(about: dict[str, object], reason: str | None) -> None:
    found = unsound(about)
    assert found is None if reason is None else reason in (found or "")


def test_a_set_up_that_is_not_sound_is_not_compared_with() -> None:
    def result(seconds: float, fault: str | None = None) -> Result:
        return Result([Step({}, seconds, 2 * seconds, 100, 200, 0.0)], [], fault)

    lines = comparisons({"grpo": result(10.0), "trl": result(30.0), "trl-prepacked": result(5.0, "wrong")})
    assert lines == ["grpo against trl: 3.00 times as fast by seconds, 3.00 by tokens/s"]
