"""GET /recent and `sluice why`: real faults, told in a sentence that names who did it."""

import json
import re
import subprocess

import pytest
from harness.base import TIMEOUT, binary, free_address, limit, refused_address, wait_for
from harness.client import Client, build
from harness.origin import ok
from harness.proxy import config

UPGRADE = [("Connection", "upgrade"), ("Upgrade", "websocket")]
FILTERS = "id, client, conn, route, upstream, endpoint, status, reason, ended_by, ended, limit, kept_as"


def why(sluice, about, *options):
    return subprocess.run(
        [binary(), "why", about, "--admin", sluice.address("admin"), *options],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def recent(sluice, query=""):
    """(status, answer) of GET /recent as JSON."""
    status, text = sluice.admin(f"/recent{query}", headers={"accept": "application/json"})[:2]
    return status, json.loads(text)


def ends(sluice, query=""):
    status, answer = recent(sluice, query)
    assert status in (200, 404), answer
    return answer["ends"]


def sentence(sluice, request_id):
    """What `sluice why` says of the request with this id, without its time and ids."""
    wait_for(lambda: ends(sluice, f"?id={request_id}"), what=f"{request_id} has ended")
    told = why(sluice, request_id)
    assert told.returncode == 0, told.stderr
    line = told.stdout.splitlines()[0]
    found = re.fullmatch(r"\d{4}-\d\d-\d\dT[0-9:.]+Z  (.*)  \[(.*)\]", line)
    assert found and f"request_id={request_id}" in found[2], line
    return found[1]


def script(connection, request):
    """An origin with every fault, by path."""
    if request.target == "/cut":
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + b"x" * 20000)
        connection.reset()
    elif request.target == "/short":
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + b"x" * 20000)
        connection.close()
    elif request.target == "/reset":
        connection.reset()
    elif request.target == "/bad":
        connection.send(b"nonsense\r\n\r\n")
    elif request.target == "/silent":
        connection.wait_eof()
    elif request.header("upgrade"):
        connection.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        connection.wait_eof()
    else:
        connection.send(ok(b"x" * 1234))


@pytest.fixture
def world(start):
    origin = start.origin(script)
    dead = refused_address()
    extra = f"""[[upstream]]
name = "dead"
endpoints = ["{dead}"]
[upstream.retry]
attempts = 2
backoff = "0s"
"""
    before = f"""[[route]]
name = "dead"
path_prefix = "/dead"
upstream = "dead"
[[route]]
name = "slow"
path_prefix = "/silent"
upstream = "app"
timeout = "{limit(0.3)}"
[[route]]
name = "closed"
path_prefix = "/closed"
deny = ["127.0.0.0/8"]
upstream = "app"
"""
    text = config(
        origin.address,
        listener='trusted_proxies = ["127.0.0.0/8"]',  # their X-Request-Id is kept
        before=before,
        extra=extra,
        route='upgrade = ["websocket"]',
        retry="attempts = 1",
        workers=2,
    )
    sluice = start.sluice(text)
    sluice.dead, sluice.app = dead, origin.address
    return sluice


def ask(sluice, path, name, method="GET", body=None):
    return sluice.request(method=method, path=path, headers=[("X-Request-Id", name)], body=body)


def test_each_fault_is_told_in_a_sentence_that_names_who_did_it(world):
    app = re.escape(world.app)
    ask(world, "/fine?token=secret", "fine")
    fine = rf"GET /fine, 200, complete: 1,234 bytes in \S+ \S+ from endpoint {app}"
    assert re.fullmatch(fine, sentence(world, "fine"))
    with Client(world.address()) as client:
        client.send(build(path="/cut", headers=[("X-Request-Id", "cut")]))
        wait_for(lambda: ends(world, "?id=cut"), what="the cut")
    text = sentence(world, "cut")
    assert re.match(rf"GET /cut, 200, cut after [0-9,]+ bytes: endpoint {app} reset the connection \S+ m?s into", text)
    assert "not repeated, the answer had begun" in text
    ask(world, "/bad", "bad")
    assert sentence(world, "bad").startswith(f"GET /bad, 502, answered by sluice: endpoint {world.app} sent what is no")
    ask(world, "/reset", "reset", method="POST", body=b"x")
    text = sentence(world, "reset")
    assert text.startswith(f"POST /reset, 502, answered by sluice: endpoint {world.app} reset the connection"), text
    ask(world, "/silent", "silent")
    text = sentence(world, "silent")
    silent = rf"GET /silent, 504, answered by sluice: endpoint {app} did not answer in .* \(timeout of route slow"
    assert re.match(silent, text)
    ask(world, "/dead", "dead")
    text = sentence(world, "dead")
    assert text.startswith(f"GET /dead, 502, answered by sluice: no connection to endpoint {world.dead} could"), text
    assert f"tried before: {world.dead}: connect_failed after" in text
    ask(world, "/closed", "closed")
    found = ends(world, "?route=closed")
    assert len(found) == 1 and found[0]["reason"] == "denied" and "request_id" not in found[0]
    assert found[0]["sentence"].endswith("route closed does not admit the address of the client (allow, deny)")


