"""Reload: running requests are left alone, unchanged parts are kept, a bad file changes nothing."""

import os
import shutil
import signal
import threading
import time

import pytest

from harness.base import TIMEOUT, limit, sanitized, wait_for
from harness.certs import certificate_lines
from harness.client import Client, build
from harness.h2 import H2Client
from harness.load import Load
from harness.origin import ok
from harness.proxy import config


def text_for(origin, timeout="30s", **options):
    return config(origin.address, route=f'timeout = "{timeout}"', **options)


@pytest.mark.parametrize("by", ["signal", "POST"])
def test_a_new_route_and_upstream_take_effect(start, by):
    first, second = start.origin(lambda c, r: c.send(ok(b"first"))), start.origin(lambda c, r: c.send(ok(b"second")))
    sluice = start.sluice(text_for(first))
    with sluice.client() as client:
        assert client.request().body == b"first"
        answer = sluice.reload(text_for(second), by)
        assert answer is None or answer[0] == 200
        wait_for(lambda: client.request().body == b"second", what="an open connection gets the new route")
    assert sluice.metric("sluice_config_last_reload_success") == 1
    assert first.connections[0].eof.wait(TIMEOUT), "idle connections to what left are kept"


@pytest.mark.parametrize("by", ["signal", "POST"])
@pytest.mark.parametrize("bad", ["nonsense = [", "[[route]]\nupstream = \"gone\"\n", "[listener]\n", ""])
def test_a_bad_file_changes_nothing_and_says_why(start, by, bad):
    origin = start.origin()
    sluice = start.sluice(text_for(origin))
    assert sluice.request().status == 200
    answer = sluice.reload(bad, by, outcome="failed")
    if answer:
        assert answer[0] >= 400 and (bad == "" or "sluice.toml" in answer[1]), answer
    sluice.wait_stderr(": error: " if bad else "error")
    sluice.wait_stderr("sluice.toml")
    assert sluice.metric("sluice_config_last_reload_success") == 0
    assert sluice.request().status == 200 and len(origin.connections) == 1
    assert sluice.readyz()[0] == 200
    sluice.reload(text_for(origin, "29s"), by)
    assert sluice.metric("sluice_config_last_reload_success") == 1


def test_a_missing_file_changes_nothing(start):
    origin = start.origin()
    sluice = start.sluice(text_for(origin))
    os.rename(sluice.config_path, sluice.config_path + ".away")
    sluice.reload(outcome="failed")
    assert sluice.request().status == 200


def test_what_is_unchanged_is_kept(start):
    """Listener socket, client connections, pooled connections, health: none of them notices."""
    origin = start.origin()
    health = 'kind = "tcp"\ninterval = "100ms"'
    sluice = start.sluice(config(origin.address, health=health))
    inode = socket_inodes(sluice)
    with sluice.client() as client:
        assert client.request().status == 200
        opened = sluice.metric("sluice_upstream_connections_opened_total", upstream="app")
        used = next(c for c in origin.connections if c.requests)
        for i in range(5):
            sluice.reload(
                config(
                    origin.address,
                    health=health,
                    route=f'timeout = "{i + 1}s"',
                    before=f'[[route]]\npath = "/new{i}"\nrespond = {{ status = 204 }}\n',
                )
            )
            answer = client.request()
            assert answer.status == 200 and not answer.closes
        wait_for(lambda: client.request(path="/new4").status == 204)
    assert len(used.requests) >= 6 and not used.eof.is_set()
    assert sluice.metric("sluice_upstream_connections_opened_total", upstream="app") == opened
    assert socket_inodes(sluice) == inode
    assert sluice.metric("sluice_downstream_connections_total", listener="main") == 1


def socket_inodes(sluice):
    """The listening sockets of the process, from /proc."""
    own = {os.readlink(f"/proc/{sluice.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{sluice.pid}/fd")}
    with open("/proc/net/tcp", encoding="ascii") as f:
        rows = [line.split() for line in f][1:]
    return {row[9] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own}


