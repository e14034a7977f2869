"""Slow clients and slow origins (rows 22 and 32): every limit is short here and waited for, never slept.

Each limit is shown to bite where it must, and not to bite where the other side owes nothing.
"""

import contextlib
import socket
import threading
import time

import pytest

from harness.base import TIMEOUT, limit, slowness, wait_for
from harness.certs import certificate_lines
from harness.client import Closed, build, chunked
from harness.origin import ok
from harness.proxy import config


@pytest.mark.parametrize(
    "raw",
    [b"G", b"GET / HTTP/1.1\r\nHost: a.t", b"GET / HTTP/1.1\r\nHost: a.test\r\n", b"GET / HTTP/1.1"],
    ids=["one-byte", "in-field", "no-end", "in-line"],
)
def test_slow_head(start, raw):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, listener='header_timeout = "500ms"'))
    with sluice.client() as client:
        client.send(raw)
        answer = client.response()
        assert (answer.status, answer.reason, answer.closes) == (408, "request_timeout", True)
        assert client.ended()
    (line,) = sluice.wait_log(lambda line: line["status"] == 408)
    assert (line["reason"], line["detail"]) == ("request_timeout", "slow_head")
    assert origin.heads == 0
    assert sluice.metric("sluice_protocol_errors_total", side="downstream", detail="slow_head") == 1


def test_head_deadline_is_absolute(start):
    """A byte now and then does not buy time."""
    origin = start.origin()
    sluice = start.sluice(config(origin.address, listener='header_timeout = "500ms"'))
    with sluice.client() as client:
        client.sock.settimeout(0.05)
        client.send(b"GET / HTTP/1.1\r\nX: ")
        end = time.monotonic() + TIMEOUT
        data = b""
        while not data and time.monotonic() < end:
            try:
                client.send(b"a")
                data = client.sock.recv(4096)
            except TimeoutError:
                continue
        assert data.startswith(b"HTTP/1.1 408 ")


def test_a_connection_without_a_request_ends(start):
    origin = start.origin()
    sluice = start.sluice(
        config(origin.address, listener=f'header_timeout = "{limit(0.5)}"\nidle_timeout = "{limit(0.5)}"')
    )
    with sluice.client() as client:
        with contextlib.suppress(Closed):  # silently, or told 408 once
            assert client.response().status == 408
        assert client.ended()
    assert sluice.request().status == 200


def test_idle_keep_alive_connection_closes(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, listener=f'idle_timeout = "{limit(0.5)}"'))
    with sluice.client() as client:
        assert client.request().status == 200
        assert client.ended()
    sluice.wait_metric(1, "sluice_downstream_connections_closed_total", cause="idle_timeout")
    assert len(sluice.access_log()) <= 1


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_slow_body(start, framing):
    def on_connection(connection):
        connection.read_body(connection.read_head())

    origin = start.origin(on_connection=on_connection)
    sluice = start.sluice(config(origin.address, listener='body_timeout = "500ms"'))
    with sluice.client() as client:
        if framing == "length":
            client.send(build("POST", "/slow", {"Content-Length": "10"}) + b"12345")
        else:
            client.send(build("POST", "/slow", {"Transfer-Encoding": "chunked"}) + b"5\r\n12345\r\n")
        answer = client.response("POST")
        assert (answer.status, answer.reason, answer.closes) == (408, "request_timeout", True)
        assert client.ended()
    assert origin.connections[0].ended.wait(TIMEOUT), "the origin connection with half a request was kept"
    (line,) = sluice.wait_log_path("/slow")
    assert (line["status"], line["reason"], line["detail"]) == (408, "request_timeout", "slow_body")


def test_body_timeout_is_between_two_reads(start):
    """A body that takes longer in all but never pauses for long passes."""
    origin = start.origin()
    sluice = start.sluice(config(origin.address, listener='body_timeout = "2s"'))
    begun = time.monotonic()
    with sluice.client() as client:
        client.send(build("POST", "/", {"Transfer-Encoding": "chunked"}))
        client.sock.settimeout(0.1)
        while time.monotonic() - begun < 3:
            client.send(b"1\r\nx\r\n")
            with pytest.raises(TimeoutError):
                client.sock.recv(1)
        client.sock.settimeout(TIMEOUT)
        client.send(b"0\r\n\r\n")
        assert client.response("POST").status == 200


