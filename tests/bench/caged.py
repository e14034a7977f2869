#!/usr/bin/env python3
"""A proxy that may use 2 % of a CPU, in front of an origin that answers at once (nginx): whose time are its requests?
Prints the phases of the access log, summed, free and caged; judges nothing. Needs h2load, and to be root where cgroups
(1 or 2) can be made.

    SLUICE_BIN=build/release/sluice tests/bench/caged.py [--requests 2000] [--percent 2]
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from harness.proxy import Sluice, config  # noqa: E402

from overload import ORIGIN, free_port, start, wait_for  # noqa: E402

PHASES = "client_request queue connect upstream_head upstream_body client_write proxy".split()
PERIOD = 100_000


class Cage:
    def __init__(self, pid, percent):
        quota = PERIOD * percent // 100
        v1 = pathlib.Path("/sys/fs/cgroup/cpu")
        self.folder = (v1 if v1.is_dir() else pathlib.Path("/sys/fs/cgroup")) / f"sluice-caged-{pid}"
        self.folder.mkdir()
        if v1.is_dir():
            (self.folder / "cpu.cfs_period_us").write_text(str(PERIOD))
            (self.folder / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (self.folder / "cpu.max").write_text(f"{quota} {PERIOD}")
        (self.folder / "cgroup.procs").write_text(str(pid))

    def throttled(self):
        return " ".join((self.folder / "cpu.stat").read_text().split("\n")[:6])


def measure(name, address, proxy, requests):
    before = len(proxy.access_log())
    began = time.monotonic()
    url = f"http://{address}/"
    subprocess.run(["h2load", "--h1", "-t1", "-c8", f"-n{requests}", url], check=True, capture_output=True)
    took = time.monotonic() - began
    lines = proxy.wait_log(lambda line: True, before + requests)[before:]
    sums = {phase: sum(line[f"{phase}_us"] for line in lines) / 1e6 for phase in PHASES}
    told = sum(line["total_us"] for line in lines) / 1e6
    print(f"{name}: {requests} requests in {took:.2f} s by the client's clock; phases sum to {told:.2f} s: "
          + ", ".join(f"{phase} {spent:.3f}" for phase, spent in sums.items() if spent >= 0.0005), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--percent", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        origin = start(folder, "origin.conf", ORIGIN.format(folder, port), ["nginx", "-c", "@"], "0-1023")
        try:
            wait_for(port)
            with Sluice(config(f"127.0.0.1:{port}"), folder) as proxy:
                measure("free", proxy.address(), proxy, args.requests)
                cage = Cage(proxy.process.pid, args.percent)
                measure(f"{args.percent} % of a CPU", proxy.address(), proxy, args.requests)
                print("cgroup:", cage.throttled())
                for name in ("worker_run_delay_seconds_total", "worker_busy_seconds_total"):
                    print(f"sluice_{name} {proxy.metric('sluice_' + name):.2f}")
            cage.folder.rmdir()
        finally:
            origin.terminate()
            origin.wait()


if __name__ == "__main__":
    main()
