"""A real Chromium, told what to do over a pipe by its DevTools protocol: JSON, each message ended by a zero byte."""

import base64
import contextlib
import json
import os
import select
import signal
import subprocess
import time

from .base import BROWSER_FLAGS, TIMEOUT, slowness, wait_for


class Browser:
    """One page in it. Use with `with`."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.next_id = 0
        self.rest = b""
        self.spoken = []  # what the page logged as an error, and violations of its policy

    def __enter__(self):
        ours, theirs = os.pipe(), os.pipe()  # what we say, what it says
        # It reads from 3 and writes to 4; only bash redirects descriptors of two digits.
        command = ["bash", "-c", f'exec "$@" 3<&{ours[0]} 4>&{theirs[1]}', "chromium", "chromium"]
        with open(os.path.join(self.directory, "browser.log"), "wb") as log:
            self.process = subprocess.Popen(
                [
                    *command,
                    *BROWSER_FLAGS,
                    "--remote-debugging-pipe",
                    f"--user-data-dir={self.directory}/profile",
                    "about:blank",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(ours[0], theirs[1]),
                start_new_session=True,
                env={**os.environ, "HOME": self.directory},
            )
        os.close(ours[0])
        os.close(theirs[1])
        self.to, self.of = ours[1], theirs[0]
        self.session = None
        targets = wait_for(
            lambda: [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"], what="a page"
        )
        target = targets[0]["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # the group is its own: the browser and its helpers
        self.process.wait(TIMEOUT)
        os.close(self.to)
        os.close(self.of)

    def _read(self, end):
        """The next message."""
        while b"\0" not in self.rest:
            if not select.select([self.of], [], [], max(end - time.monotonic(), 0))[0]:
                raise AssertionError("the browser does not answer")
            piece = os.read(self.of, 1 << 20)
            if not piece:
                raise AssertionError("the browser has gone")
            self.rest += piece
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def call(self, method, **params):
        """Does it and returns what comes of it."""
        self.next_id += 1
        message = {"id": self.next_id, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data) :]
        end = time.monotonic() + TIMEOUT * 3 * slowness()
        while True:
            answer = self._read(end)
            if answer.get("id") == self.next_id:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self._event(answer)

    def _event(self, message):
        params = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.spoken.append(params["exceptionDetails"])
        entry = params.get("entry", {})
        if message.get("method") == "Log.entryAdded" and entry.get("source") in ("security", "violation", "javascript"):
            self.spoken.append(entry)

    def run(self, expression):
        """The value of an expression of JavaScript, awaited."""
        out = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in out, (expression[:200], out["exceptionDetails"])
        return out["result"].get("value")

    def open(self, url):
        self.call("Page.navigate", url=url)
        wait_for(lambda: self.run("document.readyState") == "complete" and self.run("location.href") == url, what=url)

    def show_as(self, width, height, scheme="light"):
        """The size of the window and what the user prefers: "light" or "dark"."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def scripts(self, on):
        self.call("Emulation.setScriptExecutionDisabled", value=not on)

    def screenshot(self, file):
        image = self.call("Page.captureScreenshot", format="png", optimizeForSpeed=False)["data"]
        with open(file, "wb") as f:
            f.write(base64.b64decode(image))
