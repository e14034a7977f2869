"""The pool of upstream connections: caps, the queue, reuse, races, health, and what may be sent twice."""

import select
import ssl
import threading
import time

import pytest

from harness.base import TIMEOUT, free_address, limit, refused_address, wait_for
from harness.certs import server_context
from harness.client import build, held_clients
from harness.namespace import in_namespace
from harness.origin import Origin, ok
from harness.proxy import Sluice, config


@pytest.mark.parametrize("workers", [1, 2])
def test_cap_per_endpoint_is_of_the_whole_process(start, gate, workers):
    origin = start.origin(gate)
    sluice = start.sluice(config(origin.address, pool='max_connections = 3\nacquire_timeout = "30s"', workers=workers))
    clients = held_clients(sluice, 10)
    origin.wait_heads(3)
    sluice.wait_metric(7, "sluice_upstream_pool_waiting", upstream="app", why="cap")
    assert origin.heads == 3 and origin.open_max == 3
    assert sluice.metric("sluice_upstream_connections", upstream="app", state="active") == 3
    gate.open()
    assert all(c.response().status == 200 for c in clients)
    assert origin.heads == 10
    sluice.wait_metric(0, "sluice_upstream_pool_waiting", upstream="app", why="cap")
    assert sluice.metric("sluice_upstream_pool_max_connections", upstream="app") == 3


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_max_in_flight_is_of_the_whole_process(start, workers):
    """Below max_connections: connections are left, and still no third request comes."""
    active, most, lock = [0], [0], threading.Lock()

    def on_request(connection, request):
        with lock:
            active[0] += 1
            most[0] = max(most[0], active[0])
        time.sleep(0.001)
        with lock:
            active[0] -= 1
        connection.send(ok())

    origin = start.origin(on_request)
    pool = 'max_connections = 64\nmax_in_flight = 2\nacquire_timeout = "30s"'
    sluice = start.sluice(config(origin.address, pool=pool, workers=workers))
    clients = [sluice.client() for _ in range(16)]
    for _ in range(10):
        for client in clients:
            client.send(build())
        assert all(client.response().status == 200 for client in clients)
    assert most[0] == 2


@pytest.mark.parametrize("workers", [2, 4])
def test_at_the_cap_connections_go_from_worker_to_worker(start, workers):
    """A burst after the other, far more requests than connections: none is closed to make room for another one."""
    origin = start.origin()
    pool = 'max_connections = 6\nacquire_timeout = "30s"'
    sluice = start.sluice(config(origin.address, pool=pool, workers=workers))
    clients = [sluice.client() for _ in range(24)]
    for _ in range(20):
        for client in clients:
            client.send(build())
        assert all(client.response().status == 200 for client in clients)
    assert origin.open_max <= 6
    assert sluice.metric("sluice_upstream_connections_closed_total", upstream="app", cause="given_up") == 0
    assert len(origin.connections) <= 6


@pytest.mark.parametrize("version", ["clear", "TLSv1_2", "TLSv1_3"])
def test_below_the_cap_idle_connections_go_from_worker_to_worker(start, version):
    """Clients on all of four workers, one request at a time: what one worker has idle serves another, keys and all."""
    tls, upstream_tls = None, ""
    if version != "clear":
        ca = start.authority()
        tls = server_context(*ca.issue("backend.test"))
        tls.minimum_version = tls.maximum_version = ssl.TLSVersion[version]
        upstream_tls = f'server_name = "backend.test"\nca = "{ca.cert}"'
    origin = start.origin(tls=tls)
    sluice = start.sluice(config(origin.address, upstream_tls=upstream_tls, workers=4))
    clients = [sluice.client() for _ in range(16)]

    def handed_over():
        for client in clients:
            assert client.request().status == 200
            time.sleep(0.012)  # so long it is idle before it is to spare
        return sluice.metric("sluice_upstream_connections_handed_over_total", upstream="app") >= 8

    wait_for(handed_over, what="idle connections change workers")
    assert origin.open_max <= 16
    assert sluice.metric("sluice_upstream_connections_closed_total", upstream="app", cause="given_up") == 0


