"""ring_hash: the same key meets the same endpoint, over workers, restarts and changes of the set."""

import pytest

from harness.client import Client
from harness.origin import ok
from harness.proxy import config

KEYS = 40


def origins(start, n):
    """Each says who it is."""

    def named(i):
        return lambda connection, request: connection.send(ok(str(i).encode()))

    return [start.origin(named(i)) for i in range(n)]


def ring(backends, hash_on, workers=2):
    addresses = [b.address for b in backends]
    return config(*addresses, upstream=f'balance = "ring_hash"\nhash_on = "{hash_on}"', workers=workers)


def homes(sluice, request):
    """Which origin each key meets: asked over several connections, so that both workers have a say."""
    found = {}
    for _ in range(4):
        with Client(sluice.address()) as client:
            for key in range(KEYS):
                path, headers = request(key)
                body = client.request("GET", path, headers).body
                assert found.setdefault(key, body) == body, f"key {key} met {found[key]} and {body}"
    return found


REQUESTS = {
    "header:x-user": lambda key: ("/", [("X-User", f"u{key}")]),
    "cookie:session": lambda key: ("/", [("Cookie", f"a=b; session=s{key}")]),
    "query:user": lambda key: (f"/?page={key % 3}&user=u{key}", []),
    "path": lambda key: (f"/item/{key}?any={key}", []),
}


@pytest.mark.parametrize("hash_on", REQUESTS)
def test_a_key_has_one_endpoint_over_workers_and_restarts(start, hash_on):
    backends = origins(start, 4)
    text = ring(backends, hash_on)
    sluice = start.sluice(text)
    before = homes(sluice, REQUESTS[hash_on])
    assert len(set(before.values())) == 4, before
    sluice.stop()
    assert homes(start.sluice(text), REQUESTS[hash_on]) == before


def test_a_client_has_one_endpoint(start):
    sluice = start.sluice(ring(origins(start, 4), "client_ip"))

    def home(address):
        with Client(sluice.address(), source=(address, 0)) as client:
            return client.request("GET", "/").body

    met = {address: home(address) for address in (f"127.0.0.{i}" for i in range(10, 40))}
    assert len(set(met.values())) == 4, met
    for address, body in met.items():
        assert home(address) == body


def test_when_one_of_four_leaves_or_is_lost_its_keys_move_and_no_others(start):
    backends = origins(start, 4)
    request = REQUESTS["path"]
    sluice = start.sluice(ring(backends, "path"))
    before = homes(sluice, request)
    gone = before[0]
    backends[int(gone)].close()  # connects are refused: set aside, and asked again now and then
    with Client(sluice.address()) as client:
        for key in range(KEYS):
            path, headers = request(key)
            answer = client.request("GET", path, headers)
            assert answer.status == 200 and answer.body != gone, (key, answer)
            if before[key] != gone:
                assert answer.body == before[key], key
    kept = [b for i, b in enumerate(backends) if str(i).encode() != gone]
    sluice.reload(ring(kept, "path"))
    after = homes(sluice, request)
    moved = [key for key in before if before[key] != gone and before[key] != after[key]]
    assert len(moved) <= KEYS // 10, (before, after)
    assert gone not in after.values()


def test_requests_without_the_value_are_spread(start):
    sluice = start.sluice(ring(origins(start, 3), "cookie:session"))
    with Client(sluice.address()) as client:
        assert {client.request("GET", "/").body for _ in range(60)} == {b"0", b"1", b"2"}


def test_balance_alone_is_reloaded(start):
    backends = origins(start, 3)
    sluice = start.sluice(config(*(b.address for b in backends), upstream='balance = "round_robin"', workers=2))
    with Client(sluice.address()) as client:
        assert {client.request("GET", "/a").body for _ in range(6)} == {b"0", b"1", b"2"}
    sluice.reload(ring(backends, "path"))
    with Client(sluice.address()) as client:
        assert len({client.request("GET", "/a").body for _ in range(12)}) == 1
