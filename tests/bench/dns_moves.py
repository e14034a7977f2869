#!/usr/bin/env python3
"""How fast traffic follows DNS: the figures of docs/dns.md. Prints them; judges nothing.

    SLUICE_BIN=build/release/sluice tests/bench/dns_moves.py [MOVES [PART ...]]

Parts (all, if none is named):
  moves   A dnsmasq serves one address with a TTL; the record moves to the other backend MOVES times at random moments
          under 200 requests a second. From the change (dnsmasq told) to the last request at the old backend, by its own
          log.
  metric  dns_propagation_seconds against the backend's log: from the answer of a scripted server that told of the move
          to the last connection that the old backend saw close. And how much later a scrape, one every 2 ms, showed it.
  slow    The slowest request while every answer of DNS takes 2 s.
  shrink  499 of 500 addresses leave, each with an idle connection: how long its turns lasted (worker_turn_seconds),
          and what a client of the worker, and one of the control thread, had to wait meanwhile. A turn's time is that
          of the wall: on a busy machine it includes waiting for a processor, so root gets the same at real-time
          priority as well.
"""

import contextlib
import itertools
import os
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
from harness.metrics import Metrics  # noqa: E402
from harness.origin import Origin, ok  # noqa: E402
from harness.proxy import Sluice, preamble  # noqa: E402

NAME = "app.test"


def config(server, port, more=""):
    return (
        f'[dns]\nservers = ["{server}"]\ntimeout = "5s"\n'
        + preamble(1)
        + '[[listener]]\nname = "main"\naddress = "127.0.0.1:0"\n'
        f'[[upstream]]\nname = "app"\ndns = "{NAME}:{port}"\n{more}\n[[route]]\npath = "/here"\n'
        f'respond = {{ status = 200, body = "ok" }}\n[[route]]\nupstream = "app"\n'
    )


class Backend:
    """Writes down when it was asked last, and when it saw the last of its connections close."""

    def __init__(self, stack, address):
        self.host = address[0]
        self.last = self.closed = 0.0
        self.served = 0
        self.origin = stack.enter_context(Origin(on_connection=self.serve, address=address))
        self.free = threading.Event()  # until it is set, answers to /held are held back

    def serve(self, connection):
        try:
            while True:
                request = connection.read_request()
                self.last = time.monotonic()
                self.served += 1
                if request.target == "/held":
                    self.free.wait(30)
                connection.send(ok())
        finally:
            self.closed = time.monotonic()


def soon(condition):
    """As wait_for(), for what is measured: a look every 2 ms. When it was seen to be so."""
    while not condition():
        time.sleep(0.002)
    return time.monotonic()


class Scrapes:
    """GET /metrics on one kept connection, for a look every few milliseconds."""

    def __init__(self, sluice):
        self.client = sluice.client("admin")

    def sum(self, name, **labels):
        return Metrics(self.client.request(path="/metrics").body.decode()).sum(name, **labels)


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
    times = []
    with site(ttl=ttl) as (server, sluice, addresses, backends), Load(sluice.address(), rate=200) as load:
        for n in range(count):
            time.sleep(random.uniform(0.2, 0.2 + ttl))
            old, new = addresses[n % 2], addresses[(n + 1) % 2]
            before = backends[new].served
            server.set(NAME, new)
            wait_for(lambda: backends[new].served > before + 20, timeout=60)
            sluice.wait_metric(n + 1, "sluice_dns_propagation_seconds_count")
            times.append(backends[old].last - server.changed_at)
        load.stop()
    print(
        f"TTL {ttl} s, {count} moves, {load.served} requests, {len(load.failed) + len(load.refused)} failed: "
        f"median {statistics.median(times):.2f} s, worst {max(times):.2f} s"
    )


def told_at(server, address):
    """When the scripted server first told of the address, since the record was set last."""
    return next(at for at, _, addresses in server.told if addresses == (address,))


