"""gRPC end to end, with python3-grpcio on both sides: every kind of call, deadlines, cancellation, failures as
statuses, leaving."""

import itertools
import re
import signal
import threading
import time

import grpc
import pytest

from harness.base import ROOT, TIMEOUT, free_address, limit, refused_address, slowness, wait_for
from harness.certs import certificate_lines
from harness.grpcs import NOT_SERVING, SERVICE, SERVING, Requests, Server, ServerProcess, Stub, failure
from harness.h2raw import RawClient
from harness.origin import ok
from harness.proxy import preamble

Code = grpc.StatusCode


def text(
    *endpoints,
    listener="",
    tls="",
    upstream="",
    upstream_tls="",
    health="",
    pool="",
    route="",
    before="",
    workers=1,
    deadline="5s",
    protocol="h2",
):
    """One listener of both versions, one upstream of gRPC."""
    parts = [
        preamble(workers=workers, deadline=deadline),
        '[[listener]]\nname = "main"\naddress = "127.0.0.1:0"\nprotocols = ["h2", "http/1.1"]',
        listener,
    ]
    if tls:
        parts += ["[listener.tls]", tls]
    listed = ", ".join(f'"{e}"' for e in endpoints)
    parts += [f'[[upstream]]\nname = "app"\nendpoints = [{listed}]\nprotocol = "{protocol}"', upstream]
    for name, lines in (("pool", pool), ("tls", upstream_tls), ("health", health)):
        if lines:
            parts += [f"[upstream.{name}]", lines]
    parts += [before, '[[route]]\nname = "app"\nupstream = "app"', route]
    return "\n".join(parts) + "\n"


@pytest.fixture
def serve(start):
    """Starts grpcio servers of one test."""
    return lambda *args, **options: start.stack.enter_context(Server(*args, **options))


@pytest.fixture
def connect(start):
    return lambda sluice, **options: start.stack.enter_context(Stub(sluice.address(), **options))


@pytest.fixture
def raw(start):
    return lambda sluice: start.stack.enter_context(RawClient(sluice.address()))


@pytest.fixture(scope="module", params=["clear", "tls"])
def way(request, shared):
    """A server behind sluice, in the clear by prior knowledge or over TLS with ALPN on both sides: (service, stub,
    sluice)."""
    if request.param == "clear":
        server = shared.stack.enter_context(Server())
        sluice = shared.sluice(text(server.address))
        stub = Stub(sluice.address())
    else:
        authority = shared.authority()
        cert, key = authority.issue("localhost", "127.0.0.1")
        pair = [(open(key, "rb").read(), open(cert, "rb").read())]
        server = shared.stack.enter_context(Server(credentials=grpc.ssl_server_credentials(pair)))
        sluice = shared.sluice(
            text(
                server.address,
                tls=certificate_lines((cert, key)),
                protocol="auto",
                upstream_tls=f'ca = "{authority.cert}"\nserver_name = "localhost"',
                upstream='host = "localhost"',
            )
        )
        stub = Stub(f"localhost:{sluice.address().rsplit(':', 1)[1]}", authority=authority)
    shared.stack.enter_context(stub)
    return server.service, stub, sluice


# --- every kind of call ---------------------------------------------------------------------------
def test_unary(way):
    _, stub, _ = way
    answer, call = stub.unary("Echo", b"ping")
    assert (answer, call.code()) == (b"ping", Code.OK)
    assert stub.unary("Echo", b"")[0] == b""


def test_client_stream(way):
    _, stub, _ = way
    parts = [b"%d," % i * 100 for i in range(100)]
    assert stub.collect(iter(parts)) == b"".join(parts)
    assert stub.collect(iter(())) == b""


def test_server_stream(way):
    _, stub, _ = way
    assert list(stub.stream("Numbers", b"500", timeout=TIMEOUT)) == [b"%d" % i for i in range(500)]
    assert not list(stub.stream("Numbers", b"0", timeout=TIMEOUT))


def test_two_way_stream(way):
    """The answer begins before any request; then each waits for the other."""
    _, stub, _ = way
    requests = Requests()
    call = stub.chat(requests, timeout=TIMEOUT)
    assert next(call) == b"hello"
    for i in range(20):
        requests.put(b"%d" % i)
        assert next(call) == b"re: %d" % i
    requests.close()
    assert list(call) == [b"bye"] and call.code() == Code.OK


