"""Upstreams of HTTP/2 that say odd things, frame by frame: the proxy lives, and its other calls too."""

import base64
import contextlib
import ctypes
import hashlib
import socket
import struct
import threading

import pytest

from harness.base import TIMEOUT, limit
from harness.certs import server_context
from harness.h2 import ACK, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame
from harness.origin import ok
from harness.proxy import config

REFUSED_STREAM = 7
OK = b"\x88\x0f\x0d\x010"  # :status 200, content-length 0


def settings(streams):
    return frame(SETTINGS, 0, 0, struct.pack(">HI", 3, streams))


def answer(stream):
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, OK)


class Frames:
    """The connection of an Origin, read frame by frame."""

    def __init__(self, connection):
        self.connection = connection
        assert connection.read(len(PREFACE)) == PREFACE

    def send(self, *frames):
        self.connection.send(b"".join(frames))

    def request(self):
        """The stream of the next request without a body."""
        while True:
            head = self.connection.read(9)
            length, kind, flags, stream = (
                int.from_bytes(head[:3], "big"),
                head[3],
                head[4],
                int.from_bytes(head[5:], "big"),
            )
            self.connection.read(length)
            if kind == SETTINGS and not flags & ACK:
                self.send(frame(SETTINGS, ACK))
            if kind == HEADERS and flags & END_STREAM:
                return stream


def together(sluice, n):
    """n requests at once; their statuses."""
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(sluice.request(path="/").status)) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


@pytest.mark.parametrize("goaway", [False, True], ids=["", "goaway"])
@pytest.mark.parametrize("limit", [0, 1])
def test_a_limit_that_falls_in_the_read_that_refuses_streams(start, limit, goaway):
    """100 streams were announced; four are open when SETTINGS say 1, or 0, and three are refused, all in one
    segment."""

    def serve(connection):
        frames = Frames(connection)
        frames.send(settings(100))
        if connection.number > 1:
            while True:
                frames.send(answer(frames.request()))
        frames.send(answer(frames.request()))
        streams = [frames.request() for _ in range(4)]
        frames.send(
            settings(limit),
            *(frame(RST_STREAM, 0, s, struct.pack(">I", REFUSED_STREAM)) for s in streams[1:]),
            *([frame(GOAWAY, 0, 0, struct.pack(">II", streams[-1], 0))] if goaway else []),
            answer(streams[0]),
        )
        while True:
            frames.send(answer(frames.request()))

    origin = start.origin(on_connection=serve)
    sluice = start.sluice(config(origin.address, upstream='protocol = "h2"', pool="max_connections = 2"))
    assert sluice.request(path="/").status == 200
    assert together(sluice, 4) == [200] * 4
    assert together(sluice, 4) == [200] * 4


def test_two_servers_of_different_limits_behind_one_address(start):
    """One takes 100 streams, the other 1 and refuses what is above; plain traffic."""

    def serve(connection):
        frames = Frames(connection)
        most = 100 if connection.number % 2 else 1
        frames.send(settings(most))
        served = 0
        while served < 20:  # then a new connection is needed
            frames.send(answer(frames.request()))
            served += 1
        connection.close()

    origin = start.origin(on_connection=serve)
    sluice = start.sluice(config(origin.address, upstream='protocol = "h2"', pool="max_connections = 8", workers=2))
    for _ in range(30):
        statuses = together(sluice, 8)
        assert set(statuses) <= {200, 502}, statuses
    assert sluice.request(path="/").status in (200, 502)


def test_a_connection_that_falls_silent_loses_one_request(start):
    """It answers once, then reads on and says nothing; 32 requests in a row."""

    def serve(connection):
        frames = Frames(connection)
        frames.send(settings(100))
        frames.send(answer(frames.request()))
        while connection.number == 1:
            connection.read(1)
        while True:
            frames.send(answer(frames.request()))

    origin = start.origin(on_connection=serve)
    sluice = start.sluice(config(origin.address, upstream='protocol = "h2"', route=f'timeout = "{limit(1)}"'))
    assert sluice.request(path="/").status == 200
    statuses = [sluice.request(path="/").status for _ in range(32)]
    assert statuses.count(200) >= 31, statuses


