"""Reads the body of a request within limits of size and time, and the sum of all within one, too."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from stepcoder.executor.server.config import ServeConfig
from stepcoder.executor.server.refusal import Refused

_READ_ON = 16  # times the limit that is read, and dropped, so that a client which sends on gets to see the answer


class Bodies:
    """Counts the bytes of the bodies that are held. `read` is given back by `release`."""

    def __init__(self, config: ServeConfig) -> None:
        self._largest, self._most = config.body_mib << 20, config.bodies_mib << 20
        self._seconds = config.body_s
        self.held = 0

    async def read(self, request: Request) -> bytes:
        """Refused: 413 too large, 408 too slow, 415 no JSON or packed, 429 too much at once, 400 gone in the middle."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refused(415, "send JSON, with the header Content-Type: application/json", connection="close")
        if (packed := request.headers.get("content-encoding", "identity")) != "identity":
            raise Refused(
                415, f"send the body as it is: Content-Encoding {packed!r:.40} is not read", connection="close"
            )
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                await self._fill(body, request)
        except TimeoutError:
            self.held -= len(body)
            raise Refused(408, f"the body did not arrive within {self._seconds:g} s", connection="close") from None
        except ClientDisconnect:
            self.held -= len(body)
            raise Refused(400, "the client went away in the middle of its request", connection="close") from None
        except BaseException:
            self.held -= len(body)
            raise
        return bytes(body)

    def release(self, body: bytes) -> None:
        self.held -= len(body)

    async def _fill(self, body: bytearray, request: Request) -> None:
        dropped, too_large = 0, False
        async for piece in request.stream():
            too_large |= len(body) + len(piece) > self._largest
            if too_large or self.held + len(piece) > self._most:
                dropped += len(piece)
                if dropped > _READ_ON * self._largest:
                    break
                continue
            body += piece
            self.held += len(piece)
        if too_large:
            limit = f"{self._largest >> 20} MiB"
            raise Refused(413, f"the body is larger than {limit}: send fewer tests, or raise --body-mib of the server",
                          connection="close")  # fmt: skip
        if dropped:
            raise Refused(429, "too many large requests at once: try again", retry_after="1", connection="close")
