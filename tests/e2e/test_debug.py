"""GET /debug/connections, /debug/requests, /debug/waiting: who, since when, in which phase, on which worker."""

import contextlib
import json
import resource
import threading

import pytest

from harness.base import TIMEOUT, wait_for
from harness.certs import certificate_lines
from harness.client import Client, build, dial
from harness.h2 import H2Client
from harness.origin import ok
from harness.proxy import config

HALF_HELLO = b"\x16\x03\x01\x02\x00\x01\x00"  # a TLS record that is not whole
UPGRADE = [("Connection", "upgrade"), ("Upgrade", "websocket")]
PAGES = ("connections", "requests", "waiting")


def page(sluice, what, query=""):
    status, text = sluice.admin(f"/debug/{what}{query}")
    assert status == 200, text
    answer = json.loads(text)
    assert set(answer) == {what, "next"}
    return answer[what], answer["next"]


def rows(sluice, what, query="", **wanted):
    """Rows of the first page with these members."""
    return [r for r in page(sluice, what, query)[0] if all(r[key] == value for key, value in wanted.items())]


def wait_row(sluice, what, **wanted):
    wait_for(lambda: rows(sluice, what, **wanted), what=f"{what} shows {wanted}: {page(sluice, what)}")
    return rows(sluice, what, **wanted)[0]


class Held:
    """An origin whose answers wait until they are let go; an upgrade becomes a tunnel at once."""

    def __init__(self, start):
        self.go = threading.Event()
        self.origin = start.origin(self.answer)

    def answer(self, connection, request):
        if request.header("upgrade"):
            connection.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            connection.wait_eof()
            return
        self.go.wait(TIMEOUT * 3)
        connection.send(ok())


@pytest.fixture
def held(start):
    made = Held(start)
    yield made
    made.go.set()


@pytest.fixture
def sluice(start, held):
    authority = start.authority()
    extra = f'''[[listener]]
name = "tls"
address = "127.0.0.1:0"
[listener.tls]
{certificate_lines(authority.issue("a.test"))}
'''
    text = config(
        held.origin.address,
        protocols=("h2", "http/1.1"),
        workers=2,
        pool='max_connections = 1\nacquire_timeout = "60s"',
        route='upgrade = ["websocket"]\ntimeout = "60s"',
        extra=extra,
    )
    made = start.sluice(text)
    made.authority = authority
    return made


def peer_of(client):
    return "%s:%d" % client.sock.getsockname()[:2]


def test_connections_in_every_phase(sluice, held):
    tls = sluice.authority.client_context()
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(sluice.client())
        wait_row(sluice, "connections", peer=peer_of(silent))  # let in before the next: two workers take them
        half_head, half_hello = (stack.enter_context(sluice.client(name)) for name in ("main", "tls"))
        half_head.send(b"GET / HTT")
        half_hello.send(HALF_HELLO)
        secure = stack.enter_context(sluice.client("tls", tls=tls, server_name="a.test"))
        tunnel = stack.enter_context(sluice.client())
        tunnel.send(build(path="/ws", headers=UPGRADE))
        assert tunnel.head().status == 101
        busy = stack.enter_context(sluice.client())
        busy.send(build(path="/held"))
        expected = {
            peer_of(silent): ("main", "first_bytes", ""),
            peer_of(half_head): ("main", "head", ""),
            peer_of(half_hello): ("tls", "tls_handshake", ""),
            peer_of(secure): ("tls", "idle", "a.test"),
            peer_of(tunnel): ("main", "tunnel", ""),
            peer_of(busy): ("main", "busy", ""),
        }

        def shown():
            return {r["peer"]: (r["listener"], r["phase"], r["sni"]) for r in rows(sluice, "connections")}

        wait_for(lambda: shown() == expected, what=f"{expected}, and there is {shown()}")
        everybody = rows(sluice, "connections")
        assert [r["peer"] for r in everybody][0] == peer_of(silent)  # who came first stands first
        assert all(0 <= r["phase_seconds"] <= r["age_seconds"] < TIMEOUT for r in everybody), everybody
        by_worker = [rows(sluice, "connections", f"?worker={worker}") for worker in (0, 1)]
        assert all(r["worker"] == worker for worker in (0, 1) for r in by_worker[worker])
        assert len(by_worker[0]) + len(by_worker[1]) == len(expected)
        held.go.set()
        assert busy.response().status == 200
        wait_row(sluice, "connections", peer=peer_of(busy), phase="idle", requests=1, streams=0)


