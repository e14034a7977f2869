"""The cap on clients (row 58) with real sockets, TLS and several workers; and a process whose descriptors are all
taken."""

import contextlib
import signal
import threading

import pytest

from harness.base import TIMEOUT, wait_for
from harness.certs import blind_context, certificate_lines
from harness.client import Closed, build
from harness.origin import ok
from harness.proxy import config

HALF_HELLO = b"\x16\x03\x01\x02\x00\x01\x00"  # a TLS record that is not whole
PROXY = b"PROXY TCP4 192.0.2.9 192.0.2.1 5000 80\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
CAP = 24

MUTE = [
    ("main", b""),
    ("main", b"P"),
    ("main", b"GET / HTTP/1.1\r\nHo"),
    ("main", PREFACE),
    ("tls", b""),
    ("tls", HALF_HELLO),
    ("proxied", b""),
    ("proxied", PROXY),
]


@pytest.fixture
def capped(start):
    authority = start.authority()
    origin = start.origin()
    extra = f'''[[listener]]
name = "tls"
address = "127.0.0.1:0"
[listener.tls]
{certificate_lines(authority.issue("a.test"))}
[[listener]]
name = "proxied"
address = "127.0.0.1:0"
proxy_protocol = "required"
'''
    text = config(origin.address, protocols=("h2", "http/1.1"), workers=3, extra=extra)
    return start.sluice(text.replace("[runtime]", f"[runtime]\nmax_connections = {CAP}"))


def clients(sluice):
    return sluice.status()["connections"]


def served(client):
    """False: it was not let in, or not kept."""
    try:
        return client.request().status == 200
    except (Closed, OSError):
        return False


def let_in(sluice, listener="main", **options):
    """A client that was served, or None."""
    try:
        client = sluice.client(listener, **options)
    except OSError:  # closed within its handshake
        return None
    if served(client):
        return client
    client.close()
    return None


def all_places_taken(sluice, held, kinds):
    for i in range(CAP):
        listener, says = kinds[i % len(kinds)]
        held.enter_context(sluice.client(listener)).send(says)
    wait_for(lambda: clients(sluice) == CAP, what="all places are taken")


def test_nobody_is_locked_out_by_clients_that_make_no_request(capped):
    """On three workers; good clients displace all of them, one each, and are not displaced themselves."""
    with contextlib.ExitStack() as held:
        all_places_taken(capped, held, MUTE)
        good = []

        def one_more():
            tls = {"listener": "tls", "tls": blind_context(), "server_name": "a.test"} if len(good) % 2 else {}
            client = let_in(capped, **tls)
            if client is not None:
                good.append(held.enter_context(client))
            assert clients(capped) <= CAP
            return len(good) == CAP - 4

        wait_for(one_more, what="good clients are let in")
        assert all(served(client) for client in good)  # kept alive all the while
        assert clients(capped) <= CAP


def test_half_done_handshakes_lock_nobody_out(capped):
    with contextlib.ExitStack() as held:
        all_places_taken(capped, held, [("tls", HALF_HELLO)])
        good = wait_for(
            lambda: let_in(capped, "tls", tls=blind_context(), server_name="a.test"), what="a good client is let in"
        )
        assert served(good)
        good.close()


def test_busy_ones_stay_and_the_next_is_refused(start):
    """Every place is busy, on each of the workers: the newcomer is closed and counted; when one falls idle it makes
    room."""
    gate = threading.Event()
    origin = start.origin(lambda connection, request: (gate.wait(TIMEOUT * 6), connection.send(ok())))
    text = config(origin.address, workers=3, pool=f"max_connections = {CAP}").replace(
        "[runtime]", f"[runtime]\nmax_connections = {CAP}"
    )
    sluice = start.sluice(text)
    with contextlib.ExitStack() as held:
        held.callback(gate.set)
        busy = [held.enter_context(sluice.client()) for _ in range(CAP)]
        for client in busy:
            client.send(build())
        origin.wait_heads(CAP)
        for _ in range(8):
            assert let_in(sluice) is None
        assert sluice.metric("sluice_downstream_connections_rejected_total", reason="max_connections") == 8
        assert clients(sluice) == CAP
        gate.set()
        assert all(client.response().status == 200 for client in busy)
        for _ in range(8):
            assert served(held.enter_context(sluice.client()))
        assert clients(sluice) == CAP
        assert sluice.metric("sluice_downstream_connections_closed_total", cause="shed") == 8


@pytest.mark.parametrize("files", [64, 160, 512])
def test_the_share_of_descriptors_has_no_cliff(start, files):
    sluice = start.sluice(config(start.origin().address), open_files=files)
    share = {use: sluice.metric("sluice_descriptors_share", use=use) for use in ("clients", "upstreams", "reserve")}
    assert sum(share.values()) == files
    assert share["clients"] >= {64: 8, 160: 45, 512: 190}[files]
    assert f"event=max_connections_lowered from=65536 to={share['clients']:.0f} " in sluice.stderr()


def test_with_every_descriptor_taken(start):
    """An upstream's pool takes all that there are: connected clients are served, admin answers, logs open again, a
    reload works; newcomers wait in the backlog; the log says it once. When descriptors are free again newcomers are let
    in."""
    origin = start.origin()
    text = config(origin.address, pool="max_connections = 2000\nmin_idle = {idle}", workers=2).replace(
        "[runtime]", '[runtime]\nwarm_timeout = "100ms"'
    )
    sluice = start.sluice(text.replace("{idle}", "0"), open_files=160)
    with sluice.client() as connected, contextlib.ExitStack() as held:
        assert served(connected)
        sluice.reload(text.replace("{idle}", "1000"))
        failed = "event=accept_failed listener=main"

        def nobody_gets_in():
            held.enter_context(sluice.client())
            return failed in sluice.stderr()

        wait_for(nobody_gets_in, what="every descriptor is taken")
        newcomer = held.enter_context(sluice.client())
        newcomer.send(build())
        for _ in range(20):
            assert served(connected)
            assert sluice.readyz()[0] in (200, 503)
        sluice.signal(signal.SIGUSR1)
        wait_for(lambda: "event=logs_reopened" in sluice.stderr())
        sluice.reload(text.replace("{idle}", "0").replace("2000", "50"))
        assert served(connected)
        assert sluice.stderr().count(failed) == 1