def test_nginx_in_front_speaks_http2_to_us(start, serve):
    """nginx's client of HTTP/2 (grpc_pass): each kind of call, a failure, and 1 MB in both directions."""
    sluice = start.sluice(text(serve().address))
    host, port = free_address()
    nginx = start.nginx(
        extra=f"}} server {{ listen {host}:{port} http2; client_max_body_size 0; location / {{ grpc_pass "
        f"grpc://{sluice.address()}; }}"
    )
    assert nginx.process.poll() is None
    stub = start.stack.enter_context(Stub(f"{host}:{port}"))
    large = bytes(range(256)) * 4096
    assert stub.unary("Echo", large, timeout=TIMEOUT)[0] == large
    assert list(stub.stream("Numbers", b"500", timeout=TIMEOUT)) == [b"%d" % i for i in range(500)]
    assert stub.collect(iter([b"a", b"b", large])) == b"ab" + large
    requests = Requests()
    call = stub.chat(requests, timeout=TIMEOUT)
    assert next(call) == b"hello"
    requests.put(b"1")
    assert next(call) == b"re: 1"
    requests.close()
    assert list(call) == [b"bye"]
    assert failure(lambda: stub.unary("None", b"", timeout=TIMEOUT)).code() == Code.UNIMPLEMENTED
    assert {line["protocol"] for line in sluice.wait_log_path(SERVICE + "Echo", 1)} == {"HTTP/2.0"}


def test_an_answer_that_ends_before_its_request(way):
    """Row 31: the status comes, and the rest of the upload is no fault of anybody."""
    _, stub, sluice = way
    for _ in range(3):
        requests = Requests()
        requests.put(b"one")
        call = stub.chat(requests, method="Enough", timeout=TIMEOUT)
        assert list(call) == [b"one"] and call.code() == Code.OK
        requests.close()
    assert stub.unary("Echo", b"the connection lives")[0] == b"the connection lives"
    assert all(line["status"] == 200 for line in sluice.wait_log_path(SERVICE + "Enough", 3))


def test_no_error_after_an_early_end(start, serve, raw):
    sluice = start.sluice(text(serve().address))
    client = raw(sluice)
    stream = client.call(SERVICE + "Enough", (), b"one", end=False)
    heard = client.wait(stream, lambda h: h.reset is not None)
    assert (heard.ended, heard.reset, heard.trailers["grpc-status"]) == (True, 0, "0")


def test_metadata_passes_unharmed(way):
    service, stub, _ = way
    binary = bytes(range(256))
    _, call = stub.unary(
        "Echo", b"", metadata=[("x-test-a", "1"), ("x-test-a", "2"), ("x-test-b-bin", binary), ("x-test-c-bin", b"")]
    )
    for got in (service.metadata[-1], [(k, v) for k, v in call.initial_metadata()]):
        assert [v for k, v in got if k == "x-test-a"] == ["1", "2"]
        assert dict(got)["x-test-b-bin"] == binary
        assert dict(got)["x-test-c-bin"] == b""
    trailing = dict(call.trailing_metadata())
    assert (trailing["y-last"], trailing["y-last-bin"]) == ("1", b"\x00\xff\x80")


def test_trailers_only(way):
    """A status without a body, with its message in percent-encoding."""
    _, stub, sluice = way
    error = failure(lambda: stub.unary("Fail"))
    assert (error.code(), error.details()) == (Code.FAILED_PRECONDITION, "näh: 100 % no")
    assert dict(error.trailing_metadata())["y-why-bin"] == b"\x01\x02"
    line = sluice.wait_log_path(SERVICE + "Fail")[-1]
    assert (line["status"], line["grpc_status"], line["reason"]) == (200, 9, "")
    assert failure(lambda: stub.unary("Nothing")).code() == Code.UNIMPLEMENTED


def test_large_messages(way):
    _, stub, _ = way
    message = bytes(range(256)) * 16384  # 4 MiB
    assert stub.unary("Echo", message)[0] == message
    assert stub.collect(iter([message] * 3)) == message * 3