def test_requests_and_who_waits_for_what(sluice, held):
    with sluice.client() as first, sluice.client() as second, sluice.client() as tunnel:
        tunnel.send(build(path="/ws", headers=UPGRADE))
        assert tunnel.head().status == 101
        first.send(build(path="/one?token=SECRET", headers=[("Authorization", "SECRET"), ("X-Request-Id", "mine-1")]))
        row = wait_row(sluice, "requests", path="/one", phase="awaiting_answer")
        wanted = {
            "listener": "main",
            "peer": peer_of(first),
            "client": "127.0.0.1",
            "method": "GET",
            "host": "a.test",
            "route": "app",
            "upstream": "app",
            "endpoint": held.origin.address,
            "protocol": "HTTP/1.1",
            "attempts": 1,
            "status": 0,
        }
        assert {key: row[key] for key in wanted} == wanted
        assert row["request_id"] and "waits_for" not in row
        assert row["connection"] in [r["id"] for r in rows(sluice, "connections", peer=peer_of(first))]
        wait_row(sluice, "requests", path="/ws", phase="tunnel", status=101)

        second.send(build("POST", path="/two", body=b"x" * 10))
        waits = wait_row(sluice, "waiting", path="/two")
        assert (waits["waits_for"], waits["phase"], waits["upstream"]) == ("pool", "waiting", "app")
        assert 0 < waits["left_seconds"] < 60
        assert len(rows(sluice, "waiting")) == 1 and len(rows(sluice, "requests")) == 3
        assert not rows(sluice, "requests", "?older=3600")
        for what in PAGES:
            assert "SECRET" not in sluice.admin(f"/debug/{what}")[1]
        held.go.set()
        assert first.response().status == 200 and second.response().status == 200
        wait_for(lambda: len(rows(sluice, "requests")) == 1, what="only the tunnel is left")
        assert not rows(sluice, "waiting")


def test_streams_of_http2(sluice, held):
    with H2Client(sluice.address()) as client:
        streams = [client.start(f"/{i}") for i in range(5)]
        phases = ["awaiting_answer"] + ["waiting"] * 4  # the first one connects, which takes its time
        wait_for(lambda: [r["phase"] for r in rows(sluice, "requests")] == phases, what="every stream is a request")
        everything = rows(sluice, "requests", protocol="HTTP/2.0", peer=peer_of(client))
        assert [r["path"] for r in everything] == [f"/{i}" for i in range(5)]
        assert rows(sluice, "connections", phase="busy", streams=5, requests=5)
        one, after = page(sluice, "requests", "?limit=2")
        assert [r["path"] for r in one] == ["/0", "/1"] and after == one[-1]["id"]
        assert [r["path"] for r in page(sluice, "requests", f"?after={after}")[0]] == ["/2", "/3", "/4"]
        held.go.set()
        client.finish(*streams)


def test_the_log_tells_of_each_connection_when_asked(start):
    """By the number that /debug/connections and the access log have; `info` does not. Both sides."""
    origin = start.origin()
    text = config(origin.address, extra='[log]\nlevel = "info"')
    sluice = start.sluice(text)
    assert sluice.request().status == 200
    sluice.reload(text.replace('"info"', '"debug"'))
    with sluice.client() as client:
        row = wait_row(sluice, "connections", peer=peer_of(client))
        who = f"side=downstream conn={row['conn']} peer={row['peer']} listener=main"
        sluice.wait_stderr(f"debug event=connection_opened {who}\n")
        assert client.request().status == 200
    sluice.wait_stderr(f"debug event=connection_closed {who} by=client cause=peer_closed during=idle age_s=")
    assert sluice.stderr().count("event=connection_opened") == 1
    opened = sluice.stderr().split("event=connection_closed side=downstream")[1]
    assert opened.splitlines()[0].endswith(" requests=1")
    port = sluice.access_log()[-1]["upstream_port"]
    for connection in origin.connections:
        connection.finish()
    who = f"side=upstream upstream=app endpoint={origin.address} port={port}"
    sluice.wait_stderr(f"event=connection_closed {who} by=upstream cause=peer_")


def test_what_is_no_question(sluice):
    for what in PAGES:
        for query in ("?limit=0", "?limit=1001", "?limit=x", "?after=x", "?worker=2", "?older=-1", "?limit=1&limit=2"):
            assert sluice.admin(f"/debug/{what}{query}")[0] == 400, query
        status, text = sluice.admin(f"/debug/{what}?limits=1")
        assert status == 400 and "limit, after, older, worker" in text
        assert sluice.admin(f"/debug/{what}?limit=1000&worker=1&older=1")[0] == 200
        assert sluice.admin(f"/debug/{what}", "POST")[0] == 405
    assert sluice.admin("/debug")[0] == 404


def test_1500_connections_by_pages_while_others_come_and_go(sluice):
    """Who stays is shown once, in one order."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip(f"only {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    over = threading.Event()
    with contextlib.ExitStack() as stack:
        stay = []
        for _ in range(1500):
            sock = dial(sluice.address())
            stack.callback(sock.close)
            stay.append("%s:%d" % sock.getsockname()[:2])
        wait_for(lambda: sluice.status()["connections"] >= 1500, what="all are there")

        def come_and_go():
            while not over.is_set():
                with contextlib.suppress(OSError), contextlib.ExitStack() as guests:
                    for _ in range(20):
                        guests.enter_context(Client(sluice.address()))

        guest = threading.Thread(target=come_and_go)
        guest.start()
        try:
            for limit in (100, 1000):
                shown, after = [], ""
                while after is not None:
                    part, after = page(sluice, "connections", f"?limit={limit}" + (f"&after={after}" if after else ""))
                    assert len(part) <= limit
                    shown += part
                peers = [row["peer"] for row in shown]
                assert sorted(p for p in peers if p in set(stay)) == sorted(stay)
                assert len({row["id"] for row in shown}) == len(shown)
                order = [(int(row["id"].split(".")[0]), row["worker"]) for row in shown]
                assert order == sorted(order)
        finally:
            over.set()
            guest.join(TIMEOUT)