def with_few_ports(body):
    """Runs body in a network of its own with 50 local ports."""

    def run():
        with open("/proc/sys/net/ipv4/ip_local_port_range", "w", encoding="ascii") as f:
            f.write("40000 40049")
        return body()

    return in_namespace(run)


@pytest.mark.parametrize("most", [40, 100])
@pytest.mark.parametrize("workers", [1, 2])
def test_few_local_ports_lose_nothing_that_live_connections_can_carry(tmp_path, workers, most):
    """50 ports, bursts of 60. A pool of 40: two workers lost a third, as each connection given up kept its port. A pool
    of 100: who finds no port waits for a connection that is there, or is being made."""

    def bursts():
        pool = f'max_connections = {most}\nacquire_timeout = "30s"'
        with Origin() as origin, Sluice(config(origin.address, pool=pool, workers=workers), tmp_path / "few") as sluice:
            # From ports outside the range that is short.
            clients = [sluice.client(source=("127.0.0.1", 20_000 + i)) for i in range(60)]
            statuses = []
            for _ in range(10):
                for client in clients:
                    client.send(build())
                statuses += [client.response().status for client in clients]
            return statuses

    assert with_few_ports(bursts) == [200] * 600


def test_local_ports_that_become_short_are_told_of(tmp_path):
    """45 of 50 ports are held: metrics, /status and one line in the log say so, with what to do."""

    def run():
        text = "max_connections = 45"
        with Origin() as origin, Sluice(config(origin.address, pool=text), tmp_path / "few") as sluice:
            clients = [sluice.client(source=("127.0.0.1", 20_000 + i)) for i in range(45)]
            gate = threading.Event()
            origin.on_request = lambda connection, request: (gate.wait(TIMEOUT), connection.send(ok()))
            for client in clients:
                client.send(build())
            origin.wait_heads(45)
            subject = f"127.0.0.1>{origin.address}"
            sluice.wait_metric(45, "sluice_limit_used", resource="ports", subject=subject)
            most = sluice.metric("sluice_limit_max", resource="ports", subject=subject)
            rows = sluice.status()["local_ports"]
            sluice.wait_stderr("event=advice code=limit_near subject=127.0.0.1>")
            gate.set()
            answers = [client.response().status for client in clients]
            told = sluice.stderr()
            ports = [(r["source"], r["used"], r["available"]) for r in rows]
            return most, ports, told.count("event=advice code=limit_near"), set(answers)

    assert with_few_ports(run) == (50, [("127.0.0.1", 45, 50)], 1, {200})


def test_cap_of_one_starves_no_worker(start):
    """Two workers, one slot: every one of many clients is served, and the origin never has two requests at once."""
    active, most, lock = [0], [0], threading.Lock()

    def on_request(connection, request):
        with lock:
            active[0] += 1
            most[0] = max(most[0], active[0])
        with lock:
            active[0] -= 1
        connection.send(ok())

    origin = start.origin(on_request)
    sluice = start.sluice(config(origin.address, pool='max_connections = 1\nacquire_timeout = "30s"', workers=2))
    clients = [sluice.client() for _ in range(16)]
    for _ in range(10):
        for client in clients:
            client.send(build())
        assert all(client.response().status == 200 for client in clients)
    assert most[0] == 1


def test_acquire_timeout(start, gate):
    origin = start.origin(gate)
    sluice = start.sluice(config(origin.address, pool=f'max_connections = 1\nacquire_timeout = "{limit(0.3)}"'))
    (client,) = held_clients(sluice, 1)
    origin.wait_heads(1)
    answer = sluice.request(path="/waited")
    assert (answer.status, answer.reason) == (503, "pool_timeout")
    assert int(answer.header("retry-after")) >= 1
    (line,) = sluice.wait_log_path("/waited")
    assert (line["status"], line["reason"]) == (503, "pool_timeout") and line["queue_us"] >= 250000
    assert sluice.metric("sluice_upstream_pool_timeouts_total", upstream="app") == 1
    assert sluice.metric("sluice_local_replies_total", reason="pool_timeout") == 1
    gate.open()
    assert client.response().status == 200
    assert origin.heads == 1
    assert sluice.request().status == 200


