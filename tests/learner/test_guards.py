"""When a run stops by itself, and what it says then."""

import math

import pytest

from stepcoder.learner.config import GuardsConfig
from stepcoder.learner.guards import Guards

HEALTHY = {"policy/loss": 0.01, "value/loss": 0.3, "kl/reference": 0.1, "gap/logprob_abs_mean": 0.03}


def test_a_healthy_run_is_left_alone() -> None:
    guards = Guards(GuardsConfig())
    for step in range(40):
        found = guards.see(HEALTHY | {"policy/loss": 0.01 * (-1) ** step * (1 + step)})
        assert (found.metrics, found.warnings, found.stop) == ({"gap/alarm": 0.0}, (), None)


def test_a_policy_far_from_the_reference_stops_the_run_at_once() -> None:
    guards = Guards(GuardsConfig(max_kl=2.0))
    assert guards.see(HEALTHY | {"kl/reference": 2.0}).stop is None
    stop = guards.see(HEALTHY | {"kl/reference": 2.01}).stop
    assert stop is not None and "kl/reference is 2.01" in stop and "learner.guards.max_kl 2" in stop
    assert Guards(GuardsConfig(max_kl=None)).see({"kl/reference": 1e9}).stop is None


@pytest.mark.parametrize(
    ("usual", "limit"),
    [
        (0.0, 10.0),  # a loss near 0 is compared with the size of rewards: 10 x 1
        (4.0, 40.0),  # a larger one with its own median
    ],
)
def test_a_loss_is_compared_with_its_median(usual: float, limit: float) -> None:
    guards = Guards(GuardsConfig(loss_spike=10.0))
    for _ in range(5):
        assert guards.see({"value/loss": usual, "policy/loss": -usual}).stop is None
    assert guards.see({"value/loss": limit, "policy/loss": -limit}).stop is None
    stop = guards.see({"value/loss": limit + 0.1, "policy/loss": 0.0}).stop
    assert stop is not None and "value/loss jumped" in stop and "learner.advantage.critic.optimizer.lr" in stop
    stop = guards.see({"value/loss": 0.0, "policy/loss": -limit - 0.1}).stop
    assert stop is not None and "policy/loss jumped" in stop and "learner.policy.lr" in stop


def test_the_first_steps_have_nothing_to_be_compared_with_and_a_resumed_run_has() -> None:
    config = GuardsConfig(loss_spike=10.0)
    assert Guards(config).see({"value/loss": 1000.0}).stop is None
    assert Guards(config, [{"value/loss": 1.0}] * 5).see({"value/loss": 1000.0}).stop is not None
    # a refused step is in the file as text and says nothing
    assert Guards(config, [{"value/loss": "nan"}] * 5).see({"value/loss": 1000.0}).stop is None


def test_the_gap_raises_an_alarm_and_several_in_a_row_stop_the_run() -> None:
    guards = Guards(GuardsConfig(max_gap=0.5, gap_alarms=3), [HEALTHY | {"gap/logprob_abs_mean": 9.0}] * 9)
    gaps = [0.6, 0.7, 0.1, 0.6, 0.6, None, math.nan]  # a step without a gap had no completions
    found = [guards.see({} if gap is None else {"gap/logprob_abs_mean": gap}) for gap in gaps]
    assert [f.metrics.get("gap/alarm") for f in found] == [1, 1, 0, 1, 1, None, 1]
    assert [len(f.warnings) for f in found] == [1, 1, 0, 1, 1, 0, 1]
    assert "gap/logprob_abs_mean is 0.6 nats" in found[0].warnings[0] and "1 of 3" in found[0].warnings[0]
    assert [f.stop is None for f in found] == [True] * 6 + [False]


def test_numbers_of_a_refused_step_stop_nothing() -> None:
    guards = Guards(GuardsConfig(), [HEALTHY] * 5)
    assert guards.see({"policy/loss": math.nan, "value/loss": math.nan, "kl/reference": math.nan}).stop is None
