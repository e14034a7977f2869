"""The drill, question 1: is it us, the upstream or the client? Each kind of slowness in turn; log, metrics, /recent and
`sluice why` book it to the side that owed it, and to no other."""

import socket
import time

import pytest
from harness.base import wait_for
from harness.client import Client, build
from harness.origin import ok
from harness.proxy import config

SLOW = 0.15  # how long the slow one takes; the route calls it slow long before
HALF = 0.075
LARGE = 8 << 20  # more than both kernels keep
SIDES = ("client", "queue", "upstream", "proxy")


def script(connection, request):
    if request.target == "/head":
        time.sleep(SLOW)
        connection.send(ok())
    elif request.target == "/body":
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + b"x" * 10000)
        time.sleep(SLOW)
        connection.send(b"x" * 10000)
    elif request.target == "/large":
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
        connection.send_large(LARGE)
    else:
        connection.send(ok())


@pytest.fixture(scope="module")
def sluice(shared):
    return shared.sluice(config(shared.origin(script).address, route='slow_after = "50ms"'))


def head_is_late(sluice):
    assert sluice.request(path="/head").status == 200


def body_is_late(sluice):
    assert len(sluice.request(path="/body").body) == 20000


def client_reads_late(sluice):
    with Client(sluice.address(), rcvbuf=4096) as client:
        client.send(build(path="/large"))
        time.sleep(SLOW)
        assert len(client.response().body) == LARGE


def client_sends_late(sluice):
    with Client(sluice.address()) as client:
        client.send(build("POST", "/upload", [("Content-Length", "4")]))
        time.sleep(SLOW)
        client.send(b"done")
        assert client.response().status == 200


@pytest.mark.parametrize(
    "path, slowly, phase, side",
    [
        ("/head", head_is_late, "upstream_head", "upstream"),
        ("/body", body_is_late, "upstream_body", "upstream"),
        ("/large", client_reads_late, "client_write", "client"),
        ("/upload", client_sends_late, "client_request", "client"),
    ],
)
def test_slowness_is_booked_to_who_owed_it(sluice, path, slowly, phase, side):
    def counted(name, **labels):
        return sluice.metric(name, route="app", **labels)

    slow = {s: counted("sluice_requests_slow_total", limited_by=s) for s in SIDES}
    booked = counted("sluice_request_phase_seconds_total", phase=phase)
    slowly(sluice)
    line = sluice.wait_log_path(path)[0]
    phases = {k: v for k, v in line.items() if k.endswith("_us") and k not in ("total_us", "tls_us", "first_byte_us")}
    assert sum(phases.values()) == line["total_us"]
    assert max(phases, key=phases.get) == f"{phase}_us" and phases[f"{phase}_us"] >= HALF * 1e6, phases
    assert line["limited_by"] == side and line["ended"] == "complete"
    wait_for(lambda: counted("sluice_requests_slow_total", limited_by=side) == slow[side] + 1, what="the count")
    for other in set(SIDES) - {side}:
        assert counted("sluice_requests_slow_total", limited_by=other) == slow[other]
    assert counted("sluice_request_phase_seconds_total", phase=phase) >= booked + HALF
    end = sluice.json(f"/recent?id={line['request_id']}")["ends"][0]
    assert end["limited_by"] == side and end[f"{phase}_us"] == line[f"{phase}_us"]


def test_what_no_side_was_slow_at_is_no_news(sluice):
    assert sluice.request(path="/quick").status == 200
    assert "limited_by" not in sluice.wait_log_path("/quick")[0]


def test_who_does_not_read_at_all_is_the_clients_doing_to_the_end(start):
    """The answer is cut for it: by the client, in the log, in the metric, and on the upstream's connection."""
    limits = 'write_timeout = "300ms"'
    sluice = start.sluice(config(start.origin(script).address, listener=limits))
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, _, port = sluice.address().rpartition(":")
        sock.connect((host, int(port)))
        sock.sendall(build(path="/large"))
        line = sluice.wait_log_path("/large")[0]
    assert (line["ended"], line["ended_by"], line["during"]) == ("cut", "client", "response_body")
    assert sluice.metric("sluice_responses_cut_total", route="app", by="client") == 1
    assert sluice.metric("sluice_responses_cut_total", route="app", by="upstream") == 0
    assert sluice.metric("sluice_upstream_errors_total", upstream="app") == 0
    sluice.wait_metric(1, "sluice_upstream_connections_closed_total", upstream="app", cause="client_stalled", by="us")