def test_wait_budget_of_a_route(start, gate):
    origin = start.origin(gate)
    sluice = start.sluice(
        config(origin.address, pool='max_connections = 1\nacquire_timeout = "60s"', route='wait_budget = "300ms"')
    )
    held_clients(sluice, 1)
    origin.wait_heads(1)
    assert sluice.request().reason == "pool_timeout"


def test_max_waiting(start, gate):
    origin = start.origin(gate)
    sluice = start.sluice(config(origin.address, pool='max_connections = 1\nmax_waiting = 2\nacquire_timeout = "30s"'))
    clients = held_clients(sluice, 1)
    origin.wait_heads(1)
    clients += held_clients(sluice, 2)
    sluice.wait_metric(2, "sluice_upstream_pool_waiting", upstream="app", why="cap")
    answer = sluice.request(path="/refused")
    assert (answer.status, answer.reason) == (503, "pool_full")
    assert int(answer.header("retry-after")) >= 1
    gate.open()
    assert all(c.response().status == 200 for c in clients)
    assert not any(r.target == "/refused" for r in origin.requests)


def test_waiters_are_served_in_order_and_leave_with_their_client(start, gate):
    origin = start.origin(gate)
    sluice = start.sluice(config(origin.address, pool='max_connections = 1\nacquire_timeout = "30s"'))
    clients = held_clients(sluice, 1)
    origin.wait_heads(1)
    for i in range(5):
        clients += held_clients(sluice, 1, f"/{i}")
        sluice.wait_metric(i + 1, "sluice_upstream_pool_waiting", upstream="app", why="cap")
    clients[3].reset()  # waits as /2
    sluice.wait_metric(4, "sluice_upstream_pool_waiting", upstream="app", why="cap")
    gate.open()
    for i, client in enumerate(clients):
        if i != 3:
            assert client.response().status == 200
    assert [r.target for r in origin.requests] == ["/held", "/0", "/1", "/3", "/4"]


LANES = "\n".join(
    f'[[route]]\nname = "{lane}"\npath_prefix = "/{lane}"\nupstream = "app"\npriority = "{lane}"'
    for lane in ("high", "low")
)


def test_priority_goes_first_and_who_is_passed_over_nine_times_is_next(start, gate):
    origin = start.origin(gate)
    sluice = start.sluice(config(origin.address, pool='max_connections = 1\nacquire_timeout = "60s"', before=LANES))
    clients = held_clients(sluice, 1)
    origin.wait_heads(1)
    order = ["/low/0", "/low/1", "/normal/0"] + [f"/high/{i}" for i in range(10)]
    for i, path in enumerate(order):
        clients += held_clients(sluice, 1, path)
        sluice.wait_metric(i + 1, "sluice_upstream_pool_waiting", upstream="app", why="cap")
    gate.open()
    assert all(client.response().status == 200 for client in clients)
    served = [f"/high/{i}" for i in range(9)] + ["/normal/0", "/low/0", "/high/9", "/low/1"]
    assert [r.target for r in origin.requests] == ["/held"] + served


def test_max_waiting_pushes_out_the_youngest_of_a_lower_priority(start, gate):
    origin = start.origin(gate)
    pool = 'max_connections = 1\nmax_waiting = 2\nacquire_timeout = "60s"'
    sluice = start.sluice(config(origin.address, pool=pool, before=LANES))
    clients = held_clients(sluice, 1)
    origin.wait_heads(1)
    for i, path in enumerate(["/low/0", "/low/1"]):
        clients += held_clients(sluice, 1, path)
        sluice.wait_metric(i + 1, "sluice_upstream_pool_waiting", upstream="app", why="cap")
    clients += held_clients(sluice, 1, "/high/0")
    answer = clients[2].response()
    assert (answer.status, answer.reason) == (503, "pool_full")
    assert sluice.request(path="/low/2").reason == "pool_full"  # nobody is below it
    assert sluice.metric("sluice_upstream_pool_waiting", upstream="app", why="cap") == 2
    gate.open()
    assert all(clients[i].response().status == 200 for i in (0, 1, 3))
    assert [r.target for r in origin.requests] == ["/held", "/high/0", "/low/0"]


