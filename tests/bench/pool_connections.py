#!/usr/bin/env python3
"""Connections that bursts of more requests than a pool holds open to an upstream, and what is lost when local ports are
few. Prints a row for each number of workers; judges nothing.

    SLUICE_BIN=build/release/sluice tests/bench/pool_connections.py [--ports N] [--calm]

--ports: in a network namespace of its own (root), whose range of local ports has N.
--calm: 200 requests a second to 100 endpoints instead, far below the cap: new connections for each 1,000 requests.
"""

import argparse
import collections
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from harness.client import build  # noqa: E402
from harness.origin import Origin, ok  # noqa: E402
from harness.proxy import Sluice, config  # noqa: E402

POOL, BURST, BURSTS = 40, 60, 10


def serve(connection, _):
    time.sleep(0.005)
    connection.send(ok())


def run(workers, directory):
    answers = collections.Counter()
    pool = f'max_connections = {POOL}\nacquire_timeout = "5s"'
    with Origin(serve) as origin, Sluice(config(origin.address, pool=pool, workers=workers), directory) as sluice:
        # From ports outside the range that is short.
        first = 20_000 + workers * BURST
        clients = [sluice.client(source=("127.0.0.1", first + i)) for i in range(BURST)]
        for _ in range(BURSTS):
            for client in clients:
                client.send(build())
            answers.update(client.response().status for client in clients)
        given_up = sluice.metric("sluice_upstream_connections_closed_total", upstream="app", cause="given_up")
        print(f"{workers:7} {len(origin.connections):11} {given_up:8.0f}   {dict(answers)}", flush=True)


def calm(workers, directory, endpoints=100, rate=200, clients=16, spans=5, seconds=6):
    with Origin(address=("0.0.0.0", 0)) as origin:
        port = origin.address.rsplit(":", 1)[1]
        text = config(*(f"127.0.0.{i + 1}:{port}" for i in range(endpoints)), workers=workers)
        with Sluice(text, directory) as sluice:
            ended, sent = threading.Event(), [0] * clients

            def run(i):
                due = time.monotonic() + i / rate
                with sluice.client() as client:
                    while not ended.wait(max(0, due - time.monotonic())):
                        due += clients / rate
                        client.request()
                        sent[i] += 1

            threads = [threading.Thread(target=run, args=(i,)) for i in range(clients)]
            for thread in threads:
                thread.start()
            rows, before = [], (0, 0)
            for _ in range(spans):
                time.sleep(seconds)
                now = (sum(sent), len(origin.connections))
                rows.append(f"{1000 * (now[1] - before[1]) / (now[0] - before[0]):.1f}")
                before = now
            ended.set()
            for thread in threads:
                thread.join()
            moved = sluice.metric("sluice_upstream_connections_handed_over_total", upstream="app")
            print(f"{workers:7} {before[1]:11} {1000 * moved / before[0]:11.0f}   {' '.join(rows)}", flush=True)


def short_of_ports(ports):
    subprocess.check_call(["ip", "link", "set", "lo", "up"])
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w", encoding="ascii") as f:
        f.write(f"40000 {40000 + ports - 1}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ports", type=int)
    parser.add_argument("--calm", action="store_true")
    parser.add_argument("--inside", type=int, help=argparse.SUPPRESS)  # so many workers, in the namespace
    args = parser.parse_args()
    if args.inside:
        short_of_ports(args.ports)
        with tempfile.TemporaryDirectory() as directory:
            return run(args.inside, os.path.join(directory, "sluice"))
    if args.calm:
        print("workers connections moved/1,000   new/1,000 in each 6 s", flush=True)
        for workers in (1, 2, 4):
            with tempfile.TemporaryDirectory() as directory:
                calm(workers, os.path.join(directory, "sluice"))
        return None
    print(f"pool of {POOL}, {BURSTS} bursts of {BURST}" + (f", {args.ports} local ports" if args.ports else ""))
    print("workers connections given_up   answers", flush=True)
    for workers in (1, 2, 4):
        if args.ports:  # a namespace for each: ports in TIME_WAIT stay with it
            subprocess.check_call(["unshare", "-n", sys.executable, "-B", *sys.argv, "--inside", str(workers)])
            continue
        with tempfile.TemporaryDirectory() as directory:
            run(workers, os.path.join(directory, "sluice"))


if __name__ == "__main__":
    main()
