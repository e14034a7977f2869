"""Chromium as the client, headless: its fetch and its WebSocket, over HTTP/2 and TLS. The page tells a server of our
own what happened."""

import http.server
import os
import signal
import subprocess
import threading

from harness.base import BROWSER_FLAGS, wait_for
from world import faults

LIMIT_S = 600
# A page with a script: the bytes of one large answer, small answers some at a time, small messages of a WebSocket some
# in flight.
PAGE = """<!doctype html><title>t</title><link rel=icon href="data:,"><script>
const size = %(size)d, count = %(count)d;
async function large() {
  const reader = (await fetch('/large.bin')).body.getReader();
  let got = 0;
  for (let r = await reader.read(); !r.done; r = await reader.read()) got += r.value.length;
  if (got !== size) throw new Error(got + ' bytes came');
}
async function messages() {
  let left = count / 10;
  const worker = async () => {
    while (left-- > 0) if (await (await fetch('/small', {cache: 'no-store'})).text() !== 'small') throw new Error(
    'another message');
  };
  await Promise.all(Array.from({length: 20}, worker));
}
function socket() {
  return new Promise((yes, no) => {
    const s = new WebSocket('wss://' + location.host + '/go/socket');
    let sent = 0, heard = 0;
    const send = () => { while (sent < count && sent - heard < 100) s.send('message ' + sent++); };
    s.onopen = send;
    s.onmessage = m => {
      if (m.data !== 'message ' + heard++) no(new Error(m.data)); else if (heard === count) yes(); else send();
    };
    s.onerror = () => no(new Error('the socket failed'));
    s.onclose = e => no(new Error('the socket closed: ' + e.code));
  });
}
(%(what)s)().then(() => 'well', e => 'failed: ' + e).then(t => fetch('/result', {method: 'POST', body: t}));
</script>"""
ROUTES = """
[[upstream]]
name = "page"
endpoints = ["{page}"]
[[route]]
path = "/page"
upstream = "page"
[[route]]
path = "/result"
upstream = "page"
"""


class PageServer:
    """Gives the page and takes its result."""

    def __init__(self, page):
        self.result = ""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, body):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                self.answer(page.encode())

            def do_POST(self):
                outer.result = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self.answer(b"")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = "127.0.0.1:%d" % self.server.server_address[1]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Browser:
    share = 1.0

    def __init__(self, what, needs=("chromium",)):
        self.name, self.what, self.needs = f"chromium {what}", what, needs

    def run(self, _, world, size, count):
        page = PageServer(PAGE % {"size": size, "count": count, "what": self.what})
        directory = os.path.join(world.directory, f"browser-{self.what}")
        os.makedirs(directory)
        try:
            with world.sluice(ROUTES.format(page=page.address)) as sluice, open(
                os.path.join(directory, "log"), "w+b"
            ) as log:
                browser = subprocess.Popen(
                    [
                        "chromium",
                        *BROWSER_FLAGS,
                        f"--user-data-dir={directory}/profile",
                        f"https://{sluice.address('tls')}/page",
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env={**os.environ, "HOME": directory},
                )
                try:
                    wait_for(
                        lambda: page.result or browser.poll() is not None, timeout=LIMIT_S, what="the browser's result"
                    )
                    wrong = faults(sluice, "tls", 3)  # a browser opens some ahead of need
                finally:
                    os.killpg(browser.pid, signal.SIGKILL)  # the group is its own: the browser and its helpers
                    browser.wait()
                return wrong + ([] if page.result == "well" else [page.result or "the browser ended"])
        except AssertionError as error:
            return [str(error)]
        finally:
            page.close()


ALL = [Browser("large"), Browser("messages"), Browser("socket", ("chromium", "go"))]
