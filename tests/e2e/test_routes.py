"""Choosing a route and what a route does: hosts, paths, methods, headers, redirects, answers, rewrites, lists."""

import collections
import http.server
import threading

import pytest

from harness.client import Client, build, chunked
from harness.origin import ok
from harness.proxy import config

TABLE = """
[[route]]
name = "exact-host"
hosts = ["www.example.com"]
path_prefix = "/only"
respond = { status = 200, body = "exact-host" }
[[route]]
name = "wild-long"
hosts = ["*.api.example.com"]
respond = { status = 200, body = "wild-long" }
[[route]]
name = "wild"
hosts = ["*.example.com"]
respond = { status = 200, body = "wild" }
[[route]]
name = "exact-path"
path = "/exact"
respond = { status = 200, body = "exact-path" }
[[route]]
name = "post"
path_prefix = "/api"
methods = ["POST", "PUT"]
respond = { status = 200, body = "post" }
[[route]]
name = "canary"
path_prefix = "/api"
headers = { "x-canary" = "1" }
respond = { status = 200, body = "canary" }
[[route]]
name = "api"
path_prefix = "/api"
respond = { status = 200, body = "api" }
[[route]]
name = "regex"
path_regex = "^/v[0-9]+/"
respond = { status = 200, body = "regex" }
[[route]]
name = "slash"
path_prefix = "/dir/"
respond = { status = 200, body = "slash" }
[[route]]
name = "side-only"
listeners = ["side"]
path = "/side"
respond = { status = 200, body = "side-only" }
[[listener]]
name = "side"
address = "127.0.0.1:0"
protocols = ["http/1.1"]
"""


@pytest.fixture(scope="module")
def table(shared):
    return shared.sluice(config(extra=TABLE))


@pytest.mark.parametrize(
    "host,path,options,expected",
    [
        ("www.example.com", "/only", {}, "exact-host"),
        ("WWW.Example.COM:8080", "/only/x", {}, "exact-host"),
        ("www.example.com.", "/only", {}, "exact-host"),
        ("www.example.com", "/other", {}, "wild"),
        ("a.example.com", "/", {}, "wild"),
        ("a.b.example.com", "/", {}, "wild"),
        ("x.api.example.com", "/", {}, "wild-long"),
        ("a.b.api.example.com", "/", {}, "wild-long"),
        ("api.example.com", "/", {}, "wild"),
        ("example.com", "/", {}, None),
        ("xexample.com", "/", {}, None),
        ("any", "/exact", {}, "exact-path"),
        ("any", "/exact?q=1", {}, "exact-path"),
        ("any", "/exact/", {}, None),
        ("any", "/Exact", {}, None),
        ("any", "/%65xact", {}, "exact-path"),
        ("any", "/api", {}, "api"),
        ("any", "/api/", {}, "api"),
        ("any", "/api/x?y", {}, "api"),
        ("any", "/apix", {}, None),
        ("any", "//api//x", {}, "api"),
        ("any", "/x/../api", {}, "api"),
        ("any", "/api", {"method": "POST"}, "post"),
        ("any", "/api", {"method": "PUT"}, "post"),
        ("any", "/api", {"method": "DELETE"}, "api"),
        ("any", "/api", {"headers": {"X-Canary": "1"}}, "canary"),
        ("any", "/api", {"headers": {"x-canary": "2"}}, "api"),
        ("any", "/api", {"headers": {"x-canary": "1"}, "method": "POST"}, "post"),
        ("any", "/v1/x", {}, "regex"),
        ("any", "/v12/", {}, "regex"),
        ("any", "/v/", {}, None),
        ("any", "/x/v1/", {}, None),
        ("any", "/v1", {}, None),
        ("any", "/dir/x", {}, "slash"),
        ("any", "/", {}, None),
        ("any", "/side", {}, None),
        ("any", "/side", {"listener": "side"}, "side-only"),
        ("any", "/api", {"listener": "side"}, "api"),
    ],
)
def test_choice(table, host, path, options, expected):
    answer = table.request(path=path, host=host, **options)
    if expected is None:
        assert (answer.status, answer.reason) == (404, "no_route")
    else:
        assert (answer.status, answer.body.decode()) == (200, expected)