def test_many_streams_at_once(start, serve, connect):
    """200 calls under way together on one client connection."""
    server = serve(threads=200)
    sluice = start.sluice(text(server.address, listener="max_streams = 256"))
    stub = connect(sluice)
    calls = [stub.start("Held", b"%d" % i, timeout=TIMEOUT * 2) for i in range(200)]
    wait_for(lambda: server.service.seen("begun") == 200)
    assert sluice.metric("sluice_downstream_connections", listener="main") == 1
    server.service.gate.set()
    assert [call.result() for call in calls] == [b"%d" % i for i in range(200)]


def test_access_log_and_metrics(way):
    _, stub, sluice = way
    stub.unary("Name")
    line = sluice.wait_log_path(SERVICE + "Name")[-1]
    assert (line["method"], line["protocol"], line["status"], line["grpc_status"]) == ("POST", "HTTP/2.0", 200, 0)
    sluice.wait_metric(lambda v: v > 0, "sluice_requests_total", method="POST", code="200")


# --- deadlines ------------------------------------------------------------------------------------
def test_the_clients_deadline_is_told_and_kept(start, serve, connect):
    server = serve()
    sluice = start.sluice(text(server.address))
    stub = connect(sluice)
    stub.unary("Echo", timeout=TIMEOUT)
    assert 0 < server.service.remaining[-1] < TIMEOUT * 2  # what was told is rounded up
    error = failure(lambda: stub.unary("Hang", timeout=0.3 * slowness()))
    assert error.code() == Code.DEADLINE_EXCEEDED
    wait_for(lambda: server.service.seen("hung up") == 1)


# The server is not told, so that the proxy is the one that keeps it.
UNTOLD = 'request_headers = { remove = ["grpc-timeout"] }'


@pytest.mark.parametrize("unit", ["m", "u", "n"])
def test_a_deadline_before_the_answer(start, serve, raw, unit):
    """The proxy itself ends the call: this client never does."""
    server = serve()
    sluice = start.sluice(text(server.address, route=UNTOLD))
    client = raw(sluice)
    value = {"m": int(200 * slowness()), "u": int(200_000 * slowness()), "n": 99_999_999}[unit]
    stream = client.call(SERVICE + "Hang", [("grpc-timeout", f"{value}{unit}")], b"")
    heard = client.wait(stream)
    assert heard.ended and heard.headers[":status"] == "200" and not heard.body
    assert (heard.headers["content-type"], heard.headers["grpc-status"]) == ("application/grpc", "4")
    assert heard.headers["grpc-message"] == "504 Gateway Timeout" and heard.headers["x-sluice-reason"] == "timeout"
    # The longest time that can be told in nanoseconds may be too short for the call to get there.
    wait_for(lambda: server.service.seen("hung up") == (1 if unit != "n" else server.service.seen("begun")))
    line = sluice.wait_log_path(SERVICE + "Hang")[-1]
    assert (line["status"], line["grpc_status"], line["reason"]) == (200, 4, "timeout")


def test_a_deadline_within_the_answer(start, serve, raw):
    """It bounds the whole call: a stream that has begun ends with status 4, and the server hears of it."""
    server = serve()
    sluice = start.sluice(text(server.address, route=UNTOLD))
    client = raw(sluice)
    stream = client.call(SERVICE + "Tick", [("grpc-timeout", "2S")], b"")
    heard = client.wait(stream)
    assert heard.ended and heard.body.endswith(b"tick")
    assert heard.trailers["grpc-status"] == "4"
    wait_for(lambda: server.service.seen("hung up") == 1)
    line = sluice.wait_log_path(SERVICE + "Tick")[-1]
    assert (line["status"], line["grpc_status"], line["reason"]) == (200, 4, "timeout")


def test_a_deadline_while_the_request_is_still_sent(start, serve, raw):
    server = serve()
    sluice = start.sluice(text(server.address, route=UNTOLD))
    client = raw(sluice)
    stream = client.call(SERVICE + "Collect", [("grpc-timeout", "200m")], b"x", end=False)
    heard = client.wait(stream)
    assert heard.ended and heard.headers["grpc-status"] == "4"


