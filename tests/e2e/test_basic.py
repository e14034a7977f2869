"""HTTP/1.1 as well-behaved peers speak it: framing both ways, order, versions, torn segments."""

import subprocess
import threading

import pytest

from harness.base import TIMEOUT, wait_for
from harness.client import build, chunked
from harness.origin import ok
from harness.proxy import config


def echo(connection, request):
    """Answers with what came, framed as it came."""
    body = request.body or request.target.encode()
    if request.framing == "chunked":
        trailers = b"".join(f"{n}: {v}\r\n".encode() for n, v in request.trailers)
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n")
        connection.send(chunked(*[body[i : i + 1000] for i in range(0, len(body), 1000)], trailers=trailers))
    elif request.method == "HEAD":
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX-Method: HEAD\r\n\r\n")
    else:
        connection.send(ok(body, [f"X-Method: {request.method}"]))


@pytest.fixture(scope="module")
def pair(shared):
    origin = shared.origin(echo)
    return shared.sluice(config(origin.address)), origin


def test_get(pair):
    sluice, origin = pair
    answer = sluice.request(path="/hello?a=b&c")
    assert (answer.status, answer.phrase, answer.body, answer.framing) == (200, "OK", b"/hello?a=b&c", "length")
    request = origin.requests[-1]
    assert (request.method, request.target, request.version, request.header("host")) == (
        "GET",
        "/hello?a=b&c",
        1,
        "a.test",
    )
    assert request.framing == "none"


@pytest.mark.parametrize("size", [0, 1, 1000, 16383, 16384, 16385, 65536, 1 << 20])
def test_post_with_length(pair, size):
    sluice, origin = pair
    body = bytes(i % 251 for i in range(size))
    answer = sluice.request("POST", "/p", body=body)
    assert answer.status == 200 and answer.body == (body or b"/p")
    assert origin.requests[-1].header("content-length") == str(size)


@pytest.mark.parametrize("sizes", [(1,), (5, 1, 7), (16384, 16385), (100000, 1, 100000)])
def test_chunked_both_ways(pair, sizes):
    sluice, origin = pair
    body = b"".join(bytes([65 + i % 26]) * n for i, n in enumerate(sizes))
    parts = [bytes([65 + i % 26]) * n for i, n in enumerate(sizes)]
    answer = sluice.request("POST", "/c", {"Transfer-Encoding": "chunked"}, chunked(*parts))
    assert (answer.status, answer.framing, answer.body) == (200, "chunked", body or b"/c")
    assert origin.requests[-1].framing == "chunked" and not origin.requests[-1].all("content-length")


def test_an_empty_chunked_body(pair):
    """It is known to be empty before it goes on: RFC 9110 8.6 has the length of that."""
    sluice, origin = pair
    answer = sluice.request("POST", "/c", {"Transfer-Encoding": "chunked"}, chunked())
    assert (answer.status, answer.body) == (200, b"/c")
    assert origin.requests[-1].all("content-length") == ["0"] and not origin.requests[-1].all("transfer-encoding")


def test_trailers_both_ways(pair):
    sluice, origin = pair
    answer = sluice.request(
        "POST",
        "/t",
        {"Transfer-Encoding": "chunked", "Trailer": "X-Sum", "TE": "trailers"},
        chunked(b"data", trailers=b"X-Sum: 42\r\nX-Other: a b\r\n"),
    )
    assert origin.requests[-1].trailers == [("x-sum", "42"), ("x-other", "a b")]
    assert answer.trailers == [("x-sum", "42"), ("x-other", "a b")]


def test_head(pair):
    sluice, _ = pair
    with sluice.client() as client:
        for _ in range(3):
            answer = client.request("HEAD")
            assert (answer.status, answer.header("content-length"), answer.body) == (200, "1234", b"")
        assert client.request().status == 200


@pytest.mark.parametrize(
    "method",
    ["PUT", "DELETE", "OPTIONS", "PATCH", "QUERY", "PROPFIND", "M-SEARCH", "X", "get", "!#$%&'*+-.^_`|~0aZ", "A" * 64],
)
def test_any_token_is_a_method(pair, method):
    sluice, origin = pair
    answer = sluice.request(method, "/m")
    assert answer.status == 200 and answer.header("x-method") == method
    assert origin.requests[-1].method == method


