"""What the engines and executors of a run have done since they started, added up."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """Times in seconds. `busy_s`: of engines with a request in flight; `requests_s`: of each request in flight.

    `judging_s`: of each program that waits for its report, `executing_s`: of slots of the executors that run one. Now
    there are so many `engines` and `slots`, and `waiting` subtasks that no engine has taken yet.
    """

    busy_s: float = 0.0
    requests_s: float = 0.0
    judging_s: float = 0.0
    executing_s: float = 0.0
    engines: int = 0
    slots: int = 0
    waiting: int = 0


def together(loads: Iterable[Load]) -> Load:
    return Load(*map(sum, zip(*map(astuple, loads), strict=True)))
