"""Pool classes: a slow route has its part of the pool, as the backend counts it, and the others have the rest."""

import threading

import pytest

from harness.base import TIMEOUT
from harness.client import build
from harness.origin import ok
from harness.proxy import config

SLOW = '[[route]]\nname = "slow"\npath_prefix = "/slow"\nupstream = "app"'


def with_class(limit):
    return f'[[upstream.pool_class]]\nname = "bulk"\nmax_connections = {limit}\nroutes = ["slow"]'


class Counting:
    """Holds requests to /slow until it is told to let go of them, and knows how many it ever held at once."""

    def __init__(self):
        self.lock = threading.Lock()
        self.gate = threading.Semaphore(0)
        self.now = self.most = 0

    def __call__(self, connection, request):
        if request.target.startswith("/slow"):
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
            assert self.gate.acquire(timeout=TIMEOUT * 3)
            with self.lock:
                self.now -= 1
        connection.send(ok())

    def let_go(self, count):
        self.gate.release(count)


@pytest.fixture
def counting():
    made = Counting()
    yield made
    made.let_go(1000)


def asked(sluice, count, path="/slow"):
    clients = [sluice.client() for _ in range(count)]
    for client in clients:
        client.send(build(path=path))
    return clients


def bulk(sluice, what, value):
    sluice.wait_metric(value, f"sluice_upstream_pool_class_{what}", upstream="app", **{"class": "bulk"})


def started(start, counting, limit, pool='max_connections = 8\nacquire_timeout = "20s"'):
    origin = start.origin(counting)
    text = config(origin.address, pool=f"{pool}\n{with_class(limit)}", before=SLOW, workers=2)
    return origin, text, start.sluice(text)


@pytest.mark.parametrize("limit", ["3", '"40%"'])
def test_a_slow_route_has_its_part_and_no_more(start, counting, limit):
    """20 requests of 16 connections on two workers: three at a time reach the backend, all are served, others pass."""
    origin, _, sluice = started(start, counting, limit)
    clients = asked(sluice, 20)
    bulk(sluice, "in_flight", 3)
    bulk(sluice, "waiting", 17)
    bulk(sluice, "limit", 3)
    for i in range(50):
        assert sluice.request(path=f"/fast/{i}").status == 200
    assert counting.most == 3
    assert sluice.metric("sluice_upstream_pool_waiting", upstream="app", why="cap") == 0
    (upstream,) = sluice.status()["upstreams"]
    assert upstream["pool_classes"] == [{"name": "bulk", "in_flight": 3, "limit": 3, "waiting": 17}]
    (line,) = sluice.wait_log_path("/fast/49")
    assert (line["status"], line["reason"]) == (200, "")
    counting.let_go(20)
    assert all(client.response().status == 200 for client in clients)
    assert counting.most == 3
    bulk(sluice, "in_flight", 0)
    bulk(sluice, "waiting", 0)


def test_a_reload_that_raises_the_limit_wakes_who_waits(start, counting):
    _, text, sluice = started(start, counting, 2)
    clients = asked(sluice, 8)
    bulk(sluice, "waiting", 6)
    sluice.reload(text.replace("max_connections = 2\n", "max_connections = 5\n"))
    bulk(sluice, "in_flight", 5)
    bulk(sluice, "waiting", 3)
    bulk(sluice, "limit", 5)
    counting.let_go(8)
    assert all(client.response().status == 200 for client in clients)
    assert counting.most == 5
    sluice.reload(text.replace(with_class(2), ""))
    assert not sluice.metrics().series("sluice_upstream_pool_class_limit")


def test_refusals_name_the_class(start, counting):
    _, _, sluice = started(start, counting, 1, 'max_connections = 8\nmax_waiting = 1\nacquire_timeout = "300ms"')
    held = asked(sluice, 1)
    bulk(sluice, "in_flight", 1)
    waits = asked(sluice, 1, "/slow/late")
    bulk(sluice, "waiting", 1)
    answer = sluice.request(path="/slow/above")
    assert (answer.status, answer.reason) == (503, "pool_full")
    assert 1 <= int(answer.header("retry-after")) <= 30
    assert waits[0].response().status == 503
    for path, reason in (("/slow/above", "pool_full"), ("/slow/late", "pool_timeout")):
        (line,) = sluice.wait_log_path(path)
        assert (line["status"], line["reason"], line["detail"]) == (503, reason, "pool_class")
    counting.let_go(1)
    assert held[0].response().status == 200


def test_who_leaves_while_it_waits(start, counting):
    """The client is gone; its place in the queue, and later the place of the class, go to the next."""
    _, _, sluice = started(start, counting, 1)
    first = asked(sluice, 1)
    bulk(sluice, "in_flight", 1)
    gone = asked(sluice, 3)
    bulk(sluice, "waiting", 3)
    last = asked(sluice, 1)
    bulk(sluice, "waiting", 4)
    for client in gone:
        client.close()
    bulk(sluice, "waiting", 1)
    counting.let_go(2)
    assert first[0].response().status == last[0].response().status == 200
    bulk(sluice, "in_flight", 0)
