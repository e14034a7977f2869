"""The drill, question 4: why was this connection closed, and by whom? Each way in which a request or a connection ends;
the log, the metrics of both sides and `sluice why` name the same side, and a cut answer is never counted as well."""

import signal

import pytest
from harness.base import limit, refused_address, wait_for
from harness.client import Client, Closed, build
from harness.origin import ok
from harness.proxy import config

UPGRADE = [("Connection", "upgrade"), ("Upgrade", "websocket")]
PARTIAL = b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + b"x" * 20000


def script(connection, request):
    if request.target == "/reset-mid":
        connection.send(PARTIAL)
        connection.reset()
    elif request.target == "/short":
        connection.send(PARTIAL)
        connection.close()
    elif request.target == "/reset":
        connection.reset()
    elif request.target == "/nonsense":
        connection.send(b"nonsense\r\n\r\n")
    elif request.target in ("/silent", "/left-waiting"):
        connection.wait_eof()
    elif request.target in ("/left-mid", "/held"):
        connection.send(PARTIAL)
        connection.wait_eof()
    elif request.target == "/closes":
        connection.send(ok(headers=["Connection: close"]))
        connection.close()
    elif request.header("upgrade"):
        connection.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        connection.wait_eof()
    else:
        connection.send(ok())


@pytest.fixture
def sluice(start):
    before = f"""[[route]]
name = "silent"
path_prefix = "/silent"
upstream = "app"
timeout = "{limit(0.3)}"
[[route]]
name = "dead"
path_prefix = "/dead"
upstream = "dead"
"""
    extra = f'[[upstream]]\nname = "dead"\nendpoints = ["{refused_address()}"]\n[upstream.retry]\nattempts = 1\n'
    options = {"retry": "attempts = 1", "route": 'upgrade = ["websocket"]', "deadline": "300ms"}
    return start.sluice(config(start.origin(script).address, before=before, extra=extra, **options))


def plain(sluice, path):
    try:
        return sluice.request(path=path).status
    except Closed as cut:
        return cut


def leaves(sluice, path):
    """The client goes when it has a part of the answer, or while it waits for one."""
    with Client(sluice.address()) as client:
        client.send(build(path=path))
        if path == "/left-mid":
            client.head()
        else:
            sluice.wait_metric(1, "sluice_requests_in_flight", route="app")


def upgrades(sluice, path):
    with Client(sluice.address()) as client:
        client.send(build(path=path, headers=UPGRADE))
        assert client.head().status == 101


ENDINGS = [
    # path, how, (ended, ended_by, during, reason), the upstream connection's (cause, by), the answer was cut by
    ("/reset-mid", plain, ("cut", "upstream", "response_body", "reset"), ("peer_reset", "peer"), "upstream"),
    ("/short", plain, ("cut", "upstream", "response_body", "reset"), ("peer_closed", "peer"), "upstream"),
    ("/reset", plain, ("refused", "upstream", "response_head", "reset"), ("peer_reset", "peer"), None),
    ("/nonsense", plain, ("refused", "upstream", "response_head", "bad_response"), ("protocol_error", "us"), None),
    ("/silent", plain, ("refused", "upstream", "response_head", "timeout"), ("route_timeout", "us"), None),
    ("/dead", plain, ("refused", "upstream", "connect", "connect_failed"), ("connect_failed", "peer"), None),
    ("/left-mid", leaves, ("cut", "client", "response_body", "client_closed"), ("client_left", "us"), "client"),
    ("/left-waiting", leaves, ("cut", "client", "response_head", "client_closed"), ("client_left", "us"), None),
    ("/ws", upgrades, ("tunnel", None, None, None), ("tunnel_end", "peer"), None),
    ("/closes", plain, ("complete", None, None, None), ("peer_asked", "peer"), None),
]


@pytest.mark.parametrize("path, how, told, closed, cut", ENDINGS, ids=[e[0] for e in ENDINGS])
def test_each_ending_has_one_cause_and_one_side_everywhere(sluice, path, how, told, closed, cut):
    how(sluice, path)
    line = sluice.wait_log_path(path)[0]
    assert tuple(line.get(k) for k in ("ended", "ended_by", "during", "reason")) == told, line
    cause, by = closed
    upstream = "dead" if path == "/dead" else "app"
    sluice.wait_metric(1, "sluice_upstream_connections_closed_total", upstream=upstream, cause=cause, by=by)
    assert sluice.metric("sluice_upstream_connections_closed_total", upstream=upstream) == 1, "and no other cause"
    cuts = {side: sluice.metric("sluice_responses_cut_total", by=side) for side in ("client", "upstream", "proxy")}
    assert cuts == {side: float(side == cut) for side in cuts}
    kept = sluice.json(f"/recent?conn={line['conn']}")["ends"][0]
    assert (kept["ended"], kept.get("ended_by")) == told[:2]
    wait_for(lambda: sluice.metric("sluice_downstream_connections") == 0, what="the client's connection is over")


def test_what_a_drain_cuts_is_the_drains_doing_on_both_sides(sluice):
    assert sluice.admin("/log-level?level=debug&for=10m", method="POST")[0] == 200
    with Client(sluice.address()) as client:
        client.send(build(path="/held"))
        client.head()
        sluice.signal(signal.SIGTERM)
        line = sluice.wait_log_path("/held")[0]
    assert (line["ended"], line["ended_by"], line["reason"]) == ("cut", "proxy", "drain")
    assert sluice.wait_exit() == 0
    closed = [e for e in sluice.stderr().splitlines() if "event=connection_closed side=upstream" in e]
    assert len(closed) == 1 and "cause=drain" in closed[0] and "by=proxy" in closed[0], closed


def test_idle_ends_are_ours_and_say_so(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, listener='idle_timeout = "200ms"', pool='idle_timeout = "200ms"'))
    with Client(sluice.address()) as client:
        assert client.request().status == 200
        for side in ("downstream", "upstream"):
            sluice.wait_metric(1, f"sluice_{side}_connections_closed_total", cause="idle_timeout", by="us")
    assert sluice.metric("sluice_responses_cut_total") == 0
