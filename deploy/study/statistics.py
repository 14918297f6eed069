"""How sure a mean over seeds and problems is, and a difference between two arms.

An arm is a table of pass rates, seeds by problems. Both are drawn: other seeds and other problems would give another
mean. Seeds and problems are crossed, each seed meets each problem, so the variance of the mean is

    var = (seeds / S) + (problems / P) + (rest / (S P))

with the variance components of a two-way table without repetition. The interval is Student's, with Satterthwaite's
degrees of freedom (Biometrics Bulletin 2, 1946): few seeds give few degrees where seeds differ, and cost nothing where
they do not. `benchmarks/study_intervals.py` compares it with others and checks that it covers the truth.
"""

import math

import numpy as np
from jaxtyping import Float

from stepcoder.deploy.shown.summary import Interval

UPPER = 0.975  # the upper end of a two-sided 95 % interval
POWER = 0.8
Table = Float[np.ndarray, "S P"]
"""Pass rates (fractions), or differences of such: a row a seed, a column a problem."""


def crossed(table: Table) -> Interval:
    """The mean of a table with its 95 % interval.

    One seed says nothing of other seeds, nor one problem of others: the bounds are then NaN.
    """
    from scipy.stats import t

    error, degrees = standard_error(table)
    mean = float(table.mean())
    half = float(t.ppf(UPPER, degrees)) * error if error else error
    return Interval(mean, mean - half, mean + half)


def standard_error(table: Table) -> tuple[float, float]:
    """Standard error of the mean of a table, and its degrees of freedom; NaN for a single seed or problem."""
    seeds, problems = table.shape
    if seeds < 2 or problems < 2:
        return math.nan, math.nan
    by_seed, by_problem = table.mean(1), table.mean(0)
    rest_squares = table - by_seed[:, None] - by_problem[None, :] + table.mean()
    rest = float(np.square(rest_squares).sum()) / ((seeds - 1) * (problems - 1))
    # Mean squares. A component of seeds or problems that comes out negative is 0.
    of_seeds, of_problems = problems * float(by_seed.var(ddof=1)), seeds * float(by_problem.var(ddof=1))
    total = max(of_seeds, rest) + max(of_problems, rest) - rest
    if total <= 0:
        return 0.0, problems - 1
    spread = of_seeds**2 / (seeds - 1) + of_problems**2 / (problems - 1) + rest**2 / ((seeds - 1) * (problems - 1))
    return math.sqrt(total / (seeds * problems)), total**2 / spread


def paired(first: Table, other: Table) -> Interval:
    """`other` less `first`, each seed and problem against itself: rows and columns of both are the same."""
    if first.shape != other.shape:
        raise ValueError(f"arms of {first.shape} and {other.shape} seeds and problems are not paired")
    return crossed(other - first)


def p_value(first: Table, other: Table) -> float:
    """Two-sided p value of no difference, by the same standard error; 1 where every difference is 0."""
    from scipy.stats import t

    error, degrees = standard_error(other - first)
    mean = float((other - first).mean())
    return float(2 * t.sf(abs(mean) / error, degrees)) if error else float(mean == 0)


def holm(values: dict[str, float]) -> dict[str, float]:
    """p values adjusted for as many tests as there are (Holm, Scandinavian Journal of Statistics 6, 1979)."""
    adjusted, largest = dict[str, float](), 0.0
    for rank, name in enumerate(sorted(values, key=lambda name: values[name])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in values}


def detectable(table: Table) -> float:
    """The true difference that a study of this size and spread would find with 80 % power."""
    from scipy.stats import t

    error, degrees = standard_error(table)
    return error * float(t.ppf(UPPER, degrees) + t.ppf(POWER, degrees))
