"""Hostile and broken answers, rows 23 to 31 of the threat table.

Each row is what the origin sends and what the client must get; the origin connection is never used
again, the failure is counted and logged once, and the next request works.
"""

import threading
from dataclasses import dataclass

import pytest

from harness.base import TIMEOUT, wait_for
from harness.cases import Ledger
from harness.client import Closed, build
from harness.origin import ok
from harness.proxy import config

OK = "HTTP/1.1 200 OK"


def head(*lines, status=OK):
    return "\r\n".join([status, *lines]).encode("latin-1") + b"\r\n\r\n"


@dataclass(frozen=True)
class Answer:
    """What an origin sends for one request, then (close, reset, keep)."""

    name: str
    raw: bytes
    detail: tuple = ()
    then: str = "keep"
    reason: tuple = ("bad_response",)

    def __str__(self):
        return self.name


def evil(name, raw, detail="", then="keep", reason="bad_response"):
    return Answer(name, raw, tuple(detail.split("|")) if detail else (), then, tuple(reason.split("|")))


ROW_26 = [
    evil(f"status_line-{name}", line + b"\r\nContent-Length: 2\r\n\r\nok", "status_line")
    for name, line in {
        "garbage": b"NONSENSE",
        "two-digits": b"HTTP/1.1 20 OK",
        "four-digits": b"HTTP/1.1 2000 OK",
        "099": b"HTTP/1.1 099 X",
        "600": b"HTTP/1.1 600 X",
        "999": b"HTTP/1.1 999 X",
        "000": b"HTTP/1.1 000 X",
        "no-space": b"HTTP/1.1200 OK",
        "two-spaces": b"HTTP/1.1  200 OK",
        "letters": b"HTTP/1.1 2x0 OK",
        "negative": b"HTTP/1.1 -20 OK",
        "version-2": b"HTTP/2.0 200 OK",
        "version-word": b"HTTX/1.1 200 OK",
        "lower": b"http/1.1 200 OK",
        "ctl": b"HTTP/1.1 200 O\x01K",
        "nul": b"HTTP/1.1 200 O\0K",
        "bare-cr": b"HTTP/1.1 200 O\rK",
        "empty": b"",
        "space-first": b" HTTP/1.1 200 OK",
        "icy": b"ICY 200 OK",
        "no-status": b"HTTP/1.1",
        "tab": b"HTTP/1.1\t200 OK",
    }.items()
] + [
    evil("status_line-long", b"HTTP/1.1 200 " + b"a" * 100000 + b"\r\n\r\n", "status_line|field|head_size"),
    evil("http-0.9", b"<html>hello</html>", "status_line", "close"),
    evil("tls-alert", b"\x15\x03\x01\x00\x02\x02\x16", "status_line|ctl", "close"),
]

ROW_27 = [
    evil(f"framing-{name}", head(*lines) + b"0\r\n\r\n", "framing")
    for name, lines in {
        "cl-te": ("Content-Length: 5", "Transfer-Encoding: chunked"),
        "te-cl": ("Transfer-Encoding: chunked", "Content-Length: 5"),
        "differ": ("Content-Length: 5", "Content-Length: 6"),
        "list-differ": ("Content-Length: 5, 6",),
        "plus": ("Content-Length: +5",),
        "minus": ("Content-Length: -5",),
        "hex": ("Content-Length: 0x5",),
        "letters": ("Content-Length: 5a",),
        "empty": ("Content-Length:",),
        "overflow": ("Content-Length: 18446744073709551621",),
        "gzip": ("Transfer-Encoding: gzip",),
        "gzip-chunked": ("Transfer-Encoding: gzip, chunked",),
        "identity": ("Transfer-Encoding: identity",),
        "twice": ("Transfer-Encoding: chunked, chunked",),
        "two-lines": ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        "x": ("Transfer-Encoding: xchunked",),
        "not-last": ("Transfer-Encoding: chunked, gzip",),
        "quoted": ('Transfer-Encoding: "chunked"',),
        "te-empty": ("Transfer-Encoding:",),
    }.items()
] + [
    evil(
        "framing-te-in-1.0",
        head("Transfer-Encoding: chunked", status="HTTP/1.0 200 OK") + b"0\r\n\r\n",
        "framing|te_10",
    )
]

