"""Who may see the pages, and what a browser may do with them: an ASGI layer around the app.

Invariants: no other origin reads anything, whatever a browser can be talked into; no script or style runs that is not a
file of ours; where a token is set, nothing is told without it.
"""

import hashlib
import hmac
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-cache",
}
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Guard:
    """`hosts`: names that the server may be asked by; without a token a page of elsewhere could else pass for it."""

    def __init__(self, app: ASGIApp, token: str | None, hosts: Iterable[str] = LOOPBACK) -> None:
        self._app, self._token = app, token
        self._hosts = None if token else {host.lower() for host in hosts}
        secret = hashlib.sha256(f"stepcoder view {token}".encode()).hexdigest()
        self._cookie, self._pass = f"stepcoder-view-{secret[:8]}", secret[8:]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = self._refusal(scope) or self._app
        await answer(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("only GET", 405)
        host = headers.get("host", "").lower()
        if self._hosts is not None and _name(host) not in self._hosts:
            return PlainTextResponse(f"this server is not called so; open it as http://{LOOPBACK[0]}:PORT/", 421)
        if (origin := headers.get("origin")) is not None and origin.partition("://")[2].lower() != host:
            return PlainTextResponse("a page of another origin asks: refused", 403)
        site, navigates = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode") == "navigate"
        opened = navigates and headers.get("sec-fetch-dest") == "document"  # an address that somebody clicked
        if site not in ("none", "same-origin") and not opened:
            return PlainTextResponse("a page of another origin asks: refused", 403)
        return None if self._token is None else self._entry(scope, headers)

    def _entry(self, scope: Scope, headers: Headers) -> Response | None:
        """A token in the address becomes a cookie, and leaves the address."""
        fields = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="surrogateescape")
        given = next((value for name, value in fields if name == "token"), None)
        if given is not None and self._is(given, str(self._token)):
            rest = urlencode([pair for pair in fields if pair[0] != "token"], errors="surrogateescape")
            place = "/" + scope["path"].lstrip("/\\")
            if not place.isascii() or not place.isprintable():
                place = "/"
            answer = Response(status_code=303, headers={"Location": f"{place}?{rest}" if rest else place})
            answer.set_cookie(self._cookie, self._pass, httponly=True, samesite="lax")
            return answer
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is(bearer.strip(), str(self._token)):
            return None
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            cookie = None
        if cookie is not None and self._is(cookie.value, self._pass):
            return None
        return PlainTextResponse("open the address that `stepcoder view` printed: it has the token", 401)

    def _is(self, given: str, wanted: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


def _name(host: str) -> str:
    """A Host header without its port."""
    return host if host.endswith("]") else host.rpartition(":")[0] or host