@pytest.mark.parametrize("method", ["QUERY", "DELETE", "GET", "FOO"])
def test_any_method_may_have_a_body(pair, method):
    sluice, origin = pair
    assert sluice.request(method, "/m", body=b"body").body == b"body"
    assert origin.requests[-1].body == b"body"


def test_keep_alive(pair):
    sluice, _ = pair
    with sluice.client() as client:
        for i in range(50):
            answer = client.request(path=f"/{i}")
            assert answer.body == f"/{i}".encode() and not answer.closes
    sluice.wait_metric(lambda v: v >= 49, "sluice_upstream_requests_total", upstream="app", reused="true")


def test_connection_close_is_obeyed(pair):
    sluice, origin = pair
    with sluice.client() as client:
        heads = origin.heads
        client.send(build(headers={"Connection": "close"}) + build(path="/never"))
        answer = client.response()
        assert answer.status == 200 and answer.closes
        assert client.ended()
    assert sluice.request(path="/next").status == 200
    assert [r.target for r in origin.requests[heads:]] == ["/", "/next"]


def test_pipelining_in_order_one_at_a_time(start):
    """The second request reaches the origin after the first answer, whatever the client sends."""
    gate = threading.Event()

    def on_request(connection, request):
        if request.target == "/0":
            assert gate.wait(TIMEOUT)
        connection.send(ok(request.target.encode() + request.body))

    origin = start.origin(on_request)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        client.send(
            build(path="/0")
            + build("POST", "/1", body=b"body")
            + build("POST", "/2", {"Transfer-Encoding": "chunked"}, chunked(b"x", b"y"))
            + b"".join(build(path=f"/{i}") for i in range(3, 40))
        )
        origin.wait_heads(1)
        assert sluice.metric("sluice_requests_in_flight") == 1
        assert origin.heads == 1
        gate.set()
        bodies = [client.response().body for _ in range(40)]
    assert bodies == [b"/0", b"/1body", b"/2xy"] + [b"/%d" % i for i in range(3, 40)]
    assert origin.open_max == 1


def test_http_1_0(pair):
    sluice, _ = pair
    with sluice.client() as client:
        client.send(build(path="/a", version="1.0"))
        answer = client.response()
        assert answer.status == 200 and answer.body == b"/a" and answer.closes
        assert client.ended()
    with sluice.client() as client:
        for _ in range(2):
            client.send(build(path="/a", version="1.0", headers={"Connection": "keep-alive"}))
            answer = client.response()
            assert answer.body == b"/a"
            if answer.closes:
                break
    with sluice.client() as client:
        client.send(build("POST", "/", {"Content-Length": "4"}, b"body", version="1.0"))
        assert client.response().body == b"body"


def test_http_1_0_client_gets_no_chunks(start):
    origin = start.origin(
        lambda c, r: c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"one", b"two"))
    )
    sluice = start.sluice(config(origin.address))
    for keep in ("close", "keep-alive"):
        with sluice.client() as client:
            client.send(build(version="1.0", headers={"Connection": keep}))
            answer = client.response()
            assert (answer.framing, answer.body) == ("close", b"onetwo")


@pytest.mark.parametrize(
    "version,extra", [("1.1", ""), ("1.0", ""), ("1.0", "Connection: keep-alive\r\nContent-Length: 5\r\n")]
)
def test_close_delimited_answers_become_chunked(start, version, extra):
    def script(connection):
        connection.read_request()
        connection.send(f"HTTP/{version} 200 OK\r\n{extra}\r\nhello".encode())
        connection.close()

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        for _ in range(2):
            answer = client.request()
            assert (answer.status, answer.body, answer.closes) == (200, b"hello", False)
            assert answer.framing == ("length" if extra else "chunked")


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_answers_without_body(start, status):
    origin = start.origin(lambda c, r: c.send(f"HTTP/1.1 {status}\r\nETag: \"x\"\r\n\r\n".encode()))
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        for _ in range(3):
            answer = client.request()
            assert (answer.status, answer.body, answer.closes) == (int(status[:3]), b"", False)
            assert answer.header("etag") == '"x"' and not answer.all("transfer-encoding")
    assert origin.open_max == 1


def test_statuses_and_phrases_pass(start):
    origin = start.origin(lambda c, r: c.send(ok(b"x", status=r.target[1:].replace("+", " "))))
    sluice = start.sluice(config(origin.address))
    for status in ("200 Fine", "201 ", "299 Odd", "404 Not Found", "418 I'm a teapot", "451 X", "500 Oops", "599 Last"):
        assert sluice.request(path="/" + status.replace(" ", "+")).status == int(status[:3])