WEBSOCKET = (
    b"GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def answer_all(connection):
    """HTTP/2 without extended CONNECT, until the connection ends."""
    frames = Frames(connection)
    frames.send(settings(100))
    while True:
        frames.send(answer(frames.request()))


def test_a_websocket_to_an_origin_whose_http2_has_no_extended_connect(start):
    """`auto`: other requests go over HTTP/2, this one over HTTP/1.1; the endpoint is remembered."""
    asked = []

    def serve(connection):
        if connection.sock.selected_alpn_protocol() == "h2":
            return answer_all(connection)
        request = connection.read_request()
        asked.append(request.header("upgrade"))
        key = request.header("sec-websocket-key").encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key).digest())
        connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
            + accept
            + b"\r\n\r\n"
        )
        connection.send(connection.read(5))
        connection.wait_eof()

    ca = start.authority()
    tls = server_context(*ca.issue("localhost", "127.0.0.1"))
    tls.set_alpn_protocols(["h2", "http/1.1"])
    origin = start.origin(on_connection=serve, tls=tls)
    sluice = start.sluice(config(origin.address, upstream='protocol = "auto"', upstream_tls=f'ca = "{ca.cert}"'))
    assert sluice.request(path="/").status == 200
    for n in (1, 2):
        with sluice.client() as client:
            client.send(WEBSOCKET)
            assert client.head().status == 101
            client.send(b"hello")
            assert client.read_bytes(5) == b"hello"
        assert asked == ["websocket"] * n
        assert sluice.request(path="/").status == 200
    assert len(origin.connections) == 3  # one of HTTP/2, one for each WebSocket


def test_a_websocket_to_an_origin_of_http2_alone(start):
    """It takes no part in ALPN without h2, which is no word for HTTP/1.1: nothing of that is sent to it."""
    came = []

    def serve(connection):
        if connection.sock.selected_alpn_protocol() == "h2":
            return answer_all(connection)
        with contextlib.suppress(OSError):
            came.append(connection.sock.recv(100))

    ca = start.authority()
    tls = server_context(*ca.issue("localhost", "127.0.0.1"))
    tls.set_alpn_protocols(["h2"])
    origin = start.origin(on_connection=serve, tls=tls)
    sluice = start.sluice(config(origin.address, upstream='protocol = "auto"', upstream_tls=f'ca = "{ca.cert}"'))
    assert sluice.request(path="/").status == 200
    with sluice.client() as client:
        client.send(WEBSOCKET)
        assert client.head().status == 502
    assert sluice.request(path="/").status == 200
    assert not any(came)


SO_ATTACH_FILTER = 26
DROP_ALL = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # BPF: return 0


def lose(sock):
    """The socket takes no packet any more: nothing of the peer's arrives, and nothing is acknowledged."""
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(DROP_ALL)))


def test_a_connection_whose_packets_are_dropped(start):
    """No FIN, no RST, no acknowledgement: found long before any request's time is up, and what waits on it goes
    elsewhere."""
    dead, over = threading.Event(), threading.Event()

    def serve(connection):
        frames = Frames(connection)
        frames.send(settings(100))
        if connection.number == 1:
            frames.send(answer(frames.request()))
            lose(connection.sock)
            dead.set()
            over.wait(TIMEOUT)
            return
        while True:
            frames.send(answer(frames.request()))

    origin = start.origin(on_connection=serve)
    sluice = start.sluice(
        config(
            origin.address,
            upstream='protocol = "h2"',
            pool=f'max_connections = 4\nconnect_timeout = "{limit(0.3)}"',
            route=f'timeout = "{int(10 * TIMEOUT)}s"',
        )
    )
    assert sluice.request(path="/").status == 200
    assert dead.wait(TIMEOUT)
    try:
        assert together(sluice, 8) == [200] * 8
    finally:
        over.set()


def test_300_requests_to_an_origin_that_closes_after_each_answer(start):
    """0 to 2 ms after it; no GET is lost, and no POST comes twice."""
    posts = []

    def serve(connection, request):
        if request.method == "POST":
            posts.append(request.target)
        connection.send(ok(b"" if request.method == "HEAD" else b"ok"))
        threading.Event().wait(0.0001 * (len(origin.connections) % 20))
        connection.close()

    origin = start.origin(serve)
    sluice = start.sluice(config(origin.address, pool="max_connections = 4"))
    with sluice.client() as client:
        for i in range(300):
            method = ("GET", "OPTIONS", "PUT", "DELETE")[i % 4]
            assert client.request(method, "/", body=b"x" if method == "PUT" else None).status == 200, i
    assert sluice.metric("sluice_upstream_retries_refused_total") == 0
    for i in range(50):
        sluice.request("POST", f"/{i}", body=b"x")
    assert len(posts) == len(set(posts))
