"""Serves an application on one event loop until it is asked to stop; then what is under way is answered."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stepcoder.executor.server.config import ServeConfig

_LATE = b"the head of the request did not arrive in time"


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
        app, http=_protocol(config.head_s), ws="none", lifespan="off", log_config=None, access_log=False,
        server_header=False, timeout_keep_alive=config.idle_s, timeout_graceful_shutdown=config.drain_s, backlog=2048,
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


def _protocol(head_s: float) -> type[HttpToolsProtocol]:
    """uvicorn's, but a request whose head does not come is answered with 408: uvicorn would wait forever."""

    class Protocol(HttpToolsProtocol):
        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._waiting = self.loop.call_later(head_s, self._late)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._waiting is None:
                self._waiting = self.loop.call_later(head_s, self._late)

        def on_headers_complete(self) -> Any:
            self._arrived()
            return super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._arrived()
            super().connection_lost(exc)

        def _arrived(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

        def _late(self) -> None:
            self._waiting = None
            if not self.transport.is_closing():
                self.transport.write(
                    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain\r\nconnection: close\r\n"
                    b"content-length: %d\r\n\r\n%s" % (len(_LATE), _LATE)
                )
                self.transport.close()

    return Protocol
