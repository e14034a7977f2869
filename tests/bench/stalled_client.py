#!/usr/bin/env python3
"""What a client that reads nothing costs the others: the figures of docs/benchmarks.md. Prints them; judges nothing.

    SLUICE_BIN=build/release/sluice tests/bench/stalled_client.py [ROUNDS [ROW]]

Each row is measured in rounds of two short runs, without (A) and with (B) the one that does not read, one right after
the other (AB, BA, AB, ...), so that what the machine does meanwhile meets both. A row gives the median of B / A over
the rounds and the middle half of them. nginx is the origin and the proxy has one worker. Where there are two processors
the proxy has one to itself, and load and origin the other; the proxy's own time on its processor per byte is given too,
as it tells what the throughput hides when the load is the slower side, and what other processes disturb least.

`others`: clients beside one that has 100 downloads open (streams of one connection, or 100 connections) and reads no
byte. `nine`: nine downloads beside a tenth that is given no credit: on one connection over HTTP/2, on ten over HTTP/1.
Towards an upstream of HTTP/2 all of them share one connection.
"""

import contextlib
import os
import pathlib
import re
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from harness.base import free_address, wait_for  # noqa: E402
from harness.client import dial  # noqa: E402
from harness.h2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    frame,
)  # noqa: E402
from harness.nginx import Nginx  # noqa: E402
from harness.proxy import Sluice, config  # noqa: E402

WINDOW_UPDATE, INITIAL_WINDOW_SIZE = 8, 4
MIB = 1 << 20
FILES = {"1k": 1 << 10, "1m": MIB, "10m": 10 * MIB, "16m": 16 * MIB}
CLIENTS, DOWNLOADS, WARMING = 9, 100, 3


# ---- clients by hand: they must be quicker than the proxy ----------------------------------------------------------


def credit(stream, more):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", more))


def get(stream, path):
    """HEADERS without a table: GET, http, and the path and authority as literals."""
    path = path.encode()
    return frame(
        HEADERS, END_HEADERS | END_STREAM, stream, b"\x82\x86\x04" + bytes([len(path)]) + path + b"\x01\x06a.test"
    )


def http2(address, window=None):
    sock = dial(address)
    settings = b"" if window is None else struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
    sock.sendall(PREFACE + frame(SETTINGS, 0, 0, settings) + credit(0, (1 << 31) - 1 - 65535))
    return sock


def read_to_end(sock, streams):
    """Takes what comes until that many streams have ended; only heads of frames are looked at. The bytes of bodies."""
    buffer = bytearray(MIB)
    head, left, ended, bodies = b"", 0, 0, 0
    while ended < streams:
        n, at = sock.recv_into(buffer), 0
        assert n, "the connection ended"
        while at < n:
            if left:
                step = min(left, n - at)
                left, at = left - step, at + step
                continue
            part = bytes(buffer[at : min(n, at + 9 - len(head))])
            head, at = head + part, at + len(part)
            if len(head) < 9:
                break
            left, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            assert kind not in (RST_STREAM, GOAWAY), head
            bodies += left if kind == DATA else 0
            ended += kind in (DATA, HEADERS) and bool(flags & END_STREAM)
            if kind == SETTINGS and not flags & ACK:
                sock.sendall(frame(SETTINGS, ACK))
            head = b""
    return bodies


@contextlib.contextmanager
def silent(version, address, downloads, path="/10m"):
    """A client that asks for so much and reads no byte."""
    with contextlib.ExitStack() as stack:
        if version == "h2":
            sock = stack.enter_context(http2(address, (1 << 31) - 1))
            sock.sendall(b"".join(get(2 * i + 1, path) for i in range(downloads)))
        else:
            for _ in range(downloads):
                sock = stack.enter_context(dial(address))
                sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
        yield


# ---- loads: each returns its seconds and bytes of bodies
# ---------------------------------------------------------------