def test_idle_timeout(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, pool='idle_timeout = "300ms"'))
    assert sluice.request().status == 200
    assert origin.connections[0].eof.wait(TIMEOUT)
    sluice.wait_metric(1, "sluice_upstream_connections_closed_total", upstream="app", cause="idle_timeout")
    assert sluice.request().status == 200
    assert len(origin.connections) == 2


def test_keep_alive_timeout_of_the_origin_is_obeyed(start):
    """2 s announced, 50 s configured: gone after 1 s, long before the origin would close."""
    origin = start.origin(lambda c, r: c.send(ok(b"x", ["Keep-Alive: timeout=2, max=100"])))
    sluice = start.sluice(config(origin.address))
    assert sluice.request().status == 200
    assert origin.connections[0].eof.wait(TIMEOUT)
    sluice.wait_metric(1, "sluice_upstream_connections_closed_total", upstream="app", cause="idle_timeout")


def test_max_lifetime(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, pool='max_lifetime = "500ms"'))
    assert sluice.request().status == 200
    assert origin.connections[0].eof.wait(TIMEOUT)
    sluice.wait_metric(1, "sluice_upstream_connections_closed_total", upstream="app", cause="max_lifetime")


def test_max_requests_per_connection(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, pool="max_requests = 2"))
    with sluice.client() as client:
        for _ in range(6):
            assert client.request().status == 200
    assert [len(c.requests) for c in origin.connections] == [2, 2, 2]


def test_connection_close_of_the_origin(start):
    def script(connection):
        connection.read_request()
        connection.send(ok(b"x", ["Connection: close"]))
        connection.wait_eof()

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        for _ in range(3):
            answer = client.request()
            assert answer.status == 200 and not answer.closes
    assert [len(c.requests) for c in origin.connections] == [1, 1, 1]


def test_http_1_0_origin_is_not_pooled_unless_it_says_so(start):
    def script(connection):
        while True:
            connection.read_request()
            keep = connection.number > 1
            connection.send(
                b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n"
                + (b"Connection: keep-alive\r\n" if keep else b"")
                + b"\r\nx"
            )
            if not keep:
                connection.wait_eof()

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        for _ in range(4):
            assert client.request().status == 200
    assert len(origin.connections[0].requests) == 1


