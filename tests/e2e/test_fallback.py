"""fallback of a route on real sockets: who answers while its upstream cannot, and what log and metrics say of it."""

import threading

import pytest

from harness.base import refused_address
from harness.h2 import H2Client
from harness.origin import ok
from harness.proxy import config

SPARE = '[[upstream]]\nname = "spare"\nendpoints = ["{}"]\n'


def with_spare(app, spare, **options):
    return config(app, route='fallback = { upstream = "spare" }', extra=SPARE.format(spare), **options)


def outcomes(sluice):
    return [sluice.metric("sluice_fallbacks_total", route="app", outcome=o) for o in ("served", "failed")]


def test_the_spare_answers_and_the_failure_stays_visible(start):
    spare = start.origin(lambda connection, request: connection.send(ok(b"spare")))
    sluice = start.sluice(with_spare(refused_address(), spare.address, workers=2))
    for method, body in (("GET", None), ("POST", b"x" * 1000)):
        answer = sluice.request(method, "/" + method, body=body)
        assert (answer.status, answer.body) == (200, b"spare")
        line = sluice.wait_log_path("/" + method)[0]
        assert (line["upstream"], line["endpoint"]) == ("spare", spare.address)
        assert (line["status"], line["reason"], line["fallback"]) == (200, "", "connect_failed")
        assert line["attempts"] == 3  # two at the route's own upstream
    assert [len(r.body) for r in spare.requests] == [0, 1000]
    assert outcomes(sluice) == [2, 0]
    assert sluice.metric("sluice_upstream_errors_total", upstream="app", reason="connect_failed") == 4
    assert sluice.metric("sluice_local_replies_total") == 0


def test_a_spare_that_is_dead_too(start):
    sluice = start.sluice(with_spare(refused_address(), refused_address()))
    assert sluice.request(path="/x").status == 502
    line = sluice.wait_log_path("/x")[0]
    assert (line["status"], line["reason"], line["fallback"]) == (502, "connect_failed", "connect_failed")
    assert outcomes(sluice) == [0, 1]


@pytest.mark.parametrize("method, status", [("GET", 200), ("POST", 502)])
def test_what_may_have_been_processed_is_not_done_again(start, method, status):
    app = start.origin(lambda connection, request: connection.reset())
    spare = start.origin()
    sluice = start.sluice(with_spare(app.address, spare.address))
    assert sluice.request(method, body=b"once" if method == "POST" else None).status == status
    assert len(spare.requests) == (1 if status == 200 else 0)


def test_who_finds_the_pool_full_is_served_by_the_spare(start):
    gate = threading.Event()
    app = start.origin(lambda connection, request: (gate.wait(60), connection.send(ok(b"app"))))
    spare = start.origin(lambda connection, request: connection.send(ok(b"spare")))
    pool = 'max_connections = 1\nacquire_timeout = "50ms"'
    sluice = start.sluice(with_spare(app.address, spare.address, pool=pool, workers=2))
    with sluice.client() as first:
        try:
            first.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            app.wait_heads(1)
            assert sluice.request().body == b"spare"
        finally:
            gate.set()
        assert first.response().body == b"app"


def test_a_fixed_answer_over_both_versions(start):
    route = 'fallback = { respond = { status = 503, body = "back soon" } }\nresponse_headers = { set = { x-a = "1" } }'
    sluice = start.sluice(config(refused_address(), route=route, protocols=("h2", "http/1.1")))
    answer = sluice.request(path="/h1")
    assert (answer.status, answer.body, answer.header("retry-after")) == (503, b"back soon", "1")
    assert (answer.header("x-a"), answer.reason) == ("1", "connect_failed")
    with H2Client(sluice.address()) as client:
        assert bytes(client.request("/h2").body) == b"back soon"
    line = sluice.wait_log_path("/h2")[0]
    assert (line["reason"], line["fallback"]) == ("connect_failed", "connect_failed")


def test_reloads_while_it_serves(start):
    spare = start.origin(lambda connection, request: connection.send(ok(b"spare")))
    text = with_spare(refused_address(), spare.address, workers=2)
    sluice = start.sluice(text)
    assert sluice.request().body == b"spare"
    sluice.reload(text.replace('{ upstream = "spare" }', '{ respond = { body = "fixed" } }'))
    assert sluice.request().body == b"fixed"
    sluice.reload(text.replace('fallback = { upstream = "spare" }', ""))
    assert sluice.request().status == 502
    sluice.reload(text)
    assert sluice.request().body == b"spare"
