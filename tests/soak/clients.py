"""Clients at a steady pace, each a thread with one connection: HTTP/1 and HTTP/2, in the clear and over TLS, and
WebSockets that stay open.

What they take for a failure is anything but 200 and "ok". One thing is left to them by the protocols, and counted apart
(`crossed`): a request that crosses the proxy's orderly end of a connection. Over HTTP/1 that is an end before a byte of
an answer, on a connection that served before and was open when it was looked at: it is asked again on a new one, once
(RFC 9112 9.3.1). Over HTTP/2 GOAWAY names the last stream that was taken; one above it is asked again (RFC 9113 6.8).
"""

import ssl
import threading
import time

from harness.client import Client, Closed, build
from harness.h2 import H2Client

PATHS = [("GET", "/fixed/a"), ("GET", "/named/b"), ("POST", "/steady/c"), ("GET", "/fixed/d"), ("GET", "/named/e")]
BODY = b"x" * 300


class Crossed(Exception):
    """The proxy ended the connection in good order before it took the request."""


class Tally:
    """What all clients counted."""

    def __init__(self):
        self.lock = threading.Lock()
        self.served = self.crossed = self.connections = self.echoes = 0
        self.failed = []
        self.slowest = 0.0

    def add(self, **counts):
        with self.lock:
            for name, n in counts.items():
                setattr(self, name, getattr(self, name) + n)

    def fail(self, what):
        with self.lock:
            self.failed.append(f"{time.strftime('%H:%M:%S')} {what}")


class Http1:
    """One connection of HTTP/1."""

    def __init__(self, address, tls):
        self.client = Client(address, tls=tls, server_name="a.test" if tls else None)
        self.used = 0

    def alive(self):
        """False: the proxy has ended it already. As every client looks before it asks."""
        sock, before = self.client.sock, self.client.sock.gettimeout()
        sock.setblocking(False)
        try:
            data = sock.recv(1)
            assert not data, "a byte of an answer that nobody asked for"
            return False
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        finally:
            sock.settimeout(before)

    def ask(self, method, path):
        body = BODY if method == "POST" else None
        try:
            answer = self.client.request(method, path, body=body)
        except (Closed, ConnectionError, ssl.SSLEOFError):
            if self.used and not self.client.buffer:
                raise Crossed() from None
            raise
        self.used += 1
        return answer.status, answer.body, answer.reason, not answer.closes

    def close(self):
        self.client.close()


class Http2:
    """One connection of HTTP/2, a stream at a time."""

    def __init__(self, address, tls):
        self.client = H2Client(address, tls=tls)

    def alive(self):
        return True  # GOAWAY tells

    def ask(self, method, path):
        client = self.client
        stream = client.start(path, method, body=BODY if method == "POST" else None)
        client.until(lambda: client.streams[stream].over or self.refused(stream), f"the end of {path}")
        if self.refused(stream):
            raise Crossed()
        seen = client.streams[stream]
        assert seen.code is None, f"{path}: reset with {seen.code}"
        return seen.status, bytes(seen.body), seen.header("x-sluice-reason"), not client.goaways

    def refused(self, stream):
        return any(last < stream for last, _ in self.client.goaways)

    def close(self):
        self.client.close()


class Asker(threading.Thread):
    """`rate` requests a second until told to stop."""

    def __init__(self, kind, address, tls, rate, tally, stopping, number):
        super().__init__(daemon=True)
        self.kind, self.address, self.tls, self.tally, self.stopping = kind, address, tls, tally, stopping
        self.pause, self.number = 1 / rate, number
        self.connection = None

    def run(self):
        due = time.monotonic() + self.pause * (self.number % 7) / 7
        count = self.number
        while not self.stopping.wait(max(0, due - time.monotonic())):
            due = max(due + self.pause, time.monotonic() - 1)
            count += 1
            self.once(*PATHS[count % len(PATHS)])
        self.drop()

    def once(self, method, path):
        began = time.monotonic()
        try:
            try:
                self.ask(method, path)
            except Crossed:
                self.drop()
                self.tally.add(crossed=1)
                self.ask(method, path)
        except (OSError, Closed, Crossed, AssertionError) as error:
            self.tally.fail(f"{self.kind.__name__}{' TLS' if self.tls else ''} {method} {path}: {error!r}")
            self.drop()
        self.tally.slowest = max(self.tally.slowest, time.monotonic() - began)

    def ask(self, method, path):
        if self.connection is not None and not self.connection.alive():
            self.drop()
        if self.connection is None:
            self.connection = self.kind(self.address, self.tls)
            self.tally.add(connections=1)
        status, body, reason, keeps = self.connection.ask(method, path)
        if (status, body) == (200, b"ok"):
            self.tally.add(served=1)
        else:
            self.tally.fail(
                f"{self.kind.__name__}{' TLS' if self.tls else ''} {method} {path}: {status} {reason} {body[:80]!r}"
            )
        if not keeps:
            self.drop()

    def drop(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Sockets(threading.Thread):
    """WebSockets that are opened once, and echo for ever."""

    def __init__(self, places, tally, stopping):
        super().__init__(daemon=True)
        self.tally, self.stopping = tally, stopping
        self.clients = [self.open(address, tls) for address, tls in places]

    @staticmethod
    def open(address, tls):
        client = Client(address, tls=tls, server_name="a.test" if tls else None)
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        client.send(build(path="/steady/socket", headers=upgrade))
        head = client.head()
        assert head.status == 101, head
        return client

    def run(self):
        turn = 0
        while not self.stopping.wait(1 / len(self.clients)):
            turn += 1
            client = self.clients[turn % len(self.clients)]
            words = b"echo %d" % turn
            try:
                client.send(words)
                heard = client.read_bytes(len(words))
                assert heard == words, heard
                self.tally.add(echoes=1)
            except (OSError, Closed, AssertionError) as error:
                self.tally.fail(f"WebSocket {turn % len(self.clients)}: {error!r}")
                return

    def close(self):
        for client in self.clients:
            client.close()
