#!/usr/bin/env python3
"""How fast traffic follows DNS: the figures of docs/dns.md. Prints them; judges nothing.

    SLUICE_BIN=build/release/sluice tests/bench/dns_moves.py [MOVES]

A dnsmasq serves one address with a TTL; the record moves to the other backend MOVES times at random moments under 200
requests a second. A move's time goes from the change (dnsmasq told) to the last request at the old backend, by the
backend's own log; the metric's from the answer that told of it.
"""
import contextlib
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from harness.base import free_address, wait_for  # noqa: E402
from harness.dns import Dnsmasq, ScriptedDns  # noqa: E402
from harness.load import Load  # noqa: E402
from harness.origin import Origin, ok  # noqa: E402
from harness.proxy import Sluice, preamble  # noqa: E402

NAME = "app.test"


def config(server, port, more=""):
    return (f'[dns]\nservers = ["{server}"]\ntimeout = "5s"\n' + preamble(1) + '[[listener]]\nname = "main"\naddress = "127.0.0.1:0"\n'
            f'[[upstream]]\nname = "app"\ndns = "{NAME}:{port}"\n{more}\n[[route]]\npath = "/here"\nrespond = {{ status = 200, body = "ok" }}\n[[route]]\nupstream = "app"\n')


class Backend:
    def __init__(self, stack, address):
        self.last = 0.0
        self.served = 0
        self.origin = stack.enter_context(Origin(self.answer, address=address))

    def answer(self, connection, _):
        self.last = time.monotonic()
        self.served += 1
        connection.send(ok())


@contextlib.contextmanager
def site(scripted=False, ttl=1):
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (directory / "dns").mkdir()
        host, port = free_address()
        addresses = [host, host.rsplit(".", 1)[0] + ".1"]
        backends = {a: Backend(stack, (a, port)) for a in addresses}
        server = ScriptedDns(ttl) if scripted else Dnsmasq(directory / "dns", ttl)
        if scripted:
            server.set(NAME, addresses[0])
        else:
            server.hosts = {NAME: (addresses[0],)}
        stack.enter_context(server)
        sluice = stack.enter_context(Sluice(config(server.address, port), directory / "sluice"))
        yield server, sluice, addresses, backends


def moves(ttl, count):
    times, apart = [], []
    with site(ttl=ttl) as (server, sluice, addresses, backends), Load(sluice.address(), rate=200) as load:
        for n in range(count):
            time.sleep(random.uniform(0.2, 0.2 + ttl))
            old, new = addresses[n % 2], addresses[(n + 1) % 2]
            before, summed = backends[new].served, sluice.metric("sluice_dns_propagation_seconds_sum")
            server.set(NAME, new)
            changed = server.changed_at
            wait_for(lambda: backends[new].served > before + 20, timeout=60)
            sluice.wait_metric(n + 1, "sluice_dns_propagation_seconds_count")
            times.append(backends[old].last - changed)
            # First request at the new one against the last at the old one and what the metric says of the way between.
            apart.append(sluice.metric("sluice_dns_propagation_seconds_sum") - summed)
        load.stop()
        failed = len(load.failed) + len(load.refused)
    print(f"TTL {ttl} s, {count} moves, {load.served} requests, {failed} failed: median {statistics.median(times):.2f} s, worst {max(times):.2f} s; "
          f"metric (answer seen to last close): median {statistics.median(apart) * 1000:.0f} ms, worst {max(apart) * 1000:.0f} ms")


def metric_against_log():
    """One request is held at the address that leaves: the metric ends when the backend sees its connection close."""
    gaps = []
    for hold in (0.5, 1.0, 2.0):
        with site() as (server, sluice, addresses, backends):
            held, seen = threading.Event(), []
            backends[addresses[0]].origin.on_request = lambda c, r: (held.wait(30), c.send(ok()), c.wait_eof(), seen.append(time.monotonic()))
            with sluice.client() as client:
                client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
                backends[addresses[0]].origin.wait_heads(1)
                server.set(NAME, addresses[1])
                sluice.wait_metric(1, "sluice_upstream_connections_leaving")
                noticed = time.monotonic()
                time.sleep(hold)
                held.set()
                client.response()
                sluice.wait_metric(1, "sluice_dns_propagation_seconds_count")
                wait_for(lambda: seen)
                gaps.append(sluice.metric("sluice_dns_propagation_seconds_sum") - (seen[0] - noticed))
    print("metric minus the way by the backend's log (from when the gauge was seen, a poll late): " + ", ".join(f"{g * 1000:.0f} ms" for g in gaps))


def slow_server():
    with site(scripted=True) as (server, sluice, _, __):
        server.delay = 2.0
        slowest, count, end = 0.0, 0, time.monotonic() + 8
        with sluice.client() as client:
            while time.monotonic() < end:
                began = time.monotonic()
                assert client.request().status == 200
                slowest, count = max(slowest, time.monotonic() - began), count + 1
                time.sleep(0.005)
        print(f"DNS takes 2 s: {count} requests, slowest {slowest * 1000:.1f} ms")


def shrink():
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (directory / "dns").mkdir()
        host, port = free_address()
        base = host.rsplit(".", 2)[0]
        addresses = [f"{base}.{i // 200 + 1}.{i % 200 + 1}" for i in range(500)]
        stack.enter_context(Origin(address=("0.0.0.0", port)))
        server = Dnsmasq(directory / "dns")
        server.hosts = {NAME: tuple(addresses)}
        stack.enter_context(server)
        sluice = stack.enter_context(Sluice(config(server.address, port, 'balance = "round_robin"\n[upstream.pool]\nidle_timeout = "300s"'), directory / "sluice"))
        with sluice.client() as client:
            for _ in range(500):
                client.request()
        idle = sluice.metric("sluice_upstream_connections", state="idle")

        # Asked by a process of its own and answered by the worker itself: the 500 threads of our backend disturb neither.
        with subprocess.Popen([sys.executable, "-c", ASKER, sluice.address()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asker:
            time.sleep(1)
            usual = told(asker)
            server.set(NAME, addresses[0])
            sluice.wait_metric(1, "sluice_dns_propagation_seconds_count")
            slowest = told(asker)
            asker.stdin.close()
        took = sluice.metric("sluice_dns_propagation_seconds_sum")
        print(f"499 of 500 leave, {idle:.0f} idle connections: closed {took * 1000:.0f} ms after the answer; slowest of back-to-back requests to the "
              f"worker meanwhile {slowest:.1f} ms (in the second before: {usual:.1f} ms)")


# For each line it is sent it tells the slowest answer since the last one, in milliseconds.
ASKER = """
import select, socket, sys, time
host, _, port = sys.argv[1].rpartition(":")
slowest, asked = 0.0, 0
while True:
    if asked % 5000 == 0:                             # max_requests of a listener is 10,000
        s = socket.create_connection((host, int(port)))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    asked += 1
    began = time.monotonic()
    s.sendall(b"GET /here HTTP/1.1\\r\\nHost: a.test\\r\\n\\r\\n")
    assert s.recv(4096).startswith(b"HTTP/1.1 200")
    slowest = max(slowest, time.monotonic() - began)
    if select.select([sys.stdin], [], [], 0)[0]:
        if not sys.stdin.readline():
            break
        print(slowest * 1000, flush=True)
        slowest = 0.0
"""


def told(asker):
    asker.stdin.write("\n")
    asker.stdin.flush()
    return float(asker.stdout.readline())


if __name__ == "__main__":
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    moves(1, n)
    moves(5, max(3, n // 2))
    metric_against_log()
    slow_server()
    shrink()
