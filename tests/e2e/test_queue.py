"""The queue of an upstream and what keeps it short: circuit, and what a refusal says."""

import threading
import time

import pytest

from harness.base import TIMEOUT
from harness.client import build, held_clients
from harness.origin import ok
from harness.proxy import config


@pytest.mark.parametrize("workers", [1, 2])
def test_circuit(start, gate, workers):
    """Above max_requests 503 at once, whichever worker has the client; a place that is free is used."""
    origin = start.origin(gate)
    sluice = start.sluice(config(origin.address, upstream="circuit = { max_requests = 3 }", workers=workers))
    clients = held_clients(sluice, 3)
    origin.wait_heads(3)
    sluice.wait_metric(3, "sluice_upstream_circuit_in_flight", upstream="app")
    for i in range(8):
        answer = sluice.request(path=f"/refused/{i}")
        assert (answer.status, answer.reason) == (503, "circuit_open")
        assert 1 <= int(answer.header("retry-after")) <= 30
    (line,) = sluice.wait_log_path("/refused/0")
    assert (line["status"], line["reason"]) == (503, "circuit_open")
    assert sluice.metric("sluice_local_replies_total", reason="circuit_open") == 8
    gate.open()
    assert all(c.response().status == 200 for c in clients)
    sluice.wait_metric(0, "sluice_upstream_circuit_in_flight", upstream="app")
    assert sluice.request(path="/after").status == 200
    assert origin.heads == 4


def test_a_queue_that_stands_sheds_the_oldest_low_ones_and_serves_the_newest(start, gate):
    """One connection, held; 10 low ones, 54 others, and then one after the other: each of them pushes one out."""
    origin = start.origin(gate)
    pool = 'max_connections = 1\nacquire_timeout = "20s"'
    low = '[[route]]\nname = "low"\npath_prefix = "/low"\nupstream = "app"\npriority = "low"'
    sluice = start.sluice(config(origin.address, pool=pool, before=low))
    held = held_clients(sluice, 1)
    origin.wait_heads(1)
    lows = held_clients(sluice, 10, "/low")
    sluice.wait_metric(10, "sluice_upstream_pool_waiting", upstream="app", why="cap")
    waiting = held_clients(sluice, 54, "/first")
    sluice.wait_metric(64, "sluice_upstream_pool_waiting", upstream="app", why="cap")
    while not sluice.metric("sluice_upstream_pool_shed_total", upstream="app"):
        waiting += held_clients(sluice, 1, f"/later/{len(waiting)}")
        time.sleep(0.02)
    answer = lows[0].response()
    assert (answer.status, answer.reason) == (503, "pool_timeout")
    assert 1 <= int(answer.header("retry-after")) <= 30
    line = sluice.wait_log(lambda r: r.get("reason") == "pool_timeout")[0]
    assert (line["path"], line["detail"]) == ("/low", "shed")
    last = f"/later/{len(waiting) - 1}"
    gate.open()
    assert all(c.response().status == 200 for c in held + waiting)
    assert [r.target for r in origin.requests][1] == last


@pytest.mark.parametrize("workers", [1, 2])
def test_one_client_that_reads_nothing_does_not_take_the_pool(start, workers):
    """200 downloads that nobody reads, 20 connections: another client has its answers, as the longest-stalled go."""

    def serve(connection, request):
        if request.target != "/large":
            return connection.send(ok())
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")
        connection.send_large(67108864)

    origin = start.origin(serve)
    pool = 'max_connections = 20\nacquire_timeout = "20s"'
    sluice = start.sluice(config(origin.address, pool=pool, workers=workers))
    stalled = [sluice.client(source="127.0.0.9", rcvbuf=4096) for _ in range(200)]
    for client in stalled:
        client.send(build(path="/large"))
    origin.wait_heads(20)
    sluice.wait_metric(lambda v: v > 0, "sluice_upstream_pool_waiting", upstream="app", why="cap")
    for i in range(5):
        assert sluice.client(source="127.0.0.10").request(path=f"/quick/{i}").status == 200
    assert sluice.metric("sluice_upstream_connections_closed_total", upstream="app", cause="client_stalled") >= 1
    line = sluice.wait_log(lambda r: r.get("detail") == "slow_read")[0]
    assert (line["path"], line["reason"]) == ("/large", "request_timeout")
