#!/usr/bin/env python3
"""Memory of an idle HTTP/2 connection in the clear after one request, beside HAProxy and nginx where they are
installed. Prints KiB (proportional set size) per connection; judges nothing.

    SLUICE_BIN=build/release/sluice tests/bench/idle_http2.py [CONNECTIONS [ROUNDS]]

A hundred connections come first and stay, so that what a proxy sets up once is not counted. Each round starts each
proxy anew.
"""

import contextlib
import os
import pathlib
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import h2.config
import h2.connection
import h2.events

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from harness.base import free_address, wait_for  # noqa: E402
from harness.client import dial  # noqa: E402
from harness.nginx import Nginx  # noqa: E402
from harness.proxy import Sluice, config  # noqa: E402

BASE, SETTLE = 100, 2.0  # connections of the base line; seconds until everything that comes to rest has done so
HEAD = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "idle.test"),
    (":path", "/"),
    ("user-agent", "curl/7.88.1"),
    ("accept", "*/*"),
]
HAPROXY = """global
 maxconn 8000
 nbthread 1
defaults
 mode http
 timeout client 300s
 timeout server 300s
 timeout connect 5s
frontend f
 bind {address} proto h2
 default_backend b
backend b
 server s {origin}
"""


def pss(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
            total += next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    return total


def listens(host, port):
    with socket.socket() as sock:
        return sock.connect_ex((host, port)) == 0


def after_one_request(address):
    sock = dial(address)
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    client.send_headers(1, HEAD, end_stream=True)
    sock.sendall(client.data_to_send())
    ended = False
    while not ended:
        got = sock.recv(65536)
        assert got, "the proxy closed the connection"
        for event in client.receive_data(got):
            ended = ended or isinstance(event, h2.events.StreamEnded)
        sock.sendall(client.data_to_send())
    return sock


def measure(address, pids, count):
    with contextlib.ExitStack() as stack:
        for _ in range(BASE):
            stack.enter_context(contextlib.closing(after_one_request(address)))
        time.sleep(SETTLE)
        before = pss(pids())
        for _ in range(count):
            stack.enter_context(contextlib.closing(after_one_request(address)))
        time.sleep(SETTLE)
        return (pss(pids()) - before) / count


def sluice(stack, directory, origin):
    proxy = stack.enter_context(Sluice(config(origin, protocols=("h2",), listener='idle_timeout = "300s"'), directory))
    return proxy.address(), lambda: [proxy.pid]


def haproxy(stack, directory, origin):
    host, port = free_address()
    path = os.path.join(directory, "haproxy.cfg")
    pathlib.Path(path).write_text(HAPROXY.format(address=f"{host}:{port}", origin=origin), encoding="ascii")
    process = subprocess.Popen(["haproxy", "-f", path, "-db"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.kill)
    address = f"{host}:{port}"
    wait_for(lambda: listens(host, port), what="haproxy listens")
    return address, lambda: [process.pid]


def nginx(stack, directory, origin):
    host, port = free_address()
    front = f"}} server {{ listen {host}:{port} http2; location / {{ proxy_pass http://{origin}; }}"
    server = stack.enter_context(Nginx(directory, extra=front))
    return f"{host}:{port}", lambda: [server.process.pid]


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    proxies = {
        "sluice": sluice,
        **{name: start for name, start in (("haproxy", haproxy), ("nginx", nginx)) if shutil.which(name)},
    }
    figures = {name: [] for name in proxies}
    for _ in range(rounds):
        for name, start in proxies.items():
            with contextlib.ExitStack() as stack:
                directory = stack.enter_context(tempfile.TemporaryDirectory())
                origin = stack.enter_context(Nginx(os.path.join(directory, "origin")))
                address, pids = start(stack, directory, origin.address)
                figures[name].append(measure(address, pids, count))
    for name, values in figures.items():
        print(f"{name:8} {statistics.median(values):6.2f} KiB   ({', '.join(f'{v:.2f}' for v in values)})")


if __name__ == "__main__":
    main()