def test_no_route_is_logged_and_counted(table):
    before = table.metric("sluice_local_replies_total", reason="no_route")
    table.request(path="/nowhere")
    (line,) = table.wait_log_path("/nowhere")
    assert (line["status"], line["reason"]) == (404, "no_route") and not line["upstream"] and not line["route"]
    assert table.metric("sluice_local_replies_total", reason="no_route") == before + 1


def test_route_is_a_label_and_logged(table):
    table.request(path="/api/label", host="any")
    (line,) = table.wait_log_path("/api/label")
    assert line["route"] == "api" and line["listener"] == "main"
    assert table.metric("sluice_requests_total", route="api", listener="main", method="GET", code="200") >= 1


REDIRECTS = [
    ("https://{host}{path}", "/a/b?c=d", "https://x.test/a/b?c=d"),
    ("https://{authority}{path}", "/a?b", "https://x.test:8080/a?b"),
    ("https://y.test/fixed", "/a?b=1", "https://y.test/fixed?b=1"),
    ("https://y.test/?was={path}", "/a?b=1", "https://y.test/?was=/a"),
    ("https://y.test{path}?{query}&x=1", "/a?b=1", "https://y.test/a?b=1&x=1"),
    ("/here{path}", "/a", "/here/a"),
]


@pytest.mark.parametrize("to,path,location", REDIRECTS)
def test_redirect(start, to, path, location):
    sluice = start.sluice(config(extra=f'[[route]]\nredirect = {{ to = "{to}" }}'))
    answer = sluice.request(path=path, host="x.test:8080")
    assert (answer.status, answer.header("location")) == (308, location)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_status(start, status):
    sluice = start.sluice(config(extra=f'[[route]]\nredirect = {{ to = "/x", status = {status} }}'))
    assert sluice.request("POST", "/", body=b"x" * 10).status == status


def test_redirect_cannot_be_split(start):
    """What a client sends never becomes a header line of its own."""
    sluice = start.sluice(config(extra='[[route]]\nredirect = { to = "https://{host}{path}" }'))
    assert sluice.request(path="/%0d%0aSet-Cookie:%20a=b").status == 400
    answer = sluice.request(path="/%C4%8D%C4%8ASet-Cookie:%20a=b?%0d%0a")
    assert answer.status == 308 and not answer.all("set-cookie") and "\r" not in answer.header("location")


def test_respond(start):
    sluice = start.sluice(
        config(
            extra='[[route]]\npath = "/empty"\nrespond = { status = 204 }\n[[route]]\n'
            'respond = { status = 503, body = "down for repair" }'
        )
    )
    with sluice.client() as client:
        assert client.request(path="/empty").status == 204
        assert client.request("HEAD", "/x").header("content-length") == str(len("down for repair"))
        answer = client.request("POST", "/x", {"Transfer-Encoding": "chunked"}, chunked(b"body"))
        assert (answer.status, answer.body) == (503, b"down for repair")
        assert not answer.closes
        assert client.request("GET", "/x").status == 503


def test_split(start):
    origins = [start.origin(), start.origin()]
    extra = "".join(f'[[upstream]]\nname = "u{i}"\nendpoints = ["{o.address}"]\n' for i, o in enumerate(origins))
    extra += '[[route]]\nsplit = [{ upstream = "u0", weight = 90 }, { upstream = "u1", weight = 10 }]\n'
    sluice = start.sluice(config(extra=extra))
    with sluice.client() as client:
        for _ in range(600):
            assert client.request().status == 200
    assert origins[0].heads + origins[1].heads == 600
    assert 15 <= origins[1].heads <= 150  # p < 1e-9 for either side


def test_split_with_weight_zero(start):
    origins = [start.origin(), start.origin()]
    extra = "".join(f'[[upstream]]\nname = "u{i}"\nendpoints = ["{o.address}"]\n' for i, o in enumerate(origins))
    sluice = start.sluice(
        config(extra=extra + '[[route]]\nsplit = [{ upstream = "u0", weight = 1 }, { upstream = "u1", weight = 0 }]\n')
    )
    with sluice.client() as client:
        assert all(client.request().status == 200 for _ in range(50))
    assert origins[1].heads == 0