def test_a_request_under_way_keeps_its_configuration(start):
    gate = threading.Event()

    def on_request(connection, request):
        if request.target == "/held":
            assert gate.wait(TIMEOUT * 2)
        connection.send(ok(b"old"))

    old, new = start.origin(on_request), start.origin(lambda c, r: c.send(ok(b"new")))
    sluice = start.sluice(text_for(old))
    with sluice.client() as client, sluice.client() as upload:
        client.send(build(path="/held"))
        upload.send(build("POST", "/up", {"Content-Length": "10"}) + b"12345")
        old.wait_heads(2)
        sluice.reload(text_for(new))
        wait_for(lambda: sluice.request().body == b"new")
        upload.send(b"67890")
        assert upload.response("POST").body == b"old"
        gate.set()
        assert client.response().body == b"old"
        wait_for(lambda: client.request().body == b"new")
    assert next(r for r in old.requests if r.target == "/up").body == b"1234567890"


def test_listeners_come_and_go(start):
    origin = start.origin()
    plain = config(origin.address)
    more = plain + '[[listener]]\nname = "more"\naddress = "127.0.0.1:0"\nprotocols = ["http/1.1"]\n'
    sluice = start.sluice(plain)
    sluice.reload(more)
    wait_for(sluice._listening, what="the new listener logs its address")  # pylint: disable=protected-access
    address = sluice.address("more")
    kept = sluice.client("more")
    assert kept.request().status == 200
    sluice.reload(plain)
    wait_for(lambda: sluice.refuses("more"), what="the listener that left refuses")
    assert sluice.request().status == 200
    assert address != sluice.address()
    if not kept.at_end:
        assert kept.ended() or kept.request().closes


def test_a_port_that_is_taken_fails_the_reload_as_a_whole(start):
    origin, blocker = start.origin(), start.origin()
    sluice = start.sluice(config(origin.address))
    bad = config(
        origin.address,
        route="timeout = \"1s\"",
        before='[[route]]\npath = "/new"\nrespond = { status = 204 }\n',
        extra=f'[[listener]]\nname = "taken"\naddress = "{blocker.address}"\n',
    )
    sluice.reload(bad, outcome="failed")
    assert blocker.address in sluice.stderr()
    assert sluice.request(path="/new").status == 200  # the old file still rules
    assert not blocker.connections


def test_an_address_that_another_process_serves_fails_the_reload(start):
    """A second sluice serves it with SO_REUSEPORT, as we would: half of its clients would come to us."""
    mine, theirs = start.origin(lambda c, r: c.send(ok(b"mine"))), start.origin(lambda c, r: c.send(ok(b"theirs")))
    sluice, other = start.sluice(config(mine.address)), start.sluice(config(theirs.address))
    port = other.address().rsplit(":", 1)[1]
    for address in (other.address(), f"0.0.0.0:{port}"):
        for by in ("POST", "signal"):
            bad = config(
                mine.address, extra=f'[[listener]]\nname = "taken"\naddress = "{address}"\nprotocols = ["http/1.1"]\n'
            )
            answer = sluice.reload(bad, by, outcome="failed")
            assert answer is None or (answer[0] == 400 and address in answer[1]), answer
            assert address in sluice.stderr()
            for _ in range(20):
                assert other.request().body == b"theirs"
                assert sluice.request().body == b"mine"
    other.stop()
    sluice.reload(
        config(
            mine.address, extra=f'[[listener]]\nname = "taken"\naddress = "0.0.0.0:{port}"\nprotocols = ["http/1.1"]\n'
        )
    )
    with Client(f"127.0.0.1:{port}") as client:
        assert client.request().body == b"mine"


def test_a_listener_goes_from_one_address_to_all_and_back(start):
    """0.0.0.0 beside, then in place of, 127.0.0.1 on one port: the socket that is in the way is our own."""
    origin = start.origin()
    sluice = start.sluice(config(origin.address, workers=2))
    port = sluice.address().rsplit(":", 1)[1]
    fixed, everywhere = (
        config(origin.address, workers=2).replace(
            'address = "127.0.0.1:0"\nprotocols', f'address = "{at}:{port}"\nprotocols'
        )
        for at in ("127.0.0.1", "0.0.0.0")
    )
    for text in (
        everywhere,
        fixed,
        everywhere + f'[[listener]]\nname = "narrow"\naddress = "127.0.0.1:{port}"\nprotocols = ["http/1.1"]\n',
        fixed,
    ):
        sluice.reload(text)
        for _ in range(10):
            with Client(f"127.0.0.1:{port}") as client:
                assert client.request().status == 200


