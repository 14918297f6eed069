"""Do the intervals of a study cover the truth? Simulated studies with a known effect.

    python -m benchmarks.study_intervals              # 2,000 studies a cell, some minutes on one core
    python -m benchmarks.study_intervals --draws 200 --methods crossed

A simulated study has two arms, S seeds and 60 problems with 6 completions each. Problems differ in how often they are
solved (mostly never or always), and in how much the second arm helps them: half of them not at all. Each run has an
error of its own (the seed deviation, as points of the pass rate) and one for each problem, and completions are drawn.
The effect is 5 points. A method covers where its 95 % interval holds those 5 points, over draws of seeds *and*
problems. The one that `stepcoder study show` uses is `crossed`; the others are what it is compared with.
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import t

from stepcoder.deploy.shown.summary import Interval
from stepcoder.deploy.study.statistics import Table, crossed, standard_error

EFFECT = 0.05
PROBLEMS, SAMPLES = 60, 6
SEEDS, DEVIATIONS = (3, 5, 10), (0.0, 2.0, 4.6)  # runs an arm; standard deviation over runs (points)
OF_PROBLEM = 0.1  # standard deviation of one run on one problem (fraction)
RESAMPLES = 1000
Method = Callable[[Table, np.random.Generator], Interval]


def study(seeds: int, deviation: float, draw: np.random.Generator) -> Table:
    """Differences of two arms, [seeds, problems]; their expectation is EFFECT.

    True rates stay within 0.15 and 0.85 before the errors of runs, so that next to none of these is cut off.
    """
    base = 0.3 + 0.4 * draw.beta(0.4, 0.4, PROBLEMS)
    gain = 2 * EFFECT * draw.integers(0, 2, PROBLEMS)
    arms = []
    for rate in (base - EFFECT, base - EFFECT + gain):
        of_run = draw.normal(0, deviation / 100, (seeds, 1))
        rates = rate + of_run + draw.normal(0, OF_PROBLEM, (seeds, PROBLEMS)).clip(-0.2, 0.2)
        arms.append(draw.binomial(SAMPLES, rates.clip(0, 1)) / SAMPLES)
    return arms[1] - arms[0]


def by_crossing(table: Table, draw: np.random.Generator) -> Interval:
    """Two variance components, Student's t with Satterthwaite's degrees: what a study uses."""
    return crossed(table)


def by_seeds(table: Table, draw: np.random.Generator) -> Interval:
    """Student's t on the seeds' means: problems are taken as given."""
    means = table.mean(1)
    return _symmetric(table, float(means.std(ddof=1)) / len(means) ** 0.5, len(means) - 1)


def by_problems(table: Table, draw: np.random.Generator) -> Interval:
    """Student's t on the problems' means: seeds are taken as given."""
    means = table.mean(0)
    return _symmetric(table, float(means.std(ddof=1)) / len(means) ** 0.5, len(means) - 1)


def by_percentiles(table: Table, draw: np.random.Generator) -> Interval:
    """Bootstrap over seeds and over problems, percentiles of the means."""
    means = _resampled(table, draw)
    return Interval(float(table.mean()), *map(float, np.quantile(means, (0.025, 0.975))))


def by_wide_bootstrap(table: Table, draw: np.random.Generator) -> Interval:
    """The same bootstrap's standard error, times Student's t for the seeds."""
    seeds = len(table)
    return _symmetric(table, float(_resampled(table, draw).std()) * (seeds / (seeds - 1)) ** 0.5, seeds - 1)


def by_bootstrap_t(table: Table, draw: np.random.Generator) -> Interval:
    """Bootstrap over both of the mean's distance in standard errors (bootstrap-t)."""
    seeds, problems = table.shape
    mean, (error, _) = float(table.mean()), standard_error(table)
    distances = []
    for _ in range(RESAMPLES // 5):
        again = table[draw.integers(0, seeds, seeds)][:, draw.integers(0, problems, problems)]
        if (own := standard_error(again)[0]) > 0:
            distances.append((float(again.mean()) - mean) / own)
    low, high = np.quantile(distances, (0.025, 0.975))
    return Interval(mean, mean - float(high) * error, mean - float(low) * error)


METHODS: dict[str, Method] = {
    "crossed": by_crossing, "seeds": by_seeds, "problems": by_problems, "percentiles": by_percentiles,
    "wide bootstrap": by_wide_bootstrap, "bootstrap-t": by_bootstrap_t,
}  # fmt: skip


def _symmetric(table: Table, error: float, degrees: int) -> Interval:
    mean, half = float(table.mean()), float(t.ppf(0.975, degrees)) * error
    return Interval(mean, mean - half, mean + half)


def _resampled(table: Table, draw: np.random.Generator) -> Float[np.ndarray, " B"]:
    """Means of tables whose seeds and problems are drawn anew, with replacement."""
    seeds, problems = table.shape
    rows = draw.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    columns = draw.multinomial(problems, np.full(problems, 1 / problems), RESAMPLES) / problems
    return ((rows @ table) * columns).sum(1)


def coverage(method: Method, seeds: int, deviation: float, draws: int, seed: int = 0) -> tuple[float, float]:
    """Share of simulated studies whose interval holds the truth, and the intervals' mean width (points)."""
    held, width = 0, 0.0
    for number in range(draws):
        draw = np.random.default_rng([seed, number])
        found = method(study(seeds, deviation, draw), draw)
        held += found.low <= EFFECT <= found.high
        width += 100 * (found.high - found.low)
    return held / draws, width / draws


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000, help="simulated studies a cell (default: %(default)s)")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    options = parser.parse_args(arguments)
    cells = [(seeds, deviation) for seeds in SEEDS for deviation in DEVIATIONS]
    print("coverage (mean width, points) by seeds and seed deviation (points)\n")
    print("| method | " + " | ".join(f"{seeds}, {deviation:g}" for seeds, deviation in cells) + " | least |")
    print("|---|" + "---|" * (len(cells) + 1))
    for name in options.methods:
        found = [coverage(METHODS[name], *cell, options.draws) for cell in cells]
        shown = [f"{100 * share:.1f} % ({width:.1f})" for share, width in found]
        print(f"| {name} | " + " | ".join(shown) + f" | {100 * min(share for share, _ in found):.1f} % |", flush=True)


if __name__ == "__main__":
    main()
