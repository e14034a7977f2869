"""Reloads that rename everything: what left goes from the scrape, its cells to others, and nothing grows."""

import os

from harness.base import sanitized, wait_for
from harness.load import Load
from harness.origin import ok
from harness.proxy import preamble

THINGS = 20  # upstreams, and as many routes
LOADED = (0, 7, 19)  # those with traffic
NAMED = ("listener", "route", "upstream")  # labels whose values are names of the configuration
RELOADS, STEADY_FROM = (60, 30) if sanitized() else (400, 100)


def names(generation):
    """Values that each label may have."""
    return {
        "listener": {"main", ""},
        "route": {f"route{i}-{generation}" for i in range(THINGS)} | {""},
        "upstream": {f"up{i}-{generation}" for i in range(THINGS)},
    }


def text(origins, generation):
    parts = [
        preamble(workers=2).replace('output = "@DIR@/access.log"', 'output = "off"'),
        '[[listener]]\nname = "main"\naddress = "127.0.0.1:0"\nprotocols = ["http/1.1"]',
    ]
    for i in range(THINGS):
        parts.append(
            f'[[upstream]]\nname = "up{i}-{generation}"\nendpoints = ["{origins[i % len(origins)].address}"]\n'
            f'[[route]]\nname = "route{i}-{generation}"\npath_prefix = "/p{i}/"\nupstream = "up{i}-{generation}"'
        )
    return "\n".join(parts) + "\n"


def held(sluice):
    """(resident bytes, descriptors, threads)"""
    of = f"/proc/{sluice.pid}"
    return sluice.rss(), len(os.listdir(f"{of}/fd")), len(os.listdir(f"{of}/task"))


def check_names(metrics, generation):
    """Every label value stands for something that is configured now, none was folded; returns how many series."""
    allowed = names(generation)
    for name, pairs in metrics.samples:
        for label, value in pairs:
            assert label not in NAMED or value in allowed[label], f"{name}{dict(pairs)} at generation {generation}"
    assert metrics.sum("sluice_metrics_series_overflow_total") == 0
    return len(metrics.samples)


def test_reloads_that_rename_everything_leave_nothing_behind(start):
    origins = [start.origin(lambda c, r: c.send(ok())) for _ in range(2)]
    sluice = start.sluice(text(origins, 0))
    loads = [Load(sluice.address(), rate=40, threads=2, path=f"/p{i}/x") for i in LOADED]

    def rename(generation):
        sluice.write_config(text(origins, generation))
        status, words = sluice.admin("/reload", method="POST")
        assert status == 200, words
        if generation % 10 == 0:
            check_names(sluice.metrics(), generation)
            served = [load.served for load in loads]
            wait_for(lambda: all(l.served > s for l, s in zip(loads, served)), what="load goes on")

    with loads[0], loads[1], loads[2]:
        for generation in range(1, STEADY_FROM + 1):
            rename(generation)
        before, series = held(sluice), check_names(sluice.metrics(), STEADY_FROM)
        for generation in range(STEADY_FROM + 1, RELOADS + 1):
            rename(generation)
        during = held(sluice)
    for load in loads:
        load.check()
    wait_for(lambda: sluice.metric("sluice_downstream_connections") == 0)
    # Answers and connections counted under one name are fewer or more by chance, not by as many as a reload renames.
    assert abs(check_names(sluice.metrics(), RELOADS) - series) < THINGS, series
    for path in (f"/p{i}/last" for i in LOADED):
        assert sluice.request(path=path).status == 200
    assert during[2] == before[2], "threads"
    wait_for(lambda: held(sluice)[1] <= before[1] + 8, what="descriptors of pools that left are closed")
    assert sanitized() or held(sluice)[0] - before[0] < 4 << 20, (before, during, held(sluice))