@pytest.mark.parametrize("value", ["", "5", "S", "123456789S", "-1S", "5s", "1.5S"])
def test_a_malformed_deadline_is_none(start, serve, raw, value):
    """The call goes on; the server behind judges the field for itself."""
    origin = start.origin(lambda connection, request: connection.send(ok(request.header("grpc-timeout").encode())))
    sluice = start.sluice(text(origin.address, protocol="http/1.1"))
    client = raw(sluice)
    heard = client.wait(client.call("/x", [("grpc-timeout", value)]))
    assert (heard.headers[":status"], heard.body) == ("200", value.encode())


def test_the_routes_timeout_is_a_deadline_too(start, serve, connect):
    """From the request's last byte to the response head, also for a client that has time."""
    server = serve()
    sluice = start.sluice(text(server.address, route=f'timeout = "{limit(0.5)}"'))
    error = failure(lambda: connect(sluice).unary("Hang"))
    assert error.code() == Code.DEADLINE_EXCEEDED
    assert sluice.wait_log_path(SERVICE + "Hang")[-1]["reason"] == "timeout"
    wait_for(lambda: server.service.seen("hung up") == 1)
    requests = Requests()  # no time limit while the request goes on, nor after the head
    call = connect(sluice).chat(requests, timeout=TIMEOUT)
    assert next(call) == b"hello"
    assert failure(lambda: connect(sluice).unary("Hang")).code() == Code.DEADLINE_EXCEEDED
    requests.put(b"later")
    requests.close()
    assert list(call) == [b"re: later", b"bye"]


def test_a_silent_stream_ends_at_its_idle_timeout(start, serve, connect):
    server = serve()
    sluice = start.sluice(text(server.address, route=f'stream_idle_timeout = "{limit(1)}"'))
    call = connect(sluice).stream("Tick", timeout=TIMEOUT)
    assert next(call) == b"tick"
    assert failure(lambda: next(call)).code() in (Code.INTERNAL, Code.UNAVAILABLE)
    wait_for(lambda: server.service.seen("hung up") == 1)


# --- cancellation ---------------------------------------------------------------------------------
def test_cancellation_reaches_the_server(start, serve, connect):
    server = serve()
    sluice = start.sluice(text(server.address))
    stub = connect(sluice)
    unary, stream, chat = stub.start("Hang"), stub.stream("Tick"), stub.chat(Requests())
    assert next(stream) == b"tick" and next(chat) == b"hello"
    wait_for(lambda: server.service.seen("begun") == 3)
    opened = sluice.metric("sluice_upstream_connections_opened_total")
    for call in (unary, stream):
        call.cancel()
    wait_for(lambda: server.service.seen("hung up") == 2)
    chat.cancel()
    assert stub.unary("Echo", b"still")[0] == b"still"
    lines = sluice.wait_log(lambda line: line["reason"] == "client_closed", 3)
    assert {line["path"] for line in lines} == {SERVICE + m for m in ("Hang", "Tick", "Chat")}
    assert sluice.metric("sluice_upstream_connections_opened_total") == opened, "cancelling must not cost connections"


@pytest.mark.parametrize("how", ["reset", "abort"])
def test_a_client_that_is_gone_cancels_its_calls(start, serve, raw, how):
    server = serve()
    sluice = start.sluice(text(server.address))
    client = raw(sluice)
    streams = [client.call(SERVICE + "Hang", (), b"") for _ in range(5)]
    wait_for(lambda: server.service.seen("begun") == 5)
    if how == "abort":
        client.abort()
    else:
        for stream in streams:
            client.reset(stream)
    wait_for(lambda: server.service.seen("hung up") == 5)


# --- failures as statuses -------------------------------------------------------------------------
def reason(error):
    return dict(error.trailing_metadata() or ()).get("x-sluice-reason")


def test_no_server(start, connect):
    sluice = start.sluice(text(refused_address()))
    error = failure(lambda: connect(sluice).unary("Echo"))
    assert (error.code(), reason(error)) == (Code.UNAVAILABLE, "connect_failed")
    line = sluice.wait_log_path(SERVICE + "Echo")[-1]
    assert (line["status"], line["grpc_status"], line["reason"]) == (200, 14, "connect_failed")
    assert sluice.metric("sluice_local_replies_total", reason="connect_failed") == 1


