#!/usr/bin/env python3
"""What the requests of one upstream notice when another upstream behind the same proxy slows down from 5 to 500 ms.
Prints latencies before and in it, and what the slowed one's clients got; judges nothing.

    SLUICE_BIN=build/release/sluice tests/bench/slowed.py [--rate 200] [--seconds 8]
"""

import argparse
import collections
import pathlib
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from harness.client import Client  # noqa: E402
from harness.origin import Origin, ok  # noqa: E402
from harness.proxy import Sluice, config  # noqa: E402

POOL = 16
EXTRA = """[[upstream]]
name = "slowed"
endpoints = ["{}"]
[upstream.pool]
max_connections = {}
acquire_timeout = "250ms"
"""
ROUTE = '[[route]]\nname = "slow"\npath = "/slow"\nupstream = "slowed"\n'


def ask(address, path, rate, ended, done, threads=8):
    """Requests at a steady pace until `ended`; a list of threads that note (sent, took, what was answered)."""

    def run(offset):
        pause, due = threads / rate, time.monotonic() + threads / rate * offset / threads
        with Client(address) as client:
            while not ended.wait(max(0, due - time.monotonic())):
                due = max(due + pause, time.monotonic())
                sent = time.monotonic()
                answer = client.request(path=path)
                done.append((sent, time.monotonic() - sent, f"{answer.status} {answer.reason or ''}".strip()))

    started = [threading.Thread(target=run, args=(i,)) for i in range(threads)]
    for t in started:
        t.start()
    return started


def told(name, rows):
    took = sorted(t for _, t, _ in rows)
    at = {p: f"{took[min(len(took) - 1, int(len(took) * p))] * 1e3:.1f} ms" for p in (0.5, 0.99, 1.0)}
    what = dict(collections.Counter(w for _, _, w in rows))
    print(f"{name:28} p50 {at[0.5]:9} p99 {at[0.99]:9} max {at[1.0]:9} {what}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=8)
    args = parser.parse_args()
    pause = [0.005]

    def slow(connection, _):
        time.sleep(pause[0])
        connection.send(ok())

    with tempfile.TemporaryDirectory() as directory, Origin(slow) as slowed, Origin() as other:
        text = config(other.address, before=ROUTE, extra=EXTRA.format(slowed.address, POOL), workers=2)
        with Sluice(text, directory) as sluice:
            ended, fine, slows = threading.Event(), [], []
            threads = ask(sluice.address(), "/", args.rate, ended, fine)
            threads += ask(sluice.address(), "/slow", args.rate, ended, slows, threads=64)
            time.sleep(args.seconds)
            pause[0], changed = 0.5, time.monotonic()
            time.sleep(args.seconds)
            ended.set()
            for t in threads:
                t.join()
    for name, rows in (("other upstream", fine), ("slowed upstream", slows)):
        told(f"{name}, calm", [r for r in rows if r[0] < changed])
        told(f"{name}, slowed", [r for r in rows if r[0] >= changed])


if __name__ == "__main__":
    main()
