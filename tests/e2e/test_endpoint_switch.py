"""An operator takes an endpoint out and puts it in again: POST /upstreams/NAME/endpoints/ENDPOINT/disable, /enable."""

import threading

from harness.base import TIMEOUT, wait_for
from harness.client import build
from harness.origin import ok
from harness.proxy import config


def switch(sluice, endpoint, what="disable", upstream="app"):
    return sluice.admin(f"/upstreams/{upstream}/endpoints/{endpoint}/{what}", method="POST")


def state_of(sluice, endpoint):
    """As /status and the metric say it; None while it changes between the two looks."""
    (upstream,) = sluice.status()["upstreams"]
    (found,) = [e for e in upstream["endpoints"] if e["name"] == endpoint]
    (series,) = sluice.metrics().series("sluice_upstream_endpoint_state", endpoint=endpoint)
    labels = dict(series)
    both = {(labels["state"], labels["by"]), (found["state"], found["by"])}
    return both.pop() if len(both) == 1 else None


class Load:
    """Requests without a pause on a few connections, and what became of them."""

    def __init__(self, sluice, clients=4):
        self.sluice, self.over = sluice, threading.Event()
        self.statuses = []
        self.threads = [threading.Thread(target=self.run) for _ in range(clients)]

    def run(self):
        with self.sluice.client() as client:
            while not self.over.is_set():
                self.statuses.append(client.request(method="POST", body=b"x").status)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(TIMEOUT)


def test_disabled_under_load_loses_nothing_and_gets_nothing(start):
    """What is under way is answered; after the answer to the POST not one request comes; a reload changes nothing."""
    first, second = start.origin(lambda c, r: c.send(ok())), start.origin(lambda c, r: c.send(ok()))
    text = config(first.address, second.address, workers=2, retry="attempts = 1")
    sluice = start.sluice(text)
    with Load(sluice) as load:
        wait_for(lambda: first.heads > 50 and second.heads > 50)
        code, answer = switch(sluice, first.address)
        # What was sent before the answer may still be on its way to the origin.
        sluice.wait_metric(0, "sluice_upstream_endpoint_in_flight", endpoint=first.address)
        before = first.heads
        assert code == 200 and f"disabled: {first.address} of upstream app" in answer and "warning" not in answer
        more = second.heads + 200
        wait_for(lambda: second.heads > more)
        sluice.reload(text.replace("attempts = 1", "attempts = 2"))
        more = second.heads + 200
        wait_for(lambda: second.heads > more)
        assert first.heads == before
        assert state_of(sluice, first.address) == ("disabled", "operator")
        wait_for(lambda: "disabled already" in switch(sluice, first.address)[1])
        assert sluice.metric("sluice_upstream_connections_closed_total", cause="disabled") > 0
        code, answer = switch(sluice, first.address, "enable")
        assert (code, answer) == (200, f"enabled: {first.address} of upstream app\n")
        wait_for(lambda: first.heads > before + 50)
    assert set(load.statuses) == {200}
    wait_for(lambda: state_of(sluice, first.address) == ("unchecked", "none"))
    told = f"event=endpoint_state upstream=app endpoint={first.address} "
    sluice.wait_stderr(told + "from=in_use to=disabled by=operator")
    sluice.wait_stderr(told + "from=disabled to=in_use by=operator")


def test_a_request_under_way_ends_as_it_would(start):
    gate = threading.Event()

    def held(connection, request):
        assert gate.wait(TIMEOUT)
        connection.send(ok(b"late"))

    origin = start.origin(held)
    sluice = start.sluice(config(origin.address))
    client = sluice.client()
    client.send(build())
    origin.wait_heads(1)
    code, answer = switch(sluice, origin.address)
    assert code == 200 and "; 1 requests in flight end as they would\n" in answer
    assert "warning: upstream app has no usable endpoint left: its requests are answered 503 no_endpoint" in answer
    refused = sluice.request()
    assert (refused.status, refused.reason) == (503, "no_endpoint")
    gate.set()
    assert client.response().body == b"late"
    assert switch(sluice, origin.address, "enable")[0] == 200
    assert sluice.request().status == 200


def test_checked_and_panic(start):
    """Checks say in_use, or unhealthy; in a panic what is unhealthy is used, and what is disabled is not."""
    status = {"x": "200 OK"}
    first = start.origin(lambda c, r: c.send(ok(b"first", status=status["x"])))
    second = start.origin(lambda c, r: c.send(ok(b"second", status=status["x"])))
    health = 'path = "/alive"\ninterval = "100ms"\nhealthy_after = 1\nunhealthy_after = 1'
    sluice = start.sluice(config(first.address, second.address, health=health))
    for origin in (first, second):
        wait_for(lambda o=origin: state_of(sluice, o.address) == ("in_use", "check"))
    switch(sluice, first.address)
    status["x"] = "500 No"
    wait_for(lambda: state_of(sluice, second.address) == ("in_use", "panic"))
    assert {sluice.request().body for _ in range(10)} == {b"second"}
    assert state_of(sluice, first.address) == ("disabled", "operator")


def test_unknown_names_methods_and_who_may(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address))
    code, text = switch(sluice, origin.address, upstream="ap")
    assert (code, text) == (404, "404: there is no upstream ap; known: app\n")
    code, text = switch(sluice, "127.0.0.1:1")
    assert (code, text) == (404, f"404: upstream app has no endpoint 127.0.0.1:1; known: {origin.address}\n")
    for path in (f"/upstreams/app/endpoints/{origin.address}/drain", "/upstreams/app/disable", "/upstreams//disable"):
        assert sluice.admin(path, method="POST")[0] == 404
    path = f"/upstreams/app/endpoints/{origin.address}/disable"
    assert sluice.admin(path)[0] == 405
    assert sluice.admin(path + "?now=1", method="POST")[0] == 400
    assert sluice.admin(path, method="POST", headers={"Origin": "http://evil.test"})[0] == 403
    assert sluice.request().status == 200
