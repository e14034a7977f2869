"""Time limits follow the state of the exchange (rows 57 and 59): whoever owes something is timed, and nobody else."""

import socket
import threading
import time

import pytest

from harness.base import TIMEOUT, limit, slowness
from harness.certs import certificate_lines
from harness.client import build
from harness.h2 import H2Client
from harness.origin import ok
from harness.proxy import config


@pytest.fixture
def slow_origin(start):
    """An origin of a second; /held waits until it is let go."""
    release = threading.Event()

    def on_request(connection, request):
        if request.target == "/held":
            release.wait(TIMEOUT)
        else:
            time.sleep(1)  # what it does, not what we wait for
        connection.send(ok())

    origin = start.origin(on_request)
    origin.release = release
    yield origin
    release.set()


def leave(client, how):
    if how == "half-close":
        client.sock.shutdown(socket.SHUT_WR)
    else:
        client.close()


@pytest.mark.parametrize("how", ["close", "half-close"])
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_clients_that_gave_up_do_not_hold_up_the_live_one(start, slow_origin, how, tls):
    lines, options = "", {}
    if tls:
        if how == "half-close":
            pytest.skip("python's ssl has no half close")
        ca = start.authority()
        lines, options = certificate_lines(ca.issue("a.test")), {"tls": ca.client_context(), "server_name": "a.test"}
    sluice = start.sluice(config(slow_origin.address, tls=lines, pool='max_connections = 1\nacquire_timeout = "30s"'))
    holder = sluice.client(**options)
    holder.send(build(path="/held"))
    slow_origin.wait_heads(1)
    gone = [sluice.client(**options) for _ in range(8)]
    for client in gone:
        client.send(build(path="/gone"))
    sluice.wait_metric(8, "sluice_upstream_pool_waiting", upstream="app", why="cap")
    for client in gone:
        leave(client, how)
    sluice.wait_metric(0, "sluice_upstream_pool_waiting", upstream="app", why="cap")
    lines = sluice.wait_log(lambda line: line["path"] == "/gone", 8)
    assert all((line["status"], line["reason"]) == (499, "client_closed") for line in lines)
    slow_origin.release.set()
    assert holder.response().status == 200
    assert sluice.request(path="/live", **options).status == 200
    assert [r.target for r in slow_origin.requests] == ["/held", "/live"]


def test_a_half_closed_client_is_answered(start):
    """printf ... | nc -N: the FIN comes with the request."""
    origin = start.origin()
    sluice = start.sluice(config(origin.address, pool="max_connections = 1"))
    for _ in range(3):
        with sluice.client() as client:
            client.send(build(path="/nc"))
            client.finish()
            assert client.response().status == 200
            assert client.ended()


def test_a_silent_event_stream_ends_with_its_client(start):
    def on_connection(connection):
        connection.read_request()
        connection.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n"
        )
        connection.wait_eof()

    origin = start.origin(on_connection=on_connection)
    sluice = start.sluice(config(origin.address))
    client = sluice.client()
    client.send(build(path="/events"))
    client.head()
    client.close()
    assert origin.connections[0].eof.wait(TIMEOUT)
    (line,) = sluice.wait_log_path("/events")
    assert (line["status"], line["reason"]) == (200, "client_closed")


def echo_lines(connection):
    """Answers at once and sends back what comes, piece by piece, for as long as it comes."""
    request = connection.read_head()
    assert request.header("transfer-encoding") == "chunked"
    connection.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        size = int(connection.read_until(b"\r\n"), 16)
        data = connection.read(size + 2)
        connection.send(b"%x\r\n%s" % (size, data))
        if size == 0:
            break
    connection.wait_eof()


def test_two_way_streams_outlive_body_timeout(start):
    """HTTP/1 chunked both ways and a plain HTTP/2 stream: longer than every limit of the client, below min_rate."""
    origin = start.origin(on_connection=echo_lines)
    limits = f'body_timeout = "{limit(1)}"\nwrite_timeout = "{limit(1)}"'
    sluice = start.sluice(config(origin.address, listener=limits, protocols=("h2", "http/1.1")))
    silences = 2

    def pause():
        time.sleep(1.6 * slowness())  # longer than the limit: that is what is shown

    with sluice.client() as client:
        client.send(build("POST", "/h1", {"Transfer-Encoding": "chunked"}) + b"5\r\nhello\r\n")
        assert client.head().status == 200
        assert client.read_bytes(10) == b"5\r\nhello\r\n"
        for _ in range(silences):
            pause()
            client.send(b"5\r\nagain\r\n")
            assert client.read_bytes(10) == b"5\r\nagain\r\n"
        client.send(b"0\r\n\r\n")
        assert client.read_bytes(5) == b"0\r\n\r\n"
    with H2Client(sluice.address()) as h2:
        stream = h2.start("/h2", "POST", end=False)
        h2.send_body(stream, b"hello", end=False)
        h2.until(lambda: h2.seen(stream).body == b"hello")
        for n in range(silences):
            pause()
            h2.send_body(stream, b"again", end=False)
            h2.until(lambda n=n: h2.seen(stream).body == b"hello" + b"again" * (n + 1))
        h2.send_body(stream, b"", end=True)
        h2.until(lambda: h2.seen(stream).over)
    for path in ("/h1", "/h2"):
        (line,) = sluice.wait_log_path(path)
        assert (line["status"], line["reason"]) == (200, ""), line


def test_silent_requests_that_call_themselves_grpc_leave_room_for_the_live(start):
    """128 of them, by HTTP/2, to a pool of eight connections of HTTP/1: the live are served, the silent are told."""
    origin = start.origin()
    limits = 'body_timeout = "10s"'  # far from the 2 s after which a body pauses
    sluice = start.sluice(
        config(origin.address, listener=limits, pool="max_connections = 8", protocols=("h2", "http/1.1"))
    )
    with H2Client(sluice.address()) as h2:
        fields = [("content-type", "application/grpc"), ("te", "trailers")]
        streams = [h2.start("/silent", "POST", fields, end=False) for _ in range(128)]
        origin.wait_heads(4)  # their bodies pause: they may have half of the pool
        for _ in range(50):
            assert sluice.request(path="/live").status == 200
        h2.until(lambda: all(h2.seen(stream).over for stream in streams))
    lines = sluice.wait_log_path("/silent", 128)
    assert {(line["reason"], line["detail"]) for line in lines} == {("request_timeout", "slow_body")}
    assert sluice.request(path="/live").status == 200