def move(sluice, server, scrapes, old, new, hold):
    """Moves the record from backend to backend; `hold`: for how long a request is held at the old one once the new one
    serves. In seconds: (the metric, the same by the logs, from the close to the scrape that showed it)"""
    count, summed = (scrapes.sum("sluice_dns_propagation_seconds_" + part) for part in ("count", "sum"))
    served = new.served
    server.told.clear()
    with sluice.client() as client:
        if hold:
            old.free.clear()
            heads = old.origin.heads
            client.send(b"GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n")
            old.origin.wait_heads(heads + 1)
        server.set(NAME, new.host)
        soon(lambda: new.served > served)
        time.sleep(hold)
        old.free.set()
        shown = soon(lambda: scrapes.sum("sluice_dns_propagation_seconds_count") > count)
    wait_for(lambda: old.origin.open == 0)
    metric = scrapes.sum("sluice_dns_propagation_seconds_sum") - summed
    return metric, old.closed - told_at(server, new.host), shown - old.closed


def metric_against_log(count):
    for hold in (0, 0.5, 2.0):
        with site(scripted=True) as (server, sluice, addresses, backends), Load(sluice.address(), rate=200) as load:
            scrapes = Scrapes(sluice)
            wait_for(lambda: load.served > 20)
            pair = [backends[a] for a in addresses]
            seen = [move(sluice, server, scrapes, pair[n % 2], pair[(n + 1) % 2], hold) for n in range(count)]
            load.stop()
        gaps = [abs(metric - log) * 1000 for metric, log, _ in seen]
        late = [late * 1000 for _, _, late in seen]
        by_log = statistics.median(log for _, log, _ in seen) * 1000
        print(
            f"requests held for {hold} s, {count} moves, {len(load.failed) + len(load.refused)} failed: {by_log:.0f} "
            f"ms from answer to last close by the log "
            f"(median); the metric is off by median {statistics.median(gaps):.1f} ms, worst {max(gaps):.1f} ms; "
            f"shown {statistics.median(late):.1f} ms after the close, at worst {max(late):.1f} ms"
        )


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


# A backend of one thread: 500 threads that wake at once would take the processor from the worker that is measured.
# For each line it is sent it tells how many connections it has.
BACKEND = """
import select, socket, sys
listener = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=1024)
poll = select.epoll()
connections = {}
for f in (listener, sys.stdin):
    poll.register(f.fileno(), select.EPOLLIN)
print("up", flush=True)
while True:
    for fd, _ in poll.poll():
        if fd == listener.fileno():
            s, _ = listener.accept()
            connections[s.fileno()] = s
            poll.register(s.fileno(), select.EPOLLIN)
        elif fd == sys.stdin.fileno():
            if not sys.stdin.readline():
                sys.exit()
            print(len(connections), flush=True)
        elif connections[fd].recv(65536):
            connections[fd].sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        else:
            connections.pop(fd).close()
"""

