"""A headless Chromium, driven over its DevTools protocol, for tests."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--remote-debugging-port=0",
)


def found() -> str | None:
    """The browser's program, if one is installed."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


class Tab:
    """One page of the browser.

    Args:
        socket: speaks the DevTools protocol with it.
    """

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.requests: list[str] = []  # addresses that the page asked for
        self.complaints: list[str] = []  # exceptions and errors of its console
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        """Give a command and return its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": values}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return message["result"]
            self._notice(message.get("method"), message.get("params", {}))

    def _notice(self, method: str | None, values: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.requests.append(values["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(values["exceptionDetails"]))
        elif method == "Log.entryAdded" and values["entry"]["level"] == "error":
            self.complaints.append(values["entry"]["text"])

    def go(self, url: str) -> None:
        """Open a page."""
        self.call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """Return the value of an expression, or what its promise gives."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, script: str, seconds: float = 30.0) -> Any:
        """Wait until an expression is true, and return it."""
        until = time.monotonic() + seconds
        while not (
            value := self.run(f"(() => {{ try {{ return {script}; }} catch {{ return false; }} }})()")
        ):
            assert time.monotonic() < until, (
                f"waited in vain for {script}; {self.run(SAID)!r} {self.complaints}"
            )
            time.sleep(0.05)
        return value

    def choose(self, selector: str, value: str) -> None:
        """Choose an option as a person would."""
        self.run(
            f"(() => {{ const e = document.querySelector({selector!r}); e.value = {value!r};"
            "e.dispatchEvent(new Event('change')); })()"
        )

    def give_file(self, path: Path) -> None:
        """Choose a file in the page's file field."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        field = self.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=field, files=[str(path)])

    def look(self, *, width: int, height: int, **features: str) -> None:
        """Set the size of the window, and media features such as ``prefers_color_scheme="dark"``."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        media = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=media)

    def screenshot(self, path: Path) -> None:
        """Write what is seen to a PNG file."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


SAID = "document.getElementById('sentence').textContent"


@contextlib.contextmanager
def browser(profile: Path, *flags: str) -> Iterator[Tab]:
    """A browser with a new profile, for as long as the block lasts."""
    program = found()
    assert program is not None
    command = [program, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(_page_address(profile, process), max_size=None) as socket:
            yield Tab(socket)
            with contextlib.suppress(Exception):
                socket.send(json.dumps({"id": 0, "method": "Browser.close"}))
                process.wait(10)
    finally:
        process.kill()
        process.wait(10)


def _page_address(profile: Path, process: subprocess.Popen[bytes]) -> str:
    until = time.monotonic() + 40
    note = profile / "DevToolsActivePort"
    while not (note.is_file() and "\n" in note.read_text()):
        assert process.poll() is None, "the browser ended"
        assert time.monotonic() < until, "the browser did not start"
        time.sleep(0.05)
    port = note.read_text().splitlines()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as reply:
        pages = json.load(reply)
    return next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
