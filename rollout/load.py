"""What the engines and executors of a run have done since they started, added up."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """Times in seconds. `busy_s`: of engines with a request in flight; `requests_s`: of each request in flight.

    `judging_s`: of each program that waits for its report, `executing_s`: of slots of the executors that run one.
    `waiting`: subtasks that no engine has taken yet, now.
    """

    busy_s: float = 0.0
    requests_s: float = 0.0
    judging_s: float = 0.0
    executing_s: float = 0.0
    waiting: float = 0.0


def together(loads: Iterable[Load]) -> Load:
    return Load(*map(sum, zip(*map(astuple, loads), strict=True)))