def test_policy(start, serve, connect):
    server = serve()
    routes = (
        '[[route]]\npath_prefix = "/no.Entry"\nupstream = "app"\ndeny = ["127.0.0.0/8"]\n'
        '[[route]]\nhosts = ["nobody.test"]\nupstream = "app"\n'
    )
    sluice = start.sluice(text(server.address, before=routes, route='path_prefix = "/test.Service"\nmax_body = "1KiB"'))
    stub = connect(sluice)
    denied = failure(lambda: stub.channel.unary_unary("/no.Entry/X")(b"", timeout=TIMEOUT))
    assert (denied.code(), reason(denied)) == (Code.PERMISSION_DENIED, "denied")
    lost = failure(lambda: stub.channel.unary_unary("/other.Service/X")(b"", timeout=TIMEOUT))
    assert (lost.code(), reason(lost), lost.details()) == (Code.UNIMPLEMENTED, "no_route", "404 Not Found")
    assert stub.unary("Echo", b"x" * 1000)[0] == b"x" * 1000
    large = failure(lambda: stub.unary("Echo", b"x" * 100_000))
    assert (large.code(), reason(large)) == (Code.RESOURCE_EXHAUSTED, "body_too_large")
    assert failure(lambda: stub.collect(itertools.repeat(b"x" * 100))).code() == Code.RESOURCE_EXHAUSTED


def test_what_is_not_grpc_is_answered_as_http(start, serve):
    sluice = start.sluice(text(refused_address()))
    assert sluice.request("POST", headers={"Content-Type": "application/grpc-web", "Content-Length": "0"}).status == 502
    assert sluice.request("POST", headers={"Content-Type": "application/json", "Content-Length": "0"}).status == 502


def test_an_answer_that_is_not_grpc_passes(start, raw, connect):
    """It is the upstream's own, and clients have their mapping for it."""
    origin = start.origin(lambda connection, request: connection.send(ok(b"go away", status="403 Forbidden")))
    sluice = start.sluice(text(origin.address, protocol="http/1.1"))
    client = raw(sluice)
    heard = client.wait(client.call("/x"))
    assert (heard.headers[":status"], heard.body) == ("403", b"go away") and "grpc-status" not in heard.headers
    assert failure(lambda: connect(sluice).unary("Echo")).code() == Code.PERMISSION_DENIED


# --- servers that leave ---------------------------------------------------------------------------
def test_a_server_that_is_killed(start, connect):
    """Calls that wait get status 14 at once, streams that have begun are cut, the next call is refused by connect."""
    process = start.stack.enter_context(ServerProcess("one"))
    sluice = start.sluice(text(process.address))
    stub = connect(sluice)
    unary, stream = stub.start("Hang"), stub.stream("Tick")
    assert next(stream) == b"tick"
    wait_for(lambda: sluice.metric("sluice_upstream_endpoint_in_flight") == 2)
    process.kill()
    assert unary.exception(TIMEOUT).code() == Code.UNAVAILABLE
    assert failure(lambda: next(stream)).code() in (Code.INTERNAL, Code.UNAVAILABLE)
    assert failure(lambda: stub.unary("Echo")).code() == Code.UNAVAILABLE


def test_an_answer_that_breaks_off_is_reset(start, raw):
    """INTERNAL_ERROR, neither an end nor CANCEL."""
    process = start.stack.enter_context(ServerProcess("one"))
    sluice = start.sluice(text(process.address))
    client = raw(sluice)
    stream = client.call(SERVICE + "Tick", (), b"")
    client.wait(stream, lambda heard: heard.body.endswith(b"tick"))
    process.kill()
    heard = client.wait(stream)
    assert (heard.ended, heard.reset) == (False, 2)


