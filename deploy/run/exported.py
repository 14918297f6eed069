"""A run's numbers as Prometheus sees them, through Ray: `reward/mean` is `ray_stepcoder_reward_mean{run="..."}`.

What is one number of several kinds, such as `verdict/passed`, is one metric whose label `of` says which.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

PREFIX = "stepcoder_"
SCRAPED = f"ray_{PREFIX}"  # Ray's agents put their own before it
LABELS = ("run", "of")
# (what a name looks like, what it is called; its groups' last is the label)
_FAMILIES = (
    (re.compile(r"verdict/(?P<of>.+)"), "verdict"),
    (re.compile(r"curriculum/histogram/(?P<of>.+)"), "curriculum/histogram"),
    (re.compile(r"eval/(?P<of>[^/]+(?:/greedy)?)/(?P<what>\w+)"), "eval/{what}"),
    (re.compile(r"eval/(?P<of>[^/]+)/(?P<what>pass_at_k\w*)/(?P<k>\d+)"), "eval/{what}/{k}"),
    (re.compile(r"eval/(?P<of>.+)/by_level/(?P<level>.+)"), "eval/by_level/{level}"),
)

log = logging.getLogger(__name__)


def exported(name: str) -> tuple[str, str]:
    """The metric that a name of metrics.jsonl is exported as, without Ray's prefix, and its label `of`."""
    of = ""
    for pattern, called in _FAMILIES:
        if found := pattern.fullmatch(name):
            name, of = called.format(**found.groupdict()), found["of"]
            break
    return PREFIX + re.sub(r"[^a-zA-Z0-9]", "_", name), of


class RayMetrics:
    """Gauges of the process's Ray metrics agent. A failure is logged once and ends the export, never the run."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._gauges: dict[str, Any] = {}
        self._seen: dict[str, set[str]] = defaultdict(set)
        self._failed = False

    def record(self, numbers: Iterable[tuple[str, float]]) -> None:
        """Set what these names of metrics.jsonl stand at. A kind of verdict that does not occur any more is 0."""
        if self._failed:
            return
        try:
            self._record(numbers)
        except Exception as error:  # whatever Ray's agent is about
            self._failed = True
            log.warning("the run's numbers go to metrics.jsonl alone, not to Prometheus: %s", error)

    def _record(self, numbers: Iterable[tuple[str, float]]) -> None:
        values: dict[str, dict[str, float]] = defaultdict(dict)
        for name, value in numbers:
            metric, of = exported(name)
            values[metric][of] = value
        for metric, found in values.items():
            self._seen[metric] |= found.keys()
            for of in self._seen[metric]:
                self._gauge(metric).set(found.get(of, 0.0), tags={"run": self._run, "of": of})

    def _gauge(self, metric: str) -> Any:
        if metric not in self._gauges:
            from ray.util.metrics import Gauge

            self._gauges[metric] = Gauge(metric, description="see metrics.jsonl", tag_keys=LABELS)
        return self._gauges[metric]
