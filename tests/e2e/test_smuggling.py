"""Hostile and ambiguous requests, rows 1 to 17 and 21 of the threat table.

Each row is raw bytes and what they must get: the status with its reason, a closed connection,
nothing at the origin, one log line, one count. The same process then serves the next request.
"""

import pytest

from harness.cases import Ledger, bad, complete_requests, recording, refuse
from harness.client import build, chunked
from harness.proxy import config

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"


def get(*lines, target="/", version="HTTP/1.1", host="Host: a.test", method="GET"):
    head = [f"{method} {target} {version}"] + ([host] if host else []) + list(lines)
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n"


def post(*lines, body=b"hello", **options):
    return get(*lines, method="POST", **options) + body + SMUGGLED


def te(value, body=b"0\r\n\r\n"):
    return post(f"Transfer-Encoding: {value}", body=body)


def chunks(body):
    return post("Transfer-Encoding: chunked", body=body)


ROW_1 = [
    bad(f"cl_te-{name}", post(*lines, body=b"0\r\n\r\n"), "cl_te")
    for name, lines in {
        "cl-first": ("Content-Length: 5", "Transfer-Encoding: chunked"),
        "te-first": ("Transfer-Encoding: chunked", "Content-Length: 5"),
        "zero": ("Content-Length: 0", "Transfer-Encoding: chunked"),
        "upper": ("TRANSFER-ENCODING: chunked", "content-length: 5"),
    }.items()
]

