"""HTTP/2 on both sides, told frame by frame: pools and limits, replays, leaving, and that no cut body looks whole."""

import signal
import threading

import pytest

from harness.base import TIMEOUT, limit, wait_for
from harness.h2 import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    INTERNAL_ERROR,
    MAX_STREAMS,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    H2Client,
)
from harness.origin import ok
from harness.proxy import config

BOTH = ("h2", "http/1.1")


def to_h2(*endpoints, upstream="", **options):
    return config(*endpoints, protocols=BOTH, upstream=f'protocol = "h2"\n{upstream}', **options)


class Gate:
    """An origin that answers only when it is told to: requests wait in `held`."""

    def __init__(self, start, **options):
        self.held = []
        self.origin = start.h2_origin(lambda c, s, seen: self.held.append((c, s, seen)), **options)

    def wait(self, n):
        wait_for(lambda: len(self.held) >= n, what=f"{n} requests at the origin, saw {len(self.held)}")

    def release(self, **answer):
        held, self.held[:] = list(self.held), []
        for made, stream, _ in held:
            made.respond(stream, **answer)


# ---- the pool -----------------------------------------------------------------------------------------------------


def test_a_connection_not_yet_known_carries_one_stream(start):
    """Until its SETTINGS are here; then what they allow (1,000 here)."""
    gate = Gate(start)
    sluice = start.sluice(to_h2(gate.origin.address))
    with H2Client(sluice.address()) as client:
        first = [client.start(f"/{i}") for i in range(8)]
        gate.wait(8)
        gate.release()
        client.finish(*first)
        # All that was known when the first eight came was nothing: a connection each at most, and some may still be on
        # their way to the origin. Now one carries all.
        again = [client.start(f"/again{i}") for i in range(50)]
        gate.wait(50)
        assert len(gate.origin.connections) <= len(first), "the limit of the endpoint is known by now"
        gate.release()
        client.finish(*again)
        assert all(s.status == 200 for s in client.streams.values())