def test_header_edits(start):
    origin = start.origin(
        lambda c, r: c.send(ok(b"x", ["Server: origin", "X-Keep: 1", "X-Set: old", "X-Gone: 1", "X-Gone: 2"]))
    )
    route = (
        'request_headers = { set = { "x-set" = "new" }, add = { "x-add" = "more" }, remove = ["x-gone", "cookie"] }\n'
        'response_headers = { set = { "x-set" = "new", "strict-transport-security" = "max-age=1" }, add = { "x-add" = '
        '"more" }, remove = ["x-gone", "server"] }'
    )
    sluice = start.sluice(config(origin.address, route=route))
    answer = sluice.request(
        headers=[
            ("X-Set", "1"),
            ("X-Set", "2"),
            ("X-Add", "first"),
            ("X-Gone", "1"),
            ("Cookie", "a=b"),
            ("X-Keep", "1"),
        ]
    )
    request = origin.requests[0]
    assert (
        request.all("x-set"),
        request.all("x-add"),
        request.all("x-gone"),
        request.all("cookie"),
        request.all("x-keep"),
    ) == (["new"], ["first", "more"], [], [], ["1"])
    assert (answer.all("x-set"), answer.all("x-add"), answer.all("x-gone"), answer.all("x-keep")) == (
        ["new"],
        ["more"],
        [],
        ["1"],
    )
    assert answer.header("strict-transport-security") == "max-age=1" and not answer.all("server")


@pytest.mark.parametrize(
    "lines,target,seen",
    [
        ('path_prefix = "/api"\nstrip_prefix = "/api"', "/api/x/y?q=1", "/x/y?q=1"),
        ('path_prefix = "/api"\nstrip_prefix = "/api"', "/api", "/"),
        ('path_prefix = "/api"\nstrip_prefix = "/api"', "/api?q", "/?q"),
        ('path_prefix = "/api"\nstrip_prefix = "/api"', "/api/../api/x", "/x"),
        ('path_prefix = "/api"\nstrip_prefix = "/api"\nrewrite_prefix = "/v2"', "/api/x?q", "/v2/x?q"),
        ('path_prefix = "/api"', "/api/./x//y?q=%zz", "/api/./x//y?q=%zz"),
        ('path_prefix = "/api"\nstrip_prefix = "/api"', "/api//x", "/x"),
    ],
)
def test_prefix_rewrites(start, lines, target, seen):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, route=lines))
    assert sluice.request(path=target).status == 200
    assert origin.requests[0].target == seen


def test_allow_and_deny(start):
    origin = start.origin()
    extra = """
[[route]]
path = "/denied"
upstream = "app"
deny = ["127.0.0.0/8"]
[[route]]
path = "/other-only"
upstream = "app"
allow = ["10.0.0.0/8", "::1/128"]
[[route]]
path = "/both"
upstream = "app"
allow = ["127.0.0.0/8"]
deny = ["127.0.0.1/32"]
[[route]]
path = "/allowed"
upstream = "app"
allow = ["127.0.0.1/32"]
"""
    sluice = start.sluice(config(origin.address, route='path = "/open"', extra=extra))
    got = {path: sluice.request(path=path).status for path in ("/denied", "/other-only", "/both", "/allowed", "/open")}
    assert got == {"/denied": 403, "/other-only": 403, "/both": 403, "/allowed": 200, "/open": 200}
    (line,) = sluice.wait_log_path("/denied")
    assert (line["status"], line["reason"]) == (403, "denied")
    assert sluice.metric("sluice_local_replies_total", reason="denied") == 3
    with sluice.client(source="127.0.0.2") as client:
        assert client.request(path="/both").status == 200
    assert [r.target for r in origin.requests] == ["/allowed", "/open", "/both"]


