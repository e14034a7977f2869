"""The admin listener: its pages, who may POST, /status, and that traffic never stands in its way."""

import http.client
import ipaddress
import socket
import threading

import pytest

from harness.base import TIMEOUT, refused_address
from harness.certs import certificate_lines
from harness.client import Client, build
from harness.origin import ok
from harness.proxy import config


@pytest.fixture(scope="module")
def pair(shared):
    origin = shared.origin()
    return shared.sluice(config(origin.address)), origin


@pytest.mark.parametrize(
    "path,kind",
    [
        ("/metrics", "text/plain"),
        ("/healthz", ""),
        ("/readyz", ""),
        ("/status", "application/json"),
        ("/", "text/html"),
        ("/config", ""),
    ],
)
def test_admin_pages(pair, path, kind):
    sluice, _ = pair
    connection = http.client.HTTPConnection(sluice.address("admin"), timeout=TIMEOUT)
    for _ in range(2):  # keep-alive
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200 and kind in answer.getheader("content-type", "") and answer.read()
        assert ("content-security-policy" in answer.headers) == (path == "/")
    connection.request("HEAD", path)
    answer = connection.getresponse()
    assert answer.status == 200 and not answer.read()
    connection.close()


def test_admin_unknown_path_and_method(pair):
    sluice, _ = pair
    assert sluice.admin("/nothing")[0] == 404
    assert sluice.admin("/drain")[0] in (404, 405) and sluice.admin("/reload")[0] in (404, 405)
    assert sluice.admin("/metrics", method="DELETE")[0] in (404, 405)
    with sluice.client("admin") as client:
        for method, path, allow in (
            ("DELETE", "/metrics", "GET, HEAD"),
            ("POST", "/status", "GET, HEAD"),
            ("GET", "/drain", "POST"),
            ("GET", "/upstreams/app/endpoints/127.0.0.1:1/disable", "POST"),
            ("DELETE", "/upstreams/a/b/endpoints/unix:/run/app.sock/enable", "POST"),
        ):
            answer = client.request(method, path, host="localhost")
            assert answer.status == 405 and answer.header("allow") == allow  # RFC 9110 15.5.6
    assert sluice.metric("sluice_drain_phase") == 0


def test_a_query_that_is_not_known(pair):
    """It may have been meant to change what happens: nothing does."""
    sluice, _ = pair
    reloads = sluice.metric("sluice_config_reloads_total")
    for method, paths in (
        ("GET", ("/", "/healthz", "/readyz", "/metrics", "/status", "/config")),
        ("HEAD", ("/healthz",)),
        ("POST", ("/drain", "/reload")),
    ):
        for path in paths:
            for query in ("confrm=60s", "x", "=", "&", "%63onfirm=60s"):
                status, text = sluice.admin(f"{path}?{query}", method)
                assert status == 400, (method, path, query)
                if method != "HEAD":
                    assert text.startswith("400: ") and path in text and text.count("\n") == 1
    assert sluice.admin("/nothing?x")[0] == 404 and sluice.admin("/status?")[0] == 200
    assert sluice.metric("sluice_drain_phase") == 0
    assert sluice.metric("sluice_config_reloads_total") == reloads


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Host": "evil.test"},
        {"Host": "evil.test:9901"},
        {"Origin": "http://127.0.0.1:9901"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Via": "1.1 a"},
    ],
)
def test_a_browser_cannot_read_drain_or_reload(pair, headers):
    """A page of another site, also one whose name was made to point here (DNS rebinding)."""
    sluice, _ = pair
    before = sluice.metric("sluice_config_reloads_total")
    for method, paths in (
        ("POST", ("/drain", "/reload")),
        ("GET", ("/", "/status", "/config", "/metrics", "/healthz", "/readyz", "/nothing")),
    ):
        for path in paths:
            status, text = sluice.admin(path, method, headers)
            assert status == 403 and text.startswith("403: ") and text.count("\n") == 1, (method, path)
    assert sluice.metric("sluice_drain_phase") == 0 and sluice.metric("sluice_config_reloads_total") == before


