"""Leaving: the phases of a drain, in order, by signal and by request, and what may not hold it up."""

import signal
import socket
import threading

import pytest

from harness.base import TIMEOUT, limit, wait_for
from harness.client import Client, Closed, build
from harness.origin import ok
from harness.proxy import config


class Held:
    """An origin handler that holds /held until opened."""

    def __init__(self):
        self.gate = threading.Event()

    def __call__(self, connection, request):
        if request.target.startswith("/held"):
            assert self.gate.wait(TIMEOUT * 2)
        connection.send(ok(request.body or b"served"))


@pytest.fixture
def held():
    handler = Held()
    yield handler
    handler.gate.set()


def drain(sluice, how):
    if how == "POST":
        status, _ = sluice.admin("/drain", "POST")
        assert status in (200, 202)
    else:
        sluice.signal(getattr(signal, how))


def phase(sluice):
    return sluice.metric("sluice_drain_phase")


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "POST"])
def test_phases(start, held, how):
    """503 on /readyz while everything is served as before, then closed listeners, then the end."""
    origin = start.origin(held)
    sluice = start.sluice(config(origin.address, deregister_wait=limit(2), deadline="30s"))
    address = sluice.address()
    busy, kept, idle = sluice.client(), sluice.client(), sluice.client()
    busy.send(build(path="/held"))
    assert kept.request().status == 200 and idle.request().status == 200
    origin.wait_heads(3)
    drain(sluice, how)
    wait_for(lambda: sluice.readyz()[0] == 503, what="/readyz says 503")
    assert "drain" in sluice.readyz()[1].lower()
    # Phase 1: as before, but that clients of HTTP/1 are told to go.
    assert phase(sluice) == 1
    assert sluice.request().status == 200, "a new connection while deregistering"
    told = kept.request()
    assert told.status == 200 and told.closes and kept.ended()
    assert sluice.metric("sluice_drain_seconds_left") > 0
    # Phase 2: the listener is closed, idle connections end, the busy one is served.
    sluice.wait_metric(2, "sluice_drain_phase")
    wait_for(lambda: sluice.refuses(), what="new connections are refused")
    assert idle.ended()
    assert sluice.metric("sluice_drain_remaining") >= 1
    assert sluice.process.poll() is None
    held.gate.set()
    answer = busy.response()
    assert (answer.status, answer.body, answer.closes) == (200, b"served", True)
    assert busy.ended()
    busy.close()
    assert sluice.wait_exit() == 0
    with pytest.raises(OSError):
        Client(address)


def test_exit_at_once_when_nothing_is_left(start):
    """deadline is a limit, not a wait."""
    origin = start.origin()
    sluice = start.sluice(config(origin.address, deadline="300s"))
    with sluice.client() as client:
        assert client.request().status == 200
        sluice.signal(signal.SIGTERM)
        assert client.ended()
        assert sluice.wait_exit() == 0


def test_answers_during_the_drain_carry_connection_close(start, held):
    """The connection that is busy when the listeners close is told with its answer; what it pipelined is served or
    closed, never half."""
    origin = start.origin(held)
    sluice = start.sluice(config(origin.address, deadline="30s"))
    with sluice.client() as client:
        client.send(build(path="/held") + build(path="/held/2"))
        origin.wait_heads(1)
        sluice.signal(signal.SIGTERM)
        sluice.wait_metric(2, "sluice_drain_phase")
        held.gate.set()
        answer = client.response()
        assert answer.status == 200
        if not answer.closes:
            assert client.response().closes
        assert client.ended()
    assert sluice.wait_exit() == 0


def test_requests_under_way_finish(start, held):
    """An upload, a download and a waiting request survive the closing of the listeners."""
    origin = start.origin(held)
    sluice = start.sluice(config(origin.address, deadline="60s", pool='max_connections = 2\nacquire_timeout = "60s"'))
    uploading, waiting, queued = sluice.client(), sluice.client(), sluice.client()
    uploading.send(build("POST", "/up", {"Content-Length": "10"}) + b"12345")
    origin.wait_heads(1)  # its body pauses, and half of the pool is free
    waiting.send(build(path="/held"))
    origin.wait_heads(2)
    queued.send(build(path="/queued"))
    sluice.wait_metric(1, "sluice_upstream_pool_waiting", upstream="app", why="cap")
    sluice.signal(signal.SIGTERM)
    sluice.wait_metric(2, "sluice_drain_phase")
    uploading.send(b"67890")
    assert uploading.response("POST").body == b"1234567890"
    held.gate.set()
    assert waiting.response().status == 200 and queued.response().status == 200
    for client in (uploading, waiting, queued):
        client.close()
    assert sluice.wait_exit() == 0