def test_a_server_that_leaves_in_order(start, serve, connect):
    """GOAWAY: what runs there ends there, the rest goes elsewhere, and nothing is lost."""
    first, second = serve("first"), serve("second")
    sluice = start.sluice(text(first.address, second.address, upstream='balance = "round_robin"', workers=2))
    stub = connect(sluice)
    assert {stub.unary("Name")[0] for _ in range(10)} == {b"first", b"second"}
    requests = [Requests(), Requests()]
    chats = [stub.chat(r, timeout=TIMEOUT) for r in requests]
    assert [next(chat) for chat in chats] == [b"hello"] * 2
    wait_for(lambda: first.service.seen("begun") + second.service.seen("begun") == 2)
    stopped = first.server.stop(TIMEOUT)
    wait_for(lambda: refuses(first))
    assert {stub.unary("Name")[0] for _ in range(30)} == {b"second"}
    for r, chat in zip(requests, chats):
        r.put(b"x")
        r.close()
        assert list(chat) == [b"re: x", b"bye"]
    assert stopped.wait(TIMEOUT)


def refuses(server):
    try:
        with Stub(server.address) as stub:
            stub.unary("Name")
    except grpc.RpcError:
        return True
    return False


# --- the process ----------------------------------------------------------------------------------
def test_two_workers(start, serve, connect):
    server = serve()
    sluice = start.sluice(text(server.address, workers=2))
    stubs = [connect(sluice) for _ in range(8)]
    results = []

    def work(stub, number):
        for i in range(50):
            message = b"%d %d" % (number, i)
            results.append(stub.unary("Echo", message)[0] == message)

    threads = [threading.Thread(target=work, args=(stub, n)) for n, stub in enumerate(stubs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT * 2)
    assert results == [True] * 400
    sluice.wait_metric(400, "sluice_requests_total", code="200")


def test_drain_lets_streams_finish(start, serve, connect):
    server = serve()
    sluice = start.sluice(text(server.address, deadline="60s"))
    stub = connect(sluice)
    requests = Requests()
    chat = stub.chat(requests, timeout=TIMEOUT)
    assert next(chat) == b"hello"
    held = stub.start("Held", b"held", timeout=TIMEOUT)
    wait_for(lambda: server.service.seen("begun") == 2)
    sluice.signal(signal.SIGTERM)
    sluice.wait_metric(2, "sluice_drain_phase")
    requests.put(b"x")
    assert next(chat) == b"re: x"
    server.service.gate.set()
    assert held.result(TIMEOUT) == b"held"
    requests.close()
    assert list(chat) == [b"bye"] and chat.code() == Code.OK
    assert sluice.wait_exit() == 0


# --- health ---------------------------------------------------------------------------------------
HEALTH = 'kind = "grpc"\ninterval = "100ms"\ntimeout = "2s"\nhealthy_after = 2\nunhealthy_after = 2\n'


@pytest.mark.parametrize("service", ["", "test.Service"])
def test_health(start, serve, connect, service):
    first, second = serve("first"), serve("second")
    for server in (first, second):
        server.service.health = {service: SERVING}
    sluice = start.sluice(
        text(
            first.address,
            second.address,
            upstream='balance = "round_robin"',
            health=HEALTH + f'service = "{service}"\nhost = "probe.test"',
        )
    )
    stub, name = connect(sluice), "sluice_upstream_endpoint_healthy"
    wait_for(lambda: len(first.service.asked) >= 3)
    assert {stub.unary("Name")[0] for _ in range(4)} == {b"first", b"second"}
    first.service.health = {service: NOT_SERVING}
    sluice.wait_metric(0, name, endpoint=first.address)
    assert {stub.unary("Name")[0] for _ in range(10)} == {b"second"}
    first.service.health = {service: SERVING}
    sluice.wait_metric(1, name, endpoint=first.address)
    first.service.health = {}  # grpc status 5
    sluice.wait_metric(0, name, endpoint=first.address)
    assert {asked for asked, _ in first.service.asked} == {service}
    assert first.service.asked[0][1]["user-agent"] == "sluice-health"
    assert sluice.metric(name, endpoint=second.address) == 1


def ask(stub, n):
    """How n calls of Mood end, one after the other: a name, or a status."""
    ends = []
    for _ in range(n):
        try:
            ends.append(stub.unary("Mood")[0].decode())
        except grpc.RpcError as error:
            ends.append(error.code())
    return ends


def test_a_server_that_pushes_back_has_its_pause(start, serve, connect):
    """RESOURCE_EXHAUSTED with grpc-retry-pushback-ms (gRFC A6): nobody new goes there, and it is not ejected."""
    servers = [serve("a"), serve("b")]
    sluice = start.sluice(text(*(s.address for s in servers), upstream='balance = "round_robin"', workers=2))
    stub = connect(sluice)
    busy = servers[0].service
    busy.mood = (Code.RESOURCE_EXHAUSTED, [("grpc-retry-pushback-ms", "9000")])
    wait_for(lambda: Code.RESOURCE_EXHAUSTED in ask(stub, 1), what="the server that pushes back was asked")
    began = time.monotonic()
    ends = ask(stub, 30)
    assert ends.count("b") >= 30 - (time.monotonic() - began) / 9, ends
    assert sluice.metric("sluice_upstream_pauses_total", upstream="app") == busy.seen("mood")
    assert sluice.metric("sluice_upstream_ejections_total", upstream="app") == 0


def test_a_server_that_is_unavailable_is_ejected_and_other_statuses_are_the_applications(start, serve, connect):
    servers = [serve("a"), serve("b"), serve("c")]
    sluice = start.sluice(text(*(s.address for s in servers), upstream='balance = "round_robin"', workers=2))
    stub = connect(sluice)
    bad = servers[1].service
    bad.mood = (Code.INTERNAL, [])
    assert ask(stub, 30).count(Code.INTERNAL) == 10
    assert sluice.metric("sluice_upstream_ejections_total", upstream="app") == 0
    bad.mood = (Code.UNAVAILABLE, [])
    wait_for(lambda: ask(stub, 3) and sluice.metric("sluice_upstream_ejections_total", upstream="app") == 1)
    asked = bad.seen("mood")
    assert Code.UNAVAILABLE not in ask(stub, 12)
    assert bad.seen("mood") == asked
    sluice.wait_stderr('to=ejected by=traffic why="5 failures in a row, the last: gateway" for_s=30.000')


def test_health_over_tls(start, serve):
    authority = start.authority()
    cert, key = authority.issue("localhost", "127.0.0.1")
    with open(key, "rb") as k, open(cert, "rb") as c:
        server = serve(credentials=grpc.ssl_server_credentials([(k.read(), c.read())]))
    server.service.health = {"": NOT_SERVING}
    sluice = start.sluice(
        text(
            server.address,
            protocol="auto",
            health=HEALTH,
            upstream_tls=f'ca = "{authority.cert}"\nserver_name = "localhost"',
            upstream='host = "localhost"',
        )
    )
    sluice.wait_metric(0, "sluice_upstream_endpoint_healthy", endpoint=server.address)
    server.service.health = {"": SERVING}
    sluice.wait_metric(1, "sluice_upstream_endpoint_healthy", endpoint=server.address)


# --- the documentation ----------------------------------------------------------------------------
def test_the_example_of_the_documentation(start, serve):
    authority = start.authority()
    cert, key = authority.issue("localhost")
    first, second = serve("first"), serve("second")
    for server in (first, second):
        server.service.health = {"test.Service": SERVING}
    with open(ROOT / "docs" / "grpc.md", encoding="utf-8") as f:
        example = re.search(r"```toml\n(.*?)```", f.read(), re.S).group(1)
    for documented, here in {
        "0.0.0.0:8443": "127.0.0.1:0",
        "server.pem": cert,
        "server.key": key,
        "orders.Orders": "test.Service",
        '"2s"': '"100ms"',
        "10.0.0.11:50051": first.address,
        "10.0.0.12:50051": second.address,
    }.items():
        assert documented in example
        example = example.replace(documented, here)
    sluice = start.sluice(preamble() + example)
    with Stub(f"localhost:{sluice.address('grpc').rsplit(':', 1)[1]}", authority=authority) as stub:
        assert {stub.unary("Name")[0] for _ in range(30)} == {b"first", b"second"}
        first.service.health = {"test.Service": NOT_SERVING}
        sluice.wait_metric(0, "sluice_upstream_endpoint_healthy", endpoint=first.address)
        assert {stub.unary("Name")[0] for _ in range(10)} == {b"second"}
