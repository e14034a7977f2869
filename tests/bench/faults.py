#!/usr/bin/env python3
"""What clients notice of a fault among three backends, behind sluice, nginx and HAProxy, one after the other. Prints a
table; judges nothing. docs/reliability.md explains the columns.

    SLUICE_BIN=build/release/sluice tests/bench/faults.py [--rate 150] [--proxies sluice,nginx,haproxy] [--faults ...]

A fault begins a third of the way and is over at two thirds. nginx and HAProxy are told to do what they can: passive
checks, another server for what failed, and the same time limits as sluice.
"""

import argparse
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from harness.base import free_address, wait_for  # noqa: E402
from harness.client import Client, Closed  # noqa: E402
from harness.origin import Origin, ok  # noqa: E402
from harness.proxy import Sluice, config  # noqa: E402

SLOW = 0.25  # seconds: a client notices
LIMIT = 1  # second for a try
PHASE = 4  # seconds before, in and after the fault

NGINX = """
daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fcgi;
  uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi; keepalive_requests 1000000;
  upstream app {{ {servers} keepalive 32; }}
  server {{
    listen {front};
    location / {{
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_connect_timeout {limit}s; proxy_read_timeout {limit}s;
      proxy_next_upstream error timeout http_502 http_503 http_504; proxy_next_upstream_tries 2;
    }}
  }}
}}
"""
HAPROXY = """
global
  nbthread 1
defaults
  mode http
  timeout connect {limit}s
  timeout client 30s
  timeout server {limit}s
  retries 1
  option redispatch 1
  retry-on conn-failure empty-response response-timeout 502 503 504
frontend front
  bind {front}
  default_backend app
backend app
  balance leastconn
  default-server check inter 1s fall 2 rise 2 observe layer7 error-limit 5 on-error mark-down
{servers}
"""


class Backend:
    """One server at one address; `become` changes what it does."""

    def __init__(self):
        self.host, self.port = free_address()
        self.mode, self.seen, self.first_back = "well", 0, None
        self.origin, self.full = None, []
        self.open()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def open(self):
        self.origin = Origin(self.serve, address=(self.host, self.port))

    def serve(self, connection, _):
        mode = self.mode
        self.seen += 1
        if mode == "resets":
            return connection.reset()
        if mode == "hangs":
            return time.sleep(2 * LIMIT)
        if mode == "unavailable":
            return connection.send(ok(b"no", status="503 Service Unavailable"))
        if self.first_back is not None and self.first_back == 0:
            self.first_back = time.monotonic()
        time.sleep(0.002)
        connection.send(ok())
        if mode == "closes":
            time.sleep(0.02)
            connection.reset()

    def close(self):
        if self.origin:
            self.origin.close(check=False)
        self.origin = None
        for s in self.full:
            s.close()
        self.full = []

    def become(self, mode):
        """well, resets, hangs, unavailable, closes (idle connections), refuses, vanishes (no answer to SYNs)."""
        was, self.mode = self.mode, mode
        if mode in ("refuses", "vanishes"):
            self.close()
        if mode == "vanishes":
            listener = socket.create_server((self.host, self.port), backlog=0)
            self.full = [listener]
            for _ in range(2):  # the queue of those that wait is full: further SYNs are dropped
                s = socket.socket()
                s.setblocking(False)
                s.connect_ex((self.host, self.port))
                self.full.append(s)
        if mode == "well" and was in ("refuses", "vanishes"):
            self.close()
            self.open()


def just(mode):
    def fault(backends):
        backends[0].become(mode)
        yield
        backends[0].become("well")

    return fault


def all_down(backends):
    for b in backends:
        b.become("refuses")
    yield
    for b in backends:
        b.become("well")


FAULTS = {
    "refuses": just("refuses"),
    "vanishes": just("vanishes"),
    "hangs": just("hangs"),
    "resets": just("resets"),
    "answers 503": just("unavailable"),
    "closes idle": just("closes"),
    "flaps each second": None,
    "all refuse": all_down,
}


