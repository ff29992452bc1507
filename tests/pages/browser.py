"""A headless Chromium that tests drive by the DevTools protocol, over a pipe."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TIMEOUT = 60


def find() -> str | None:
    """The browser's program, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One browser with one page.

    Args:
        profile: An empty folder for what it keeps.
    """

    def __init__(self, profile: Path) -> None:
        program = find()
        assert program is not None
        to_browser, commands = os.pipe()
        answers, from_browser = os.pipe()
        words = [
            program, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
            "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking",
            "--disable-component-update", "--no-first-run", "--no-default-browser-check",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip

        def place() -> None:
            # The browser reads commands from descriptor 3 and writes answers to 4.
            reading, writing = os.dup(to_browser), os.dup(from_browser)
            os.dup2(reading, 3)
            os.dup2(writing, 4)

        self._process = subprocess.Popen(
            words,
            pass_fds=(3, 4, to_browser, from_browser),
            preexec_fn=place,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "HOME": str(profile)},
        )
        os.close(to_browser)
        os.close(from_browser)
        self._commands, self._answers = commands, answers
        self._buffer, self._number = b"", 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(entry for entry in targets if entry["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def close(self) -> None:
        """End it."""
        try:
            self._session = None
            self.call("Browser.close")
            self._process.wait(10)
        except (OSError, AssertionError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait(10)
        finally:
            os.close(self._commands)
            os.close(self._answers)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events that come first are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + TIMEOUT
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._answers, 2**20)
            assert data, "the browser is gone"
            self._buffer += data
        first, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(first)

    def open(
        self, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False,
        scripts: bool = True, fragment: str = "",
    ) -> None:  # fmt: skip
        """Open a file as on a screen of this size, and wait until it is loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        # Another fragment of the same address would load nothing.
        self._navigate("about:blank")
        self.events.clear()
        self._navigate(path.resolve().as_uri() + fragment)

    def _navigate(self, address: str) -> None:
        loader = self.call("Page.navigate", url=address)["loaderId"]
        wanted = {"name": "load", "loaderId": loader}
        end = time.monotonic() + TIMEOUT
        while not any(
            event["method"] == "Page.lifecycleEvent" and wanted.items() <= event["params"].items()
            for event in self.events
        ):
            assert time.monotonic() < end, f"{address} is not loaded"
            self.events.append(self._next())

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    @property
    def requests(self) -> list[str]:
        """The addresses that the page asked for, itself and its own data aside."""
        sent = (e["params"] for e in self.events if e["method"] == "Network.requestWillBeSent")
        addresses = [entry["request"]["url"] for entry in sent if entry.get("type") != "Document"]
        return [address for address in addresses if not address.startswith("data:")]

    @property
    def complaints(self) -> list[str]:
        """What went to the console: errors, warnings, refusals of the page's own policy."""
        said = []
        for event in self.events:
            if event["method"] == "Log.entryAdded":
                said.append(event["params"]["entry"]["text"])
            elif event["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                said.append(json.dumps(event["params"])[:500])
        return said

    def screenshot(self, path: Path, *, whole: bool = False, height: int | None = None) -> Path:
        """A PNG of the screen, or of the whole page."""
        clip = {}
        if whole or height:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            tall = min(height or size["height"], size["height"])
            clip = {"clip": {"x": 0, "y": 0, "width": size["width"], "height": tall, "scale": 1}}
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=bool(clip), **clip)
        path.write_bytes(base64.b64decode(answer["data"]))
        return path