@pytest.mark.parametrize("limit,requests", [(1, 12), (10, 60), (100, 120)])
def test_more_connections_when_the_limit_is_reached(start, limit, requests):
    gate = Gate(start, settings={MAX_STREAMS: limit})
    sluice = start.sluice(to_h2(gate.origin.address, pool='max_connections = 64\nacquire_timeout = "20s"'))
    assert_first_goes(sluice, gate)
    with H2Client(sluice.address()) as client:
        streams = [client.start(f"/{i}") for i in range(requests)]
        gate.wait(requests)  # all of them are there at once
        assert all(c.open_max <= limit for c in gate.origin.connections)
        assert len(gate.origin.connections) >= -(-requests // limit)
        gate.release()
        client.finish(*streams)
        assert all(client.streams[s].status == 200 for s in streams)


def assert_first_goes(sluice, gate):
    with H2Client(sluice.address()) as client:
        stream = client.start("/first")
        gate.wait(1)
        gate.release()
        assert client.finish(stream).status == 200


def test_at_the_cap_requests_wait_for_streams(start):
    """2 connections of 3 streams: the seventh waits and is served when one ends."""
    gate = Gate(start, settings={MAX_STREAMS: 3})
    sluice = start.sluice(to_h2(gate.origin.address, pool='max_connections = 2\nacquire_timeout = "20s"'))
    assert_first_goes(sluice, gate)
    with H2Client(sluice.address()) as client:
        streams = [client.start(f"/{i}") for i in range(7)]
        gate.wait(6)
        sluice.wait_metric(1, "sluice_upstream_pool_waiting", upstream="app", why="cap")
        made, stream, _ = gate.held.pop(0)
        made.respond(stream)
        gate.wait(6)
        gate.release()
        client.finish(*streams)
        assert len(gate.origin.connections) == 2
        assert all(c.open_max <= 3 for c in gate.origin.connections)


def test_settings_that_change_while_requests_wait_are_obeyed(start):
    gate = Gate(start, settings={MAX_STREAMS: 1})
    sluice = start.sluice(to_h2(gate.origin.address, pool='max_connections = 1\nacquire_timeout = "20s"'))
    assert_first_goes(sluice, gate)
    with H2Client(sluice.address()) as client:
        streams = [client.start(f"/{i}") for i in range(5)]
        gate.wait(1)
        sluice.wait_metric(4, "sluice_upstream_pool_waiting", upstream="app", why="cap")
        made = gate.held[0][0]
        with made.lock:
            made.h2.update_settings({MAX_STREAMS: 5})
            made.flush()
        gate.wait(5)
        gate.release()
        client.finish(*streams)
        assert len(gate.origin.connections) == 1


# ---- replays ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method,body", [("GET", None), ("POST", b"pay once")])
def test_a_refused_stream_is_asked_again(start, method, body):
    """REFUSED_STREAM promises that nothing was done: POST is safe, too."""
    refused = []

    def on_request(made, stream, seen):
        if not refused:
            refused.append(bytes(seen.body))
            return made.rst(stream, REFUSED_STREAM)
        return made.respond(stream, body=bytes(seen.body) or b"ok")

    origin = start.h2_origin(on_request)
    sluice = start.sluice(to_h2(origin.address))
    with H2Client(sluice.address()) as client:
        seen = client.request("/x", method, body=body)
        assert (seen.status, bytes(seen.body)) == (200, body or b"ok")
    assert len(origin.requests) == 2
    assert sluice.wait_log_path("/x")[0]["attempts"] == 2


@pytest.mark.parametrize("method,body", [("GET", None), ("POST", b"pay once")])
def test_streams_above_a_goaway_are_asked_again(start, method, body):
    """The origin leaves; what it says it has not seen goes to another connection, the rest is answered."""
    held = []

    def on_request(made, stream, seen):
        if made.number > 1:
            return made.respond(stream, body=bytes(seen.body) or b"ok")
        held.append((made, stream))
        if len(held) == 3:
            made.goaway(last=held[0][1])
            made.respond(held[0][1], body=b"first")
        return None

    origin = start.h2_origin(on_request, settings={MAX_STREAMS: 100})
    sluice = start.sluice(to_h2(origin.address, pool="max_connections = 2\nmin_idle = 1"))
    wait_for(lambda: origin.connections and origin.connections[0].settings_seen)
    with H2Client(sluice.address()) as client:
        first = client.start("/0", method, body=body)
        origin.wait_requests(1)
        rest = [client.start(f"/{i}", method, body=body) for i in (1, 2)]
        client.finish(first, *rest)
        assert [client.streams[s].status for s in (first, *rest)] == [200] * 3
        assert bytes(client.streams[first].body) == b"first"
    sluice.wait_log(lambda line: line["attempts"] == 2, count=2)


def test_a_post_is_never_sent_twice_when_its_origin_dies(start):
    seen_posts = []

    def on_request(made, stream, seen):
        seen_posts.append(seen.path)
        made.sock.shutdown(2)

    origin = start.h2_origin(on_request)
    sluice = start.sluice(to_h2(origin.address))
    with H2Client(sluice.address()) as client:
        seen = client.request("/post", "POST", body=b"x")
        assert (seen.status, seen.header("x-sluice-reason")) == (502, "reset")
    assert seen_posts == ["/post"]


def test_a_rolling_restart_of_the_origin_loses_nothing(start):
    """Every connection leaves by GOAWAY after ten requests; 300 requests, no client error."""

    def on_request(made, stream, _):
        made.served = getattr(made, "served", 0) + 1
        made.respond(stream)
        if made.served == 10:
            made.goaway()

    origin = start.h2_origin(on_request)
    sluice = start.sluice(to_h2(origin.address))
    with H2Client(sluice.address()) as client:
        for batch in range(30):
            streams = [
                client.start(f"/{batch}/{i}", "POST" if i % 2 else "GET", body=b"x" if i % 2 else None)
                for i in range(10)
            ]
            client.finish(*streams)
        assert {s.status for s in client.streams.values()} == {200}


# ---- no cut body looks whole ----------------------------------------------------------------------------------------


def cut_h1(connection, request):
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    wait_for(lambda: request.header("x-go") or connection.origin.go.is_set())
    connection.reset() if request.target == "/reset" else connection.close()


@pytest.mark.parametrize("how", ["/close", "/reset"])
@pytest.mark.parametrize("version", ["h1", "h2"])
def test_a_body_that_the_origin_cut_is_reset(start, version, how):
    """INTERNAL_ERROR, at once: never END_STREAM, never CANCEL."""
    go = threading.Event()
    if version == "h1":
        origin = start.origin(cut_h1)
        origin.go = go
        text = config(origin.address, protocols=BOTH)
    else:

        def on_request(made, stream, _):
            made.respond(stream, body=b"half", end=False)
            threading.Thread(
                target=lambda: go.wait(TIMEOUT) and (made.reset() if how == "/reset" else made.sock.shutdown(2)),
                daemon=True,
            ).start()

        origin = start.h2_origin(on_request)
        text = to_h2(origin.address)
    sluice = start.sluice(text)
    with H2Client(sluice.address()) as client:
        stream = client.start(how)
        client.until(lambda: client.streams[stream].body == b"half", "the first half")
        go.set()
        seen = client.finish(stream)
        assert (seen.ended, seen.code) == (False, INTERNAL_ERROR)
        assert sluice.wait_log_path(how)[0]["reason"] == "reset"


@pytest.mark.parametrize("code", [INTERNAL_ERROR, CANCEL, NO_ERROR, PROTOCOL_ERROR])
def test_a_stream_that_the_origin_reset_is_reset(start, code):
    def on_request(made, stream, _):
        made.respond(stream, body=b"half", end=False)
        made.rst(stream, code)

    sluice = start.sluice(to_h2(start.h2_origin(on_request).address))
    with H2Client(sluice.address()) as client:
        seen = client.request("/")
        assert (seen.ended, seen.code) == (False, INTERNAL_ERROR)


def test_a_body_shorter_than_its_length_is_reset(start):
    sluice = start.sluice(
        to_h2(start.h2_origin(lambda c, s, _: c.respond(s, body=b"half", headers=[("content-length", "8")])).address)
    )
    with H2Client(sluice.address()) as client:
        seen = client.request("/")
        assert (seen.ended, seen.code) == (False, INTERNAL_ERROR)


@pytest.mark.parametrize("version", ["h1", "h2"])
def test_an_upload_that_the_client_cut_never_looks_whole(start, version):
    ended = []
    if version == "h1":

        def script(connection):
            request = connection.read_head()
            try:
                connection.read_body(request)
                ended.append("whole")
            finally:
                ended.append("cut")

        origin = start.origin(on_connection=script)
        text = config(origin.address, protocols=BOTH)
    else:
        origin = start.h2_origin(
            lambda c, s, seen: ended.append("whole"), on_head=lambda c, s, seen: ended.append("head")
        )
        text = to_h2(origin.address)
    sluice = start.sluice(text)
    with H2Client(sluice.address()) as client:
        stream = client.start("/up", "POST", body=b"half of it", end=False)
        if version == "h1":
            origin.wait_heads(1)
        else:
            origin.wait_requests(1)
            wait_for(lambda: origin.connections[0].streams[1].body == b"half of it")
        client.rst(stream)
        if version == "h2":
            wait_for(lambda: origin.connections[0].streams[1].code is not None)
            assert origin.connections[0].streams[1].code == CANCEL
    wait_for(lambda: "cut" in ended or version == "h2")
    assert "whole" not in ended
    assert sluice.wait_log_path("/up")[0]["reason"] == "client_closed"


# ---- leaving --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["h1", "h2"])
def test_the_drain_deadline_cuts_by_reset_after_a_final_goaway(start, version):
    if version == "h1":

        def half(connection, request):
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            connection.wait_eof()

        text = config(start.origin(half).address, protocols=BOTH, deadline="1s")
    else:
        text = to_h2(start.h2_origin(lambda c, s, _: c.respond(s, body=b"half", end=False)).address, deadline="1s")
    sluice = start.sluice(text)
    with H2Client(sluice.address()) as client:
        stream = client.start("/half")
        client.until(lambda: client.streams[stream].body == b"half", "the first half")
        sluice.signal(signal.SIGTERM)
        client.ended()
        seen = client.streams[stream]
        assert (seen.ended, seen.code) == (False, INTERNAL_ERROR)
        assert client.goaways and client.goaways[-1] == (stream, NO_ERROR), client.goaways
    assert sluice.wait_exit() == 0


def test_sigterm_with_100_connections_loses_no_stream(start):
    """Each has a stream open, and opens new ones until it hears the last GOAWAY; what was taken is answered, and all is
    over before the deadline."""
    gate = Gate(start)
    sluice = start.sluice(to_h2(gate.origin.address, deadline="30s", pool='acquire_timeout = "30s"'))
    clients = [H2Client(sluice.address()) for _ in range(100)]
    opened = [client.start("/open") for client in clients]
    gate.wait(100)
    gate.origin.on_request = lambda c, s, _: c.respond(s)
    sluice.signal(signal.SIGTERM)
    late = []

    def go_on(client):
        """Until the proxy has said which was the last one."""
        while len(client.goaways) < 2 and len(client.streams) < 50:
            late.append((client, client.start("/new")))
            assert client.pump()

    threads = [threading.Thread(target=go_on, args=(client,), daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    gate.release()
    for client, stream in zip(clients, opened):
        assert client.finish(stream).status == 200
        assert client.ended()
        assert client.goaways[-1][1] == NO_ERROR
    lost = [(s, c.streams[s], c.goaways) for c, s in late if c.streams[s].status != 200 and s <= c.goaways[-1][0]]
    assert not lost, lost[:3]
    assert sum(c.streams[s].status == 200 for c, s in late) >= 100, "new streams are taken while the notice is out"
    assert sluice.wait_exit() == 0
    for client in clients:
        client.close()


def test_a_drain_says_the_highest_id_first(start):
    """Two steps (RFC 9113 6.8): the notice with 2^31-1 and a PING, then the last stream that was taken."""
    gate = Gate(start)
    sluice = start.sluice(to_h2(gate.origin.address))
    with H2Client(sluice.address()) as client:
        stream = client.start("/")
        gate.wait(1)
        sluice.signal(signal.SIGTERM)
        client.until(lambda: len(client.goaways) == 2, "both GOAWAYs")
        assert client.goaways == [(2**31 - 1, NO_ERROR), (stream, NO_ERROR)]
        assert client.pings == 1
        gate.release()
        assert client.finish(stream).status == 200
        assert client.ended()
    assert sluice.wait_exit() == 0


def test_a_reload_loses_no_stream(start):
    """What is open is answered; the connections of a listener that goes leave as in a drain."""
    gate = Gate(start)
    text = to_h2(gate.origin.address)
    sluice = start.sluice(text)
    with H2Client(sluice.address()) as client:
        before = client.start("/before")
        gate.wait(1)
        sluice.reload(text + '\n[[route]]\nhosts = ["other.test"]\nrespond = { status = 204 }\n')
        new = client.request("/", authority="other.test")
        assert new.status == 204, "the same connection follows the new routes"
        assert client.goaways == []
        sluice.reload(text.replace('name = "main"', 'name = "another"'))
        late = client.start("/", authority="other.test")
        assert (
            client.finish(late).status == 204
        ), "before it has heard of the end, its requests are taken, and routed as before"
        client.until(lambda: len(client.goaways) == 2, "both GOAWAYs")
        gate.release()
        assert client.finish(before).status == 200
        assert client.ended()
        assert client.goaways[-1] == (late, NO_ERROR)


def test_idle_connections_end_by_goaway(start):
    sluice = start.sluice(to_h2(start.h2_origin().address, listener=f'idle_timeout = "{limit(0.5)}"'))
    with H2Client(sluice.address()) as client:
        assert client.request().status == 200
        assert client.ended()
        assert client.goaways == [(1, NO_ERROR)]
    sluice.wait_metric(1, "sluice_downstream_connections_closed_total", cause="idle_timeout")


def test_max_requests_ends_by_goaway(start):
    sluice = start.sluice(to_h2(start.h2_origin().address, listener="max_requests = 5"))
    with H2Client(sluice.address()) as client:
        assert all(client.request(f"/{i}").status == 200 for i in range(5))
        assert client.ended()
        assert client.goaways[-1] == (9, NO_ERROR)


# ---- options that are obeyed
# ------------------------------------------------------------------------------------------


def test_max_streams_is_announced_and_kept(start):
    """Three are served. A client that opens a fourth breaks the protocol and is told so, in one of the two ways there
    are."""
    gate = Gate(start)
    sluice = start.sluice(to_h2(gate.origin.address, listener="max_streams = 3"))
    with H2Client(sluice.address()) as client, H2Client(sluice.address()) as good:
        assert client.h2.remote_settings.max_concurrent_streams == 3
        for _ in range(2):
            streams = [client.start("/") for _ in range(3)]
            gate.wait(3)
            gate.release()
            client.finish(*streams)
            assert [client.streams[s].status for s in streams] == [200] * 3
        client.h2.remote_settings.update({MAX_STREAMS: 100})
        client.h2.remote_settings.acknowledge()
        other = good.start("/")
        streams = [client.start("/") for _ in range(4)]
        while not client.goaways and client.streams[streams[3]].code is None:
            assert client.pump()
        assert client.streams[streams[3]].code == REFUSED_STREAM or client.goaways == [(streams[2], PROTOCOL_ERROR)]
        gate.release()
        gate.origin.on_request = lambda c, s, _: c.respond(s)
        assert good.finish(other).status == 200


def test_stream_window_bounds_what_an_upload_may_send(start):
    """An origin that takes nothing: the client is stopped at the window, whatever the other streams do."""

    def script(connection):
        connection.read_head()
        connection.origin.go.wait(TIMEOUT * 2)
        connection.wait_eof()

    origin = start.origin(on_connection=script, rcvbuf=4096)
    origin.go = threading.Event()
    sluice = start.sluice(config(origin.address, protocols=BOTH, listener='stream_window = "64KiB"'))
    with H2Client(sluice.address()) as client:
        assert client.h2.remote_settings.initial_window_size == 64 * 1024
        assert client.h2.outbound_flow_control_window == 2 << 20, "half of connection_buffer"
        stream = client.start("/up", "POST", end=False)
        client.send_body(stream, b"x" * (8 << 20), end=False)
        client.sock.settimeout(0.5)
        try:
            while client.pump():
                pass
        except TimeoutError:
            pass
        left = len(client.pending[stream][0])
        assert left > 2 << 20, "nothing was held back"
        origin.go.set()


def test_early_resets_over_max_resets_end_the_connection(start):
    gate = Gate(start)
    sluice = start.sluice(to_h2(gate.origin.address, listener="max_resets = 10"))
    with H2Client(sluice.address()) as client:
        for _ in range(11):
            client.rst(client.start("/"))
        assert client.ended()
        assert client.goaways[-1][1] == ENHANCE_YOUR_CALM
    sluice.wait_metric(1, "sluice_protocol_errors_total", side="downstream", detail="reset_flood")
