"""Headless Chromium, driven over its DevTools protocol: what a person does with a page, and what goes wrong on it."""

import base64
import itertools
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.tools.patience import HANG_S, until

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


class Page:
    """One tab. `errors` gathers exceptions, console errors and refusals of the content-security policy."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self.errors: list[str] = []
        self._loaded = False
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=HANG_S))
            if message.get("id") == number:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        told = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.errors.append(str(told["exceptionDetails"].get("exception", told)))
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "assert"):
                self.errors.append(str(told["args"]))
            case "Log.entryAdded" if told["entry"]["level"] == "error":
                self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")

    def open(self, url: str) -> Self:
        self._loaded = False
        found = self.call("Page.navigate", url=url)
        assert not found.get("errorText"), found
        until(lambda: self.run("document.readyState") == "complete" and self._loaded, lambda: f"{url} does not load")
        return self

    def run(self, script: str) -> Any:
        """The value of an expression, which may be a promise."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script: str) -> Any:
        """Until an expression is true; its value."""
        until(lambda: self.run(f"Boolean({script})"), lambda: f"never: {script}; {self.errors}")
        return self.run(script)

    def place(self, selector: str) -> tuple[float, float]:
        """The middle of an element, after scrolling it into view."""
        box = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); if (!e) return null;"
            "e.scrollIntoView({block: 'center'}); const b = e.getClientRects()[0];"
            "return [b.left + b.width / 2, b.top + b.height / 2]; })()"
        )
        assert box is not None, f"no {selector}"
        return box[0], box[1]

    def hover(self, selector: str) -> None:
        x, y = self.place(selector)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str) -> None:
        x, y = self.place(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        text = key if len(key) == 1 else ""
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def type(self, selector: str, text: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.call("Input.insertText", text=text)

    def texts(self, selector: str) -> list[str]:
        return self.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent.trim())")

    def look(self, width: int = 1280, height: int = 900, dark: bool = False, scale: int = 1) -> None:
        """The size of the window, and light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                  mobile=width < 600)  # fmt: skip
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                  {"name": "prefers-reduced-motion", "value": "reduce"}]  # fmt: skip
        self.call("Emulation.setEmulatedMedia", features=scheme)

    def picture(self, file: Path, clip: dict[str, float] | None = None) -> Path:
        """Of the window, or a part of it."""
        options: dict[str, Any] = {} if clip is None else {"clip": clip | {"scale": 1}}
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png", **options)["data"]))
        return file


def chromium() -> str:
    """Its path; skips a test where there is none."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        pytest.skip("no chromium on PATH (Debian's package has it)")
    return found


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A browser of its own, with one tab; its profile is in `folder`."""
    said = (folder / "chromium.log").open("w")
    process = subprocess.Popen(
        [chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--remote-debugging-port=0", f"--user-data-dir={folder}/profile", "--disable-background-networking",
         "--force-device-scale-factor=1", "--hide-scrollbars", "about:blank"],
        stdout=said, stderr=subprocess.STDOUT,
    )  # fmt: skip
    port = folder / "profile" / "DevToolsActivePort"

    def started() -> bool:
        assert process.poll() is None, Path(said.name).read_text()
        return port.is_file() and "\n" in port.read_text()

    try:
        until(started, lambda: Path(said.name).read_text())
        address = f"http://127.0.0.1:{port.read_text().splitlines()[0]}/json/list"
        tabs: list[dict[str, Any]] = []

        def tab() -> bool:
            with urllib.request.urlopen(address, timeout=HANG_S) as answer:
                tabs[:] = [found for found in json.load(answer) if found["type"] == "page"]
            return bool(tabs)

        until(tab, lambda: "no tab")
        with connect(tabs[0]["webSocketDebuggerUrl"], max_size=None, open_timeout=HANG_S) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        process.wait(timeout=HANG_S)
        said.close()
