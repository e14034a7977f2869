"""What RFC 9110 asks of an intermediary beyond framing: Date, authorities, schemes, 426, methods and fields that only
pass."""

import email.utils
import time

import pytest

from harness.client import build
from harness.h2 import H2Client
from harness.origin import ok
from harness.proxy import config

BOTH = ("h2", "http/1.1")


def age_of(date):
    """Seconds since then; the text must be an IMF-fixdate."""
    at = email.utils.parsedate_to_datetime(date)
    assert email.utils.format_datetime(at, usegmt=True) == date
    return time.time() - at.timestamp()


def h2_answer(sluice, path="/", headers=(), authority="a.test", scheme="http"):
    """One request over HTTP/2 in the clear."""
    with H2Client(sluice.address()) as client:
        client.scheme = scheme
        return client.request(path, headers=headers, authority=authority)


# --- Date (6.6.1) -----------------------------------------------------------------------------------------------------

LOCAL = """
[[route]]
name = "here"
path = "/respond"
respond = { status = 200, body = "here" }
[[route]]
name = "there"
path = "/redirect"
redirect = { to = "https://{authority}{path}" }
[[route]]
name = "unchanged"
path = "/unchanged"
respond = { status = 304 }
[[route]]
name = "denied"
path = "/denied"
deny = ["127.0.0.0/8"]
respond = { status = 200, body = "never" }
"""


@pytest.fixture(scope="module")
def pair(shared):
    origin = shared.origin(
        lambda c, r: c.send(ok(headers=["Date: Sun, 06 Nov 1994 08:49:37 GMT"] if r.target == "/dated" else []))
    )
    return shared.sluice(config(origin.address, before=LOCAL, protocols=BOTH)), origin


@pytest.mark.parametrize("path,status", [("/", 200), ("/respond", 200), ("/redirect", 308), ("/denied", 403)])
def test_every_answer_has_a_date(pair, path, status):
    sluice, _ = pair
    answer = sluice.request(path=path)
    assert answer.status == status and -2 < age_of(answer.header("date")) < 60
    answer = h2_answer(sluice, path)
    assert answer.status == status and -2 < age_of(answer.header("date")) < 60


def test_the_origins_date_stays(pair):
    sluice, _ = pair
    assert sluice.request(path="/dated").all("date") == ["Sun, 06 Nov 1994 08:49:37 GMT"]
    assert h2_answer(sluice, "/dated").header("date") == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_errors_before_a_request_is_whole_have_a_date(pair):
    sluice, _ = pair
    with sluice.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        answer = client.response()
        assert answer.status == 400 and -2 < age_of(answer.header("date")) < 60


def test_admin_pages_have_a_date(pair):
    sluice, _ = pair
    with sluice.client("admin") as client:
        for path in ("/healthz", "/status", "/nothing"):
            assert -2 < age_of(client.request(path=path, host="localhost").header("date")) < 60


# --- authority (RFC 3986 3.2.3) and scheme (9113 8.3.1) ---------------------------------------------------------------


def test_an_empty_port_is_none(pair):
    sluice, origin = pair
    for target in (b"/", b"http://a.test:/"):
        with sluice.client() as client:
            client.send(b"GET " + target + b" HTTP/1.1\r\nHost: a.test:\r\n\r\n")
            assert client.response().status == 200
    assert h2_answer(sluice, authority="a.test:").status == 200
    for request in [r for c in origin.connections for r in c.requests][-3:]:
        assert request.header("host") == "a.test" and request.header("x-forwarded-host") == "a.test"
        assert 'host="a.test"' in request.header("forwarded")
    with sluice.client() as client:
        client.send(b"GET /redirect HTTP/1.1\r\nHost: a.test:\r\n\r\n")
        assert client.response().header("location") == "https://a.test/redirect"


