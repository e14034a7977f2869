"""A browser as the client: headless Chromium loads a page of 200 objects and speaks over a WebSocket,
all of it HTTP/2 over TLS."""

import base64
import hashlib
import os
import shutil
import signal
import subprocess

import pytest

from harness.base import BROWSER_FLAGS, TIMEOUT, sanitized, wait_for
from harness.certs import certificate_lines
from harness.origin import ok
from harness.proxy import config

OBJECTS = 200
# The page tells the origin what happened.
PAGE = """<!doctype html><title>t</title><link rel=icon href="data:,"><script>
async function all() {
  const loads = [];
  for (let i = 0; i < %d; ++i) loads.push(fetch('/object/' + i).then(r => r.text()).then(t => t.length));
  const sizes = await Promise.all(loads);
  const echoed = await new Promise((yes, no) => {
    const socket = new WebSocket('wss://' + location.host + '/socket');
    socket.onopen = () => socket.send('hello');
    socket.onmessage = m => yes(m.data);
    socket.onerror = () => no('socket');
  });
  const loaded = performance.getEntriesByType('resource').filter(e => e.name.includes('/object/'));
  const used = new Set(loaded.map(e => e.nextHopProtocol));
  const bytes = sizes.reduce((a, b) => a + b, 0);
  return 'objects=' + sizes.length + ' bytes=' + bytes + ' echo=' + echoed + ' over=' + [...used].join('+');
}
all().then(t => t, e => 'failed: ' + e).then(t => fetch('/result', {method: 'POST', body: t}));
</script>""" % OBJECTS


def frame(text):
    return bytes([0x81, len(text)]) + text


def serve(connection, request):
    if request.target == "/socket":
        key = request.header("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        connection.send(
            f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        head = connection.read(2)
        mask = connection.read(4)
        text = bytes(c ^ mask[i % 4] for i, c in enumerate(connection.read(head[1] & 0x7F)))
        connection.send(frame(b"echo " + text))
        connection.wait_eof()
        connection.close()
    elif request.target == "/result":
        connection.origin.result = request.body.decode()
        connection.send(ok())
    elif request.target.startswith("/object/"):
        connection.send(ok(b"x" * 1000, ["Cache-Control: no-store"]))
    else:
        connection.send(ok(PAGE.encode(), ["Content-Type: text/html"]))


@pytest.mark.skipif("SLUICE_CHECK" not in os.environ, reason="heavy: scripts/check runs it")
@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium (scripts/deps --check)")
@pytest.mark.skipif(sanitized(), reason="a browser's limits of time are not for a sanitizer")
def test_a_page_of_200_objects_and_a_websocket(start, tmp_path):
    ca = start.authority()
    origin = start.origin(serve)
    origin.result = ""
    sluice = start.sluice(
        config(origin.address, protocols=("h2", "http/1.1"), tls=certificate_lines(ca.issue("localhost", "127.0.0.1")))
    )
    with open(tmp_path / "browser.log", "wb") as log:
        browser = subprocess.Popen(
            ["chromium", *BROWSER_FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"https://{sluice.address()}/"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        try:
            wait_for(
                lambda: origin.result or browser.poll() is not None, timeout=TIMEOUT * 3, what="the browser's result"
            )
        finally:
            os.killpg(browser.pid, signal.SIGKILL)  # the group is its own: the browser and its helpers
            browser.wait(TIMEOUT)
    assert origin.result == f"objects={OBJECTS} bytes={OBJECTS * 1000} echo=echo hello over=h2", (
        tmp_path / "browser.log"
    ).read_text(errors="replace")[-2000:]
    lines = sluice.wait_log(lambda line: line["path"].startswith("/object/"), count=OBJECTS)
    assert {(line["protocol"], line["status"]) for line in lines} == {("HTTP/2.0", 200)}
    socket = sluice.wait_log_path("/socket")[0]
    assert socket["protocol"] == "HTTP/2.0", "RFC 8441: the WebSocket shares the connection"
    assert sluice.metric("sluice_downstream_connections_total", listener="main") <= 3