def test_who_may_read(pair):
    sluice, _ = pair
    for headers in (
        {"Host": "localhost"},
        {"Host": "[::1]:9901"},
        {"Host": "10.1.2.3"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin"},
    ):
        assert sluice.admin("/status", headers=headers)[0] == 200, headers
    with sluice.client("admin") as client:
        client.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert client.response().status == 200


def test_names_of_the_configuration(start):
    """A reload takes them over."""
    text = config(start.origin().address)
    sluice = start.sluice(text)
    status, why = sluice.admin("/metrics", headers={"Host": "Sluice.Internal:9901"})
    assert status == 403 and "[admin] hosts" in why
    sluice.reload(text.replace('[admin]\n', '[admin]\nhosts = ["sluice.internal"]\n'))
    assert sluice.admin("/metrics", headers={"Host": "Sluice.Internal:9901"})[0] == 200
    assert sluice.admin("/metrics", headers={"Host": "x.sluice.internal"})[0] == 403


def test_an_upstream_that_turns_out_to_be_the_admin(start):
    """By a name, so that no check of the file can tell: it is reached, and answers nobody."""
    text = config(start.origin().address)
    sluice = start.sluice(text)
    port = sluice.address("admin").rsplit(":", 1)[1]
    sluice.reload(config(f"localhost:{port}", upstream='host = "endpoint"'))
    for path in ("/status", "/config", "/metrics", "/"):
        answer = sluice.request(path=path)
        assert answer.status == 403 and b"Via" in answer.body
    assert sluice.request("POST", "/drain", body=b"").status == 403
    assert sluice.metric("sluice_drain_phase") == 0 and sluice.admin("/status")[0] == 200


def test_post_is_taken_from_loopback_only(start):
    """The admin listener on an address of this machine that is not loopback."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        probe.connect(("192.0.2.1", 9))
        own = probe.getsockname()[0]
    except OSError:
        own = "127.0.0.1"
    finally:
        probe.close()
    if ipaddress.ip_address(own).is_loopback:
        pytest.skip("no address but loopback")
    origin = start.origin()
    sluice = start.sluice(
        config(origin.address).replace('[admin]\naddress = "127.0.0.1:0"', f'[admin]\naddress = "{own}:0"')
    )
    assert sluice.admin("/reload", "POST")[0] == 403
    assert sluice.admin("/metrics")[0] == 200


def test_config_hides_secrets(start):
    ca = start.authority()
    cert, key = ca.issue("a.test")
    sluice = start.sluice(
        config(start.origin().address, tls=certificate_lines((cert, key)), pool='idle_timeout = "7s"')
    )
    status, text = sluice.admin("/config")
    assert status == 200 and "idle_timeout" in text and "7s" in text and "acquire_timeout" in text
    with open(key, encoding="ascii") as f:
        assert f.read().split("\n")[1] not in text


def test_status(start):
    origin = start.origin()
    dead = refused_address()
    sluice = start.sluice(config(origin.address, dead, health='kind = "tcp"\ninterval = "100ms"\nunhealthy_after = 1'))
    assert sluice.request().status == 200
    sluice.wait_metric(0, "sluice_upstream_endpoint_healthy", endpoint=dead)
    status = sluice.status()
    text = str(status)
    listener = next(item for item in status["listeners"] if item["name"] == "main")
    assert sluice.address() in str(listener)
    upstream = next(item for item in status["upstreams"] if item["name"] == "app")
    by_address = {item["name"]: item for item in upstream["endpoints"]}
    assert set(by_address) == {origin.address, dead}
    assert by_address[origin.address]["healthy"] is True and by_address[dead]["healthy"] is False
    assert "idle" in text and "ready" in text


def test_admin_is_not_behind_traffic(start):
    """All workers busy with bodies, a scrape under way: probes still answer."""
    gate = threading.Event()
    origin = start.origin(lambda c, r: (gate.wait(TIMEOUT), c.send(ok())))
    sluice = start.sluice(config(origin.address))
    clients = [sluice.client() for _ in range(50)]
    for client in clients:
        client.send(build())
    stuck = Client(sluice.address("admin"))  # a client that asks and never reads
    stuck.send(build(path="/metrics", host=sluice.address("admin")) * 100)
    half = Client(sluice.address("admin"))
    half.send(b"GET /heal")
    assert sluice.admin("/healthz")[0] == 200 and sluice.readyz()[0] == 200
    gate.set()
    assert all(c.response().status == 200 for c in clients)
    stuck.close()
    half.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0" * 100,
        b"GET /" + b"a" * 100000,
        b"POST /drain HTTP/1.1\r\n\r\n",
    ],
    ids=["cl_te", "version", "nul", "long", "no-host"],
)
def test_admin_takes_no_nonsense(pair, raw):
    sluice, _ = pair
    with Client(sluice.address("admin")) as client:
        try:
            client.send(raw)
            assert client.response().status >= 400
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert sluice.admin("/healthz")[0] == 200 and sluice.metric("sluice_drain_phase") == 0
