"""Backends that die and come back under load: no client may see an error for a GET.

100,000 requests over 64 connections (a share of it by SLUICE_E2E_SCALE) while one of three backends is
killed and started again ten times, at moments spread evenly over the requests.
"""

import os
import re
import subprocess
import threading

import pytest

from harness.base import TIMEOUT, refused_address, scale, wait_for
from harness.client import build
from harness.origin import ok
from harness.proxy import config


class H2load:
    """h2load speaking HTTP/1.1: quick enough to be no bottleneck, and it counts every failure."""

    def __init__(self, sluice, requests, connections=64):
        self.sluice = sluice
        self.requests = requests
        self.process = subprocess.Popen(
            ["h2load", "--h1", "-n", str(requests), "-c", str(connections), "-t", "1", f"http://{sluice.address()}/"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def reached(self, share):
        """Waits until this share of the requests has been counted by the proxy."""
        target = self.requests * share
        wait_for(
            lambda: self.process.poll() is not None or self.sluice.metric("sluice_requests_total") >= target,
            TIMEOUT * 6,
            f"{share:.0%} of the load",
        )

    def result(self):
        try:
            out, _ = self.process.communicate(timeout=TIMEOUT * 9)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(TIMEOUT)
        counts = re.search(
            r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) "
            r"timeout",
            out,
        )
        codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out)
        assert counts and codes, out
        return [int(v) for v in counts.groups()], [int(v) for v in codes.groups()], out


@pytest.mark.parametrize("balance", ["round_robin", "p2c"])
def test_a_backend_is_killed_and_started_ten_times(start, balance):
    total = max(2000, int(100_000 * scale()))
    backends = [start.nginx(f"n{i}") for i in range(3)]
    sluice = start.sluice(config(*(b.address for b in backends), upstream=f'balance = "{balance}"', workers=2))
    load = H2load(sluice, total)
    try:
        for i in range(10):
            load.reached((2 * i + 1) / 22)
            backends[1].kill()
            load.reached((2 * i + 2) / 22)
            backends[1].start()
    finally:
        counts, codes, out = load.result()
    wrong = [line for line in sluice.access_log() if line["status"] != 200]
    assert not wrong, wrong[:5]
    assert counts == [total, total, total, total, 0, 0, 0], out
    assert codes == [total, 0, 0, 0], out
    sluice.wait_metric(total, "sluice_requests_total", code="200")
    errors = sluice.metric("sluice_upstream_errors_total")
    assert errors > 0, "the backend was never missed: the test shows nothing"
    replies = sluice.metrics().series("sluice_local_replies_total")
    assert not sum(replies.values()), replies


def test_all_backends_die_and_come_back(start):
    """Errors while there is nobody, service as soon as there is, no restart needed."""
    backend = start.nginx("only")
    sluice = start.sluice(config(backend.address, workers=2))
    for _ in range(3):
        wait_for(lambda: sluice.request().status == 200, what="service")
        backend.kill()
        answer = sluice.request()
        assert (answer.status, answer.reason) in (
            (502, "connect_failed"),
            (503, "no_endpoint"),
            (502, "reset"),
        ), answer.headers
        backend.start()
    wait_for(lambda: sluice.request().status == 200, what="service")


@pytest.mark.parametrize("way", ["refuse", "reset"])
def test_an_outage_costs_at_most_a_quarter_more_tries(start, way):
    total = 2000
    if way == "refuse":
        dead = [refused_address() for _ in range(3)]
    else:
        dead = [start.origin(lambda connection, request: connection.reset()).address for _ in range(3)]
    sluice = start.sluice(config(*dead, workers=2))
    _, codes, out = H2load(sluice, total).result()
    assert codes == [0, 0, 0, total], out
    tries = sluice.metric("sluice_upstream_errors_total", upstream="app")
    assert total <= tries <= 1.25 * total
    assert sluice.metric("sluice_upstream_retries_refused_total", upstream="app", why="budget") > 0


def test_a_backend_that_resets_every_other_connection(start):
    def script(connection):
        while True:
            connection.read_request()
            if connection.number % 2 and len(connection.requests) == 3:
                connection.reset()
                return
            connection.send(ok())

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        for i in range(200):
            assert client.request().status == 200, i
    assert len(sluice.wait_log(lambda line: line["status"] == 200, 200)) == 200


@pytest.mark.parametrize("workers", [1, 2])
def test_churn_of_client_connections(start, workers):
    """A connection a request: nothing is left behind."""
    backend = start.nginx("churn")
    sluice = start.sluice(config(backend.address, workers=workers))
    assert sluice.request().status == 200
    count = max(50, int(1500 * scale()))
    for _ in range(count):
        assert sluice.request().status == 200
    sluice.wait_metric(0, "sluice_downstream_connections", listener="main")
    sluice.wait_metric(0, "sluice_requests_in_flight")
    wait_for(lambda: len(os.listdir(f"/proc/{sluice.pid}/fd")) < 250, what="file descriptors are closed")


def test_client_connections_have_a_cap(start):
    """At max_connections the oldest idle client makes room; if all are busy the new one is closed."""
    gate = threading.Event()

    def on_request(connection, request):
        if request.target == "/held":
            assert gate.wait(TIMEOUT)
        connection.send(ok())

    origin = start.origin(on_request)
    sluice = start.sluice(config(origin.address).replace("[runtime]", "[runtime]\nmax_connections = 4"))
    clients = [sluice.client() for _ in range(4)]
    assert all(c.request().status == 200 for c in clients)
    fifth = sluice.client()
    assert fifth.request().status == 200
    assert clients[0].ended()
    busy = clients[1:] + [fifth]
    heads = origin.heads
    for client in busy:
        client.send(build(path="/held"))
    origin.wait_heads(heads + 4)
    try:
        with sluice.client() as refused:
            assert refused.ended()
    except ConnectionResetError:  # so early that connect() sees it
        pass
    sluice.wait_metric(lambda v: v >= 1, "sluice_downstream_connections_rejected_total")
    gate.set()
    assert all(c.response().status == 200 for c in busy)