ROW_2 = [
    bad(f"te-{name}", te(value), detail, (400, 501))
    for name, value, detail in [
        ("x", "xchunked", "te"),
        ("vt", "\x0bchunked", "te|ctl"),
        ("quoted", '"chunked"', "te"),
        ("identity", "identity", "te"),
        ("twice", "chunked, chunked", "te"),
        ("not-last", "chunked, gzip", "te"),
        ("chunked-identity", "chunked, identity", "te"),
        ("gzip", "gzip, chunked", "te"),
        ("gzip-alone", "gzip", "te"),
        ("parameter", "chunked;q=1", "te"),
        ("comma", "chunked,", "te"),
        ("empty", "", "te"),
        ("leading-comma", ",chunked", "te"),
        ("space", "chun ked", "te"),
        ("nul", "chunked\0", "te|ctl"),
        ("8bit", "chunked\xa0", "te"),
    ]
] + [
    bad(
        "te-two-lines",
        post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        "te",
        (400, 501),
    ),
    bad(
        "te-two-lines-identity",
        post("Transfer-Encoding: identity", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        "te",
        (400, 501),
    ),
]

ROW_3 = [
    bad(f"cl-{name}", post(f"Content-Length: {value}"), "cl")
    for name, value in {
        "plus": "+5",
        "minus": "-5",
        "hex": "0x5",
        "list": "5,5",
        "list-space": "5, 5",
        "two": "5 5",
        "empty": "",
        "overflow": "18446744073709551621",
        "overflow-63": "9223372036854775808999",
        "letters": "5a",
        "fraction": "5.0",
        "exponent": "1e1",
        "comma": "5,",
        "quoted": '"5"',
        "underscore": "1_0",
    }.items()
] + [
    bad("cl-twice", post("Content-Length: 5", "Content-Length: 5"), "cl"),
    bad("cl-differ", post("Content-Length: 5", "Content-Length: 6"), "cl"),
]

ROW_4 = [
    bad(f"chunk-{name}", chunks(body), "chunk|ctl|trailer" if "lf" in name else "chunk", head_may_pass=True)
    for name, body in {
        "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
        "plus": b"+5\r\nhello\r\n0\r\n\r\n",
        "minus": b"-5\r\nhello\r\n0\r\n\r\n",
        "underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
        "blank-before": b" 5\r\nhello\r\n0\r\n\r\n",
        "empty": b"\r\nhello\r\n0\r\n\r\n",
        "overflow": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        "overflow-ff": b"ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "letters": b"xyz\r\nhello\r\n0\r\n\r\n",
        "lf-after-size": b"5\nhello\r\n0\r\n\r\n",
        "lf-after-data": b"5\r\nhello\n0\r\n\r\n",
        "lf-last": b"5\r\nhello\r\n0\n\r\n",
        "lf-end": b"5\r\nhello\r\n0\r\n\n",
        "cr-in-ext": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        "lf-in-ext": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        "open-quote": b'5;a="b\r\nhello\r\n0\r\n\r\n',
        "nul-in-ext": b"5;a=\0\r\nhello\r\n0\r\n\r\n",
        "no-crlf": b"5\r\nhelloXX0\r\n\r\n",
        "spill": b"5\r\nhello!\r\n0\r\n\r\n",
        "cr-x": b"5\r\nhello\rX0\r\n\r\n",
        "cr-after-size": b"5\r\rhello\r\n0\r\n\r\n",
        "ext-line-long": b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
        "ext-message-long": b"".join(b"1;" + b"a" * 3000 + b"\r\nx\r\n" for _ in range(6)) + b"0\r\n\r\n",
    }.items()
]

ROW_5 = [
    bad(f"trailer-{name}", chunks(b"5\r\nhello\r\n0\r\n" + lines), detail, status, head_may_pass=True)
    for name, lines, detail, status in [
        ("space-name", b"X Y: 1\r\n\r\n", "name|chunk|trailer", 400),
        ("space-colon", b"X : 1\r\n\r\n", "name|chunk|trailer", 400),
        ("empty-name", b": 1\r\n\r\n", "name|chunk|trailer", 400),
        ("no-colon", b"nonsense\r\n\r\n", "name|chunk|trailer", 400),
        ("nul", b"X: a\0b\r\n\r\n", "ctl|chunk|trailer", 400),
        ("bare-cr", b"X: a\rb\r\n\r\n", "ctl|chunk|trailer", 400),
        ("bare-lf", b"X: a\nY: b\r\n\r\n", "ctl|chunk|trailer", 400),
        ("fold", b"X: a\r\n b\r\n\r\n", "obs_fold|chunk|trailer", 400),
        ("endless-count", b"".join(b"X%d: 1\r\n" % i for i in range(200)) + b"\r\n", "", 431),
        ("endless-bytes", b"".join(b"X%d: " % i + b"a" * 8000 + b"\r\n" for i in range(10)) + b"\r\n", "", 431),
    ]
]

ROW_6 = [
    bad(f"ctl-{name}", raw, detail)
    for name, raw, detail in [
        ("nul", get("X: a\0b"), "ctl"),
        ("cr", get("X: a\rb"), "ctl"),
        ("lf", get("X: a\nY: b"), "ctl"),
        ("soh", get("X: a\x01b"), "ctl"),
        ("del", get("X: a\x7fb"), "ctl"),
        ("esc", get("X: \x1b[0m"), "ctl"),
        ("vt", get("X: a\x0bb"), "ctl"),
        ("cr-at-end", get("X: a\r"), "ctl"),
        ("nul-name", get("X\0Y: a"), "ctl|name"),
        ("lf-request-line", b"GET / HTTP/1.1\nHost: a.test\r\n\r\n", "ctl"),
        ("lf-ends-head", b"GET / HTTP/1.1\r\nHost: a.test\r\n\n", "ctl"),
        ("lf-only", b"GET / HTTP/1.1\nHost: a.test\n\n", "ctl"),
        ("cr-request-line", b"GET /\r HTTP/1.1\r\nHost: a.test\r\n\r\n", "ctl|target|request_line"),
        ("cr-only", b"GET / HTTP/1.1\r\nHost: a.test\rX: y\r\n\r\n", "ctl|host"),
    ]
]

ROW_7 = [
    bad(f"obs_fold-{name}", raw, detail)
    for name, raw, detail in [
        ("space", get("X: a", " b"), "obs_fold"),
        ("tab", get("X: a", "\tb"), "obs_fold"),
        ("te", post("Transfer-Encoding:", " chunked"), "obs_fold"),
        ("cl", post("Content-Length:", " 5"), "obs_fold"),
        ("expect", post("Expect: 100-continue", "X: a", " Content-Length: 5"), "obs_fold"),
        ("first", get(host=" Host: a.test"), "obs_fold|name"),
        ("blank-line", get("X: a", " "), "obs_fold"),
    ]
]

ROW_8_9 = [
    bad(f"name-{name}", raw, detail, status)
    for name, raw, detail, status in [
        ("space-colon", get("X : 1"), "name", 400),
        ("tab-colon", get("X\t: 1"), "name|ctl", 400),
        ("te-space", post("Transfer-Encoding : chunked", body=b"0\r\n\r\n"), "name", 400),
        ("cl-space", post("Content-Length : 5"), "name", 400),
        ("host-space", get(host="Host : a.test"), "name", 400),
        ("empty", get(": 1"), "name", 400),
        ("paren", get("X(y): 1"), "name", 400),
        ("space", get("X y: 1"), "name", 400),
        ("8bit", get("X\xe9: 1"), "name", 400),
        ("no-colon", get("Nonsense"), "name", 400),
        ("slash", get("X/y: 1"), "name", 400),
        ("at", get("@: 1"), "name", 400),
        ("quote", get('"X": 1'), "name", 400),
        ("wrap-64k", get("Content-Length" + "a" * 65536 + ": 5"), "", (400, 431)),
    ]
]

ROW_11 = [
    bad(f"host-{name}", get(host=line), "host")
    for name, line in {
        "missing": "X: 1",
        "twice": "Host: a.test\r\nHost: a.test",
        "differ": "Host: a.test\r\nHost: b.test",
        "space": "Host: a b",
        "list": "Host: a.test,b.test",
        "list-space": "Host: a.test, b.test",
        "userinfo": "Host: user@a.test",
        "password": "Host: u:p@a.test",
        "port-0": "Host: a.test:0",
        "port-65536": "Host: a.test:65536",
        "port-name": "Host: a.test:http",
        "port-minus": "Host: a.test:-1",
        "two-ports": "Host: a.test:80:80",
        "bracket": "Host: [::1",
        "bad-v6": "Host: [::zz]",
        "path": "Host: a.test/x",
        "query": "Host: a.test?x",
        "fragment": "Host: a.test#x",
        "backslash": "Host: a.test\\x",
        "percent": "Host: a%zz",
        "8bit": "Host: \xe9.test",
        "scheme": "Host: http://a.test",
        "quote": 'Host: "a.test"',
        "angle": "Host: <a>",
    }.items()
]

ROW_12_13 = [
    bad(f"target-{name}", get(target=target), detail)
    for name, target, detail in [
        ("empty-host", "http:///x", "target"),
        ("userinfo", "http://u@b.test/", "target"),
        ("password", "http://u:p@b.test/", "target"),
        ("ftp", "ftp://b.test/", "target"),
        ("scheme-only", "http:", "target"),
        ("port-0", "http://b.test:0/", "target"),
        ("port-big", "http://b.test:70000/", "target"),
        ("comma-host", "http://a.test,b.test/", "target"),
        ("space", "/a b", "target|request_line|version"),
        ("ctl", "/a\x01", "target|ctl"),
        ("del", "/a\x7f", "target|ctl"),
        ("8bit", "/\xc3\xa9", "target"),
        ("fragment", "/a#b", "target"),
        ("query-fragment", "/a?b#c", "target"),
        ("no-slash", "a", "target"),
        ("host-port", "a.test:80", "target"),
        ("asterisk-get", "*", "target"),
        ("percent", "/%", "target"),
        ("percent-1", "/%2", "target"),
        ("percent-zz", "/%zz", "target"),
        ("backslash", "/a\\b", "target"),
        ("brace", "/{a}", "target"),
        ("angle", "/<a>", "target"),
        ("quote", '/"a"', "target"),
        ("tick", "/`a", "target"),
        ("query-8bit", "/?\xff", "target"),
        ("query-tab", "/?a\tb", "target|ctl|request_line"),
    ]
] + [
    bad("target-two-spaces", b"GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    bad("target-none", b"GET HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    bad("target-tab", b"GET\t/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    bad("target-trailing-space", b"GET / HTTP/1.1 \r\nHost: a.test\r\n\r\n", "", (400, 505)),
    bad("method-at", b"G@T / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    bad("method-empty", b" / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    bad("method-colon", b"GET: / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    bad("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
]

VERSIONS = [
    bad(f"version-{name}", get(version=version), "", status)
    for name, version, status in [
        ("2.0", "HTTP/2.0", 505),
        ("3.0", "HTTP/3.0", 505),
        ("0.9", "HTTP/0.9", (400, 505)),
        ("1.", "HTTP/1.", (400, 505)),
        ("lower", "http/1.1", (400, 505)),
        ("long", "HTTP/1.10", (400, 505)),
        ("word", "HTTX/1.1", (400, 505)),
        ("9.9", "HTTP/9.9", 505),
    ]
] + [
    bad("version-none", b"GET /\r\n\r\n", "", (400, 505)),
    bad("h2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", (400, 505)),
]

ROW_16_17 = [
    bad("upgrade-cl", get("Connection: Upgrade", "Upgrade: websocket", "Content-Length: 5") + b"hello", "upgrade"),
    bad(
        "upgrade-chunked",
        get("Connection: Upgrade", "Upgrade: websocket", "Transfer-Encoding: chunked") + chunked(b"hello"),
        "upgrade",
    ),
    bad("te_10", post("Transfer-Encoding: chunked", body=b"0\r\n\r\n", version="HTTP/1.0"), "te_10"),
    bad("te_10-cl", post("Transfer-Encoding: chunked", "Content-Length: 5", version="HTTP/1.0"), "te_10|cl_te"),
]

ROW_21 = [
    bad("line-over", get(target="/" + "a" * 16384), "", 414),
    bad("line-far-over", get(target="/" + "a" * 200000), "", 414),
    bad("line-endless", b"GET /" + b"a" * 100000, "", 414),
    bad("method-endless", b"A" * 100000, "", (400, 414)),
    bad("fields-over", get(*[f"X{i}: 1" for i in range(100)]), "", 431),
    bad("fields-far-over", get(*[f"X{i}: 1" for i in range(5000)]), "", 431),
    bad("bytes-over", get(*[f"X{i}: " + "a" * 8192 for i in range(8)]), "", 431),
    bad("field-endless", get()[:-2] + b"X: " + b"a" * 300000, "", 431),
]

ALL = (
    ROW_1 + ROW_2 + ROW_3 + ROW_4 + ROW_5 + ROW_6 + ROW_7 + ROW_8_9 + ROW_11 + ROW_12_13 + VERSIONS + ROW_16_17 + ROW_21
)


@pytest.fixture(scope="module")
def table(shared):
    origin = shared.origin(recording)
    return shared.sluice(config(origin.address)), origin


@pytest.mark.parametrize("case", ALL, ids=str)
def test_refused(table, case):
    refuse(*table, case)


@pytest.mark.parametrize("case", [c for c in ROW_4 if "long" not in c.name], ids=str)
def test_bad_chunk_after_the_head_was_forwarded(table, case):
    """The head is at the origin already: the origin must see the message cut, the client 400."""
    sluice, origin = table
    head, body = case.raw.split(b"\r\n\r\n", 1)
    ledger = Ledger(sluice)
    whole, heads = len(complete_requests(origin)), origin.heads
    with sluice.client() as client:
        client.send(head + b"\r\n\r\n4\r\nabcd\r\n")
        origin.wait_heads(heads + 1)
        connection = next(c for c in origin.connections if c.requests and c.requests[-1] is origin.requests[heads])
        client.send(body)
        answer = client.response()
        assert (answer.status, answer.reason, answer.closes) == (400, "bad_request", True)
        assert client.ended()
    assert connection.ended.wait(20)
    lines = ledger.lines()
    assert len(lines) == 1 and lines[0]["status"] == 400 and lines[0]["detail"] in case.detail, lines
    assert len(complete_requests(origin)) == whole
    assert b"smuggled" not in connection.received


# What looks odd and must pass: refusing it would break real clients.
def test_transfer_encoding_in_any_case_is_made_anew(table):
    sluice, origin = table
    for value in ("Chunked", "CHUNKED", "\tchunked \t"):
        with sluice.client() as client:
            client.send(get(f"Transfer-Encoding: {value}", method="POST") + chunked(b"hello", b"world"))
            assert client.response().status == 200
        assert origin.requests[-1].all("transfer-encoding") == ["chunked"]
        assert origin.requests[-1].body == b"helloworld"


def test_leading_zeros_of_a_length_are_dropped(table):
    sluice, origin = table
    with sluice.client() as client:
        client.send(get("Content-Length: 0005", method="POST") + b"hello")
        assert client.response().status == 200
    assert origin.requests[-1].all("content-length") == ["5"]


def test_chunk_extensions_are_dropped(table):
    sluice, origin = table
    with sluice.client() as client:
        client.send(
            get("Transfer-Encoding: chunked", method="POST")
            + b'5;a=b;c="d e"\r\nhello\r\n00005;x\r\nworld\r\n000;last\r\n\r\n'
        )
        assert client.response().status == 200
    assert origin.requests[-1].body == b"helloworld"
    assert b"d e" not in origin.received and b";last" not in origin.received


def test_trailers_that_frame_or_authorise_are_dropped(table):
    sluice, origin = table
    trailers = (
        b"X-Checksum: abc\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: evil.test\r\n"
        b"Authorization: Basic x\r\n"
        b"Set-Cookie: a=b\r\nConnection: close\r\nKeep-Alive: 5\r\n"
    )
    with sluice.client() as client:
        client.send(get("Transfer-Encoding: chunked", method="POST") + chunked(b"hello", trailers=trailers))
        assert client.response().status == 200
    request = origin.requests[-1]
    assert request.trailers == [("x-checksum", "abc")]
    assert request.header("host") == "a.test" and not request.all("x-checksum") and not request.all("authorization")


@pytest.mark.parametrize("mode", ["drop", "reject", "pass", None])
def test_underscore_names(start, mode):
    origin = start.origin(recording)
    sluice = start.sluice(config(origin.address, listener=f'underscore_headers = "{mode}"' if mode else ""))
    raw = get("Content_Length: 5", "X_Forwarded_For: 6.6.6.6", "X-Ok: 1")
    if mode == "reject":
        refuse(sluice, origin, bad("underscore", raw))
        return
    with sluice.client() as client:
        client.send(raw)
        assert client.response().status == 200
    request = origin.requests[-1]
    kept = [n for n, _ in request.headers if "_" in n]
    assert kept == (["content_length", "x_forwarded_for"] if mode == "pass" else [])
    assert request.header("x-ok") == "1" and not request.all("content-length")
    assert request.header("x-forwarded-for") == "127.0.0.1"


def test_absolute_form_rules_over_host(table):
    sluice, origin = table
    for target, host in (
        ("http://b.test/x?y", "b.test"),
        ("http://b.test:8080/x?y", "b.test:8080"),
        ("HTTP://B.test/x?y", "b.test"),
    ):
        with sluice.client() as client:
            client.send(get(target=target))
            assert client.response().status == 200
        assert origin.requests[-1].target == "/x?y"
        assert origin.requests[-1].header("host").lower() == host


def test_absolute_form_without_path(table):
    sluice, origin = table
    for target, path in (("http://b.test", "/"), ("http://b.test?q", "/?q")):
        with sluice.client() as client:
            client.send(get(target=target))
            assert client.response().status == 200
        assert origin.requests[-1].target == path


@pytest.mark.parametrize(
    "target",
    [
        "/|[]^",
        "/?a=%&b={c}|\"d\"<e>\\",
        "/a;b=c",
        "/%41%2d",
        "/a//b/../c",
        "/pkg/@scope%2fname",
        "/-._~!$&'()*+,;=:@",
        "/?",
        "/a?b?c/d",
    ],
)
def test_odd_targets_go_through_unchanged(table, target):
    sluice, origin = table
    with sluice.client() as client:
        client.send(get(target=target))
        assert client.response().status == 200
    assert origin.requests[-1].target == target


def test_asterisk_form_of_options(table):
    sluice, origin = table
    with sluice.client() as client:
        client.send(get(target="*", method="OPTIONS"))
        assert client.response().status == 200
    assert (origin.requests[-1].method, origin.requests[-1].target) == ("OPTIONS", "*")


@pytest.mark.parametrize(
    "host",
    [
        "a.test",
        "a.test:80",
        "a.test:65535",
        "a.test:1",
        "[::1]",
        "[::1]:8080",
        "127.0.0.1",
        "xn--e1afmkfd.test",
        "A.TEST",
        "a.test.",
        "a-b_c.test",
    ],
)
def test_good_hosts(table, host):
    sluice, origin = table
    assert sluice.request(host=host).status == 200
    assert origin.requests[-1].header("host") == host


def test_http_1_0_without_host(table):
    sluice, origin = table
    with sluice.client() as client:
        client.send(b"GET /old HTTP/1.0\r\n\r\n")
        assert client.response().status == 200
        assert client.ended()
    assert origin.requests[-1].target == "/old" and len(origin.requests[-1].all("host")) == 1


@pytest.fixture(scope="module")
def two_routes(shared):
    origin = shared.origin(recording)
    admin = '[[route]]\nname = "admin"\npath_prefix = "/admin"\nrespond = { status = 403, body = "admin" }\n'
    return shared.sluice(config(origin.address, before=admin)), origin


@pytest.mark.parametrize(
    "target",
    [
        "/x%2f..%2fadmin",
        "/x%2F%2e%2e%2fadmin",
        "/admin%2fx",
        "/admin;x",
        "/admin;x/y",
        "/x%5c..%5cadmin",
        "/x/..%2fadmin",
        "/..%5cadmin",
        "/x;a/..;b/admin",
        "/admin%5cx",
    ],
)
def test_paths_that_can_be_cut_in_two_ways(two_routes, target):
    refuse(*two_routes, bad(target, get(target=target), "path"))


@pytest.mark.parametrize(
    "target",
    [
        "/admin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/x/%2E./admin",
        "/./admin",
        "/%2e/admin",
        "/%61dmin",
        "//admin",
        "/x//../../admin/",
        "/admin/x",
        "/../admin",
    ],
)
def test_paths_are_normalised_for_the_lookup(two_routes, target):
    sluice, _ = two_routes
    with sluice.client() as client:
        client.send(get(target=target))
        assert (answer := client.response()).status == 403 and answer.body == b"admin"


@pytest.mark.parametrize(
    "target", ["/administrator", "/a%2fb", "/a;x", "/pkg/@s%2fn;v=1", "/a%5cb", "/x/admin", "/a%2f%2fb"]
)
def test_paths_of_one_meaning_are_forwarded_as_they_came(two_routes, target):
    sluice, origin = two_routes
    with sluice.client() as client:
        client.send(get(target=target))
        assert client.response().status == 200
    assert origin.requests[-1].target == target


def test_limits_are_met_exactly(table):
    """At the limit it passes; the tables above have one more."""
    sluice, origin = table
    target = "/" + "a" * (16384 - len("GET / HTTP/1.1\r\n"))
    for raw in (
        get(target=target),
        get(*[f"X{i}: 1" for i in range(99)]),
        get(*[f"X{i}: " + "a" * 8000 for i in range(8)]),
    ):
        with sluice.client() as client:
            client.send(raw)
            assert client.response().status == 200, raw[:40]
    assert len(origin.requests[-1].all("x7")[0]) == 8000


def test_configured_limits(start):
    origin = start.origin(recording)
    sluice = start.sluice(
        config(origin.address, listener='max_request_line = "1KiB"\nmax_header_bytes = "2KiB"\nmax_header_count = 5')
    )
    for raw in (get(target="/" + "a" * 1000), get("A: 1", "B: 1", "C: 1", "D: 1"), get("A: " + "a" * 1900)):
        with sluice.client() as client:
            client.send(raw)
            assert client.response().status == 200, raw[:40]
    refuse(sluice, origin, bad("line", get(target="/" + "a" * 1024), "", 414))
    refuse(sluice, origin, bad("count", get("A: 1", "B: 1", "C: 1", "D: 1", "E: 1"), "", 431))
    refuse(sluice, origin, bad("bytes", get("A: " + "a" * 2048), "", 431))


def test_body_limit_of_a_route(start):
    origin = start.origin(recording)
    sluice = start.sluice(config(origin.address, route='max_body = "1KiB"'))
    assert sluice.request("POST", "/", body=b"a" * 1024).status == 200
    declared = origin.heads
    for raw in (
        build("POST", "/over", body=b"a" * 1025),
        build("POST", "/over", {"Transfer-Encoding": "chunked"}, chunked(b"a" * 1024, b"a")),
        build("POST", "/over", {"Content-Length": "9" * 18}),
    ):
        with sluice.client() as client:
            client.send(raw)
            answer = client.response("POST")
            assert (answer.status, answer.reason) == (413, "body_too_large")
    assert len(complete_requests(origin)) == 1 and origin.heads <= declared + 1
    assert [line["reason"] for line in sluice.wait_log_path("/over", 3)] == ["body_too_large"] * 3
    assert sluice.metric("sluice_local_replies_total", reason="body_too_large") == 3


def test_connect_and_unknown_expectations(table):
    """Answered here: CONNECT 405, an expectation nobody knows 417; nothing reaches the origin."""
    sluice, origin = table
    for raw, status, reason in (
        (b"CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n", 405, "method_not_allowed"),
        (get("Expect: miracles", "Content-Length: 5", method="POST") + b"hello", 417, "expectation"),
    ):
        ledger = Ledger(sluice)
        heads = origin.heads
        with sluice.client() as client:
            client.send(raw)
            answer = client.response()
            assert (answer.status, answer.reason) == (status, reason)
        assert origin.heads == heads
        assert [line["reason"] for line in ledger.lines()] == [reason]
        assert ledger.grew("sluice_local_replies_total", reason=reason) == 1