def test_what_stands_in_the_accept_queue_is_served(start):
    """Connections made before the listeners close are not reset: the kernel has accepted them already."""
    origin = start.origin()
    sluice = start.sluice(
        config(origin.address, workers=2, deadline="60s", pool='acquire_timeout = "60s"\nmax_waiting = 65536')
    )
    clients = []
    stop = threading.Event()

    def connect():
        while not stop.is_set():
            try:
                client = sluice.client()
                client.send(build())
            except OSError:
                return  # refused: the listeners are closed
            clients.append(client)

    thread = threading.Thread(target=connect)
    thread.start()
    wait_for(lambda: len(clients) > 50)
    sluice.signal(signal.SIGTERM)
    thread.join(TIMEOUT)
    stop.set()
    lost = 0
    for client in clients:
        try:
            answer = client.response()
            assert answer.status == 200, answer.reason
        except (Closed, OSError):
            lost += 1
        client.close()
    assert lost == 0, f"{lost} of {len(clients)} connections were dropped"
    assert sluice.wait_exit() == 0


def test_the_deadline_cuts_what_is_left(start, held):
    origin = start.origin(held)
    sluice = start.sluice(config(origin.address, deadline="1s"))
    with sluice.client() as client, sluice.client() as half:
        client.send(build(path="/held"))
        half.send(b"GET / HT")
        origin.wait_heads(1)
        sluice.signal(signal.SIGTERM)
        assert sluice.wait_exit() == 0
        try:
            assert client.response().status == 503  # if anything
        except Closed:
            pass
    line = sluice.wait_log_path("/held")
    assert len(line) == 1
    held.gate.set()


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "POST"])
def test_a_second_one_of_the_same_kind_ends_it_at_once(start, held, how):
    origin = start.origin(held)
    sluice = start.sluice(config(origin.address, deregister_wait="100s", deadline="200s"))
    with sluice.client() as client:
        client.send(build(path="/held"))
        origin.wait_heads(1)
        drain(sluice, how)
        sluice.wait_metric(1, "sluice_drain_phase")
        drain(sluice, how)
        assert sluice.wait_exit() == 0
    held.gate.set()


@pytest.mark.parametrize(
    "first,second", [("POST", "SIGTERM"), ("POST", "SIGINT"), ("SIGTERM", "POST"), ("SIGTERM", "SIGINT")]
)
def test_one_of_another_kind_goes_on_draining(start, held, first, second):
    """Kubernetes: the preStop hook calls POST /drain, SIGTERM comes when it is done. What is under way is served to its
    end."""
    origin = start.origin(held)
    sluice = start.sluice(config(origin.address, deadline="200s"))
    with sluice.client() as client:
        client.send(build(path="/held"))
        origin.wait_heads(1)
        drain(sluice, first)
        sluice.wait_metric(2, "sluice_drain_phase")
        left = sluice.metric("sluice_drain_seconds_left")
        drain(sluice, second)
        sluice.wait_metric(lambda v: v < left, "sluice_drain_seconds_left")  # it has been seen, and did not begin anew
        assert phase(sluice) == 2 and sluice.readyz()[0] == 503
        held.gate.set()
        assert client.response().status == 200
        assert client.ended()
    assert sluice.wait_exit() == 0


@pytest.mark.parametrize("acquire", ["20ms", "60s"])
def test_a_second_signal_into_a_full_queue(start, held, acquire):
    """Requests at the origin, in the queue and just refused when everything is cut: the exit is clean all the same."""
    origin = start.origin(held)
    text = config(origin.address, workers=2, deadline="60s", pool=f'max_connections = 2\nacquire_timeout = "{acquire}"')
    for turn in range(6):
        sluice = start.sluice(text)
        clients = [sluice.client() for _ in range(40)]
        for client in clients:
            client.send(build(path="/held" if turn % 2 else "/"))
        sluice.signal(signal.SIGTERM)
        wait_for(lambda: sluice.readyz()[0] != 200)  # two signals at once may be one
        if sluice.process.poll() is None:
            sluice.signal(signal.SIGTERM)
        assert sluice.wait_exit() == 0
        for client in clients:
            client.close()