def test_answers_keep_repeated_fields_and_order(start):
    origin = start.origin(
        lambda c, r: c.send(
            ok(
                b"x",
                [
                    "Set-Cookie: a=1",
                    "Set-Cookie: b=2",
                    "X: 1",
                    "x: 2",
                    "Connection: X-Hop",
                    "X-Hop: 1",
                    "Keep-Alive: timeout=60",
                ],
            )
        )
    )
    sluice = start.sluice(config(origin.address))
    answer = sluice.request()
    assert answer.all("set-cookie") == ["a=1", "b=2"] and answer.all("x") == ["1", "2"]
    assert not answer.all("x-hop") and answer.all("keep-alive") == ["timeout=74"]  # ours, of this connection


def test_expect_continue_is_passed_on_and_the_origins_100_relayed(start):
    def script(connection):
        request = connection.read_head()
        assert request.header("expect") == "100-continue"
        assert len(connection.received) == connection.at, "the body came before the 100"
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.read_body(request)
        connection.send(ok(request.body))
        connection.wait_eof()

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        client.send(build("POST", "/", {"Expect": "100-continue", "Content-Length": "4"}))
        assert client.head().status == 100
        client.send(b"body")
        assert client.response().body == b"body"


def test_expect_continue_refused_by_the_origin(start):
    def script(connection):
        connection.read_head()
        connection.send(ok(b"no", status="417 Expectation Failed"))
        connection.wait_eof()

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        client.send(build("POST", "/", {"Expect": "100-continue", "Content-Length": "4"}))
        answer = client.response()
        assert (answer.status, answer.interim, answer.body) == (417, [], b"no")
    assert b"body" not in origin.received


def test_expect_continue_without_an_answer_gets_100_after_a_second(start):
    def script(connection):
        while True:
            request = connection.read_request()
            connection.send(ok(request.body))

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        client.send(build("POST", "/", {"Expect": "100-continue", "Content-Length": "4"}))
        assert client.head().status == 100
        client.send(b"body")
        answer = client.response()
        assert (answer.interim, answer.body) == ([], b"body")
        assert client.request("POST", "/again", body=b"step").body == b"step"


def test_expect_is_ignored_from_1_0(pair):
    sluice, origin = pair
    with sluice.client() as client:
        client.send(build("POST", "/", {"Expect": "100-continue", "Content-Length": "4"}, b"body", version="1.0"))
        answer = client.response()
        assert (answer.status, answer.interim, answer.body) == (200, [], b"body")
    assert not origin.requests[-1].all("expect")


def test_client_that_half_closes_after_its_request(start):
    gate = threading.Event()

    def on_request(connection, request):
        assert gate.wait(TIMEOUT)
        connection.send(ok(b"late"))

    origin = start.origin(on_request)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        client.send(build())
        client.finish()
        origin.wait_heads(1)
        assert sluice.metric("sluice_requests_in_flight") == 1
        gate.set()
        assert client.response().body == b"late"
        assert client.ended()


def test_client_that_leaves_is_499_and_the_origin_hears_of_it(start):
    origin = start.origin(on_connection=lambda c: (c.read_request(), c.wait_eof()))
    sluice = start.sluice(config(origin.address))
    client = sluice.client()
    client.send(build(path="/left"))
    origin.wait_heads(1)
    client.reset()
    assert origin.connections[0].eof.wait(TIMEOUT)
    (line,) = sluice.wait_log_path("/left")
    assert (line["status"], line["reason"]) == (499, "client_closed")
    sluice.wait_metric(1, "sluice_local_replies_total", reason="client_closed")
    sluice.wait_metric(0, "sluice_requests_in_flight")


def test_request_cut_in_its_body_is_never_whole_at_the_origin(start):
    def script(connection):
        connection.read_body(connection.read_head())
        connection.send(ok(b"whole"))

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address))
    cut = (
        build("POST", "/cut", {"Content-Length": "10"}) + b"12345",
        build("POST", "/cut", {"Transfer-Encoding": "chunked"}) + b"5\r\n12345\r\n",
    )
    for n, raw in enumerate(cut, 1):
        client = sluice.client()
        client.send(raw)
        origin.wait_heads(n)
        client.close()
    wait_for(lambda: len(origin.connections) == 2 and all(c.ended.is_set() for c in origin.connections))
    lines = sluice.wait_log_path("/cut", 2)
    assert all(line["status"] in (400, 499) for line in lines), lines
    assert all(c.sent == 0 for c in origin.connections)