@pytest.mark.parametrize("how", ["finish", "close", "reset"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_the_origin_closed_while_idle_is_never_used(start, how, method):
    go = threading.Event()

    def script(connection):
        connection.read_request()
        connection.send(ok(b"%d" % connection.number))
        if connection.number == 1:
            assert go.wait(TIMEOUT)
            getattr(connection, how)()
        connection.wait_eof()

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        assert client.request().body == b"1"
        go.set()
        sluice.wait_metric(1, "sluice_upstream_connections_closed_total", upstream="app")
        assert client.request(method, body=b"x" if method == "POST" else None).body == b"2"
    assert [len(c.requests) for c in origin.connections] == [1, 1]


def racing(connection):
    """Serves one request on the first connection, then closes as the next one arrives."""
    connection.read_request()
    connection.send(ok(b"%d" % connection.number))
    if connection.number == 1:
        connection.read_request()
        connection.close()
        return
    while True:
        connection.read_request()
        connection.send(ok(b"%d" % connection.number))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_a_reused_connection_that_dies_is_replayed_when_safe(start, method):
    origin = start.origin(on_connection=lambda c: racing_head(c) if method == "HEAD" else racing(c))
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        assert client.request().status == 200
        answer = client.request(method, "/again")
        assert answer.status == 200, answer.headers
    assert [r.target for r in origin.requests] == ["/", "/again", "/again"]
    (line,) = sluice.wait_log_path("/again")
    assert (line["status"], line["attempts"]) == (200, 2)
    assert sluice.metric("sluice_upstream_tries_total", upstream="app", kind="retry") == 1


def racing_head(connection):
    connection.read_request()
    connection.send(ok(b"x"))
    if connection.number == 1:
        connection.read_request()
        connection.close()
        return
    connection.wait_eof()


@pytest.mark.parametrize("method", ["POST", "PATCH", "FOO"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_post_is_never_sent_twice(start, method, how):
    def script(connection):
        connection.read_request()
        connection.send(ok())
        connection.read_request()
        getattr(connection, how)()

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        assert client.request().status == 200
        answer = client.request(method, "/once", body=b"pay")
        assert (answer.status, answer.reason) == (502, "reset")
    assert [r.target for r in origin.requests] == ["/", "/once"]
    (line,) = sluice.wait_log_path("/once")
    assert (line["status"], line["reason"], line["attempts"]) == (502, "reset", 1)


def test_a_post_is_never_lost_to_an_idle_race_twice(start):
    """An endpoint that has shown the race gets POSTs on fresh connections."""
    origin = start.origin(on_connection=racing)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        assert client.request().status == 200
        assert client.request(path="/race").status == 200
        before = len(origin.connections)
        assert client.request("POST", "/pay", body=b"x").status == 200
    assert len(origin.connections) == before + 1
    assert sum(r.target == "/pay" for r in origin.requests) == 1


def test_a_put_with_a_streamed_body_is_not_replayed(start):
    """The rest of its body is still to come: it cannot be sent again as a whole."""

    def script(connection):
        connection.read_request()
        connection.send(ok())
        connection.read_head()
        connection.read(100000)
        connection.reset()

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        assert client.request().status == 200
        client.send(build("PUT", "/once", {"Content-Length": "4000000"}) + b"x" * 200000)
        assert client.response("PUT").status == 502
    assert sum(r.target == "/once" for r in origin.requests) == 1


def test_connect_failure_goes_to_the_next_endpoint_whatever_the_method(start):
    origin = start.origin()
    sluice = start.sluice(config(refused_address(), origin.address, upstream='balance = "round_robin"'))
    with sluice.client() as client:
        for i in range(40):
            answer = client.request("POST" if i % 2 else "GET", f"/{i}", body=b"x" if i % 2 else None)
            assert answer.status == 200, (i, answer.reason)
    assert [r.target for r in origin.requests] == [f"/{i}" for i in range(40)]


@pytest.mark.parametrize("balance", ["round_robin", "p2c", "least_requests"])
def test_a_dead_endpoint_is_set_aside(start, balance):
    """It is tried now and then, not by every request."""
    dead = refused_address()
    origin = start.origin()
    sluice = start.sluice(config(dead, origin.address, upstream=f'balance = "{balance}"'))
    with sluice.client() as client:
        for _ in range(300):
            assert client.request().status == 200
    tries = sum(line["attempts"] > 1 for line in sluice.wait_log(lambda line: True, 300))
    assert tries < 30, f"{tries} of 300 requests ran into the dead endpoint"


def test_all_endpoints_refuse(start):
    sluice = start.sluice(config(refused_address(), refused_address()))
    answer = sluice.request(path="/dead")
    assert (answer.status, answer.reason) == (502, "connect_failed")
    (line,) = sluice.wait_log_path("/dead")
    assert (line["status"], line["reason"]) == (502, "connect_failed")
    assert sluice.metric("sluice_upstream_errors_total", upstream="app", reason="connect_failed") >= 1


def test_an_endpoint_comes_back(start):
    host, port = free_address()
    sluice = start.sluice(config(f"{host}:{port}"))
    assert sluice.request().status == 502
    with Origin(address=(host, port)):
        wait_for(lambda: sluice.request().status == 200, what="the endpoint is used again")


def test_retry_off(start):
    origin = start.origin(on_connection=lambda c: (c.read_request(), c.close()))
    sluice = start.sluice(config(origin.address, retry="attempts = 1"))
    assert sluice.request().status == 502
    assert origin.heads == 1


def test_retry_on_503_must_be_asked_for(start):
    def on_request(connection, request):
        first = len(request_count(origin, request.target)) == 1
        connection.send(ok(b"x", status="503 Service Unavailable" if first else "200 OK"))

    origin = start.origin(on_request)
    plain = start.sluice(config(origin.address))
    assert plain.request(path="/plain").status == 503
    asked = start.sluice(config(origin.address, retry='on = ["connect", "reset", "503"]'))
    assert asked.request(path="/asked").status == 200
    assert asked.request("POST", "/post", body=b"x").status == 503
    assert len(request_count(origin, "/asked")) == 2 and len(request_count(origin, "/post")) == 1


def request_count(origin, target):
    return [r for r in list(origin.requests) if r.target == target]


def test_per_try_timeout(start):
    def script(connection):
        connection.read_request()
        if connection.number > 1:
            connection.send(ok(b"second"))
        connection.wait_eof()

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address, retry=f'per_try_timeout = "{limit(0.5)}"'))
    assert sluice.request().body == b"second"
    assert origin.heads == 2


def test_round_robin_and_weights(start):
    origins = [start.origin() for _ in range(3)]
    names = [origins[0].address, origins[1].address, f'{{ address = "{origins[2].address}", weight = 2 }}']
    sluice = start.sluice(config(*names, upstream='balance = "round_robin"'))
    with sluice.client() as client:
        for _ in range(40):
            assert client.request().status == 200
    assert [o.heads for o in origins] == [10, 10, 20]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_round_robin_takes_turns_over_the_whole_process(start, workers):
    """Three requests on fresh connections meet three backends, whichever workers the kernel gives the connections
    to."""
    origins = [start.origin() for _ in range(3)]
    sluice = start.sluice(config(*(o.address for o in origins), upstream='balance = "round_robin"', workers=workers))
    for turn in range(1, 17):
        for _ in range(3):
            assert sluice.request().status == 200
        assert [o.heads for o in origins] == [turn] * 3


def test_least_requests_and_p2c_avoid_the_busy_endpoint(start, gate):
    for balance in ("least_requests", "p2c"):
        first, second = start.origin(gate), start.origin(gate)
        sluice = start.sluice(config(first.address, second.address, upstream=f'balance = "{balance}"'))
        held_clients(sluice, 1)
        wait_for(lambda: first.heads + second.heads == 1)
        busy, free = (first, second) if first.heads else (second, first)
        with sluice.client() as client:
            for _ in range(20):
                assert client.request().status == 200
        assert (busy.heads, free.heads) == (1, 20), balance
    gate.open()


def test_min_idle_is_connected_before_ready(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, pool="min_idle = 3"))
    assert sluice.metric("sluice_upstream_connections", upstream="app", state="idle") == 3
    origin.wait_connections(3)  # ours are made when the kernel has them; it may not have taken them yet
    assert origin.heads == 0
    with sluice.client() as client:
        assert client.request().status == 200  # while that one is in use, another may be made
    (line,) = sluice.wait_log(lambda line: True)
    assert line["reused"] is True or line["connect_us"] == 0


def test_min_idle_leaves_a_server_alone_that_closes_at_once(start):
    """Each round of connects comes later than the one before: 0.25, 0.5, 1, 2 s and so on."""
    kind = threading.Event()

    def on_connection(connection):
        while kind.is_set() and connection.read_request() is not None:
            connection.send(ok())

    origin = start.origin(on_connection=on_connection)
    text = config(origin.address, pool="min_idle = 2").replace("[runtime]", '[runtime]\nwarm_timeout = "100ms"')
    began = time.monotonic()
    sluice = start.sluice(text)
    wait_for(lambda: len(origin.connections) >= 5 * 2, what="five rounds")
    assert time.monotonic() - began >= 3  # it was 1 s
    kind.set()
    idle = lambda: sluice.metric("sluice_upstream_connections", upstream="app", state="idle")
    wait_for(lambda: idle() == 2, 3 * TIMEOUT, "a warm pool")
    assert sluice.request().status == 200


def test_warm_timeout_bounds_readiness(start):
    text = config(refused_address(), pool="min_idle = 1").replace("[runtime]", '[runtime]\nwarm_timeout = "300ms"')
    sluice = start.sluice(text)  # ready although nothing could be warmed
    assert sluice.request().status == 502


def test_proxy_reuses_the_most_recent_connection_for_a_post(start, gate):
    origin = start.origin(gate)
    sluice = start.sluice(config(origin.address))
    clients = held_clients(sluice, 3)
    origin.wait_heads(3)
    gate.open()
    assert sorted(c.response().body for c in clients) == [b"1", b"2", b"3"]
    last = sluice.request("GET", "/").body
    assert sluice.request("POST", "/", body=b"x").body == last


def test_source_address(start):
    seen = []
    origin = start.origin(
        on_connection=lambda c: (seen.append(c.sock.getpeername()[0]), c.read_request(), c.send(ok()), c.wait_eof())
    )
    sluice = start.sluice(config(origin.address, upstream='source_addresses = ["127.0.0.77"]'))
    assert sluice.request().status == 200
    assert seen == ["127.0.0.77"]


@pytest.mark.parametrize("host,expected", [("preserve", "a.test"), ("endpoint", None), ("fixed.test", "fixed.test")])
def test_host_sent(start, host, expected):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, upstream=f'host = "{host}"'))
    assert sluice.request().status == 200
    assert origin.requests[0].header("host") == (expected or origin.address)
    assert origin.requests[0].header("x-forwarded-host") == "a.test"