def test_sockets_are_known_by_their_address(start):
    """Three unnamed listeners of unix sockets: the first goes, two exchange their places, then, with names, their
    addresses; and no client of theirs is refused."""
    origin = start.origin()
    base = config(origin.address)

    def text(*addresses, names=()):
        lines = [f'name = "{name}"\n' for name in names] or [""] * len(addresses)
        return base + "".join(
            f'[[listener]]\n{line}address = "unix:@DIR@/{address}"\nprotocols = ["http/1.1"]\n'
            for line, address in zip(lines, addresses)
        )

    sluice = start.sluice(text("a", "b", "c"))
    clients = {name: Client(f"unix:{sluice.directory}/{name}") for name in "bc"}
    inodes = {name: os.stat(f"{sluice.directory}/{name}").st_ino for name in "bc"}
    for addresses, names in (
        ("bc", ""),
        ("cb", ""),
        ("bca", ""),
        ("cab", ""),
        ("bc", "xy"),
        ("cb", "xy"),
        ("bc", "yx"),
    ):
        sluice.reload(text(*addresses, names=names))
        for name, client in clients.items():
            assert (
                names or client.request().status == 200
            )  # what was accepted under a name that left ends in good order
            with Client(f"unix:{sluice.directory}/{name}") as fresh:
                assert fresh.request().status == 200
            assert os.stat(f"{sluice.directory}/{name}").st_ino == inodes[name]
    for client in clients.values():
        client.close()


def test_a_shorter_idle_timeout_and_a_max_age_reach_open_connections(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, listener='idle_timeout = "10m"', protocols=("h2", "http/1.1")))
    with sluice.client() as plain, H2Client(sluice.address()) as h2, sluice.client() as silent:
        assert plain.request().status == 200 and h2.request().status == 200
        sluice.reload(config(origin.address, listener='idle_timeout = "50ms"', protocols=("h2", "http/1.1")))
        assert plain.ended() and silent.ended() and h2.ended() and h2.goaways
    sluice.wait_metric(3, "sluice_downstream_connections_closed_total", cause="idle_timeout")
    sluice.reload(config(origin.address, protocols=("h2", "http/1.1")))
    with sluice.client() as plain, H2Client(sluice.address()) as h2:
        assert plain.request().status == 200 and h2.request().status == 200
        sluice.reload(config(origin.address, listener='max_age = "50ms"', protocols=("h2", "http/1.1")))
        assert plain.ended() and h2.ended() and h2.goaways
    sluice.wait_metric(2, "sluice_downstream_connections_closed_total", cause="max_lifetime")


def test_changing_workers_needs_a_restart_and_says_so(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, workers=1))
    sluice.write_config(config(origin.address, workers=2))
    total = sluice.metric("sluice_config_reloads_total")
    sluice.signal(signal.SIGHUP)
    sluice.wait_metric(lambda v: v > total, "sluice_config_reloads_total")
    assert "restart" in sluice.stderr() and "workers" in sluice.stderr()
    assert sluice.metric("sluice_config_restart_pending") == 1
    assert sluice.request().status == 200


