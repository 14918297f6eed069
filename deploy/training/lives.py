"""Services that are lost start anew from the newest checkpoint, so many times an hour."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from stepcoder.deploy.run.checkpoint import latest_complete
from stepcoder.deploy.run.directory import RunDirectory
from stepcoder.deploy.shown.progress import RunProgress
from stepcoder.deploy.training.stopping import Stopping
from stepcoder.deploy.training.waiting import is_loss
from stepcoder.errors import UserError

HOUR_S = 3600.0


class Restarts:
    """A budget over time: a run of a week may lose more services than one of an hour."""

    def __init__(self, per_hour: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_hour, self._clock = per_hour, clock
        self._when: list[float] = []
        self.causes: list[str] = []

    def allows(self, cause: str) -> bool:
        """Count one, unless as many have been within the hour before it."""
        now = self._clock()
        self._when = [when for when in self._when if now - when < HOUR_S]
        self.causes.append(cause)
        if len(self._when) >= self.per_hour:
            return False
        self._when.append(now)
        return True


def live_on(
    run: RunDirectory,
    progress: RunProgress,
    live: Callable[[], Coroutine[Any, Any, None]],
    restarts: Restarts,
    stopping: Stopping,
) -> None:
    """Run `live()` to its end; when a service is lost, once more from the newest checkpoint, within the budget."""
    while True:
        try:
            asyncio.run(live())
            return
        except Exception as error:
            if not is_loss(error):
                raise
            if stopping.asked:  # whoever ends the run may end its actors too
                raise SystemExit(stopping.exit_code) from None
            cause = next(iter(str(error).splitlines()), "") or type(error).__name__
            if not restarts.allows(cause):
                listed = "\n  ".join(restarts.causes)
                raise UserError(
                    f"the services were lost {len(restarts.causes)} times, more than ray.restarts_per_hour = "
                    f"{restarts.per_hour} within an hour:\n  {listed}\nRay's log files tell more. The same command "
                    "goes on from the last checkpoint."
                ) from error
            run.checkpoint = latest_complete(run.checkpoints)
            lost = f"a service was lost ({cause}); starting again from the newest checkpoint"
            run.note(lost)
            progress.message(lost)
