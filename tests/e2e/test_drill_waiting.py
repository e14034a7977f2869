"""The drill, questions 2 and 3: do requests wait for a connection, and why? For a cap, for connects, for no endpoint; a
small pool told from a slow upstream."""

import pytest
from harness.base import wait_for
from harness.client import Client, build, held_clients
from harness.proxy import config


def waiting(sluice, why):
    return sluice.metric("sluice_upstream_pool_waiting", upstream="app", why=why)


def upstream(sluice, name="app"):
    return next(u for u in sluice.status()["upstreams"] if u["name"] == name)


def test_a_cap_is_told_while_it_lasts_and_in_every_line_after(start, gate):
    sluice = start.sluice(config(start.origin(gate).address, pool='max_connections = 1\nacquire_timeout = "60s"'))
    clients = held_clients(sluice, 4)
    wait_for(lambda: waiting(sluice, "cap") == 3, what="three at the cap")
    assert waiting(sluice, "connecting") == 0
    assert upstream(sluice)["waiting"] == 3
    oldest = "sluice_upstream_pool_oldest_wait_seconds"
    first = sluice.metric(oldest, upstream="app")
    wait_for(lambda: sluice.metric(oldest, upstream="app") > first, what="the oldest one grows older")
    wait_for(lambda: "pool.max_connections" in sluice.admin("/advice")[1], what="the key to set")
    assert "app" in sluice.admin("/status", headers={"accept": "text/plain"})[1]
    gate.open()
    assert all(client.response().status == 200 for client in clients)
    lines = sluice.wait_log(lambda line: line["path"].startswith("/held"), 4)
    queued = [line for line in lines if line["queue_us"] > 0]
    assert len(queued) == 3 and all(line["connect_us"] == 0 for line in queued)
    assert sluice.metric(oldest, upstream="app") == 0
    wait = "sluice_upstream_pool_wait_seconds_count"
    assert [sluice.metric(wait, upstream="app", outcome=o) for o in ("served", "timeout", "left")] == [3, 0, 0]


def test_who_waits_in_vain_is_in_the_histogram_of_waits(start, gate):
    sluice = start.sluice(config(start.origin(gate).address, pool='max_connections = 1\nacquire_timeout = "200ms"'))
    held = held_clients(sluice, 1)
    sluice.wait_metric(1, "sluice_upstream_connections", upstream="app", state="active")
    assert sluice.request(path="/late").reason == "pool_timeout"
    line = sluice.wait_log_path("/late")[0]
    assert (line["ended"], line["ended_by"], line["during"]) == ("refused", "proxy", "queue")
    assert line["queue_us"] >= 150_000 and line["connect_us"] == line["upstream_head_us"] == 0
    with Client(sluice.address()) as client:
        client.send(build(path="/left"))
        wait_for(lambda: waiting(sluice, "cap") == 1, what="it waits")
    wait = "sluice_upstream_pool_wait_seconds_count"
    sluice.wait_metric(1, wait, upstream="app", outcome="left")
    assert sluice.metric(wait, upstream="app", outcome="timeout") == 1
    gate.open()
    assert held[0].response().status == 200


def test_connects_that_hang_are_no_queue(start):
    """It accepts and says nothing in TLS: the time is of the connect, not of the queue, and not of the request."""
    quiet = start.origin(on_connection=lambda connection: connection.wait_eof())
    tls = "verify = false"
    pool = 'connect_timeout = "500ms"\nmax_connections = 8'
    sluice = start.sluice(config(quiet.address, pool=pool, upstream_tls=tls, retry="attempts = 1"))
    with Client(sluice.address()) as client:
        client.send(build(path="/hangs"))
        wait_for(lambda: waiting(sluice, "connecting") == 1, what="one waits for its connect")
        assert waiting(sluice, "cap") == 0
        assert client.response().reason == "connect_timeout"
    line = sluice.wait_log_path("/hangs")[0]
    assert (line["ended_by"], line["during"], line["reason"]) == ("upstream", "connect", "connect_timeout")
    assert line["connect_us"] >= 400_000 and line["queue_us"] < 100_000 and line["endpoint"] == quiet.address
    assert sluice.metric("sluice_upstream_pool_wait_seconds_count", upstream="app") == 0
    wait_for(lambda: "connects_hang" in [a["code"] for a in sluice.json("/advice")], what="advice")
    reason = {"upstream": "app", "endpoint": quiet.address, "reason": "connect_timeout"}
    assert sluice.metric("sluice_upstream_endpoint_errors_total", **reason) == 1


def test_no_endpoint_waits_for_nothing(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address))
    assert sluice.admin(f"/upstreams/app/endpoints/{origin.address}/disable", method="POST")[0] == 200
    assert sluice.request(path="/none").reason == "no_endpoint"
    line = sluice.wait_log_path("/none")[0]
    assert (line["ended"], line["ended_by"]) == ("refused", "proxy") and line["queue_us"] < 100_000
    assert waiting(sluice, "cap") == waiting(sluice, "connecting") == 0
    state = upstream(sluice)["endpoints"][0]
    assert (state["state"], state["by"]) == ("disabled", "operator")
    assert sluice.metric("sluice_upstream_endpoints", upstream="app", state="disabled") == 1


@pytest.fixture
def pool(start):
    """A pool of two, whose origin takes so long as it is told."""

    def made(delay):
        origin = start.origin(delay)
        return start.sluice(config(origin.address, pool='max_connections = 2\nacquire_timeout = "60s"'))

    return made


def test_a_small_pool_is_told_with_the_number_to_set(pool, gate):
    sluice = pool(gate)
    clients = held_clients(sluice, 8)
    wait_for(lambda: "pool.max_connections = " in sluice.admin("/advice")[1], what="the key and the number")
    needed = sluice.metric("sluice_upstream_pool_recommended_connections", upstream="app")
    assert needed > sluice.metric("sluice_upstream_pool_limit_connections", upstream="app") == 2
    assert "slow" not in sluice.admin("/advice")[1]
    gate.open()
    assert all(client.response().status == 200 for client in clients)