ROW_28 = [
    evil(f"field-{name}", head("Content-Length: 2", line) + b"ok", "field|ctl|name|head_size")
    for name, line in {
        "nul": "X: a\0b",
        "cr": "X: a\rSet-Cookie: a=b",
        "soh": "X: a\x01",
        "del": "X: \x7f",
        "empty-name": ": a",
        "paren": "X(a): b",
        "space-name": "X a: b",
        "8bit-name": "X\xe9: b",
        "no-colon": "nonsense",
        "huge": "X: " + "a" * 70000,
        "many": "\r\n".join(f"X{i}: 1" for i in range(101)),
        "endless": "\r\n".join(f"X{i}: " + "a" * 8000 for i in range(60)),
    }.items()
]

ROW_29 = [
    evil("informational-flood", head(status="HTTP/1.1 103 Early Hints") * 11 + ok()),
    evil("informational-flood-many", head(status="HTTP/1.1 102 Processing") * 5000 + ok()),
    evil("informational-bytes", head("X: " + "a" * 6000, status="HTTP/1.1 103 Early Hints") * 4 + ok()),
    evil(
        "switching-unasked",
        head("Connection: Upgrade", "Upgrade: websocket", status="HTTP/1.1 101 Switching Protocols") + b"stray",
        "switching",
    ),
]

BEFORE_THE_HEAD = (
    ROW_26
    + ROW_27
    + ROW_28
    + ROW_29
    + [
        evil("cut-in-status-line", b"HTTP/1.1 20", "", "close", "bad_response|reset"),
        evil("cut-in-head", b"HTTP/1.1 200 OK\r\nContent-Le", "", "close", "bad_response|reset"),
        evil("reset-in-head", b"HTTP/1.1 200 OK\r\nContent-Le", "", "reset", "bad_response|reset"),
        evil("closed-after-1xx", head(status="HTTP/1.1 103 Early Hints"), "", "close", "bad_response|reset"),
    ]
)
SCRIPTS = {}


def scripted(connection, request):
    """Answers /NAME as the table says, anything else well."""
    case = SCRIPTS.get(request.target[1:])
    if case is None:
        connection.send(ok())
        return
    connection.send(case.raw)
    if case.then == "close":
        connection.close()
    elif case.then == "reset":
        connection.reset()


@pytest.fixture(scope="module")
def table(shared):
    SCRIPTS.update({c.name: c for c in BEFORE_THE_HEAD})
    origin = shared.origin(scripted)
    return shared.sluice(config(origin.address)), origin


@pytest.mark.parametrize("case", BEFORE_THE_HEAD, ids=str)
def test_nonsense_is_502(table, case):
    """POST, so that no second try blurs the counts."""
    sluice, origin = table
    ledger = Ledger(sluice)
    requests, connections = origin.heads, len(origin.connections)
    with sluice.client() as client:
        answer = client.request("POST", "/" + case.name, body=b"x")
        assert answer.status == 502 and answer.reason in case.reason, (answer.status, answer.headers)
        assert all(n not in ("set-cookie", "x") for n, _ in answer.headers)
        if not answer.closes:  # the client's own connection is not to blame
            assert client.request(path="/after").status == 200
    assert [r.target for r in origin.requests[requests : requests + 1]] == ["/" + case.name]
    used = next(c for c in origin.connections if any(r.target == "/" + case.name for r in c.requests))
    wait_for(lambda: used.eof.is_set() or used.ended.is_set(), what="the origin connection ends")
    assert used.requests[-1].target == "/" + case.name, "the connection was used again"
    assert len(origin.connections) >= connections
    lines = [line for line in ledger.lines() if line["path"] != "/after"]
    assert [(line["status"], line["reason"]) for line in lines] == [(502, answer.reason)], lines
    assert ledger.grew("sluice_upstream_errors_total", upstream="app", reason=answer.reason) == 1
    assert ledger.grew("sluice_local_replies_total", reason=answer.reason) == 1
    if case.detail:
        assert lines[0]["detail"] in case.detail, lines
        assert ledger.grew("sluice_protocol_errors_total", side="upstream", detail=lines[0]["detail"]) == 1