def by_h2load(version, address, path, count):
    options = ["--h1"] if version == "h1" else ["-m", "10"]
    done = subprocess.run(
        ["h2load", *options, "-c", str(CLIENTS), "-n", str(count), f"http://{address}{path}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"status codes: {count} 2xx" in done and " 0 failed" in done, done
    number, unit = re.search(r"finished in ([\d.]+)(us|ms|s),", done).groups()
    return float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1}[unit], count * FILES[path[1:]]


def nine_streams(address, stalled):
    """On one connection; the tenth, which comes first, keeps the 64 KiB every stream begins with."""
    began = time.monotonic()
    with http2(address) as sock:
        first = get(1, "/16m") if stalled else b""
        sock.sendall(first + b"".join(get(s, "/16m") + credit(s, 1 << 30) for s in range(3, 21, 2)))
        bodies = read_to_end(sock, 9)
    assert 0 <= bodies - 9 * FILES["16m"] <= 65535, bodies
    return time.monotonic() - began, 9 * FILES["16m"]


# ---- measuring -----------------------------------------------------------------------------------------------------


def busy_ns(pid):
    """Time on a processor, of all threads."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").iterdir())


def at_rest(pid):
    """Nothing to do between two looks: whoever does not read has been given all that it takes."""
    before = busy_ns(pid)
    time.sleep(0.1)
    return busy_ns(pid) - before < 2_000_000


def measure(sluice, load):
    before = busy_ns(sluice.pid)
    seconds, size = load()
    return size / seconds, (busy_ns(sluice.pid) - before) / size


def compare(sluice, rounds, name, load, beside, held, load_with=None):
    """One row. `beside`: a context in which the other one is there, with so many requests held."""

    # Who comes takes pooled connections and the load makes new ones, whose windows the kernel opens by and by: that
    # costs as much when nobody is there but the origin was restarted. So they are warmed before anything is measured.
    def warm():
        for _ in range(WARMING):
            load()

    def without():
        warm()
        return measure(sluice, load)

    def with_it():
        with beside():
            sluice.wait_metric(held, "sluice_requests_in_flight")
            wait_for(lambda: at_rest(sluice.pid), what="the proxy is at rest")
            warm()
            measured = measure(sluice, load_with or load)
        sluice.wait_metric(0, "sluice_requests_in_flight")
        return measured

    pairs = []
    for n in range(rounds + 1):
        pair = [without(), with_it()] if n % 2 else [with_it(), without()][::-1]
        if n:  # the first round warms up
            pairs.append(pair)
    speed, busy = ([b[i] / a[i] for a, b in pairs] for i in (0, 1))
    a, b = (statistics.median(p[i][0] for p in pairs) for i in (0, 1))
    low, middle, high = statistics.quantiles(speed, n=4)
    print(
        f"| {name} | {a / 1e6:.1f} | {b / 1e6:.1f} | {middle:.2f} | {low:.2f} to {high:.2f} | "
        f"{statistics.median(busy):.2f} |",
        flush=True,
    )


def rows(sluice, down, up):
    """(name, load, who is beside it, how many requests that holds, load if the other one is part of it)"""
    address = sluice.address()

    def load(path, count):
        return lambda: by_h2load(down, address, path, count)

    def many():
        return silent(down, address, DOWNLOADS)

    yield f"others, 1 MiB, {down} -> {up}", load("/1m", 180), many, DOWNLOADS
    yield f"others, 1 KiB, {down} -> {up}", load("/1k", 6_000), many, DOWNLOADS
    if down == "h2":
        yield f"nine, 16 MiB, h2 -> {up}", lambda: nine_streams(
            address, False
        ), contextlib.nullcontext, 0, lambda: nine_streams(address, True)
    else:
        yield f"nine, 16 MiB, h1 -> {up}", load("/16m", 18), lambda: silent("h1", address, 1, "/16m"), 1


# ---- the site ------------------------------------------------------------------------------------------------------


def proxy_alone(pid):
    """On a processor of its own, if there are two."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) > 1:
        for task in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(task), {cpus[0]})


@contextlib.contextmanager
def site(up):
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cpus = os.sched_getaffinity(0)
        host, port = free_address()
        nginx = Nginx(directory, extra=f"listen {host}:{port} http2; http2_max_concurrent_streams 1000;")
        for name, size in FILES.items():
            nginx.file(name, os.urandom(size))
        h2 = up == "h2"
        text = config(
            f"{host}:{port}" if h2 else nginx.address,
            protocols=("h2", "http/1.1"),
            upstream='protocol = "h2"' if h2 else "",
            listener='write_timeout = "600s"\nmin_rate = 0\nmax_requests = 10000000',
            route='timeout = "600s"',
            pool=f'acquire_timeout = "60s"\nmax_connections = {1 if h2 else 1000}',
        )
        stack.callback(os.sched_setaffinity, 0, cpus)
        sluice = Sluice(text, directory / "sluice").start()
        stack.callback(sluice.kill)
        proxy_alone(sluice.pid)
        os.sched_setaffinity(0, set(sorted(cpus)[1:]) or cpus)
        stack.enter_context(nginx)
        yield sluice


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    print(
        "| row | A, MB/s | B, MB/s | B / A | middle half | processor time per byte, B / A |\n|---|---|---|---|---|---|"
    )
    for up in ("h1", "h2"):
        with site(up) as sluice:
            for down in ("h2", "h1"):
                for row in rows(sluice, down, up):
                    if wanted in row[0]:
                        compare(sluice, rounds, *row)


if __name__ == "__main__":
    main()