def test_listeners_of_every_kind(start):
    extra = (
        '[[listener]]\nname = "unix"\naddress = "unix:@DIR@/s.sock"\nprotocols = ["http/1.1"]\n[[listener]]\n'
        'name = "six"\naddress = "[::1]:0"\nprotocols = ["http/1.1"]\n'
        '[[listener]]\nname = "two"\naddress = ["127.0.0.1:0", "127.0.0.2:0"]\nprotocols = ["http/1.1"]\n'
    )
    origin = start.origin()
    sluice = start.sluice(config(origin.address, extra=extra, workers=2))
    for listener in ("main", "six"):
        assert sluice.request(listener=listener).status == 200
    assert len(sluice.addresses["two"]) == 2
    for address in (*sluice.addresses["two"], f"unix:{sluice.directory}/s.sock"):
        for _ in range(4):
            with Client(address) as client:
                assert client.request().status == 200
    seen = collections.Counter(line["listener"] for line in sluice.wait_log(lambda line: True, 14))
    assert seen == {"main": 1, "six": 1, "two": 8, "unix": 4}


def test_many_routes(start):
    """A lookup finds its route among thousands."""
    extra = "".join(
        f'[[route]]\nname = "r{i}"\nhosts = ["h{i}.test"]\npath_prefix = "/p{i}"\n'
        f'respond = {{ status = 200, body = "{i}" }}\n'
        for i in range(3000)
    )
    sluice = start.sluice(config(extra=extra))
    with sluice.client() as client:
        for i in (0, 1, 1499, 2999):
            client.send(build(path=f"/p{i}/x", host=f"h{i}.test"))
            assert client.response().body == str(i).encode()
        assert client.request(path="/p1", host="h2.test").status == 404


@pytest.fixture(scope="module")
def guarded_files(shared, tmp_path_factory):
    """A common origin, which decodes everything and then resolves dots (http.server does), behind a denied /admin."""
    root = tmp_path_factory.mktemp("files")
    for name in ("admin/secret", "npm/@scope/name", "pub/file", "v1/keys:rotate", "café"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("secret" if name.startswith(("admin", "v1")) else "open")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(root))

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    denied = "".join(
        f'[[route]]\n{line}\ndeny = ["0.0.0.0/0", "::/0"]\nupstream = "app"\n'
        for line in ('path_prefix = "/admin"', 'path = "/v1/keys:rotate"')
    )
    yield shared.sluice(config(f"127.0.0.1:{server.server_address[1]}", before=denied))
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "path",
    [
        "/admin/secret",
        "/%61dmin/secret",
        "//admin//secret",
        "/pub/../admin/secret",
        "/admin%2fsecret",
        "/admin%2Fsecret",
        "/admin%2fx/..",
        "/admin%2fx/../secret",
        "/admin%5cx/..",
        "/admin%2fx/%2e%2e/secret",
        "/admin%00/secret",
        "/admin/secret%00",
        "/admin%3Bx/secret",
        "/admin;x/secret",
        "/admin;x%2fsecret",
        "/pub/..%2fadmin/secret",
        "/pub%2f..%2fadmin/secret",
        "/pub/%2e%2e%2fadmin%2fsecret",
        "/./admin%2fsecret",
        "/pub//..//admin%2fsecret",
        "/v1/keys:rotate",
        "/v1/keys%3Arotate",
        "/v1/keys%3arotate",
        "/v1%2fkeys:rotate",
        "/%76%31/keys%3Arotate",
        "/v1/x/../keys%3arotate",
        "/%0aadmin/secret",
        "/admin%7f/secret",
    ],
)
def test_no_spelling_of_a_path_gets_past_a_denied_route(guarded_files, path):
    answer = guarded_files.request(path=path)
    assert answer.status in (400, 403) and b"secret" not in answer.body, answer
    if answer.status == 400:
        assert guarded_files.wait_log_path(path)[-1]["detail"] == "path"


@pytest.mark.parametrize(
    "path",
    [
        "/npm/@scope%2fname",
        "/npm/%40scope%2Fname",
        "/npm/@scope/name",
        "/pub/file",
        "/pub/./file",
        "/caf%C3%A9",
        "/caf%c3%a9",
        "//pub//file",
        "/pub%2ffile",
    ],
)
def test_escapes_that_change_no_route_pass(guarded_files, path):
    answer = guarded_files.request(path=path)
    assert answer.status == 200 and answer.body == b"open"
