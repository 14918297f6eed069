"""Who may ask: an ASGI layer around the app."""

import base64
import hmac

from starlette.types import ASGIApp, Receive, Scope, Send

from stepcoder.executor.server.refusal import Refused

OPEN = ("/health",)  # answered without a token


class Guard:
    """`token`: None lets everybody in."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = scope["type"] == "http"
        if http and self._token is not None and scope["path"] not in OPEN and not self._knows(scope):
            await _unauthorized().response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"").decode("utf-8", "surrogateescape")
        return hmac.compare_digest(_secret(given).encode("utf-8", "surrogateescape"), str(self._token).encode())


def _secret(header: str) -> str:
    """The token of `Bearer TOKEN`, or the password of `Basic`, which a URL like http://judge:TOKEN@host makes."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _unauthorized() -> Refused:
    text = "wrong or missing token: send the header Authorization: Bearer TOKEN, or use http://judge:TOKEN@host/"
    return Refused(401, text, www_authenticate="Bearer", connection="close")