# A client that asks every half millisecond. For each line it is sent it tells the slowest answer since the last one, in
# milliseconds.
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
    s.sendall(b"GET " + sys.argv[2].encode() + b" HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    assert s.recv(4096).startswith(b"HTTP/1.1 200")
    slowest = max(slowest, time.monotonic() - began)
    if asked == 1:
        print("up", flush=True)
    if select.select([sys.stdin], [], [], 0.0005)[0]:
        if not sys.stdin.readline():
            break
        print(slowest * 1000, flush=True)
        slowest = 0.0
"""


class Helper:
    """One of the programs above, in a process of its own."""

    def __init__(self, program, *args):
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.process.stdout.readline()

    def told(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)


def turns(sluice):
    """How many turns of the worker took how long: {upper bound of the bucket in ms: count}."""
    series = sluice.metrics().series("sluice_worker_turn_seconds_bucket")
    upto = {float(dict(labels)["le"]): v for labels, v in series.items()}
    counts, below = {}, 0
    for bound in sorted(upto):
        counts[bound * 1000] = upto[bound] - below
        below = upto[bound]
    return counts


def since(before, now):
    """What came in between: (bounds in ms that the longest turn lies between, how many were that long, all)."""
    grown = {bound: now[bound] - before[bound] for bound in now}
    bounds = [0.0, *sorted(grown)]
    longest = max(i for i in range(1, len(bounds)) if grown[bounds[i]] > 0)
    return bounds[longest - 1], bounds[longest], grown[bounds[longest]], sum(grown.values())


def tasks_of(sluice):
    """What /proc has of the worker's thread and of control's."""
    tasks = pathlib.Path(f"/proc/{sluice.pid}/task")
    return next(t for t in tasks.iterdir() if (t / "comm").read_text() == "worker-0\n"), tasks / str(sluice.pid)


def processor(sluice):
    """Milliseconds so far: (the worker ran, it waited for a processor that others had, control ran, it waited)."""
    return [int(n) / 1e6 for task in tasks_of(sluice) for n in (task / "schedstat").read_text().split()[:2]]


def real_time(sluice):
    """The two threads get the processor when they want it: what others do on the machine is no part of a turn. False:
    not allowed to."""
    try:
        for task in tasks_of(sluice):
            os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return False
    return True


def warmed(sluice, server, backend, addresses):
    """Every address has its idle connection."""
    server.set(NAME, *addresses)
    wait_for(lambda: len(sluice.status()["upstreams"][0]["endpoints"]) == len(addresses))
    with sluice.client() as client:
        while backend.told() < len(addresses):
            client.request()


def shrink_once(sluice, server, backend, addresses, client):
    """client: the listener and path that somebody asks meanwhile, or None. What since() and processor() say of it, how
    long the last close took, the slowest answer to that client, and the slowest in the half second before."""
    warmed(sluice, server, backend, addresses)
    with Helper(ASKER, sluice.address(client[0]), client[1]) if client else contextlib.nullcontext() as asker:
        time.sleep(0.5)
        usual = asker.told() if asker else 0
        summed = sluice.metric("sluice_dns_propagation_seconds_sum")
        before, spent = turns(sluice), processor(sluice)
        server.set(NAME, addresses[0])
        soon(lambda: backend.told() <= 1)
        spent = [now - then for now, then in zip(processor(sluice), spent)]
        after = turns(sluice)
        slowest = asker.told() if asker else 0
    sluice.wait_metric(lambda v: v > summed, "sluice_dns_propagation_seconds_sum")
    return (
        since(before, after),
        spent,
        (sluice.metric("sluice_dns_propagation_seconds_sum") - summed) * 1000,
        slowest,
        usual,
    )


def shrink(rounds):
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (directory / "dns").mkdir()
        host, port = free_address()
        base = host.rsplit(".", 2)[0]
        addresses = [f"{base}.{i // 200 + 1}.{i % 200 + 1}" for i in range(500)]
        backend = stack.enter_context(Helper(BACKEND, port))
        server = Dnsmasq(directory / "dns")
        server.hosts = {NAME: (addresses[0],)}
        stack.enter_context(server)
        sluice = stack.enter_context(
            Sluice(
                config(server.address, port, 'balance = "round_robin"\n[upstream.pool]\nidle_timeout = "300s"'),
                directory / "sluice",
            )
        )
        cases = (
            (None, "nobody asks"),
            (("main", "/here"), "a client of the worker asks"),
            (("admin", "/healthz"), "a client of control asks"),
        )
        for priority, (client, who) in itertools.product(("ordinary", "real-time"), cases):
            if priority == "real-time" and not real_time(sluice):
                continue
            print(f"499 of 500 leave, {who}, {rounds} rounds at {priority} priority:")
            for n in range(rounds):
                (low, high, how_many, every), spent, took, slowest, usual = shrink_once(
                    sluice, server, backend, addresses, client
                )
                more = (
                    f"slowest answer {slowest:.1f} ms (in the half second before {usual:.1f})"
                    if client
                    else f"worker ran {spent[0]:.1f} ms and waited {spent[1]:.1f} for a processor, control "
                    f"{spent[2]:.1f} and {spent[3]:.1f}"
                )
                print(
                    f"    longest turn {low:g} to {high:g} ms ({how_many:.0f} of {every:.0f}); all closed after "
                    f"{took:.0f} ms; {more}"
                )


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    parts = sys.argv[2:] or ["moves", "metric", "slow", "shrink"]
    if "moves" in parts:
        moves(1, count)
        moves(5, max(3, count // 2))
    if "metric" in parts:
        metric_against_log(count)
    if "slow" in parts:
        slow_server()
    if "shrink" in parts:
        shrink(max(3, count // 2))


if __name__ == "__main__":
    main()