def test_a_client_that_does_not_read_is_cut(start):
    size = 64 << 20

    def on_request(connection, request):
        if request.target == "/big":
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            connection.send_large(size)
        else:
            connection.send(ok())

    origin = start.origin(on_request)
    sluice = start.sluice(config(origin.address, listener='write_timeout = "500ms"'))
    with sluice.client(rcvbuf=4096) as client:
        client.send(build(path="/big"))
        (line,) = sluice.wait_log_path("/big")
        assert line["detail"] == "slow_read" and 0 < line["bytes_out"] < size, line
        with pytest.raises(Closed):
            client.response()
    assert origin.connections[0].ended.wait(TIMEOUT), "the origin still sends"
    assert sluice.request().status == 200


def test_minimum_rate_of_a_body(start):
    """Bytes come, within body_timeout, but below min_rate: cut 10 s after the start, not earlier."""

    def on_connection(connection):
        connection.read_body(connection.read_head())

    origin = start.origin(on_connection=on_connection)
    sluice = start.sluice(config(origin.address, listener='body_timeout = "5s"\nmin_rate = 1000'))
    with sluice.client() as client:
        client.send(build("POST", "/drip", {"Content-Length": "100000"}))
        client.sock.settimeout(0.2)
        data, end = b"", time.monotonic() + TIMEOUT + 10
        while not data and time.monotonic() < end:
            try:
                client.send(b"x")
                data = client.sock.recv(4096)
            except TimeoutError:
                continue
        assert data.startswith(b"HTTP/1.1 408 ")
    (line,) = sluice.wait_log_path("/drip")
    assert line["detail"] == "slow_body"


def test_silence_that_nobody_owes_is_ruled_by_stream_idle_alone(start):
    """An event stream is silent for longer than every client limit."""
    go = threading.Event()

    def on_connection(connection):
        connection.read_request()
        connection.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n"
        )
        assert go.wait(TIMEOUT)
        connection.send(b"7\r\nsecond\n\r\n0\r\n\r\n")
        connection.wait_eof()

    origin = start.origin(on_connection=on_connection)
    limits = "\n".join(
        f'{key} = "{limit(0.5)}"' for key in ("header_timeout", "body_timeout", "write_timeout", "idle_timeout")
    )
    sluice = start.sluice(
        config(
            origin.address, listener=limits, route=f'timeout = "{limit(0.5)}"', pool=f'idle_timeout = "{limit(0.5)}"'
        )
    )
    with sluice.client() as client:
        client.send(build())
        answer = client.head()
        begun = time.monotonic()
        wait_for(lambda: time.monotonic() - begun > 1.0 * slowness(), what="twice as long as every limit")
        go.set()
        assert client.body(answer).body == b"first\nsecond\n"