def test_who_left_a_tunnel_and_a_connection_by_its_port(world):
    with Client(world.address()) as client:
        client.send(build(path="/ws", headers=[*UPGRADE, ("X-Request-Id", "ws")]))
        assert client.head().status == 101
        port = client.sock.getsockname()[1]
    assert "a tunnel of" in sentence(world, "ws") and "GET /ws, 101" in sentence(world, "ws")
    told = why(world, f"127.0.0.1:{port}")
    assert told.returncode == 0 and "GET /ws, 101" in told.stdout
    conn = ends(world, f"?client=127.0.0.1:{port}")[0]["conn"]
    assert [e["path"] for e in ends(world, f"?conn={conn}")] == ["/ws"]
    with Client(world.address()) as client:
        client.send(build(path="/dead/x", headers=[("X-Request-Id", "first")]))
        client.response()
        client.send(build(path="/other", headers=[("X-Request-Id", "second")]))
        client.response()
        peer = "127.0.0.1:{}".format(client.sock.getsockname()[1])
        wait_for(lambda: len(ends(world, f"?client={peer}")) == 2, what="both ends")
    lines = why(world, peer).stdout.splitlines()
    assert "GET /other, 200" in lines[0] and "GET /dead/x, 502" in lines[1], "the latest first"


def test_the_page_says_what_the_log_says_and_hides_queries(world):
    ask(world, "/dead/a?token=secret", "same")
    line = wait_for(lambda: [r for r in world.access_log() if r["request_id"] == "same"], what="its line")[0]
    end = ends(world, "?id=same&status=5xx&ended_by=upstream&reason=connect_failed&upstream=dead&limit=1")[0]
    for key in "status reason ended ended_by during attempts tries total_us trace_id endpoint".split():
        assert end[key] == line[key], key
    phases = [v for k, v in end.items() if k.endswith("_us") and k not in ("total_us", "first_byte_us")]
    assert sum(phases) == end["total_us"]
    assert end["path"] == "/dead/a"
    for form in ("text/plain", "application/json"):
        assert "secret" not in world.admin("/recent", headers={"accept": form})[1]
    assert ends(world, "?status=404") == []


def test_questions_that_are_none_are_told(world):
    for query, says in (
        ("?reasen=x", f'400: /recent knows no "reasen" in its query; it knows {FILTERS}\n'),
        ("?limit=0", "400: limit is a number from 1 to 1000\n"),
        ("?status=abc", "400: status is a status as 404, or 4xx\n"),
        ("?ended_by=us", "400: ended_by is one of client upstream proxy\n"),
    ):
        assert world.admin(f"/recent{query}")[:2] == (400, says)
    nothing = why(world, "nobody")
    assert nothing.returncode == 3 and nothing.stdout == ""
    assert "nothing like that has ended; kept 0 of 1024 trouble, 0 of 256 refused" in nothing.stderr
    assert "still runs is in GET /debug/requests" in nothing.stderr
    odd = why(world, 'a b&c="%\x1b')
    assert odd.returncode == 3, "an id with anything in it is an id"
    host, port = free_address()
    nobody = subprocess.run(
        [binary(), "why", "x", "--admin", f"{host}:{port}"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert nobody.returncode == 1 and "is sluice running" in nobody.stderr


def test_a_hostile_path_is_written_out(world):
    """What would clear a terminal, or end a line or a string, does not."""
    with Client(world.address()) as client:
        client.send(build(path="/x\x7f"))
        client.response()
    with Client(world.address()) as client:
        client.send(build(path='/"quoted"'))
        client.response()
    wait_for(lambda: len(ends(world)) == 2, what="both ends")
    text = world.admin("/recent")[1]
    assert "\x7f" not in text and 'GET /\\"quoted\\"' in text
    assert all(ord(c) >= 32 or c == "\n" for c in text)
