"""Drives Chromium by its DevTools protocol, over a pipe: nothing but Python's own library is needed."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time


class Browser:
    """A headless Chromium. Everything that its pages log or throw is in `complaints`."""

    def __init__(self, program=None):
        program = program or os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
        if not program:
            raise SystemExit("chromium is missing: install Debian's package `chromium`, or name a browser in CHROMIUM")
        self.profile = tempfile.TemporaryDirectory(prefix="golem-tasks-web-")
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()

        def pipes():
            # Chromium reads commands from 3 and answers on 4. Both are moved out of the way first.
            read, write = os.dup2(to_read, 20), os.dup2(to_write, 21)
            os.dup2(read, 3)
            os.dup2(write, 4)

        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--force-color-profile=srgb"]
        self.process = subprocess.Popen(
            [program, *flags, f"--user-data-dir={self.profile.name}", "--remote-debugging-pipe", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=pipes,
            close_fds=False)
        os.close(to_read)
        os.close(to_write)
        self._buffer = b""
        self._number = 0
        self._events = []
        self.complaints = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._send("Browser.close", {}, None)
            self.process.wait(20)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        for _ in range(50):
            try:
                self.profile.cleanup()
                break
            except OSError:
                time.sleep(0.1)

    def page(self, url, width=1280, height=900, dark=False, phone=False):
        """Opens a page in a tab of its own."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = Page(self, target, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        page.call("Emulation.setDeviceMetricsOverride", size)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        page.call("Emulation.setEmulatedMedia", {"features": scheme})
        page.call("Page.navigate", {"url": url})
        return page

    def _send(self, method, parameters, session):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        return self._number

    def call(self, method, parameters=None, session=None, patience=60):
        """Sends a command and waits for its answer."""
        number = self._send(method, parameters or {}, session)
        end = time.monotonic() + patience
        while True:
            message = self._message(end - time.monotonic())
            if message is None:
                raise TimeoutError(f"chromium doesn't answer {method}")
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self._note(message)

    def _message(self, patience):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, patience))
            if not ready:
                return None
            more = os.read(self._read, 1 << 20)
            if not more:
                raise RuntimeError("chromium has gone")
            self._buffer += more
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, message):
        method, told = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(one.get("value", one.get("description"))) for one in told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{told['entry']['text']} ({told['entry'].get('url', '')})")
        elif method == "Network.requestWillBeSent":
            self._events.append(told["request"]["url"])

    @property
    def requests(self):
        """The addresses that pages have asked for."""
        return self._events


class Page:
    """A tab."""

    def __init__(self, browser, target, session):
        self.browser, self.target, self.session = browser, target, session

    def call(self, method, parameters=None, patience=60):
        return self.browser.call(method, parameters, self.session, patience)

    def value(self, expression):
        """The value of an expression in the page."""
        told = self.call("Runtime.evaluate", {"expression": expression, "returnByValue": True, "awaitPromise": True})
        if "exceptionDetails" in told:
            raise RuntimeError(f"{expression}: {told['exceptionDetails']}")
        return told["result"].get("value")

    def wait(self, expression, patience=60):
        """Waits until an expression is true, and returns its value."""
        end = time.monotonic() + patience
        while True:
            # An element has no value outside of its page: all that counts is that it is there.
            value = self.value(f"((value) => value instanceof Node ? true : value)({expression})")
            if value:
                return value
            if time.monotonic() > end:
                text = self.value("document.body.innerText.slice(0, 1500)")
                raise AssertionError(f"never true within {patience} s: {expression}\nthe page has:\n{text}")
            time.sleep(0.05)

    def key(self, key, code=None, text=None):
        """Presses a key."""
        keys = {"key": key, "code": code or key}
        if text:
            keys["text"] = text
        if key == "Enter":
            keys.update(windowsVirtualKeyCode=13, text="\r")
        if key == "Escape":
            keys.update(windowsVirtualKeyCode=27)
        self.call("Input.dispatchKeyEvent", {"type": "keyDown", **keys})
        self.call("Input.dispatchKeyEvent", {"type": "keyUp", **keys})

    def type(self, text):
        """Types a text where the cursor is."""
        self.call("Input.insertText", {"text": text})

    def click(self, selector):
        """Clicks the middle of an element."""
        script = f"""(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: "center"}});
            const b = e.getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2]; }})()"""
        x, y = self.value(script)
        mouse = {"x": x, "y": y, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", {"type": kind, **mouse})

    def picture(self, path, whole=True):
        """Keeps a picture of the page."""
        told = self.call("Page.captureScreenshot", {"captureBeyondViewport": whole})
        with open(path, "wb") as file:
            file.write(base64.b64decode(told["data"]))

    def close(self):
        self.browser.call("Target.closeTarget", {"targetId": self.target})