def test_stream_idle_timeout(start):
    def on_connection(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        connection.wait_eof()

    origin = start.origin(on_connection=on_connection)
    sluice = start.sluice(config(origin.address, route='stream_idle_timeout = "500ms"'))
    with sluice.client() as client:
        client.send(build(path="/idle"))
        answer = client.head()
        with pytest.raises(Closed):
            client.body(answer)
    assert origin.connections[0].eof.wait(TIMEOUT)
    (line,) = sluice.wait_log_path("/idle")
    assert line["status"] == 200 and line["reason"] in ("timeout", "reset", "bad_response"), line


def test_origin_without_an_answer(start):
    origin = start.origin(on_connection=lambda c: (c.read_request(), c.wait_eof()))
    sluice = start.sluice(config(origin.address, route='timeout = "500ms"'))
    answer = sluice.request(path="/slow")
    assert (answer.status, answer.reason) == (504, "timeout")
    assert origin.connections[0].eof.wait(TIMEOUT), "the connection is still open"
    assert origin.heads == 1
    (line,) = sluice.wait_log_path("/slow")
    assert (line["status"], line["reason"]) == (504, "timeout")
    assert sluice.metric("sluice_upstream_errors_total", upstream="app", reason="timeout") == 1


def test_origin_that_drips_its_head(start):
    """The deadline of the head is absolute: bytes do not buy time."""

    def on_connection(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nX: ")
        while not connection.eof.is_set():
            connection.sock.settimeout(0.05)
            try:
                connection.wait_eof()
                connection.send(b"a")
            except OSError:
                connection.eof.set()

    origin = start.origin(on_connection=on_connection)
    sluice = start.sluice(config(origin.address, route='timeout = "500ms"'))
    answer = sluice.request()
    assert (answer.status, answer.reason) == (504, "timeout")
    assert origin.connections[0].ended.wait(TIMEOUT)


def test_timeout_starts_with_the_last_byte_of_the_request(start):
    """A slow upload is ruled by the body limits, not by `timeout`."""
    origin = start.origin()
    sluice = start.sluice(config(origin.address, route=f'timeout = "{limit(0.5)}"'))
    with sluice.client() as client:
        client.send(build("POST", "/", {"Transfer-Encoding": "chunked"}) + b"1\r\nx\r\n")
        begun = time.monotonic()
        wait_for(lambda: time.monotonic() - begun > 1.2 * slowness(), what="longer than the timeout")
        client.send(chunked(b"y"))
        assert client.response("POST").status == 200
    assert origin.requests[0].body == b"xy"


def test_connect_timeout(start):
    """A listener whose queue is full takes no connection: SYNs are dropped."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        host, port = full.getsockname()
        fillers = []
        try:
            for _ in range(4):
                s = socket.socket()
                s.setblocking(False)
                s.connect_ex((host, port))
                fillers.append(s)
            sluice = start.sluice(
                config(f"{host}:{port}", pool='connect_timeout = "300ms"\nacquire_timeout = "5s"', retry="attempts = 1")
            )
            answer = sluice.request(path="/connect")
            assert (answer.status, answer.reason) == (504, "connect_timeout")
        finally:
            for s in fillers:
                s.close()
    (line,) = sluice.wait_log_path("/connect")
    assert (line["status"], line["reason"]) == (504, "connect_timeout")
    assert sluice.metric("sluice_upstream_errors_total", upstream="app", reason="connect_timeout") >= 1


def test_tls_handshake_deadline(start):
    ca = start.authority()
    origin = start.origin()
    sluice = start.sluice(
        config(
            origin.address, listener=f'handshake_timeout = "{limit(0.5)}"', tls=certificate_lines(ca.issue("a.test"))
        )
    )
    for first in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"):
        with sluice.client() as client:
            client.send(first)
            assert client.ended()
    sluice.wait_metric(lambda v: v >= 1, "sluice_tls_handshake_errors_total")
    assert sluice.request(tls=ca.client_context(), server_name="a.test").status == 200


HALVES = {
    "tls": [b"\x16", b"\x16\x03\x01\x02\x00", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + bytes(100)],
    "proxy": [
        b"PROXY TC",
        b"PROXY TCP4 9.9.9.9 127.0.0.1 4711 80",
        b"\r\n\r\n\0\r\nQUI",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\1\2",
    ],
    "plain": [
        b"PRI * HTTP/2.0\r\n\r\nSM",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
    ],
}


@pytest.mark.parametrize("kind", HALVES)
def test_half_of_something_then_silence_costs_nothing(start, kind):
    """Twenty connections each; one that spins would take a core. In simulated time turns are counted:
    tests/sim/halves_test.cc."""
    origin = start.origin()
    tls = certificate_lines(start.authority().issue("a.test")) if kind == "tls" else ""
    listener = 'proxy_protocol = "required"' if kind == "proxy" else ""
    sluice = start.sluice(config(origin.address, listener=listener, tls=tls, protocols=("h2", "http/1.1")))
    with contextlib.ExitStack() as open_ones:
        for half in HALVES[kind] * 20:
            open_ones.enter_context(sluice.client()).send(half)
        wait_for(
            lambda: sluice.metric("sluice_downstream_connections", listener="main") == 20 * len(HALVES[kind]),
            what="all connections are there",
        )
        before = sluice.cpu()
        time.sleep(1)  # of silence: that nothing happens cannot be waited for
        assert sluice.cpu() - before < 0.5