def scenario(start, script, **options):
    """A proxy in front of an origin whose connections run script(connection, number)."""
    origin = start.origin(on_connection=script)
    return start.sluice(config(origin.address, **options)), origin


# Row 23
@pytest.mark.parametrize("extra", [b"X", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", b"\r\n", b"0\r\n\r\n"])
def test_bytes_after_an_answer_are_never_an_answer(start, extra):
    def script(connection):
        connection.read_request()
        connection.send(ok(b"%d" % connection.number) + extra)
        connection.wait_eof()

    sluice, origin = scenario(start, script)
    with sluice.client() as client:
        for n in (b"1", b"2", b"3"):
            assert client.request().body == n
    sluice.wait_metric(3, "sluice_protocol_errors_total", side="upstream", detail="extra_bytes")
    assert all(len(c.requests) == 1 for c in origin.connections)


@pytest.mark.parametrize("stray", [b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", b"X"])
def test_bytes_on_an_idle_connection_are_never_an_answer(start, stray):
    go = threading.Event()

    def script(connection):
        connection.read_request()
        connection.send(ok(b"%d" % connection.number))
        if connection.number == 1:
            assert go.wait(TIMEOUT)
            connection.send(stray)
        connection.wait_eof()

    sluice, origin = scenario(start, script)
    with sluice.client() as client:
        assert client.request().body == b"1"
        go.set()
        assert origin.connections[0].eof.wait(TIMEOUT), "the connection with stray bytes was kept"
        assert client.request().body == b"2"
    assert len(origin.connections[0].requests) == 1
    sluice.wait_metric(
        lambda v: v >= 1, "sluice_upstream_connections_closed_total", upstream="app", cause="extra_bytes"
    )


def test_an_answer_before_the_request_is_never_used(start):
    """The origin speaks first on a warm connection: a response waiting for a victim."""

    def script(connection):
        if connection.number == 1:
            connection.send(ok(b"poison"))
            connection.wait_eof()
        while True:
            connection.read_request()
            connection.send(ok(b"fine"))

    sluice, origin = scenario(start, script, pool="min_idle = 1")
    assert origin.connections[0].eof.wait(TIMEOUT)
    assert sluice.request().body == b"fine"
    assert not origin.connections[0].requests


# Row 24
@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize(
    "raw",
    [
        head("Content-Length: 10") + b"part",
        head("Transfer-Encoding: chunked") + b"4\r\npart\r\n",
        head("Transfer-Encoding: chunked") + b"8\r\npart",
        head("Transfer-Encoding: chunked") + b"4\r\npart\r\n0\r\n",
        head() + b"part",
    ],
    ids=["length", "chunked", "in-chunk", "no-end", "close-delimited"],
)
def test_a_cut_answer_never_looks_whole(start, raw, then):
    shown = threading.Event()

    def script(connection):
        connection.read_request()
        connection.send(raw)
        assert shown.wait(TIMEOUT)
        getattr(connection, then)()

    sluice, _ = scenario(start, script)
    with sluice.client() as client:
        client.send(build(path="/cut"))
        answer = client.head()
        assert answer.status == 200
        while b"part" not in client.buffer:
            client._more()  # pylint: disable=protected-access
        shown.set()
        if raw == head() + b"part" and then == "close":
            assert client.body(answer).body == b"part" and answer.framing == "chunked"
            return
        with pytest.raises(Closed):
            client.body(answer)
    (line,) = sluice.wait_log_path("/cut")
    assert line["status"] == 200 and line["reason"] in ("reset", "bad_response"), line
    sluice.wait_metric(1, "sluice_upstream_errors_total", upstream="app")


@pytest.mark.parametrize(
    "broken",
    [
        b"zz\r\nx\r\n",
        b"0x1\r\nx\r\n0\r\n\r\n",
        b"1\nx\r\n0\r\n\r\n",
        b"1\r\nxyz0\r\n\r\n",
        b"fffffffffffffffff\r\nx",
        b"0\r\nX y: z\r\n\r\n",
        b"-1\r\n",
        b"1;a\nb\r\nx\r\n0\r\n\r\n",
    ],
)
def test_a_broken_chunk_never_looks_whole(start, broken):
    shown = threading.Event()

    def script(connection):
        connection.read_request()
        connection.send(head("Transfer-Encoding: chunked") + b"4\r\npart\r\n")
        assert shown.wait(TIMEOUT)
        connection.send(broken)
        connection.wait_eof()

    sluice, origin = scenario(start, script)
    with sluice.client() as client:
        client.send(build(path="/cut"))
        answer = client.head()
        while b"part" not in client.buffer:
            client._more()  # pylint: disable=protected-access
        shown.set()
        with pytest.raises(Closed):
            client.body(answer)
    assert origin.connections[0].eof.wait(TIMEOUT)
    (line,) = sluice.wait_log_path("/cut")
    assert (line["status"], line["reason"]) == (200, "bad_response"), line
    assert line["detail"] in ("framing", "chunk", "field", "name", "trailer"), line
    sluice.wait_metric(1, "sluice_protocol_errors_total", side="upstream", detail=line["detail"])


@pytest.mark.parametrize("how", ["close", "reset"])
def test_no_answer_at_all(start, how):
    def script(connection):
        connection.read_request()
        getattr(connection, how)()

    sluice, origin = scenario(start, script)
    assert (answer := sluice.request("POST", "/", body=b"x")).status == 502 and answer.reason == "reset"
    assert origin.heads == 1
    assert (answer := sluice.request("GET", "/")).status == 502 and answer.reason == "reset"
    assert origin.heads == 3  # attempts = 2


# Row 27
@pytest.mark.parametrize(
    "lines", [("Content-Length: 5", "Content-Length: 5"), ("Content-Length: 5, 5",), ("Content-Length: 005",)]
)
def test_equal_lengths_are_folded(start, lines):
    sluice, _ = scenario(start, lambda c: (c.read_request(), c.send(head(*lines) + b"hello"), c.wait_eof()))
    answer = sluice.request()
    assert (answer.status, answer.body, answer.header("content-length")) == (200, b"hello", "5")


# Row 28
def test_a_space_before_the_colon_and_a_fold_are_cleaned(start):
    raw = b"HTTP/1.1 200 OK\r\nX-Space : one\r\nX-Fold: two\r\n three\r\n\tfour\r\nContent-Length : 2\r\n\r\nok"
    sluice, _ = scenario(start, lambda c: (c.read_request(), c.send(raw), c.wait_eof()))
    answer = sluice.request()
    assert (answer.status, answer.body, answer.header("x-space")) == (200, b"ok", "one")
    assert answer.header("x-fold").split() == ["two", "three", "four"]


def test_fields_at_the_limit(start):
    raw = head("Content-Length: 2", *[f"X{i}: 1" for i in range(99)]) + b"ok"
    sluice, _ = scenario(start, lambda c: (c.read_request(), c.send(raw), c.wait_eof()))
    assert sluice.request().header("x98") == "1"


# Row 29
def test_100_unasked_is_swallowed(start):
    sluice, _ = scenario(
        start, lambda c: (c.read_request(), c.send(head(status="HTTP/1.1 100 Continue") + ok()), c.wait_eof())
    )
    answer = sluice.request()
    assert (answer.status, answer.body, answer.interim) == (200, b"ok", [])


def test_early_hints_reach_a_1_1_client_and_not_a_1_0_client(start):
    def script(connection):
        while True:
            connection.read_request()
            connection.send(head("Link: </a.css>", status="HTTP/1.1 103 Early Hints") * 10 + ok())

    sluice, _ = scenario(start, script)
    answer = sluice.request()
    assert (answer.status, [i.status for i in answer.interim]) == (200, [103] * 10)
    assert answer.interim[0].header("link") == "</a.css>"
    with sluice.client() as client:
        client.send(build(version="1.0"))
        answer = client.response()
        assert (answer.status, answer.interim, answer.body) == (200, [], b"ok")


# Row 30
@pytest.mark.parametrize(
    "method,raw",
    [
        ("HEAD", ok(b"body")),
        ("GET", head("Content-Length: 4", status="HTTP/1.1 204 No Content") + b"body"),
        ("GET", head("Content-Length: 4", status="HTTP/1.1 304 Not Modified") + b"body"),
        ("GET", head(status="HTTP/1.1 204 No Content") + b"body"),
        ("GET", head("Transfer-Encoding: chunked", status="HTTP/1.1 304 Not Modified") + b"4\r\nbody\r\n0\r\n\r\n"),
    ],
    ids=["HEAD", "204", "304", "204-bare", "304-chunked"],
)
def test_answers_without_body_have_none(start, method, raw):
    def script(connection):
        connection.read_request()
        connection.send(raw)
        connection.wait_eof()

    sluice, origin = scenario(start, script)
    with sluice.client() as client:
        for _ in range(2):
            assert client.request(method).body == b""
        if not client.at_end:
            client.finish()
            assert client.ended()
    assert [len(c.requests) for c in origin.connections] == [1, 1]


# Row 31
def test_an_early_answer_goes_out_while_the_upload_goes_on(start):
    rest = threading.Event()

    def script(connection):
        request = connection.read_head()
        connection.send(head("Content-Length: 5") + b"he")
        connection.read_body(request)
        connection.send(b"llo")
        rest.set()
        connection.wait_eof()

    sluice, origin = scenario(start, script)
    with sluice.client() as client:
        client.send(build("POST", "/", {"Content-Length": "10"}) + b"12345")
        answer = client.head()
        assert answer.status == 200
        client.send(b"67890")
        assert client.body(answer).body == b"hello"
    assert rest.wait(TIMEOUT) and origin.requests[0].body == b"1234567890"


def test_an_answer_that_ends_before_the_upload_closes_the_origin_connection(start):
    def script(connection):
        connection.read_head()
        connection.send(ok(b"no", status="403 Forbidden"))
        connection.wait_eof()

    sluice, origin = scenario(start, script)
    with sluice.client() as client:
        client.send(build("POST", "/", {"Content-Length": "1000000"}) + b"12345")
        answer = client.response("POST")
        assert (answer.status, answer.body) == (403, b"no")
        assert origin.connections[0].eof.wait(TIMEOUT), "the connection with half a request was kept"
        try:
            client.send(b"x" * 500000)  # drained up to 64 KiB, or cut
            client.send(b"x" * 500000)
            assert client.ended()
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert sluice.request("GET", "/").status == 403  # a fresh connection
    assert len(origin.connections) == 2


def test_a_short_rest_of_an_upload_is_drained_and_the_client_kept_or_told(start):
    def script(connection):
        connection.read_head()
        connection.send(ok(b"no", status="403 Forbidden"))
        connection.wait_eof()

    sluice, _ = scenario(start, script)
    with sluice.client() as client:
        client.send(build("POST", "/", {"Content-Length": "1000"}) + b"12345")
        answer = client.response("POST")
        assert answer.status == 403
        if answer.closes:
            assert client.ended()
        else:
            client.send(b"x" * 995)
            assert client.request().status == 403
