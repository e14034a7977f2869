"""Limits of a route and of a listener over several workers: at the limit and one above, and given back at the end."""

import contextlib
import threading

from harness.base import wait_for
from harness.client import Closed, build
from harness.h2 import H2Client
from harness.origin import ok
from harness.proxy import config


def held_origin(start):
    """An origin that answers when the gate is open."""
    gate = threading.Event()
    origin = start.origin(lambda connection, request: (gate.wait(120), connection.send(ok())))
    return origin, gate


def outcome(sluice, name):
    return sluice.metric("sluice_concurrency_limit_total", route="app", outcome=name)


def test_requests_open_at_once_over_all_workers(start):
    most = 10
    origin, gate = held_origin(start)
    route = f'concurrency_limit = {{ requests = {most}, key = "client_ip" }}'
    sluice = start.sluice(config(origin.address, route=route, workers=3))
    with contextlib.ExitStack() as held:
        held.callback(gate.set)
        clients = [held.enter_context(sluice.client()) for _ in range(most)]
        for client in clients:
            client.send(build())
        origin.wait_heads(most)
        for _ in range(12):
            refused = sluice.request()
            assert (refused.status, refused.reason, refused.header("retry-after")) == (429, "rate_limited", "1")
        other = held.enter_context(sluice.client(source="127.0.0.2"))
        other.send(build())
        origin.wait_heads(most + 1)
        assert (outcome(sluice, "allowed"), outcome(sluice, "limited")) == (most + 1, 12)
        clients[0].reset()  # who leaves makes room
        wait_for(lambda: sluice.metric("sluice_requests_in_flight", route="app") == most, what="one has left")
        clients[0] = held.enter_context(sluice.client())
        clients[0].send(build())
        origin.wait_heads(most + 2)
        gate.set()
        assert all(client.response().status == 200 for client in (*clients, other))
        wait_for(lambda: sluice.metric("sluice_requests_in_flight", route="app") == 0, what="all have ended")
        assert all(sluice.request().status == 200 for _ in range(2 * most))


def test_streams_of_one_connection_count_too(start):
    origin, gate = held_origin(start)
    sluice = start.sluice(
        config(origin.address, route="concurrency_limit = { requests = 2 }", protocols=("h2",), workers=2)
    )
    with H2Client(sluice.address()) as client:
        try:
            first = [client.start("/held") for _ in range(2)]
            origin.wait_heads(2)
            assert client.request("/refused").status == 429
            client.rst(first[0])
            wait_for(lambda: sluice.metric("sluice_requests_in_flight", route="app") == 1, what="one has left")
            gate.set()
            assert client.request("/let-in").status == 200
            assert client.finish(first[1])
        finally:
            gate.set()
    line = sluice.wait_log_path("/refused")[0]
    assert (line["reason"], line["detail"]) == ("rate_limited", "concurrency_limit")


def test_a_reload_keeps_who_is_open(start):
    origin, gate = held_origin(start)
    text = config(origin.address, route="concurrency_limit = { requests = 1 }", workers=2)
    sluice = start.sluice(text)
    with sluice.client() as first:
        try:
            first.send(build())
            origin.wait_heads(1)
            assert sluice.request().status == 429
            sluice.reload(text.replace('[[route]]\nname = "app"', '[[route]]\nname = "app"\npriority = "high"'))
            assert sluice.request().status == 429
        finally:
            gate.set()
        assert first.response().status == 200
    wait_for(lambda: sluice.metric("sluice_requests_in_flight", route="app") == 0, what="it has ended")
    assert sluice.request().status == 200


def test_what_the_answer_says_it_cost_is_paid_by_the_next(start):
    origin = start.origin(lambda connection, request: connection.send(ok(headers=["X-Cost: 1000"])))
    route = 'rate_limit = { requests = 100, per = "1h", key = "header:x-key", cost = "header:x-cost" }'
    sluice = start.sluice(config(origin.address, route=route, workers=3))
    for key in ("a", "b"):
        answer = sluice.request(headers={"X-Key": key})
        assert (answer.status, answer.header("x-cost")) == (200, "1000")
        for _ in range(6):  # whichever worker they come to
            answer = sluice.request(headers={"X-Key": key})
            assert answer.status == 429 and int(answer.header("retry-after")) > 3600
    assert len(origin.requests) == 2


def test_connections_of_one_address_over_all_workers(start):
    most = 8
    origin = start.origin()
    sluice = start.sluice(config(origin.address, listener=f"max_connections_per_client = {most}", workers=3))

    def let_in(held, **options):
        try:
            client = held.enter_context(sluice.client(**options))
            return client if client.request().status == 200 else None
        except (Closed, OSError):
            return None

    with contextlib.ExitStack() as held:
        clients = [let_in(held) for _ in range(most)]
        assert all(clients)
        assert not any(let_in(held) for _ in range(6))
        assert sluice.metric("sluice_downstream_connections_rejected_total", reason="max_connections_per_client") == 6
        assert let_in(held, source="127.0.0.2")
        clients[0].close()
        assert wait_for(lambda: let_in(held), what="who leaves makes room")
        assert all(client.request().status == 200 for client in clients[1:])
