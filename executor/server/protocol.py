"""uvicorn's protocol with time limits for clients that do not send, and for clients that do not read."""

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOST = 1 << 16  # bytes of a head, less one read


class Timed(HttpToolsProtocol):
    """`head_s`: for the head of a request, else 408; one that is too large is 431.

    `send_s`: in which a client has to take something of an answer.
    """

    head_s: float
    send_s: float
    _head: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _size = 0  # of the head that is under way

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head = self.loop.call_later(self.head_s, self._late)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._size = 0 if self._head is None else self._size + len(data)
        if self._size > _MOST:
            self._refuse("431 Request Header Fields Too Large", "the head of the request is too large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head is None:
            self._head = self.loop.call_later(self.head_s, self._late)

    def on_headers_complete(self) -> Any:
        self._head = _cancelled(self._head)
        return super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._unread = _cancelled(self._unread)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head, self._unread = _cancelled(self._head), _cancelled(self._unread)
        super().connection_lost(exc)

    def _late(self) -> None:
        self._refuse("408 Request Timeout", "the head of the request did not arrive in time")

    def _refuse(self, status: str, why: str) -> None:
        self._head = _cancelled(self._head)
        if not self.transport.is_closing():
            body = json.dumps({"error": why})
            self.transport.write(
                f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n"
                f"content-length: {len(body)}\r\n\r\n{body}".encode()
            )
            self.transport.close()

    def _watch(self, before: int) -> None:
        self._unread = _cancelled(self._unread)
        self._unread = self.loop.call_later(self.send_s, self._look, before)

    def _look(self, before: int) -> None:
        size = self.transport.get_write_buffer_size()
        if size < before:
            self._watch(size)
        else:
            self.transport.abort()


def protocol(head_s: float, send_s: float) -> type[Timed]:
    return type("Timed", (Timed,), {"head_s": head_s, "send_s": send_s})


def _cancelled(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
