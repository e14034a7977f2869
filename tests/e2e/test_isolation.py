"""Bad input of every kind while other requests of the process go on: none of them notices."""

import contextlib
import random
import signal
import threading

import pytest

from harness.base import TIMEOUT, wait_for
from harness.certs import certificate_lines
from harness.client import Client, Closed, ProtocolError, build, dial, reset
from harness.load import Load
from harness.origin import ok
from harness.proxy import config
from test_responses import BEFORE_THE_HEAD, SCRIPTS, scripted
from test_smuggling import ALL


@pytest.fixture
def busy(start):
    """A process under steady load, in the clear and over TLS; the load must not lose one request."""
    ca = start.authority()
    SCRIPTS.update({c.name: c for c in BEFORE_THE_HEAD})
    origin = start.origin(scripted)
    extra = (
        f'[[listener]]\nname = "tls"\naddress = "127.0.0.1:0"\nprotocols = ["http/1.1"]\n[listener.tls]\n'
        f'{certificate_lines(ca.issue("a.test"))}\n'
    )
    sluice = start.sluice(config(origin.address, workers=2, listener='header_timeout = "2s"', extra=extra))
    loads = Load(sluice.address(), rate=100, threads=2), Load(
        sluice.address("tls"), rate=50, threads=2, tls=ca.client_context(), server_name="a.test"
    )
    with loads[0], loads[1]:
        wait_for(lambda: all(load.served > 5 for load in loads))
        yield sluice
        served = [load.served for load in loads]
        wait_for(lambda: all(load.served > before + 5 for load, before in zip(loads, served)), what="the load goes on")
    for load in loads:
        load.check()
    assert sluice.process.poll() is None


def send_and_see(sluice, raw, end="close"):
    """Sends bytes on a connection of their own and reads whatever comes."""
    client = sluice.client()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, Closed, ProtocolError):
        client.send(raw)
        if end == "read":
            client.response()
        elif end == "reset":
            client.reset()
            return
    client.close()


@pytest.mark.parametrize("end", ["read", "close", "reset"])
def test_refused_requests(busy, end):
    for case in ALL:
        send_and_see(busy, case.raw, end)


def test_nonsense_from_the_origin(busy):
    for case in BEFORE_THE_HEAD:
        assert busy.request("POST", f"/{case.name}", body=b"x").status == 502


def test_random_bytes(busy):
    for seed in range(150):
        rng = random.Random(seed)
        raw = bytes(rng.randrange(256) for _ in range(rng.choice((1, 10, 300, 20000))))
        send_and_see(
            busy, raw, rng.choice(("read", "close", "reset")) if raw.endswith(b"\n") else rng.choice(("close", "reset"))
        )


def test_damaged_requests(busy):
    good = build(
        "POST", "/x?y=1", {"Transfer-Encoding": "chunked", "Cookie": "a=b"}, b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"
    ) + build(path="/second")
    for seed in range(300):
        rng = random.Random(seed)
        raw = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(raw))
            raw[at : at + rng.choice((0, 1, 1, 5))] = rng.choice(
                (b"", b"\0", b"\r", b"\n", b" ", b":", b"\xff", b"0", b"\r\n\r\n", b"x" * 100)
            )
        send_and_see(busy, bytes(raw), rng.choice(("close", "reset")))


def test_garbage_on_the_tls_port_and_the_admin_port(busy):
    for seed in range(60):
        rng = random.Random(seed)
        for listener in ("tls", "admin"):
            sock = dial(busy.address(listener))
            with contextlib.suppress(OSError):
                sock.sendall(b"\x16\x03\x01" + bytes(rng.randrange(256) for _ in range(rng.choice((0, 5, 500)))))
                if seed % 2:
                    reset(sock)
            sock.close()
    with Client(busy.address("admin")) as client:
        client.send(b"GET /metrics HTTP/1.1\r\n")
    assert busy.admin("/healthz")[0] == 200


def test_a_stuck_backend_does_not_stop_the_others(start):
    """One upstream takes connections and says nothing; another one's requests do not wait."""
    stuck = start.origin(on_connection=lambda c: (c.read_request(), c.wait_eof()))
    good = start.origin(lambda c, r: c.send(ok()))
    extra = f'[[upstream]]\nname = "stuck"\nendpoints = ["{stuck.address}"]\n[upstream.pool]\nmax_connections = 4\n'
    sluice = start.sluice(
        config(good.address, before='[[route]]\npath = "/stuck"\nupstream = "stuck"\ntimeout = "60s"\n', extra=extra)
    )
    clients = [sluice.client() for _ in range(40)]
    for client in clients:
        client.send(build(path="/stuck"))
    stuck.wait_heads(4)
    with Load(sluice.address(), rate=100, threads=2) as load:
        wait_for(lambda: load.served > 50)
    load.check()
    for client in clients:
        client.close()


def test_a_slowed_backend_keeps_its_trouble_to_itself(start):
    """Its own clients get a 503 when their budget is over, and why; those of another upstream notice nothing."""
    release = threading.Event()
    slowed = start.origin(lambda c, r: (release.wait(TIMEOUT), c.send(ok())))
    good = start.origin(lambda c, r: c.send(ok()))
    extra = f"""[[upstream]]
name = "slowed"
endpoints = ["{slowed.address}"]
[upstream.pool]
max_connections = 4
acquire_timeout = "200ms"
"""
    route = '[[route]]\nname = "slow"\npath = "/slow"\nupstream = "slowed"\ntimeout = "60s"\n'
    sluice = start.sluice(config(good.address, before=route, extra=extra, workers=2))
    with Load(sluice.address(), rate=100, threads=2) as load:
        clients = [sluice.client() for _ in range(24)]
        for client in clients:
            client.send(build(path="/slow"))
        slowed.wait_heads(4)
        wait_for(lambda: load.served > 20)
        sluice.wait_metric(20, "sluice_upstream_pool_timeouts_total", upstream="slowed")
        served = load.served
        wait_for(lambda: load.served > served + 20, what="the other upstream's requests go on")
        release.set()
        answers = [client.response() for client in clients]
    load.check()
    assert sorted(answer.status for answer in answers) == [200] * 4 + [503] * 20
    refused = [answer for answer in answers if answer.status == 503]
    assert all(answer.reason == "pool_timeout" for answer in refused)
    assert all(int(answer.header("retry-after")) >= 1 for answer in refused)
    assert slowed.heads == 4  # who had left the queue never got there


def test_sigpipe_and_other_signals_are_harmless(start):
    sluice = start.sluice(config(start.origin().address))
    for name in ("SIGPIPE", "SIGUSR1", "SIGWINCH", "SIGCONT"):
        sluice.signal(getattr(signal, name))
        assert sluice.request().status == 200
