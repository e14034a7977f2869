"""Faults on real sockets, under load: a host that swallows SYNs, a backend that flaps, a slow one of ten. What clients
notice of it is nothing; what they would notice is counted."""

import time

from harness.base import limit, wait_for
from harness.load import Load
from harness.namespace import BlackHole, in_namespace
from harness.origin import Origin, ok
from harness.proxy import Sluice, config


def test_a_host_that_swallows_syns_is_found_out_and_taken_back(tmp_path):
    """One of two endpoints is a black hole: a few connects run into connect_timeout, and who waits for them goes on
    elsewhere; nobody is turned away. When there is a host again it has its share again, and nobody is told."""

    def swallowed():
        hole = BlackHole()
        hole.lose("192.0.2.9")
        pool = f'connect_timeout = "{limit(0.3)}"\nacquire_timeout = "30s"'
        with Origin() as good:
            text = config(good.address, "192.0.2.9:8080", pool=pool, workers=2)
            with Sluice(text, tmp_path / "hole") as sluice:
                with Load(sluice.address(), rate=200, threads=4, per_connection=50) as load:
                    wait_for(lambda: load.served > 600, what="600 answers")
                    # Not errors_total: who asked may have been served by another connection meanwhile.
                    into_it = sluice.wait_metric(
                        lambda v: v > 0, "sluice_upstream_connections_closed_total", upstream="app", cause="timeout"
                    )
                    hole.place("192.0.2.9")
                    with Origin(address=("192.0.2.9", 8080)) as back:
                        back.wait_heads(50)
                load.check()
                return into_it

    into_it = in_namespace(swallowed)
    # Those of the first moment, in both workers, and one trial each time it has been set aside long enough.
    assert into_it < 60


def test_a_backend_that_flaps_every_second_loses_nobody(start):
    """A second there, a second gone, its connections reset: every GET goes on elsewhere."""
    steady = [start.origin() for _ in range(2)]
    flapping = Origin()
    host, _, port = flapping.address.partition(":")
    sluice = start.sluice(config(*(o.address for o in steady), flapping.address, workers=2))
    asked = 0
    try:
        with Load(sluice.address(), rate=200, threads=4) as load:
            for _ in range(3):
                since = load.served
                wait_for(lambda since=since: load.served > since + 200, what="a second's worth of answers")
                asked += flapping.heads
                flapping.close(check=False)
                since = load.served
                wait_for(lambda since=since: load.served > since + 200, what="answers of the others")
                flapping = Origin(address=(host, int(port)))
            wait_for(lambda: flapping.heads > 0, what="requests at who is back")
        load.check()
    finally:
        flapping.close(check=False)
    assert asked > 0, "it was never there: the test shows nothing"
    assert sluice.metric("sluice_upstream_errors_total", upstream="app") > 0, "it was never missed"


def test_one_slow_of_ten_gets_less_than_its_share(start):
    """Ten backends, one of which takes half a second: whoever is slow has requests in flight and draws none."""
    def slow(connection, request):
        time.sleep(0.5)  # what is wrong with it; nothing waits for it
        connection.send(ok())

    origins = [start.origin() for _ in range(9)] + [start.origin(slow)]
    sluice = start.sluice(config(*(o.address for o in origins), workers=2))
    with Load(sluice.address(), rate=300, threads=16) as load:
        wait_for(lambda: load.served > 900, what="900 answers")
    load.check()
    asked = [o.heads for o in origins]
    assert 0 < asked[9] < 0.5 * sum(asked) / 10, asked
