#!/usr/bin/env python3
"""What a proxy with one worker does when it is offered more than it can: capacity by a closed loop of 200 clients
(which must not be refused anything by default), then an open loop at parts and multiples of it. Prints p99 of those
that were admitted and how many a second were; judges nothing but the closed loop. Needs h2load and nginx (the origin;
as a proxy beside us if asked for, as haproxy). By hand, on a calm machine: the proxy has the first CPU, the load and
the origin have the others.

    SLUICE_BIN=build/release/sluice tests/bench/overload.py [--lateness 20ms 250ms 0s] [--others]
"""

import argparse
import collections
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

BIN = os.environ.get("SLUICE_BIN", str(pathlib.Path(__file__).resolve().parents[2] / "build" / "release" / "sluice"))
CPUS = sorted(os.sched_getaffinity(0))
FRONT, BACK = CPUS[0], ",".join(map(str, CPUS[1:] or CPUS))
CLIENTS = 1000
DEFAULT = "250ms"

ORIGIN = """daemon off; worker_processes 1; pid {0}/origin.pid; error_log stderr crit;
events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 100000000;
server {{ listen 127.0.0.1:{1} backlog=8192; return 200 hello; }} }}
"""
NGINX = """daemon off; worker_processes 1; pid {0}/front.pid; error_log stderr crit;
events {{ worker_connections 16384; }}
http {{ access_log off; keepalive_requests 100000000; upstream app {{ server 127.0.0.1:{1}; keepalive 256; }}
server {{ listen 127.0.0.1:{2} backlog=8192;
location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }} }} }}
"""
HAPROXY = """global
  nbthread 1
  maxconn 16384
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
listen app
  bind 127.0.0.1:{2}
  server a 127.0.0.1:{1}
"""
SLUICE = """[runtime]
workers = 1
max_lateness = "{3}"
[access_log]
output = "off"
[drain]
deregister_wait = "0s"
[admin]
address = ""
[log]
level = "error"
[[listener]]
address = "127.0.0.1:{2}"
max_requests = 100000000
[[upstream]]
name = "app"
endpoints = ["127.0.0.1:{1}"]
[upstream.pool]
max_connections = 4096
[[route]]
upstream = "app"
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nobody listens on {port}")


def start(folder, name, text, command, cpus):
    path = pathlib.Path(folder) / name
    path.write_text(text)
    return subprocess.Popen(["taskset", "-c", str(cpus), *(a.replace("@", str(path)) for a in command)],
                            stdout=subprocess.DEVNULL)


def h2load(port, log, seconds, clients, *more):
    """Rows (status, microseconds) of an h2load run over HTTP/1."""
    log = pathlib.Path(log)
    log.unlink(missing_ok=True)
    command = ["taskset", "-c", BACK, "h2load", "--h1", "-t1", f"-c{clients}", f"-D{seconds}", f"--log-file={log}",
               *more, f"http://127.0.0.1:{port}/"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = float(re.search(r"finished in [^,]*, ([\d.]+) req/s", told).group(1))
    rows = [(int(status), int(took)) for _, status, took in (line.split("\t")[:3] for line in log.open())]
    return rate, rows


def told(what, seconds, rows):
    good = sorted(took for status, took in rows if status == 200)
    p99 = good[len(good) * 99 // 100] / 1e3 if good else float("nan")
    codes = dict(collections.Counter(status for status, _ in rows if status != 200))
    rates = f"answered {len(rows) / seconds:9.0f}/s  admitted {len(good) / seconds:9.0f}/s"
    print(f"  {what:18} {rates}  p99 {p99:8.1f} ms {codes or ''}", flush=True)


def measure(name, port, folder, must_not_refuse):
    print(name)
    log = pathlib.Path(folder) / "load.log"
    h2load(port, log, 1, 200)
    capacity, rows = h2load(port, log, 4, 200)
    told("closed loop, 200", 4, rows)
    refused = sum(status != 200 for status, _ in rows)
    if must_not_refuse and refused:
        sys.exit(f"{refused} requests of the closed loop were refused")
    for part in (0.8, 1.5, 3.0):
        seconds = 6
        _, rows = h2load(port, log, seconds, CLIENTS, f"--rps={capacity * part / CLIENTS:.3f}")
        told(f"{part} x capacity", seconds, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lateness", nargs="*", default=["0s", "250ms", "20ms"])
    parser.add_argument("--others", action="store_true", help="nginx and haproxy, too")
    args = parser.parse_args()
    run = [BIN, "run", "--config", "@"]
    fronts = [(f"sluice, max_lateness = {late}", "s.toml", SLUICE, run, late) for late in args.lateness]
    if args.others:
        fronts.append(("nginx", "front.conf", NGINX, ["nginx", "-c", "@"], ""))
        fronts.append(("haproxy", "haproxy.cfg", HAPROXY, ["haproxy", "-f", "@"], ""))
    with tempfile.TemporaryDirectory() as folder:
        back = free_port()
        origin = start(folder, "origin.conf", ORIGIN.format(folder, back), ["nginx", "-c", "@"], BACK)
        wait_for(back)
        try:
            for name, file, text, command, late in fronts:
                port = free_port()
                front = start(folder, file, text.format(folder, back, port, late), command, FRONT)
                try:
                    wait_for(port)
                    measure(name, port, folder, must_not_refuse=late == DEFAULT)
                finally:
                    front.terminate()
                    front.wait()
        finally:
            origin.terminate()
            origin.wait()


if __name__ == "__main__":
    main()
