"""Endpoints that fail get nothing for a while, and are tried with one request; those that ask for a pause have it."""

import time

import pytest

from harness.base import wait_for
from harness.origin import ok
from harness.proxy import config

WORKERS = 2
FAILURES = 5
EJECTED = "sluice_upstream_endpoint_ejected"


class Moody:
    """Answers as its mood is."""

    def __init__(self):
        self.mood = "well"
        self.asked = 0

    def __call__(self, connection, request):
        self.asked += 1
        if self.mood == "reset":
            return connection.reset()
        if self.mood == "well":
            return connection.send(ok())
        status, *headers = self.mood.split("; ")
        return connection.send(ok(b"no", headers, status))


def text_of(origins, outlier, balance="round_robin"):
    return config(
        *(o.address for o in origins),
        upstream=f'balance = "{balance}"',
        retry="attempts = 1",
        outlier=outlier,
        workers=WORKERS,
    )


def three(start, outlier, balance="round_robin"):
    moods = [Moody() for _ in range(3)]
    origins = [start.origin(m) for m in moods]
    return moods, origins, start.sluice(text_of(origins, outlier, balance))


def ask(sluice, n):
    """Statuses of n requests, each on a connection of its own, so that both workers have some."""
    return [sluice.request(headers=[("connection", "close")]).status for _ in range(n)]


@pytest.mark.parametrize("mood", ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout", "reset"])
def test_who_fails_is_ejected_and_comes_back_by_one_trial(start, mood):
    moods, origins, sluice = three(start, 'ejection = "2s"')
    assert ask(sluice, 12) == [200] * 12
    bad, address = moods[1], origins[1].address
    bad.mood, bad.asked = mood, 0
    statuses = ask(sluice, 20)
    while bad.asked < FAILURES:
        statuses += ask(sluice, 1)
    # More than the row: in each worker one that met the end of an idle connection, and went again.
    assert statuses.count(200) >= len(statuses) - FAILURES - WORKERS, statuses
    sluice.wait_metric(1, "sluice_upstream_ejections_total", upstream="app")
    sluice.wait_stderr(f"endpoint={address} to=ejected by=traffic why=\"5 failures in a row")

    # It stays bad: one request looks whether it is well again.
    wait_for(lambda: ask(sluice, 3) and sluice.metric("sluice_upstream_ejections_total", upstream="app") == 2)
    sluice.wait_stderr(f"endpoint={address} to=ejected by=traffic why=\"its trial failed")
    assert bad.asked <= FAILURES + WORKERS + 1
    assert sluice.metric(EJECTED, upstream="app", endpoint=address) == 1
    of = {e["name"]: e for e in sluice.status()["upstreams"][0]["endpoints"]}
    assert of[address]["ejected"] and of[address]["ejected_seconds"] <= 4

    bad.mood, bad.asked = "well", 0
    wait_for(lambda: ask(sluice, 3) == [200] * 3 and bad.asked > 1)
    sluice.wait_stderr(f"endpoint={address} from=ejected to=in_use by=traffic why=\"its trial went well\"")
    assert sluice.metric(EJECTED, upstream="app", endpoint=address) == 0


def test_a_plain_500_is_the_applications(start):
    moods, origins, sluice = three(start, "consecutive_failures = 1")
    moods[0].mood = "500 Internal Server Error"
    assert ask(sluice, 60).count(500) == 20
    assert sluice.metric(EJECTED, upstream="app", endpoint=origins[0].address) == 0


def test_a_reload_that_switches_it_off_frees_who_is_ejected(start):
    moods, origins, sluice = three(start, 'ejection = "5m"')
    moods[2].mood = "502 Bad Gateway"
    ask(sluice, 45)
    assert sluice.metric(EJECTED, upstream="app", endpoint=origins[2].address) == 1
    sluice.reload(text_of(origins, "enabled = false"))
    assert sluice.metric(EJECTED, upstream="app", endpoint=origins[2].address) == 0
    assert ask(sluice, 30).count(502) == 10


@pytest.mark.parametrize("balance", ["p2c", "least_requests", "round_robin"])
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_who_asks_for_a_pause_has_it(start, status, balance):
    moods, origins, sluice = three(start, "consecutive_failures = 1", balance)
    busy = moods[0]
    busy.mood = f"{status}; retry-after: 3600"
    wait_for(lambda: ask(sluice, 1) and busy.asked)
    began = time.monotonic()
    ask(sluice, 30)
    assert busy.asked <= 1 + (time.monotonic() - began) / 9  # 10 s is the longest pause
    assert sluice.metric("sluice_upstream_pauses_total", upstream="app") == busy.asked
    assert sluice.metric("sluice_upstream_ejections_total", upstream="app") == 0
    busy.mood = "well"
    wait_for(lambda: ask(sluice, 3) and busy.asked > 2)
