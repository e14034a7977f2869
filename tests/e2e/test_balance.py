"""Which endpoint gets how much: what fails fast must not attract traffic."""

import threading
import time

import pytest

from harness.base import scale
from harness.client import Client
from harness.origin import ok
from harness.proxy import config

CLIENTS = 12
SERVICE = 0.02


def serves(connection, request):
    time.sleep(SERVICE)
    connection.send(ok())


def fails(status, *headers):
    def at_once(connection, request):
        connection.send(ok(b"no", headers, status))

    return at_once


def send_all(sluice, total):
    """`total` requests by CLIENTS clients, each of which sends its next when it has the answer to the last."""
    errors = []

    def client(n):
        try:
            with Client(sluice.address()) as c:
                for _ in range(n):
                    c.request()
        except Exception as error:  # shown by the test
            errors.append(repr(error))

    threads = [threading.Thread(target=client, args=(total // CLIENTS,), daemon=True) for _ in range(CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(180)
    assert not any(t.is_alive() for t in threads) and not errors, errors


@pytest.mark.parametrize("balance", ["p2c", "p2c_ewma", "least_requests", "round_robin", "ring_hash"])
@pytest.mark.parametrize("status", ["500 Internal Server Error", "429 Too Many Requests"])
def test_what_fails_at_once_gets_no_more_than_its_share(start, status, balance):
    total = max(1200, int(3000 * scale()))
    bad = start.origin(fails(status))
    good = [start.origin(serves), start.origin(serves)]
    sluice = start.sluice(config(bad.address, *(g.address for g in good), upstream=f'balance = "{balance}"', workers=2))
    send_all(sluice, total)
    counts = [len(o.requests) for o in (bad, *good)]
    assert sum(counts) == total // CLIENTS * CLIENTS, counts
    # All of them have one key: its endpoint has 1.25 times a share, if it is the bad one; or nothing, if it is not.
    most, least = (0.43, 0) if balance == "ring_hash" else (0.36, 1)
    assert least <= counts[0] <= most * total, counts
