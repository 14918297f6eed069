"""A server of its own for tests, started as a person starts it."""

import contextlib
import http.client
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stepcoder.jsonl import dumps, loads
from tests.tools.patience import HANG_S

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Served:
    """A server: its process, where it listens, what it has said."""

    process: subprocess.Popen[str]
    host: str
    port: int
    said: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def ask(
        self, path: str, data: Any = None, headers: dict[str, Any] | None = None, body: bytes | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """(status, answer, headers); a POST where there is something to send."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=HANG_S)
        sent = dumps(data).encode() if data is not None else body
        kind = {"Content-Type": "application/json"} if sent is not None else {}
        try:
            connection.request("GET" if sent is None else "POST", path, sent, kind | (headers or {}))
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        told = {name.lower(): value for name, value in response.getheaders()}
        return response.status, loads(text) if told.get("content-type") == "application/json" else text, told


@contextlib.contextmanager
def served(*words: str, host: str = "127.0.0.1", env: dict[str, str] | None = None) -> Iterator[Served]:
    command = [sys.executable, "-m", "stepcoder.deploy.cli", "serve", "--port", "0", *words]
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)} | (env or {}), stderr=subprocess.PIPE, text=True
    )
    said: list[str] = []
    try:
        assert process.stderr is not None
        port = None
        while port is None:
            line = process.stderr.readline()
            assert line, f"the server did not start: {''.join(said)}"
            said.append(line)
            if match := re.search(r"serving on http://\S+:(\d+)", line):
                port = int(match[1])
        reader = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
        reader.start()
        yield Served(process, host, port, said)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(HANG_S)
