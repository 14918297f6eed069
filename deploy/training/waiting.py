"""What counts as the loss of a service: services that start anew may help then, and only then."""

from ray.exceptions import (
    GetTimeoutError,
    NodeDiedError,
    ObjectLostError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

from stepcoder.learner.service import RankHangs
from stepcoder.rollout.weights import TransferFailed
from stepcoder.waiting import WaitedTooLong

# A process, a node, or an object on one is gone; or one hangs.
DEATHS = (RayActorError, WorkerCrashedError, NodeDiedError, ObjectLostError, TransferFailed, RankHangs)
LOSSES = (*DEATHS, WaitedTooLong, GetTimeoutError)


def is_loss(error: BaseException) -> bool:
    """Whether services that start anew may help: not where a service's own code has failed at its start."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, (TimeoutError, *LOSSES)) or isinstance(error, LOSSES):
        return "creation task" not in str(error)
    return False


def spares_engines(error: BaseException) -> bool:
    """Whether the engines may stay: something of the learner's is gone. Of what hangs nobody knows where it does."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    return isinstance(cause, DEATHS) or isinstance(error, DEATHS)
