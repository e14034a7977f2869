"""The canary: an ordinary client and its honest origins, in a process of their own, on listeners and upstreams that no
chaotic peer's rudeness may touch.

Every body follows from the request's id, both ways, so each answer is compared byte for byte. A connection that says it
will end (Connection: close, GOAWAY) is left in good order; anything else that goes wrong is a failure of the run.
"""

import hashlib
import itertools
import random
import threading
import time
import traceback

from harness.certs import Authority, server_context
from harness.client import Client, chunked
from harness.h2 import H2Client, H2Origin
from harness.origin import Origin, ok

HOST = "canary.test"
PAUSE_S = 0.01
IN_ONE_GO = 4  # streams at a time on an HTTP/2 connection
BODY_MOST = 60_000


def body_of(ident, what, most=BODY_MOST):
    """The bytes that belong to a request's id: small mostly."""
    seed = hashlib.sha256(f"{what}/{ident}".encode()).digest()
    size = int.from_bytes(seed[:4], "big") % (most if seed[4] < 64 else 1500)
    return (seed * (size // len(seed) + 1))[:size]


def answer_to(ident, sent):
    """What an honest origin answers: the id's bytes and what it received, hashed."""
    return hashlib.sha256(sent).hexdigest().encode() + body_of(ident, "answer")


class Origins:
    def __init__(self, tls):
        self.h1 = [Origin(self.serve_h1) for _ in range(2)]
        self.h2 = [H2Origin(self.serve_h2) for _ in range(2)]
        self.h2_tls = H2Origin(self.serve_h2, tls=tls)

    @staticmethod
    def serve_h1(connection, request):
        body = answer_to(request.header("x-id"), request.body)
        if request.method == "HEAD":
            connection.send(ok(body)[: -len(body)])
        elif len(body) % 2:
            connection.send(ok(body))
        else:
            connection.send(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                + chunked(body[:100], *([body[100:]] if len(body) > 100 else []))
            )
        connection.requests.clear()
        connection.forget()

    @staticmethod
    def serve_h2(connection, stream, seen):
        body = answer_to(seen.header("x-id"), bytes(seen.body))
        connection.respond(
            stream,
            body=b"" if seen.header(":method") == "HEAD" else body,
            headers=[("content-length", str(len(body)))] if len(body) % 2 else [],
        )
        connection.streams.pop(stream, None)

    def addresses(self):
        return {"h1": [o.address for o in self.h1], "h2": [o.address for o in self.h2], "h2_tls": self.h2_tls.address}

    def close(self):
        for origin in (*self.h1, *self.h2, self.h2_tls):
            origin.close(check=True)


class Canary:
    """One thread per way through the proxy: (listener, version) x the kinds of origin by path."""

    PATHS = ["/h1", "/h2", "/h2-tls"]

    def __init__(self, addresses, ca, seed):
        self.addresses, self.ca, self.seed = addresses, ca, seed
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.failures = []
        self.requests = self.connections = self.moved = 0
        self.slowest, self.begun = 0.0, time.monotonic()
        self.ids = itertools.count()
        self.threads = [
            threading.Thread(target=self.guard, args=(run, listener), daemon=True)
            for listener in ("calm", "calm-tls")
            for run in (self.run_h1, self.run_h2)
        ]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(90)
            if thread.is_alive():
                self.failures.append("a canary hangs")

    def guard(self, run, listener):
        name = f"{run.__name__[4:]} on {listener}"
        dice = random.Random(f"{self.seed}/canary/{name}")
        while not self.stopping.is_set():
            try:
                run(listener, dice)
            except Exception as error:  # noqa: BLE001 - each is a failure of the run
                with self.lock:
                    where = "" if isinstance(error, AssertionError) else traceback.format_exc(limit=-4)
                    self.failures.append(f"canary {name} at {self.journal_time():.1f} s: {error!r} {where}")
                self.stopping.wait(0.5)

    def journal_time(self):
        """Seconds from the start, as in the scripts of the peers."""
        return time.monotonic() - self.begun

    def tls(self, listener, alpn):
        return self.ca.client_context([alpn]) if listener == "calm-tls" else None

    def draw(self, dice):
        """(id, method, path, body or None) of the next request."""
        ident = f"{self.seed}-{next(self.ids)}"
        path = f"{dice.choice(self.PATHS)}/{ident}"
        return (ident, "POST", path, body_of(ident, "request")) if dice.random() < 0.4 else (ident, "GET", path, None)

    def check(self, ident, sent, status, headers, body, seconds):
        wanted = answer_to(ident, sent or b"")
        assert status == 200, f"request {ident}: status {status}, {headers}"
        assert body == wanted, f"request {ident}: {len(body)} bytes came, {len(wanted)} are right"
        with self.lock:
            self.requests += 1
            self.slowest = max(self.slowest, seconds)

    def run_h1(self, listener, dice):
        """One keep-alive connection, until it says that it ends."""
        self.connections += 1
        with Client(
            self.addresses[listener], tls=self.tls(listener, "http/1.1"), server_name=HOST, timeout=60
        ) as client:
            while not self.stopping.is_set():
                ident, method, path, body = self.draw(dice)
                headers, sent = {"X-Id": ident}, body
                if body and dice.random() < 0.3:
                    headers["Transfer-Encoding"] = "chunked"
                    sent = chunked(body)
                begun = time.monotonic()
                got = client.request(method, path, headers, sent, HOST)
                self.check(ident, body, got.status, got.headers, got.body, time.monotonic() - begun)
                if got.closes:
                    return
                self.stopping.wait(PAUSE_S)

    def run_h2(self, listener, dice):
        """One connection with some streams at a time, until GOAWAY."""
        self.connections += 1
        with H2Client(self.addresses[listener], tls=self.tls(listener, "h2"), server_name=HOST, timeout=60) as client:
            while not self.stopping.is_set() and not client.goaways:
                begun, calls = time.monotonic(), {}
                for _ in range(dice.randint(1, IN_ONE_GO)):
                    ident, method, path, body = self.draw(dice)
                    calls[client.start(path, method, [("x-id", ident)], body, authority=HOST)] = (ident, body)
                for stream, (ident, body) in calls.items():
                    seen = client.finish(stream)
                    if seen.code == 7 and client.goaways and stream > client.goaways[-1][0]:
                        self.moved += 1  # refused by a GOAWAY in good order: not processed
                        continue
                    assert seen.code in (None, 0), f"stream {stream} of {ident}: reset {seen.code}, {client.goaways}"
                    self.check(ident, body, seen.status, seen.headers, bytes(seen.body), time.monotonic() - begun)
                    del client.streams[stream]
                self.stopping.wait(PAUSE_S)
            assert all(code == 0 for _, code in client.goaways), f"GOAWAY {client.goaways}"


def main(pipe, directory, seed):
    """The process: says where the origins are, hears where the listeners are, runs until it is told to stop, says how
    it went."""
    ca = Authority(f"{directory}/canary", "canary")
    tls = server_context(*ca.issue("canary.origin", "127.0.0.1"))
    tls.set_alpn_protocols(["h2"])
    origins = Origins(tls)
    pipe.send((origins.addresses(), ca.cert, ca.issue(HOST)))
    canary = Canary(pipe.recv(), ca, seed)
    canary.start()
    pipe.recv()
    canary.stop()
    try:
        origins.close()
    except AssertionError as error:
        canary.failures.append(f"an honest origin was sent nonsense: {error}")
    pipe.send(
        {
            "requests": canary.requests,
            "connections": canary.connections,
            "moved": canary.moved,
            "slowest": canary.slowest,
            "failures": canary.failures[:20],
            "failed": len(canary.failures),
        }
    )
