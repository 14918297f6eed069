"""Who may ask, and for how long an answer may take to be read: an ASGI layer around the app."""

import asyncio
import base64
import binascii
import hmac

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepcoder.executor.server.refusal import Refused

OPEN = ("/health",)  # answered without a token


class Guard:
    """`token`: None lets everybody in. `send_s`: seconds for a client to take a part of an answer."""

    def __init__(self, app: ASGIApp, token: str | None, send_s: float) -> None:
        self._app, self._token, self._send_s = app, token, send_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def patient(message: Message) -> None:
            async with asyncio.timeout(self._send_s):
                await send(message)

        if self._token is not None and scope["path"] not in OPEN and not self._knows(scope):
            await _unauthorized().response()(scope, receive, patient)
            return None
        try:
            return await self._app(scope, receive, patient)
        except TimeoutError:  # the server closes the connection of an answer that is not complete
            raise ConnectionAbortedError("a client did not take its answer in time") from None

    def _knows(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        return hmac.compare_digest(_secret(given).encode(), str(self._token).encode())


def _secret(header: str) -> str:
    """The token of `Bearer TOKEN`, or the password of `Basic`, which a URL like http://judge:TOKEN@host makes."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _unauthorized() -> Refused:
    text = "wrong or missing token: send the header Authorization: Bearer TOKEN, or use http://judge:TOKEN@host/"
    return Refused(401, text, www_authenticate="Bearer", connection="close")