def test_admin_connections_never_hold_it(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, deadline="300s"))
    host, port = sluice.address("admin").rsplit(":", 1)
    kept = [socket.create_connection((host, int(port)), TIMEOUT) for _ in range(3)]
    kept[1].sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n")
    kept[2].sendall(build(path="/metrics", host=f"{host}:{port}") * 50)
    sluice.signal(signal.SIGTERM)
    assert sluice.wait_exit() == 0
    for sock in kept:
        sock.close()


def test_upstream_connections_and_probes_do_not_hold_it(start):
    """Idle pooled connections and a health probe that hangs are no work left."""
    origin = start.origin(on_connection=lambda c: serve_but_hang_health(c))
    sluice = start.sluice(
        config(
            origin.address,
            deadline="300s",
            pool="min_idle = 2",
            health='kind = "http"\ninterval = "100ms"\ntimeout = "200s"',
        )
    )
    assert sluice.request().status == 200
    sluice.signal(signal.SIGTERM)
    assert sluice.wait_exit() == 0


def serve_but_hang_health(connection):
    while True:
        request = connection.read_request()
        if request.target == "/healthz":
            connection.wait_eof()
            return
        connection.send(ok())


def test_a_tunnel_is_held_until_the_deadline(start):
    """A WebSocket is work: it lives on until it ends or the deadline comes."""

    def script(connection):
        connection.read_head()
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while True:
            connection.send(connection.read(1))

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address, deadline=limit(3)))
    with sluice.client() as client:
        client.send(build(headers={"Connection": "Upgrade", "Upgrade": "websocket"}))
        assert client.response().status == 101
        sluice.signal(signal.SIGTERM)
        sluice.wait_metric(2, "sluice_drain_phase")
        client.send(b"x")
        assert client.read_bytes(1) == b"x"
        assert sluice.metric("sluice_drain_remaining") >= 1
        assert sluice.wait_exit() == 0
        assert client.ended()


def test_sighup_during_a_drain_changes_nothing(start, held):
    origin = start.origin(held)
    sluice = start.sluice(config(origin.address, deadline="30s"))
    with sluice.client() as client:
        client.send(build(path="/held"))
        origin.wait_heads(1)
        sluice.signal(signal.SIGTERM)
        sluice.wait_metric(2, "sluice_drain_phase")
        sluice.signal(signal.SIGHUP)
        wait_for(lambda: sluice.readyz()[0] == 503)
        wait_for(sluice.refuses, what="new connections are refused")
        held.gate.set()
        assert client.response().status == 200
    assert sluice.wait_exit() == 0


def test_lame_duck(start):
    """POST /deregister: 503 on /readyz, all is served, clients of HTTP/1 are told to go; POST /register undoes it."""
    sluice = start.sluice(config(start.origin().address, workers=2))
    stays = sluice.client()
    assert sluice.status()["since_deregistered"] is None
    for _ in range(2):
        assert sluice.admin("/deregister", "POST")[0] == 200
        assert sluice.readyz() == (503, "deregistered\n")
        assert sluice.metric("sluice_deregistered") == 1 and phase(sluice) == 0
    with sluice.client() as client:
        answer = client.request()
        assert answer.status == 200 and answer.closes and client.ended()
    sluice.reload()
    sluice.request()
    status = sluice.status()
    assert status["ready"] is False and status["reason"] == "deregistered" and status["phase"] == "serving"
    came = status["since_deregistered"]
    assert came["new_connections"] == 2 and came["requests"] == 2
    assert came["seconds"] >= came["last_connection_after_seconds"] > 0
    for _ in range(2):
        assert sluice.admin("/register", "POST") == (200, "registered\n")
        assert sluice.readyz()[0] == 200 and sluice.metric("sluice_deregistered") == 0
    assert sluice.status()["since_deregistered"] is None
    for _ in range(2):
        assert stays.request().closes is False
    stays.close()
    sluice.wait_stderr("registered again: the last new connection came")
    assert sluice.stderr().count("registered again") == 1 and sluice.stderr().count("event=deregistered ") == 1


