"""GET /status: parts of it, one snapshot for all, as events, what holds up a drain; the log's level for a while."""

import json
import socket

import pytest
from harness.base import TIMEOUT, wait_for
from harness.client import Client, build
from harness.origin import ok
from harness.proxy import config

UPGRADE = [("Connection", "upgrade"), ("Upgrade", "websocket")]
PARTS = "process advice drain rates listeners upstreams dns local_ports limits configuration"
TEXT = {"accept": "text/plain"}
PROCESS = {"version", "ready", "phase", "uptime_seconds", "connections", "workers", "snapshot", "log_level"}


def script(connection, request):
    if request.target == "/ws":
        connection.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        connection.wait_eof()
    elif request.target == "/events":
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.send(head + b"3\r\n:x\n\r\n")
        connection.wait_eof()
    elif request.target == "/download":
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
        connection.wait_eof()
    else:
        connection.send(ok())


@pytest.fixture
def sluice(start):
    other = f'[[upstream]]\nname = "other"\nendpoints = ["{start.origin().address}"]\n'
    route = '[[route]]\nname = "other"\npath_prefix = "/other"\nupstream = "other"\n'
    options = {"route": 'upgrade = ["websocket"]', "workers": 2, "deadline": "1s"}
    text = config(start.origin(script).address, before=route, extra=other, **options)
    made = start.sluice(text)
    made.without_other = text.replace(route, "").replace(other, "")
    return made


def status(sluice, query=""):
    code, text = sluice.admin(f"/status{query}")
    assert code == 200, text
    return json.loads(text)


class Events:
    """An open event stream of the admin listener."""

    def __init__(self, sluice, query=""):
        host, _, port = sluice.address("admin").rpartition(":")
        self.sock = socket.create_connection((host, int(port)), TIMEOUT)
        ask = f"GET /status{query} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        self.sock.sendall(ask.encode())
        self.file = self.sock.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.head = [line for line in iter(self.file.readline, b"\r\n")]

    def event(self):
        """The next one; None at the end of the stream."""
        for line in self.file:
            if line.startswith(b"data: "):
                return json.loads(line[6:])
            if line == b"0\r\n":  # the last chunk
                return None
        return None

    def close(self):
        self.file.close()
        self.sock.close()


def test_parts_and_one_upstream(sluice):
    whole = status(sluice)
    parts = set(PARTS.split()) - {"process"}
    assert set(whole) >= PROCESS | parts
    assert whole["drain"] is None and len(whole["upstreams"]) == 2
    part = status(sluice, "?part=upstreams")
    assert set(part) >= PROCESS and len(part["upstreams"]) == 2
    assert not (parts - {"upstreams"}) & set(part)
    one = status(sluice, "?part=upstreams&upstream=other")
    assert [u["name"] for u in one["upstreams"]] == ["other"]
    assert status(sluice, "?upstream=other")["upstreams"] == one["upstreams"]
    text = sluice.admin("/status?upstream=other", headers=TEXT)[1]
    assert "\nother " in text and "\napp " not in text and "requests/s" not in text
    for query, says in (
        ("?part=upstream", f"400: part is one of {PARTS}\n"),
        ("?upstream=shop", "400: upstream is one of app other\n"),
        ("?upstreams=app", '400: /status knows no "upstreams" in its query; it knows part, upstream, now\n'),
    ):
        assert sluice.admin(f"/status{query}")[:2] == (400, says)


def test_all_forms_tell_one_snapshot_and_how_old_it_is(sluice):
    """Who asks while it is young gets the same one; with `now` the workers are asked anew."""
    first = status(sluice, "?now")["snapshot"]
    assert first["age_seconds"] < 1 and len(first["worker_age_seconds"]) == 2
    same = status(sluice)["snapshot"]
    if same["time"] == first["time"]:  # less than 0.9 s ago
        assert same["age_seconds"] >= first["age_seconds"]
    assert status(sluice, "?now")["snapshot"]["time"] > same["time"]
    assert sluice.admin("/status", headers=TEXT)[1].splitlines()[-1].startswith("figures of ")


def test_events_come_each_second_until_the_process_ends(sluice):
    stream = Events(sluice, "?part=upstreams&upstream=app")
    assert stream.status == 200 and b"content-type: text/event-stream" in b"".join(stream.head).lower()
    seen = [stream.event() for _ in range(3)]
    times = [e["snapshot"]["time"] for e in seen]
    assert times == sorted(set(times)), "each tells a snapshot of its own"
    assert all([u["name"] for u in e["upstreams"]] == ["app"] for e in seen)
    wrong = Events(sluice, "?part=no")
    assert wrong.status == 400
    wrong.close()
    open_ones = [Events(sluice) for _ in range(15)]
    assert all(s.status == 200 for s in open_ones)
    assert Events(sluice).status == 503, "sixteen, and no more"
    open_ones.pop().close()
    wait_for(lambda: Events(sluice).status == 200, what="a place for another one")
    for one in open_ones:
        one.close()
    sluice.stop()
    while stream.event() is not None:
        pass


def test_a_stream_whose_upstream_leaves_the_configuration_ends(sluice):
    stream = Events(sluice, "?upstream=other")
    assert stream.event() is not None
    sluice.reload(sluice.without_other)
    while stream.event() is not None:
        pass


def test_what_holds_up_a_drain_is_told_by_kind_with_route_client_and_age(sluice):
    clients = {}
    for path, headers in (("/ws", UPGRADE), ("/events", ()), ("/download", ())):
        clients[path] = Client(sluice.address())
        clients[path].send(build(path=path, headers=list(headers)))
        clients[path].head()
    sluice.admin("/drain", "POST")

    def held():
        drain = status(sluice, "?part=drain&now")["drain"]
        return drain and drain["phase"] == "draining" and drain["holders"]["websocket"] == 1 and drain

    drain = wait_for(held, what="the drain's holders")
    counts = {"request": 1, "websocket": 1, "event_stream": 1, "grpc_stream": 0, "tunnel": 0, "idle": 0}
    assert drain["holders"] == counts and drain["whole"] is True
    assert {(h["kind"], h["path"]) for h in drain["oldest"]} == {
        ("websocket", "/ws"),
        ("event_stream", "/events"),
        ("request", "/download"),
    }
    assert all(h["route"] == "app" and h["client"].startswith("127.0.0.1:") for h in drain["oldest"])
    text = sluice.admin("/status", headers=TEXT)[1]
    assert "waits for" in text and "1 websocket" in text and "event_stream  route app  client 127.0.0.1:" in text
    for client in clients.values():
        client.close()


def test_the_level_of_the_log_for_a_while(sluice):
    for query in ("", "?level=loud", "?level=debug&for=0s", "?level=debug&for=25h", "?level=debug&for=x"):
        assert sluice.admin(f"/log-level{query}", "POST")[0] == 400, query
    assert sluice.admin("/log-level")[0] == 405
    assert sluice.admin("/log-level?level=debug&for=1s", "POST")[:2] == (200, "log level debug for 1 s, then info\n")
    said = status(sluice, "?now")
    if said["log_level_seconds_left"] > 0:
        assert said["log_level"] == "debug" and said["log_level_seconds_left"] <= 1
    wait_for(lambda: status(sluice, "?now")["log_level"] == "info", what="the level comes back by itself")
    assert sluice.admin("/log-level?level=error", "POST")[0] == 200
    assert status(sluice, "?now")["log_level"] == "error"
    sluice.reload()
    assert status(sluice, "?now")["log_level"] == "info", "a reload ends it"
