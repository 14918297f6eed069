"""Lives of the services: what is lost starts anew from the newest checkpoint, engines only where they may be gone."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from stepcoder.deploy.run.checkpoint import latest_complete
from stepcoder.deploy.run.directory import RunDirectory
from stepcoder.deploy.run.faults import LEARNER, SERVICES, Faults
from stepcoder.deploy.shown.progress import RunProgress
from stepcoder.deploy.training.stopping import Stopping
from stepcoder.deploy.training.waiting import is_loss, spares_engines


async def live_on(
    run: RunDirectory,
    progress: RunProgress,
    live: Callable[[], Coroutine[Any, Any, None]],
    faults: Faults,
    stopping: Stopping,
    end_engines: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Run `live()` to its end; when a service is lost, once more from the newest checkpoint, within the budget.

    What `live()` keeps for the next life, `end_engines` ends; None where it keeps nothing.
    """
    while True:
        try:
            await live()
            return
        except Exception as error:
            stopping.over()
            if not is_loss(error):
                raise
            if stopping.asked:  # whoever ends the run may end its actors too
                raise SystemExit(stopping.exit_code) from None
            cause = next(iter(str(error).splitlines()), "") or type(error).__name__
            stay = end_engines is not None and spares_engines(error)
            faults.lost(LEARNER if stay else SERVICES, cause)
            kept = "the engines stay, the others start again" if stay else "all start again"
            lost = f"a service was lost ({cause}); {kept} from the newest checkpoint"
            run.note(lost)
            progress.message(lost)
            if end_engines is not None and not stay:
                await end_engines()
            run.checkpoint = await asyncio.to_thread(latest_complete, run.checkpoints)
