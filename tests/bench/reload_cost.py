#!/usr/bin/env python3
"""What a reload costs beside traffic: the figures of docs/benchmarks.md. Prints them; judges nothing.

    SLUICE_BIN=build/release/sluice tests/bench/reload_cost.py [--routes N] [--upstreams N] [--workers N] [--rounds N]

Two kinds of reload of a large configuration, ROUNDS of each: one route changes; all routes and upstreams are renamed.
Every upstream has been asked once before, so that there is something to let go of. One client asks the admin and one a
route, every half millisecond, while a reload is under way and for a second and a half afterwards. Told are the
longest turn of control and of the workers, as their histograms say (the bounds of the bucket), the slowest answer to
each client, and the memory. A turn's time is that of the wall, so as root the threads and the clients run at
real-time priority: what others do on the machine is no part of it.
"""

import argparse
import contextlib
import os
import pathlib
import re
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
sys.path.insert(0, str(ROOT / "tests" / "bench"))

from dns_moves import ASKER, BACKEND, Helper, real_time, since  # noqa: E402
from harness.base import free_address  # noqa: E402
from harness.proxy import Sluice, preamble  # noqa: E402

HISTOGRAMS = ("control_turn_seconds", "worker_turn_seconds")


def config(origin, options, generation="a", hint=0):
    """`generation` is part of every name; `hint` of one route."""
    text = [preamble(options.workers), '[[listener]]\nname = "main"\naddress = "127.0.0.1:0"\n']
    for i in range(options.upstreams):
        text.append(f'[[upstream]]\nname = "{generation}-{i}"\nendpoints = ["{origin}"]\n')
    text.append('[[route]]\nname = "here"\npath = "/here"\nrespond = { status = 200, body = "ok" }\n')
    for i in range(options.routes - 1):
        timeout = f'timeout = "{30 + hint}s"\n' if i == 0 else ""
        text.append(
            f'[[route]]\nname = "{generation}-{i}"\nhosts = ["h{i}.test"]\npath_prefix = "/p{i}"\n{timeout}'
            f'upstream = "{generation}-{i % options.upstreams}"\n'
        )
    return "".join(text)


def turns(sluice):
    """{histogram: {upper bound in ms: how many turns}}, out of a scrape of 40 MB, most of which is not looked at."""
    text = sluice.admin("/metrics")[1]
    counts = {}
    for name in HISTOGRAMS:
        below, counts[name] = 0, {}
        for bound, upto in re.findall(rf'^sluice_{name}_bucket{{le="([^"]+)"}} (\d+)', text, re.MULTILINE):
            counts[name][float(bound) * 1000] = int(upto) - below
            below = int(upto)
    return counts


def touch(sluice, options):
    """Each upstream carries a request."""
    for i in range(options.upstreams):
        if i % 1000 == 0:
            client = sluice.client()
        client.request(path=f"/p{i}", host=f"h{i}.test")


def reload(sluice, text, askers):
    """{what: value in ms; "took": seconds until it was answered}"""
    before = turns(sluice)
    time.sleep(0.5)  # so large a scrape leaves traces
    for asker in askers.values():
        asker.told()
    began = time.monotonic()
    sluice.write_config(text)
    status, body = sluice.admin("/reload", "POST")
    took = time.monotonic() - began
    assert status == 200, body
    time.sleep(1.5)  # what goes on afterwards: closes, cells and memory that go back
    told = {name: asker.told() for name, asker in askers.items()}
    memory = sluice.rss() / 2**20  # before a scrape, which takes as much again for a moment
    after = turns(sluice)
    bounds = {name: since(before[name], after[name])[:2] for name in HISTOGRAMS}
    return {**told, **bounds, "took": took, "MiB": memory}


def report(name, results):
    for what in HISTOGRAMS:
        longest = sorted(r[what] for r in results)
        low, high = longest[-1]
        median = longest[len(longest) // 2]
        print(f"{name}: longest turn by {what}: median {median[0]:g} to {median[1]:g} ms, worst {low:g} to {high:g}")
    for what in ("admin", "main"):
        slowest = [r[what] for r in results]
        print(f"{name}: slowest answer of {what}: median {statistics.median(slowest):.1f} ms, worst {max(slowest):.1f}")
    print(f"{name}: answered after {statistics.median(r['took'] for r in results):.2f} s (median)")
    memory = " ".join(f"{r['MiB']:.0f}" for r in results)
    print(f"{name}: MiB after each: {memory}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--routes", type=int, default=20_000)
    parser.add_argument("--upstreams", type=int, default=5_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--kinds", default="one all")
    parser.add_argument("--usual", action="store_true", help="at the usual priority, as root too")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reload-cost-")))
        host, port = free_address()
        stack.enter_context(Helper(BACKEND, port))
        origin = f"{host}:{port}"
        sluice = stack.enter_context(Sluice(config(origin, options), directory))
        fresh = sluice.rss() / 2**20
        touch(sluice, options)
        askers = {
            where: stack.enter_context(Helper(ASKER, sluice.address(where), path))
            for where, path in (("admin", "/healthz"), ("main", "/here"))
        }
        ranked = not options.usual and real_time(sluice)
        if ranked:
            for asker in askers.values():
                os.sched_setscheduler(asker.process.pid, os.SCHED_FIFO, os.sched_param(1))
        sizes = f"{options.routes} routes, {options.upstreams} upstreams, {options.workers} workers"
        print(f"{sizes}, {options.rounds} rounds")
        print(f"real-time priority: {ranked}; MiB at the start {fresh:.0f}, when each upstream was asked ", end="")
        print(f"{sluice.rss() / 2**20:.0f}")
        time.sleep(1)
        print("without a reload, slowest answers:", {n: f"{asker.told():.1f} ms" for n, asker in askers.items()})
        kinds = (
            ("one route", lambda n: config(origin, options, hint=n + 1)),
            ("all names", lambda n: config(origin, options, generation=f"g{n}")),
        )
        for name, text in kinds:
            if name.split()[0] in options.kinds:
                report(name, [reload(sluice, text(n), askers) for n in range(options.rounds)])


if __name__ == "__main__":
    main()
