"""Time limits follow the state of the exchange (rows 57 and 59): whoever owes something is timed, and nobody else."""
import socket
import threading
import time

import pytest

from harness.base import TIMEOUT
from harness.certs import certificate_lines
from harness.client import build
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
            time.sleep(1)                                # what it does, not what we wait for
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
    sluice.wait_metric(8, "sluice_upstream_pool_waiting", upstream="app")
    for client in gone:
        leave(client, how)
    sluice.wait_metric(0, "sluice_upstream_pool_waiting", upstream="app")
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
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n")
        connection.wait_eof()
    origin = start.origin(on_connection=on_connection)
    sluice = start.sluice(config(origin.address))
    client = sluice.client()
    client.send(build(path="/events"))
    client.head()
    client.close()
    assert origin.connections[0].eof.wait(TIMEOUT)
    line, = sluice.wait_log_path("/events")
    assert (line["status"], line["reason"]) == (200, "client_closed")
