"""How long a test waits for what must happen: minutes tell a hang from a slow or busy machine, seconds do not."""

import time
from collections.abc import Callable

HANG_S = 600.0


def until(happened: Callable[[], bool], missing: Callable[[], object]) -> None:
    """Returns once `happened()`; fails with `missing()` as its message where that has not come after `HANG_S`."""
    deadline = time.monotonic() + HANG_S
    while not happened():
        assert time.monotonic() < deadline, missing()
        time.sleep(0.1)
