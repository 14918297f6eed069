"""Names of actors: Ray gives one up a moment after its actor has ended."""

import asyncio

import ray

_LOOK_S = 0.1


async def free(*names: str) -> None:
    """Waits until no actor of this driver has any of them."""
    for name in names:
        while _taken(name):
            await asyncio.sleep(_LOOK_S)


def _taken(name: str) -> bool:
    if not ray.is_initialized():  # it would be started
        return False
    try:
        ray.get_actor(name)
    except ValueError:
        return False
    return True
