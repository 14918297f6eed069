"""Serves an application on one event loop until it is asked to stop; then what is under way is answered."""

import logging
import signal
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from stepcoder.executor.server.config import ServeConfig
from stepcoder.executor.server.protocol import protocol


def bound(config: ServeConfig) -> socket.socket:
    """Listens. OSError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((config.host, config.port))
    except OSError:
        listener.close()
        raise
    return listener


def serve(app: ASGIApp, listener: socket.socket, config: ServeConfig, started: Callable[[], None]) -> None:
    """Returns after SIGTERM or SIGINT, when every request under way has its answer, at the latest after `drain_s`."""
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    settings = uvicorn.Config(
        app, http=protocol(config.head_s, config.send_s), ws="none", lifespan="off", log_config=None, access_log=False,
        server_header=False, proxy_headers=False, timeout_keep_alive=config.idle_s,
        timeout_graceful_shutdown=config.drain_s, backlog=2048,
    )  # fmt: skip
    # uvicorn raises the signal that stopped it once more when it is done.
    handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        _Server(settings, started).run([listener])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class _Server(uvicorn.Server):
    def __init__(self, settings: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(settings)
        self._told = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._told()
