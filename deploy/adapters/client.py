"""A client of `stepcoder serve` that waits where the server is busy, and comes back where it was restarted.

Judging the same program twice is harmless, so that every failure of the way may be tried again.
"""

import http.client
import json
import random
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from stepcoder.jsonl import dumps, loads

PATIENCE_S = 300.0  # for a server that is away or busy
ANSWER_S = 600.0  # for an answer
_LONGEST_PAUSE_S = 10.0
_LATER = (408, 429, 502, 503, 504)


class _Whole(http.client.HTTPConnection):
    """Sends head and body at once: the server wakes up once for a request."""

    _pieces: list[bytes] | None = None

    def endheaders(self, message_body: Any = None, *, encode_chunked: bool = False) -> None:
        self._pieces = []
        super().endheaders(message_body, encode_chunked=encode_chunked)
        request, self._pieces = b"".join(self._pieces), None
        self.send(request)

    def send(self, data: Any) -> None:
        if self._pieces is None:
            super().send(data)
        else:
            self._pieces.append(data)


class _WholeSecure(_Whole, http.client.HTTPSConnection):
    pass


class Client:
    """A connection a thread. `url`: http://host:port, also with judge:TOKEN@ before the host."""

    def __init__(self, url: str, token: str | None = None, patience_s: float = PATIENCE_S) -> None:
        """ValueError for a URL that is none."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r}: give the server's URL as http://host:port")
        self._kind = _WholeSecure if parts.scheme == "https" else _Whole
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path.rstrip("/")
        token = (token or parts.password or "").strip()
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._patience_s = patience_s
        self._mine = threading.local()

    def post(self, path: str, data: Any) -> Any:
        """The answer. ValueError with the server's text where the request is wrong; ConnectionError in the end."""
        body, start, tries = dumps(data).encode(), time.monotonic(), 0
        while True:
            pause_s = min(0.1 * 2**tries, _LONGEST_PAUSE_S)
            try:
                status, wait, text = self._once(path, body)
                if status == 200:
                    return loads(text)
                why = f"{status}: {_told(text)}"
                if status not in _LATER:
                    raise ValueError(f"{self._host}:{self._port}{path} refused: {why}")
                pause_s = wait or pause_s
            except (OSError, http.client.HTTPException) as error:
                why = f"{type(error).__name__}: {error}"
            if time.monotonic() - start + pause_s > self._patience_s:
                raise ConnectionError(
                    f"{self._host}:{self._port}{path} did not answer in {self._patience_s:g} s ({why})"
                )
            time.sleep(pause_s * random.uniform(0.5, 1.0))
            tries += 1

    def _once(self, path: str, body: bytes) -> tuple[int, float, bytes]:
        """(status, seconds of Retry-After or 0, body)."""
        connection = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = self._kind(self._host, self._port, timeout=ANSWER_S)
        try:
            connection.request("POST", self._prefix + path, body, self._headers)
            response = connection.getresponse()
            text = response.read()
            wait = response.headers.get("Retry-After", "")
            return response.status, float(wait) if wait.isdecimal() else 0.0, text
        except BaseException:
            connection.close()
            self._mine.connection = None
            raise


def _told(text: bytes) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text[:200].decode(errors="replace")