@pytest.mark.parametrize("scheme", ["http", "https", "HTTPS"])
def test_the_scheme_that_a_proxy_in_front_was_asked_for(pair, scheme):
    """On a clear-text listener. What goes on is our own view."""
    sluice, origin = pair
    with sluice.client() as client:
        client.send(f"GET {scheme}://a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
        assert client.response().status == 200
    assert h2_answer(sluice, scheme=scheme).status == 200
    for request in [r for c in origin.connections for r in c.requests][-2:]:
        assert request.header("x-forwarded-proto") == "http"


def test_other_schemes_are_errors(pair):
    sluice, _ = pair
    with sluice.client() as client:
        client.send(b"GET ftp://a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert client.response().status == 400
    assert h2_answer(sluice, scheme="ftp").status == 400


def test_the_scheme_of_a_trusted_proxy(start):
    origin = start.origin()
    for trusted, expected in (('trusted_proxies = ["127.0.0.1"]', "https"), ("", "http")):
        sluice = start.sluice(config(origin.address, listener=trusted, protocols=BOTH))
        assert sluice.request(headers=[("X-Forwarded-Proto", "https")]).status == 200
        assert h2_answer(sluice, headers=[("x-forwarded-proto", "https")], scheme="https").status == 200
        for request in [r for c in origin.connections for r in c.requests][-2:]:
            assert request.header("x-forwarded-proto") == expected


# --- 426 (15.5.22) ----------------------------------------------------------------------------------------------------


def test_upgrade_stays_on_a_426(start):
    origin = start.origin(
        lambda c, r: c.send(ok(status="426 Upgrade Required", headers=["Connection: Upgrade", "Upgrade: TLS/1.3, foo"]))
    )
    sluice = start.sluice(config(origin.address, protocols=BOTH))
    answer = sluice.request()
    assert answer.status == 426 and answer.header("upgrade") == "TLS/1.3, foo"
    assert "upgrade" in [word.strip().lower() for word in answer.header("connection").split(",")]
    with sluice.client() as client:
        client.send(b"GET / HTTP/1.0\r\nHost: a.test\r\n\r\n")
        assert client.response().all("upgrade") == []
    answer = h2_answer(sluice)
    assert answer.status == 426 and answer.header("upgrade") is None and answer.header("connection") is None


# --- what only passes -------------------------------------------------------------------------------------------------

ASKED = [
    ("Range", "bytes=0-4, 9-"),
    ("If-Range", '"a"'),
    ("If-None-Match", '"a", W/"b", *'),
    ("If-Match", '"a"'),
    ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("If-Unmodified-Since", "yesterday"),
    ("Cache-Control", "no-transform, max-age=0, x-own"),
    ("Pragma", "no-cache"),
    ("Accept-Encoding", "gzip;q=0"),
    ("Authorization", "Basic eDp5"),
    ("Proxy-Authorization", "Basic eDp5"),
    ("Max-Forwards", "3"),
    ("Trailer", "X-Sum"),
    ("From", "a@a.test"),
    ("X-Unknown", "a,,b , c"),
    ("X-Unknown", "d"),
    ("Priority", "u=1"),
    ("Incremental", "?1"),
]
ANSWERED = [
    ("ETag", 'W/"b"'),
    ("Last-Modified", "yesterday"),
    ("Age", "17"),
    ("Warning", '110 - "stale"'),
    ("Cache-Control", "no-transform, private=\"x\""),
    ("Expires", "0"),
    ("Vary", "*"),
    ("Content-Encoding", "gzip"),
    ("Content-Range", "bytes 0-1/2"),
    ("Accept-Ranges", "bytes"),
    ("Server", "o"),
    ("Via", "1.0 other"),
    ("Allow", "GET"),
    ("WWW-Authenticate", "Basic realm=\"a\", New x=y"),
    ("WWW-Authenticate", "Other"),
    ("Set-Cookie", "a=b"),
    ("Set-Cookie", "c=d"),
    ("Retry-After", "9"),
    ("X-Unknown", "a,,b , c"),
    ("X-Unknown", "d"),
    ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
]


def told(headers, names):
    """The fields of these names, in their order."""
    names = {n.lower() for n, _ in names}
    return [(n, v) for n, v in headers if n in names]


def lowered(fields):
    return [(n.lower(), v) for n, v in fields]


def test_fields_that_only_pass(start):
    """Ranges, conditions, cache directives, Age, Warning and what nobody here knows: as they came, in their order, both
    ways."""
    origin = start.origin(
        lambda c, r: c.send(ok(b"\x1f\x8b", [f"{n}: {v}" for n, v in ANSWERED], "206 Partial Content"))
    )
    sluice = start.sluice(config(origin.address, protocols=BOTH))
    answer = sluice.request(headers=ASKED)
    assert answer.status == 206 and answer.body == b"\x1f\x8b" and told(answer.headers, ANSWERED) == lowered(ANSWERED)
    answer = h2_answer(sluice, headers=lowered(ASKED))
    assert (
        answer.status == 206
        and bytes(answer.body) == b"\x1f\x8b"
        and told(answer.headers, ANSWERED) == lowered(ANSWERED)
    )
    requests = [r for c in origin.connections for r in c.requests]
    assert len(requests) == 2
    for request in requests:
        assert told(request.headers, ASKED) == lowered(ASKED)


def test_versions_are_those_of_each_hop(start):
    """RFC 9112 2.3: what we send says what we speak; Via says what came (RFC 9110 7.6.3)."""
    origin = start.origin(lambda c, r: c.send(ok().replace(b"HTTP/1.1", b"HTTP/1.0")))
    sluice = start.sluice(config(origin.address, protocols=BOTH))
    with sluice.client() as client:
        client.send(b"GET / HTTP/1.0\r\nHost: a.test\r\nVia: 1.1 before\r\n\r\n")
        assert client.response().version == 1
    assert h2_answer(sluice).status == 200
    first, second = [r for c in origin.connections for r in c.requests]
    assert first.version == second.version == 1
    assert [v.split()[0] for v in first.header("via").split(", ")] == ["1.1", "1.0"] and first.header("via").startswith(
        "1.1 before, "
    )
    assert second.header("via").split()[0] in ("2", "2.0")


def test_trace_is_the_origins(pair):
    """It only passes: nothing here answers it but at Max-Forwards: 0."""
    sluice, origin = pair
    assert sluice.request("TRACE").status == 200
    assert [r for c in origin.connections for r in c.requests][-1].method == "TRACE"
    assert sluice.request("TRACE", headers=[("Max-Forwards", "0")]).status == 405


def test_a_304_of_our_own_says_no_length(pair):
    """RFC 9110 8.6."""
    sluice, _ = pair
    answer = sluice.request(path="/unchanged")
    assert answer.status == 304 and answer.header("content-length") is None
    answer = h2_answer(sluice, "/unchanged")
    assert answer.status == 304 and answer.header("content-length") is None


def test_every_405_says_what_is_allowed(pair):
    """RFC 9110 15.5.6."""
    sluice, _ = pair
    with sluice.client() as client:
        client.send(b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n")
        answer = client.response()
        assert answer.status == 405 and "GET" in answer.header("allow")


@pytest.mark.parametrize("over", ["http/1.1", "h2"])
def test_incremental_passes_and_nothing_is_held_back(start, over):
    """Each piece of a message goes on when it is there, both ways, with or without the field."""

    def origin_script(connection):
        head = connection.read_head()
        assert head.header("incremental") == "?1"
        for n in range(3):
            assert connection.read_until(b"%d\r\n" % n).endswith(b"%d\r\n" % n)
            if n == 0:
                connection.send(b"HTTP/1.1 200 OK\r\nIncremental: ?1\r\nTransfer-Encoding: chunked\r\n\r\n")
            connection.send(b"3\r\n%d!\n\r\n" % n)
        connection.read_until(b"0\r\n\r\n")
        connection.send(b"0\r\n\r\n")

    origin = start.origin(on_connection=origin_script)
    sluice = start.sluice(config(origin.address, protocols=BOTH))
    if over == "h2":
        with H2Client(sluice.address()) as client:
            stream = client.start("/", "POST", [("incremental", "?1")], end=False)
            for n in range(3):
                client.send_body(stream, b"%d\r\n" % n, end=False)
                client.until(lambda mark=b"%d!\n" % n: client.seen(stream).body.endswith(mark))
            client.send_body(stream)
            assert client.finish(stream).header("incremental") == "?1"
        return
    with sluice.client() as client:
        client.send(build("POST", headers=[("Incremental", "?1"), ("Transfer-Encoding", "chunked")]))
        for n in range(3):
            client.send(b"3\r\n%d\r\n\r\n" % n)
            if n == 0:
                assert client.head().header("incremental") == "?1"
            assert client.read_bytes(8) == b"3\r\n%d!\n\r\n" % n
        client.send(b"0\r\n\r\n")
        assert client.read_bytes(5) == b"0\r\n\r\n"


@pytest.mark.parametrize("over", ["h1", "h2"])
def test_an_empty_cookie_beside_others_says_nothing(start, over):
    """Joined by a server of HTTP/2 (RFC 9113 8.2.3) it would leave a blank at the end of a value, which ends the
    connection of all."""
    origin = start.origin()
    sluice = start.sluice(config(origin.address, protocols=BOTH))
    if over == "h2":
        h2_answer(sluice, headers=[("cookie", "a=1"), ("cookie", ""), ("cookie", "b=2"), ("cookie", "")])
    else:
        with sluice.client() as client:
            client.send(build(headers=[("Cookie", "a=1"), ("Cookie", ""), ("Cookie", "b=2"), ("Cookie", "")]))
            assert client.response().status == 200
    cookies = [value for name, value in origin.requests[-1].headers if name.lower() == "cookie"]
    assert cookies == (["a=1; b=2"] if over == "h2" else ["a=1", "b=2"])