class Load:
    """Requests at a steady pace, each with when it was sent, how long it took and how it ended."""

    def __init__(self, address, rate, threads=12):
        self.address, self.pause, self.ended = address, threads / rate, threading.Event()
        self.done = []  # (sent, took, good)
        self.threads = [threading.Thread(target=self.run, args=(i / threads,)) for i in range(threads)]
        for t in self.threads:
            t.start()

    def run(self, offset):
        client, due = None, time.monotonic() + self.pause * offset
        while not self.ended.wait(max(0, due - time.monotonic())):
            due = max(due + self.pause, time.monotonic())
            sent = time.monotonic()
            try:
                client = client or Client(self.address)
                answer = client.request()
                good, again = answer.status == 200, not answer.closes
            except (OSError, Closed, AssertionError):
                good = again = False
            self.done.append((sent, time.monotonic() - sent, good))
            if not again and client:
                client.close()
                client = None
        if client:
            client.close()

    def stop(self):
        self.ended.set()
        for t in self.threads:
            t.join()


class Other:
    """nginx or HAProxy."""

    def __init__(self, command, front, directory):
        self.front = front
        with open(os.path.join(directory, "log"), "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.up, what=f"{command[0]} accepts")

    def up(self):
        assert self.process.poll() is None, "it ended at its start"
        with socket.socket() as s:
            host, port = self.front.split(":")
            return s.connect_ex((host, int(port))) == 0

    def address(self):
        return self.front

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def sluice(backends, directory):
    retry = f'per_try_timeout = "{LIMIT}s"\non = ["connect", "reset", "refused_stream", "gateway_error"]'
    return Sluice(config(*(b.address for b in backends), retry=retry), directory)


def nginx(backends, directory):
    front = "%s:%d" % free_address()
    servers = " ".join(f"server {b.address};" for b in backends)
    conf = os.path.join(directory, "nginx.conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write(NGINX.format(dir=directory, servers=servers, front=front, limit=LIMIT))
    return Other(["nginx", "-p", directory, "-c", conf, "-e", os.path.join(directory, "error.log")], front, directory)


def haproxy(backends, directory):
    front = "%s:%d" % free_address()
    servers = "\n".join(f"  server s{i} {b.address}" for i, b in enumerate(backends))
    conf = os.path.join(directory, "haproxy.cfg")
    with open(conf, "w", encoding="ascii") as f:
        f.write(HAPROXY.format(servers=servers, front=front, limit=LIMIT))
    return Other(["haproxy", "-db", "-f", conf], front, directory)


PROXIES = {"sluice": sluice, "nginx": nginx, "haproxy": haproxy}


def flap(backends):
    end = time.monotonic() + PHASE
    while time.monotonic() < end:
        backends[0].become("refuses" if backends[0].mode == "well" else "well")
        time.sleep(1)
    if backends[0].mode != "well":
        backends[0].become("well")


def run(fault, proxy, rate):
    backends = [Backend() for _ in range(3)]
    try:
        with tempfile.TemporaryDirectory() as directory, PROXIES[proxy](backends, directory) as front:
            load = Load(front.address(), rate)
            time.sleep(PHASE)
            before, began = sum(b.seen for b in backends), time.monotonic()
            if fault == "flaps each second":
                flap(backends)
            else:
                steps = FAULTS[fault](backends)
                next(steps)
                time.sleep(PHASE)
                next(steps, None)
            over, during = time.monotonic(), sum(b.seen for b in backends) - before
            backends[0].first_back = 0
            time.sleep(PHASE)
            load.stop()
    finally:
        for b in backends:
            b.close()
    return row(load.done, began, over, during, backends[0].first_back)


def row(done, began, over, seen, back):
    hit = [(sent, took, good) for sent, took, good in done if began <= sent < over]
    noticed = [sent + took - began for sent, took, good in hit if not good or took > SLOW]
    late = [sent for sent, took, good in done if sent >= over and (not good or took > SLOW)]
    return [
        f"{sum(not good for _, _, good in hit)} of {len(hit)}",
        f"{sum(good and took > SLOW for _, took, good in hit)}",
        f"{max(noticed):.1f} s" if noticed else "-",
        f"{back - over:.1f} s" if back else f"> {PHASE} s",
        f"{len(late)}",
        f"{seen / max(1, len(hit)):.2f}",
    ]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=150)
    parser.add_argument("--proxies", default="sluice,nginx,haproxy")
    parser.add_argument("--faults", default=",".join(FAULTS))
    args = parser.parse_args()
    print("| one of three backends | proxy | lost | slow | last noticed | used again | bad after | tries |")
    print("|---|---|---|---|---|---|---|---|")
    for fault in args.faults.split(","):
        for proxy in args.proxies.split(","):
            print(f"| {fault} | {proxy} | " + " | ".join(run(fault, proxy, args.rate)) + " |", flush=True)


if __name__ == "__main__":
    main()