def test_pool_is_warm_under_steady_load(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        for _ in range(100):
            client.request()
    assert len(origin.connections) == 1
    assert sluice.metric("sluice_upstream_connections_opened_total", upstream="app") == 1


def test_an_upstream_that_closes_idle_connections_is_told_of_and_closed_before(start):
    def closes_after_a_second(connection):
        while True:
            connection.read_request()
            connection.send(ok())
            if not select.select([connection.sock], [], [], 1.0)[0]:
                return connection.finish()

    origin = start.origin(on_connection=closes_after_a_second)
    sluice = start.sluice(config(origin.address))
    told = f"warn event=idle_limit_learned upstream=app endpoint={origin.address} closes_after_s="
    for closes in range(1, 16):  # three, if they come at the same age: on a busy machine it may take more
        assert sluice.request(path="/").status == 200
        sluice.wait_metric(
            closes, "sluice_upstream_connections_closed_total", upstream="app", cause="peer_closed", by="peer"
        )
        if told in sluice.stderr():
            break
    sluice.wait_stderr(told)
    assert sluice.metric("sluice_upstream_idle_limit_seconds", upstream="app", endpoint=origin.address) >= 1
    assert sluice.request(path="/").status == 200
    sluice.wait_metric(1, "sluice_upstream_connections_closed_total", upstream="app", cause="idle_timeout", by="us")


def test_a_client_is_told_how_long_its_connection_is_kept_and_a_request_that_comes_too_late_is_counted(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, listener='idle_timeout = "2s"'))
    with sluice.client() as client:
        client.send(build())
        assert client.response().header("keep-alive") == "timeout=1"
        sluice.wait_metric(0, "sluice_downstream_idle_races_total")
        assert client.ended()
        client.send(build())
        sluice.wait_metric(1, "sluice_downstream_idle_races_total")


def test_a_pool_that_is_too_small_for_its_load_is_told_of_with_the_key_to_set(start, gate):
    origin = start.origin(gate)
    sluice = start.sluice(config(origin.address, pool='max_connections = 2\nacquire_timeout = "60s"'))
    clients = held_clients(sluice, 8)
    sluice.wait_stderr("warn event=advice code=pool_small subject=app ")
    assert "set pool.max_connections = " in sluice.stderr()
    assert sluice.metric("sluice_upstream_pool_recommended_connections", upstream="app") > 2
    assert sluice.metric("sluice_upstream_pool_limit_connections", upstream="app") == 2
    gate.open()
    assert all(client.response().status == 200 for client in clients)