@pytest.mark.parametrize(
    "raw",
    [
        build("POST", "/torn?x=y", {"X-A": "b", "Content-Length": "5"}, b"hello"),
        build(
            "POST",
            "/torn",
            {"Transfer-Encoding": "chunked", "X-A": "b"},
            chunked(b"hel", b"lo", trailers=b"X-T: 1\r\n"),
        ),
    ],
    ids=["length", "chunked"],
)
def test_a_request_torn_at_every_byte(pair, raw):
    sluice, origin = pair
    with sluice.client() as client:
        for at in range(1, len(raw)):
            client.send_torn(raw, at)
            answer = client.response()
            assert (answer.status, answer.body) == (200, b"hello"), at
            request = origin.requests[-1]
            assert (request.header("x-a"), request.body) == ("b", b"hello"), at


def test_a_request_byte_by_byte(pair):
    sluice, _ = pair
    with sluice.client() as client:
        for byte in build("POST", "/torn", {"Transfer-Encoding": "chunked"}, chunked(b"hel", b"lo")):
            client.send(bytes([byte]))
        assert client.response().body == b"hello"


@pytest.mark.parametrize(
    "raw",
    [
        ok(b"hello", ["X-A: b"]),
        b"HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunked(b"hel", b"lo", trailers=b"X-T: 1\r\n"),
    ],
    ids=["length", "chunked"],
)
def test_an_answer_torn_at_every_byte(start, raw):
    at = iter(range(1, len(raw)))

    def on_request(connection, request):
        connection.send(raw[: (cut := next(at))])
        connection.send(raw[cut:])

    origin = start.origin(on_request)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        for _ in range(1, len(raw)):
            answer = client.request()
            assert (answer.status, answer.header("x-a"), answer.body) == (200, "b", b"hello")


def test_an_empty_line_before_a_request_is_skipped(pair):
    """RFC 9112 2.2: at least one empty line before the request line is ignored."""
    sluice, _ = pair
    with sluice.client() as client:
        client.send(b"\r\n" + build(path="/a"))
        assert client.response().body == b"/a"


def test_large_head(start):
    """Heads that outgrow one 16 KB block, both ways."""
    big = "v" * 7000
    origin = start.origin(lambda c, r: c.send(ok(b"x", [f"Y{i}: {big}" for i in range(8)])))
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        for _ in range(3):
            answer = client.request(headers={f"X{i}": big for i in range(8)})
            assert [answer.header(f"y{i}") for i in range(8)] == [big] * 8
    assert [origin.requests[-1].header(f"x{i}") for i in range(8)] == [big] * 8


def test_max_forwards(pair):
    sluice, origin = pair
    heads = origin.heads
    assert sluice.request("OPTIONS", "/", {"Max-Forwards": "0"}).status == 200
    answer = sluice.request("TRACE", "/", {"Max-Forwards": "0"})
    assert (answer.status, answer.reason) == (405, "method_not_allowed")
    assert origin.heads == heads
    assert sluice.request("OPTIONS", "/", {"Max-Forwards": "5"}).status == 200
    assert origin.requests[-1].header("max-forwards") == "4"
    assert sluice.request("GET", "/", {"Max-Forwards": "0"}).status == 200
    assert origin.heads == heads + 2


def test_curl_and_nginx(start):
    """Somebody else's client and somebody else's server."""
    data = bytes(i * 7 % 256 for i in range(300000))
    backend = start.nginx(files={"data.bin": data})
    sluice = start.sluice(config(backend.address))
    url = f"http://{sluice.address()}"
    got = subprocess.run(
        ["curl", "-sS", "--max-time", "20", f"{url}/data.bin", f"{url}/data.bin"], capture_output=True, check=True
    )
    assert got.stdout == data * 2
    got = subprocess.run(
        ["curl", "-sS", "--max-time", "20", "-r", "10-19", "--compressed", f"{url}/data.bin"],
        capture_output=True,
        check=True,
    )
    assert got.stdout == data[10:20]
    got = subprocess.run(
        ["curl", "-sSI", "--max-time", "20", f"{url}/missing"], capture_output=True, check=True, text=True
    )
    assert got.stdout.startswith("HTTP/1.1 404 Not Found\n")
