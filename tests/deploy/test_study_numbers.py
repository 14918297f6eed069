"""The statistics of a study, on tables worked out by hand and on simulated studies with a known effect."""

import numpy as np
import pytest

from benchmarks.study_intervals import DEVIATIONS, METHODS, SEEDS, coverage
from stepcoder.deploy.study.statistics import crossed, detectable, holm, p_value, paired, standard_error


def test_the_standard_error_of_a_table_worked_out_by_hand() -> None:
    """Seeds' means 1/4 and 3/4, problems' means 1/2: mean squares 1/4, 0 and 1/4; the problems' component is 0."""
    table = np.array([[0.0, 0.5], [1.0, 0.5]])
    error, degrees = standard_error(table)
    assert error == pytest.approx((0.25 / 4) ** 0.5)
    assert degrees == pytest.approx(0.25**2 / (0.25**2 + 0.0 + 0.25**2))


def test_one_seed_or_one_problem_says_nothing_of_others() -> None:
    for table in (np.array([[0.0, 0.5, 1.0]]), np.array([[0.4], [0.6]])):
        found = crossed(table)
        assert found.mean == 0.5 and np.isnan([found.low, found.high, *standard_error(table)]).all()


def test_what_seeds_and_problems_have_in_common_is_no_part_of_a_paired_difference() -> None:
    draw = np.random.default_rng(0)
    first = draw.random((4, 1)) + draw.random((1, 9))
    found = paired(first, first + 0.05)
    assert found.low == pytest.approx(0.05) and found.high == pytest.approx(0.05)
    assert p_value(first, first + 0.05) < 1e-6 and p_value(first, first) == 1.0
    with pytest.raises(ValueError, match="not paired"):
        paired(first, first[:3])


def test_a_p_value_is_below_5_percent_where_the_interval_leaves_0_out() -> None:
    for number in range(200):
        table = np.random.default_rng(number).normal(0.03, 0.1, (4, 12))
        found, p = crossed(table), p_value(np.zeros_like(table), table)
        assert (p < 0.05) == (found.low > 0 or found.high < 0)


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({}) == {} and holm({"a": 0.7, "b": 0.9}) == pytest.approx({"a": 1.0, "b": 1.0})


def test_the_detectable_difference_is_found_as_often_as_it_says() -> None:
    table = np.random.default_rng(1).normal(0, 0.1, (10, 40))
    assert detectable(table) == pytest.approx(2.8 * standard_error(table)[0], rel=0.15)


@pytest.mark.parametrize("draws", [200, pytest.param(2000, marks=pytest.mark.exhaustive)])
def test_intervals_cover_a_known_effect(draws: int) -> None:
    """At 200 draws of a method that covers 95 % the share is below 90 % once in two thousand times, a cell."""
    shares = [coverage(METHODS["crossed"], seeds, points, draws)[0] for seeds in SEEDS for points in DEVIATIONS]
    assert min(shares) >= (0.93 if draws == 2000 else 0.9)


def test_the_simulation_tells_a_method_that_does_not_cover() -> None:
    assert coverage(METHODS["problems"], 3, 4.6, 200)[0] < 0.85