def test_health_path_of_a_listener(start):
    """What balancers ask on the port of the traffic follows /readyz, and is none of the traffic."""
    origin = start.origin()
    sluice = start.sluice(
        config(origin.address, workers=2, listener='health_path = "/healthz"', deregister_wait=limit(2), deadline="30s")
    )

    def health(expected, text):
        answer = sluice.request(path="/healthz")
        assert (answer.status, answer.body, answer.header("cache-control")) == (expected, text, "no-store")

    health(200, b"ok\n")
    sluice.admin("/deregister", "POST")
    health(503, b"deregistered\n")
    assert sluice.status()["since_deregistered"]["requests"] == 0
    sluice.admin("/register", "POST")
    health(200, b"ok\n")
    line = sluice.wait_log_path("/healthz", 3)[0]
    assert line["status"] == 200 and line["route"] == "" and line["upstream"] == ""
    sluice.signal(signal.SIGTERM)
    sluice.wait_metric(1, "sluice_drain_phase")
    health(503, b"draining\n")
    assert origin.heads == 0
    assert sluice.wait_exit() == 0
    assert "no new connection came after /readyz said 503, and no request" in sluice.stderr()


def test_a_drain_of_a_lame_duck(start, held):
    """It goes on as usual, and cannot be undone; what still came is told at the end of the wait."""
    origin = start.origin(held)
    sluice = start.sluice(config(origin.address, deregister_wait=limit(1), deadline="60s"))
    assert sluice.admin("/deregister", "POST")[0] == 200
    busy = sluice.client()
    busy.send(build(path="/held"))
    origin.wait_heads(1)
    sluice.signal(signal.SIGTERM)
    sluice.wait_metric(1, "sluice_drain_phase")
    for _ in range(2):
        status, text = sluice.admin("/register", "POST")
        assert status == 409 and "draining" in text
        assert sluice.admin("/deregister", "POST")[0] == 200
    assert sluice.readyz() == (503, "draining\n")
    assert sluice.request().status == 200
    sluice.wait_stderr("of deregister_wait were needed: the last new connection came")
    assert "; 2 came, and 2 requests, the last after" in sluice.stderr()
    sluice.wait_metric(2, "sluice_drain_phase")
    assert sluice.admin("/register", "POST")[0] == 409
    held.gate.set()
    assert busy.response().status == 200
    assert sluice.wait_exit() == 0


def test_a_wait_that_nobody_needed(start):
    sluice = start.sluice(config(start.origin().address, deregister_wait="100s", deadline="200s"))
    sluice.signal(signal.SIGTERM)
    sluice.wait_metric(1, "sluice_drain_phase")
    sluice.signal(signal.SIGTERM)
    assert sluice.wait_exit() == 0
    assert "0 s of the 100 s of deregister_wait (cut short after " in sluice.stderr()
    assert "no new connection came after /readyz said 503, and no request" in sluice.stderr()


def test_load_through_a_drain_loses_nothing(start):
    """Clients that stop opening connections when /readyz says 503, as a balancer does."""
    origin = start.origin()
    sluice = start.sluice(config(origin.address, workers=2, deregister_wait=limit(2), deadline="30s"))
    leave, failures, served = threading.Event(), [], []

    def load(number):
        client, n = None, 0
        try:
            while not leave.is_set():
                client = client or sluice.client()
                answer = client.request(path=f"/{number}/{n}")
                assert answer.status == 200
                n += 1
                if answer.closes or n % 50 == 0:
                    client.close()
                    client = None
        except (OSError, Closed, AssertionError) as error:
            failures.append(f"{number}/{n}: {error!r}")
        served.append(n)

    threads = [threading.Thread(target=load, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    origin.wait_heads(200)
    sluice.signal(signal.SIGTERM)
    wait_for(lambda: sluice.readyz()[0] == 503)
    heads = origin.heads
    wait_for(lambda: origin.heads > heads + 20, what="traffic goes on while deregistering")
    leave.set()
    for thread in threads:
        thread.join(TIMEOUT)
    assert not failures, failures
    assert sluice.wait_exit() == 0
    assert len(sluice.access_log()) == sum(served)