def test_what_is_in_force_has_a_hash_a_number_and_a_time(start):
    """Two processes with the same configuration show the same hash; a refused file changes the last try only."""

    def info():
        ((labels, one),) = sluice.metrics().series("sluice_config_info").items()
        assert one == 1
        return dict(labels)

    origin = start.origin()
    sluice = start.sluice(text_for(origin))
    first = info()
    loaded = sluice.metric("sluice_config_last_load_timestamp_seconds")
    assert first["generation"] == "1" and abs(loaded - time.time()) < 3600
    sluice.reload(text_for(origin, "29s"))
    second = info()
    assert second["generation"] == "2" and second["hash"] != first["hash"]
    sluice.reload(text_for(origin))
    assert info() == {"hash": first["hash"], "generation": "3"}
    tried = sluice.metric("sluice_config_last_attempt_timestamp_seconds")
    sluice.reload("nonsense", outcome="failed")
    assert info()["generation"] == "3"
    assert sluice.metric("sluice_config_last_attempt_timestamp_seconds") > tried
    assert sluice.metric("sluice_config_last_load_timestamp_seconds") <= tried


def test_many_reloads_do_not_grow_the_process(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address))
    for i in range(10):
        sluice.reload(text_for(origin, f"{i + 1}s"))
    before, fds = sluice.rss(), len(os.listdir(f"/proc/{sluice.pid}/fd"))
    for i in range(20 if sanitized() else 60):
        sluice.reload(text_for(origin, f"{i + 1}s"), by="POST")
    assert sluice.request().status == 200
    wait_for(lambda: len(os.listdir(f"/proc/{sluice.pid}/fd")) <= fds + 5, what="file descriptors stay few")
    assert sanitized() or sluice.rss() - before < 8 << 20


def test_a_burst_of_signals_is_harmless(start):
    origin = start.origin()
    sluice = start.sluice(text_for(origin))
    for i in range(50):
        sluice.write_config(text_for(origin, f"{i + 1}s"))
        sluice.signal(signal.SIGHUP)
    sluice.wait_metric(lambda v: v >= 1, "sluice_config_reloads_total")
    wait_for(
        lambda: '"50s"' in sluice.admin("/config")[1] or "50s" in sluice.admin("/config")[1], what="the last file rules"
    )
    assert sluice.request().status == 200


def test_load_through_reloads_a_certificate_swap_and_sigterm(start):
    """200 requests a second, in the clear and over TLS, through 20 reloads of which every third is broken, a
    certificate swap and SIGTERM: nothing fails, nothing is refused."""
    ca = start.authority()
    origin = start.origin()
    directory = str(start.directory())
    live = [os.path.join(directory, n) for n in ("live.pem", "live.key")]

    def install(label):
        for source, target in zip(ca.issue("a.test", label=label), live):
            shutil.copyfile(source, target + ".new")
            os.replace(target + ".new", target)

    install("first")

    def text(i):
        secure = (
            f'[[listener]]\nname = "tls"\naddress = "127.0.0.1:0"\nprotocols = ["http/1.1"]\n[listener.tls]\n'
            f'{certificate_lines(live)}\n'
        )
        return text_for(origin, f"{i + 10}s", workers=2, deregister_wait=limit(2), deadline="20s", extra=secure)

    sluice = start.sluice(text(0))
    plain = Load(sluice.address(), rate=120, threads=4)
    secure = Load(sluice.address("tls"), rate=80, threads=4, tls=ca.client_context(), server_name="a.test")
    with plain, secure:
        for i in range(1, 21):
            if i == 10:
                install("second")
            served = plain.served, secure.served
            sluice.reload(
                "broken = [\n" if i % 3 == 0 else text(i),
                by=("signal", "POST")[i % 2],
                outcome="failed" if i % 3 == 0 else "ok",
            )
            wait_for(lambda: plain.served > served[0] + 8 and secure.served > served[1] + 4, what="load goes on")
        with sluice.client("tls", tls=ca.client_context(), server_name="a.test") as client:
            swapped = client.sock.getpeercert()["serialNumber"]
        sluice.signal(signal.SIGTERM)
        wait_for(lambda: sluice.readyz()[0] == 503)
        served = plain.served, secure.served
        wait_for(
            lambda: plain.served > served[0] + 8 and secure.served > served[1] + 4,
            what="load goes on while deregistering",
        )
        plain.stopping.set()  # as a balancer does that saw the 503
        secure.stopping.set()
    plain.check()
    secure.check()
    assert int(swapped, 16) == 1000 + ca.serial
    assert sluice.wait_exit() == 0
