"""DNS discovery against a real name server: traffic follows the records, and no request fails or waits for it."""

import signal
import socket
import subprocess
import threading
import time

import pytest

from harness.base import TIMEOUT, binary, free_address, wait_for
from harness.client import build
from harness.dns import SERVFAIL, Dnsmasq, ScriptedDns
from harness.load import Load
from harness.origin import Origin, ok
from harness.proxy import command, preamble

NAME = "app.test"
UNKNOWN = "503 no_endpoint"


class Site:
    """Backends of one port on addresses of their own; each writes down when it was asked."""

    def __init__(self, start, count=2):
        self.start = start
        host, self.port = free_address()
        self.base = host.rsplit(".", 2)[0]
        self.backends = {}
        self.addresses = [f"{self.base}.{i // 200 + 1}.{i % 200 + 1}" for i in range(count)]
        for address in self.addresses:
            self.up(address)

    def up(self, address):
        log = []

        def on_request(connection, request):
            log.append(time.monotonic())
            connection.send(ok(address.encode()))

        origin = self.start.origin(on_request, address=(address, self.port))
        origin.log = log
        self.backends[address] = origin

    def asked(self, address):
        return len(self.backends[address].log)


@pytest.fixture
def site(start):
    return Site(start)


def config(server, source, dns="", upstream="", pool="", health="", extra="", workers=2, timeout="1s"):
    """[dns] that asks `server`; an upstream app with this line for its endpoints."""
    return (
        f'[dns]\nservers = ["{server}"]\nnegative_ttl_max = "1s"\ntimeout = "{timeout}"\n{dns}\n'
        + preamble(workers)
        + '[[listener]]\nname = "main"\naddress = "127.0.0.1:0"\nprotocols = ["http/1.1"]\n'
        + f'[[upstream]]\nname = "app"\n{source}\n{upstream}\n'
        + "".join(f"[upstream.{name}]\n{lines}\n" for name, lines in (("pool", pool), ("health", health)) if lines)
        + extra
        + '\n[[route]]\nname = "app"\nupstream = "app"\n'
    )


@pytest.fixture
def dns(start):
    """Starts dnsmasq with records: dns(ttl, name=[addresses])."""

    def make(ttl=1, **records):
        server = Dnsmasq(start.directory(), ttl)
        server.hosts = {name.replace("_", "."): tuple(addresses) for name, addresses in records.items()}
        return start.stack.enter_context(server)

    return make


@pytest.fixture
def scripted(start):
    return start.stack.enter_context(ScriptedDns())


def answered_by(sluice, n=20):
    return {sluice.request().body.decode() for _ in range(n)}


def endpoints(sluice):
    return sorted(e["address"] for e in sluice.status()["upstreams"][0]["endpoints"] if not e["leaving"])


def weights(sluice):
    return {e["address"]: e["weight"] for e in sluice.status()["upstreams"][0]["endpoints"]}


def at(site, *addresses):
    return sorted(f"{a}:{site.port}" for a in addresses)


def loaded(start, sluice, expected=()):
    return start.stack.enter_context(Load(sluice.address(), expected=expected))


def settled(load, n=100):
    """The load goes on, and n more requests were served."""
    goal = load.served + n
    wait_for(lambda: load.served >= goal, what="the load goes on")
    load.check()


def turned_away(load, n=100):
    """The load goes on, and n more requests were answered that there is no endpoint."""
    goal = len(load.turned_away) + n
    wait_for(lambda: len(load.turned_away) >= goal, what="requests are turned away")
    load.check()


def test_addition_and_removal_under_load(start, site, dns):
    """TTL 1 s, as in all tests here that do not say another."""
    one, two = site.addresses
    server = dns(app_test=[one])
    sluice = start.sluice(config(server.address, f'dns = "{NAME}:{site.port}"'))
    assert answered_by(sluice) == {one}
    load = loaded(start, sluice)
    settled(load)
    server.set(NAME, one, two)
    wait_for(lambda: site.asked(two) > 20, what="the new address is used")
    assert endpoints(sluice) == at(site, one, two)
    server.set(NAME, two)
    sluice.wait_metric(1, "sluice_dns_propagation_seconds_count", upstream="app")
    before = site.asked(one)
    settled(load)
    assert site.asked(one) == before
    load.stop()
    load.check()
    assert sluice.metric("sluice_upstream_connections_closed_total", upstream="app", cause="dns_removed") > 0
    sluice.wait_metric(0, "sluice_upstream_connections_leaving", upstream="app")
    assert wait_for(lambda: site.backends[one].open == 0, what="every connection to the address that left is closed")


def test_what_left_is_counted_until_its_last_connection_has_closed(start, site, dns):
    one, two = site.addresses
    held = threading.Event()
    site.backends[one].on_request = lambda c, r: (held.wait(TIMEOUT * 2), c.send(ok(one.encode())))
    server = dns(app_test=[one])
    sluice = start.sluice(config(server.address, f'dns = "{NAME}:{site.port}"'))
    with sluice.client() as client:
        client.send(build())
        site.backends[one].wait_heads(1)
        server.set(NAME, two)
        sluice.wait_metric(1, "sluice_upstream_connections_leaving", upstream="app")
        assert answered_by(sluice) == {two}
        assert sluice.metric("sluice_dns_propagation_seconds_count", upstream="app") == 0
        held.set()
        assert client.response().body == one.encode()  # it was let finish
    sluice.wait_metric(1, "sluice_dns_propagation_seconds_count", upstream="app")
    sluice.wait_metric(0, "sluice_upstream_connections_leaving", upstream="app")


def test_flap_fails_nothing(start, site, dns):
    one, two = site.addresses
    server = dns(app_test=[one])
    sluice = start.sluice(config(server.address, f'dns = "{NAME}:{site.port}"'))
    load = loaded(start, sluice)
    for to in (two, one, two, one):
        before = site.asked(to)
        server.set(NAME, to)
        wait_for(lambda: site.asked(to) > before + 20, what=f"traffic is at {to}")
    load.stop()
    load.check()
    history = name_of(sluice)["history"]
    assert len(history) >= 5 and history[-1]["removed"] == [two] and history[-1]["added"] == [one], history


def name_of(sluice, name=NAME):
    return next(n for n in sluice.status()["dns"] if n["name"] == name)


def test_no_such_name_then_birth(start, site, scripted):
    """Before it every request is turned away and none waits, not even for the lookup that tells of the birth; after it
    none fails.

    One worker here: of several each learns of the birth in a turn of its own, so one may serve just before another
    does.
    """
    one, _ = site.addresses
    sluice = start.sluice(config(scripted.address, f'dns = "{NAME}:{site.port}"', timeout="5s", workers=1))
    assert sluice.readyz()[0] == 200
    assert name_of(sluice)["state"] == "gone"
    load = loaded(start, sluice, expected=(UNKNOWN,))
    turned_away(load)
    with scripted.held(NAME):
        scripted.set(NAME, one)
        turned_away(load)
        assert load.served == 0
    wait_for(lambda: site.asked(one) > 20, what="the new name is used")
    settled(load)
    load.stop()
    load.check()
    assert load.turned_away_late() == []


def test_a_name_that_vanishes_for_a_moment_fails_nothing(start, site, dns):
    one, _ = site.addresses
    server = dns(app_test=[one])
    sluice = start.sluice(config(server.address, f'dns = "{NAME}:{site.port}"'))
    load = loaded(start, sluice)
    settled(load)
    server.set(NAME)
    wait_for(lambda: name_of(sluice)["state"] == "stale", what="no such name is noted")
    asked = server.queries(NAME)
    wait_for(lambda: server.queries(NAME) >= asked + 2, what="no such name, twice more")
    settled(load)
    server.set(NAME, one)
    wait_for(lambda: name_of(sluice)["state"] == "fresh", what="the name is back")
    settled(load)
    load.stop()
    load.check()
    assert len(name_of(sluice)["history"]) == 1  # the first answer: nothing has changed since
    assert sluice.metric("sluice_upstream_connections_closed_total", upstream="app", cause="dns_removed") == 0


def test_a_name_that_vanishes_is_given_up_after_nx_hold(start, site, dns):
    one, two = site.addresses
    server = dns(app_test=[one])
    sluice = start.sluice(config(server.address, f'dns = "{NAME}:{site.port}"', dns='nx_hold = "3s"', workers=1))
    load = loaded(start, sluice, expected=(UNKNOWN,))
    settled(load)
    server.set(NAME)
    vanished = server.changed_at
    wait_for(lambda: name_of(sluice)["state"] == "stale", what="no such name is noted")
    turned_away(load)
    assert load.turned_away[0][1] - vanished > 2.5  # one answer is no reason for an outage
    server.set(NAME, two)
    wait_for(lambda: site.asked(two) > 20, what="the name is back")
    settled(load)
    load.stop()
    load.check()
    assert load.turned_away_late() == []


@pytest.mark.parametrize("trouble", ["servfail", "silent"])
def test_answers_that_say_nothing_keep_the_last_good_one(start, site, scripted, trouble):
    one, two = site.addresses
    scripted.set(NAME, one)
    sluice = start.sluice(config(scripted.address, f'dns = "{NAME}:{site.port}"'))
    load = loaded(start, sluice)
    settled(load)
    began = time.time()
    if trouble == "servfail":
        scripted.code = SERVFAIL
    else:
        scripted.silent = True
    sluice.wait_metric(lambda v: v > 1, "sluice_dns_stale_seconds", name=NAME)
    record = next(r for r in name_of(sluice)["records"] if r["type"] == "A")
    assert record["stale"] and record["last_error"] and record["records"] == [one], record
    settled(load)
    asked = [t for t, _, kind in scripted.asked if kind == 1]
    first = len(asked) // 2
    assert asked[-1] - asked[first] > 0.4 * (len(asked) - first - 1), "a retry storm"  # single ones are seen late
    scripted.code, scripted.silent = 0, False
    scripted.set(NAME, two)
    wait_for(lambda: site.asked(two) > 20, timeout=TIMEOUT * 2, what="the next good answer is taken")
    sluice.wait_metric(0, "sluice_dns_stale_seconds", name=NAME)
    assert sluice.metric("sluice_dns_addresses", name=NAME) == 1
    changed = sluice.metric("sluice_dns_last_change_timestamp_seconds", name=NAME)
    answered = sluice.metric("sluice_dns_last_success_timestamp_seconds", name=NAME)
    assert began < changed <= answered + 1 and answered <= time.time() + 1  # of two clocks
    load.stop()
    load.check()
    assert (
        sluice.metric("sluice_dns_lookups_total", name=NAME, outcome="servfail" if trouble == "servfail" else "timeout")
        > 0
    )


def test_the_server_stops_and_starts(start, site, dns):
    one, two = site.addresses
    server = dns(app_test=[one])
    sluice = start.sluice(config(server.address, f'dns = "{NAME}:{site.port}"'))
    load = loaded(start, sluice)
    settled(load)
    server.stop()
    sluice.wait_metric(lambda v: v > 0, "sluice_dns_stale_seconds", name=NAME)
    server.hosts[NAME] = (two,)
    server.start()
    wait_for(lambda: site.asked(two) > 20, timeout=TIMEOUT * 2, what="the new address is found")
    load.stop()
    load.check()


def test_the_server_is_not_there_at_start(start, site, dns):
    one, _ = site.addresses
    server = dns(app_test=[one])
    server.stop()
    sluice = start.sluice(config(server.address, f'dns = "{NAME}:{site.port}"'))
    assert sluice.request().reason == "no_endpoint"
    server.start()
    wait_for(lambda: sluice.request().status == 200, timeout=TIMEOUT * 2, what="it recovers by itself")


def test_required_at_start(start, site, dns):
    server = dns(app_test=[site.addresses[0]])
    text = config(server.address, f'dns = "missing.test:{site.port}"', dns="required_at_start = true")
    path = start.directory() / "sluice.toml"
    path.write_text(text.replace("@DIR@", str(path.parent)))
    done = command("run", "--config", path)
    assert done.returncode != 0
    assert "upstream app: missing.test" in done.stderr and "does not resolve" in done.stderr, done.stderr
    server.set("missing.test", site.addresses[0])
    sluice = start.sluice(text)
    assert sluice.request().status == 200


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_names_are_awaited_at_the_start_ends_it(start, site, scripted, how):
    """The name server is silent; without the signal the start would go on for minutes."""
    scripted.silent = True
    text = config(
        scripted.address,
        f'dns = "{NAME}:{site.port}"',
        dns="required_at_start = true\nattempts = 10",
        timeout=f"{int(TIMEOUT * 2)}s",
    )
    directory = start.directory()
    path = directory / "sluice.toml"
    path.write_text(text.replace("@DIR@", str(directory)))
    with open(directory / "stderr.log", "w+", encoding="utf-8") as log, subprocess.Popen(
        [binary(), "run", "--config", str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
    ) as process:
        try:
            wait_for(lambda: scripted.asked, what="it has asked")
            process.send_signal(signal.SIGHUP)  # nothing to reload yet: harmless
            process.send_signal(how)
            assert process.wait(TIMEOUT) == 0
        finally:
            process.kill()
        log.seek(0)
        said = log.read()
    assert "asked to end before the start was over" in said and "listening" not in said, said


def test_a_slow_server_delays_no_request(start, site, scripted):
    one, two = site.addresses
    scripted.set(NAME, one)
    sluice = start.sluice(config(scripted.address, f'dns = "{NAME}:{site.port}"', timeout="5s"))
    load = loaded(start, sluice)
    settled(load)
    scripted.delay = 2.0
    with scripted.held(NAME):  # however slow we are, it takes until we have seen these served
        scripted.set(NAME, two)
        settled(load)
        assert site.asked(two) == 0
    wait_for(lambda: site.asked(two) > 20, timeout=TIMEOUT * 2, what="its answer is taken in the end")
    load.stop()
    load.check()


def test_500_addresses_come_truncated_and_499_leave(start, dns):
    host, port = free_address()
    base = host.rsplit(".", 2)[0]
    addresses = [f"{base}.{i // 200 + 1}.{i % 200 + 1}" for i in range(500)]
    seen = set()

    def on_request(connection, _):
        address = connection.sock.getsockname()[0]
        seen.add(address)
        connection.send(ok(address.encode()))

    everywhere = start.stack.enter_context(Origin(on_request, address=("0.0.0.0", port)))
    server = dns(app_test=addresses[:1])
    sluice = start.sluice(
        config(server.address, f'dns = "{NAME}:{port}"', upstream='balance = "round_robin"', workers=1)
    )
    load = loaded(start, sluice)
    settled(load)
    server.set(NAME, *addresses)
    wait_for(lambda: len(endpoints(sluice)) == 500, what="the answer came over TCP: a datagram does not hold it")
    with sluice.client() as client:
        for _ in range(500):
            client.request()
    wait_for(lambda: len(seen) == 500, what="each address was asked, by us or by the load")
    settled(load)
    server.set(NAME, addresses[0])
    sluice.wait_metric(1, "sluice_dns_propagation_seconds_count", upstream="app")
    assert endpoints(sluice) == [f"{addresses[0]}:{port}"]
    assert answered_by(sluice) == {addresses[0]}
    load.stop()
    load.check()
    assert everywhere.open <= 64


def share(load, origins, name):
    """Of the next requests of the load, the part that this origin is asked."""
    before = {n: o.heads for n, o in origins.items()}
    settled(load)
    grown = {n: o.heads - before[n] for n, o in origins.items()}
    return grown[name] / sum(grown.values())


def test_srv_weights_and_priorities(start, dns):
    host, _ = free_address()
    base = host.rsplit(".", 1)[0]
    hosts = {f"b{i}.test": (f"{base}.{i}",) for i in (1, 2, 3)}
    origins = {}
    for name, (address,) in hosts.items():
        origins[name] = start.origin(lambda c, r, n=name: c.send(ok(n.encode())), address=(address, 0))
    ports = {name: int(o.address.rsplit(":", 1)[1]) for name, o in origins.items()}
    server = dns()
    server.hosts = hosts
    service = "_http._tcp.app.test"
    server.set_services(
        service,
        ("b1.test", ports["b1.test"], 10, 30),
        ("b2.test", ports["b2.test"], 10, 10),
        ("b3.test", ports["b3.test"], 20, 1),
    )
    sluice = start.sluice(
        config(
            server.address,
            f'srv = "{service}"',
            upstream='balance = "round_robin"\npanic_threshold = 0',
            health='kind = "tcp"\ninterval = "100ms"\nunhealthy_after = 1\nhealthy_after = 1',
            workers=1,
        )
    )
    load = loaded(start, sluice)
    assert 0.7 <= share(load, origins, "b1.test") <= 0.8
    server.set_services(
        service,
        ("b1.test", ports["b1.test"], 10, 10),
        ("b2.test", ports["b2.test"], 10, 30),
        ("b3.test", ports["b3.test"], 20, 1),
    )
    first = f'{hosts["b1.test"][0]}:{ports["b1.test"]}'
    wait_for(lambda: weights(sluice)[first] == 10, what="the new weights are taken")
    assert 0.2 <= share(load, origins, "b1.test") <= 0.3
    assert origins["b3.test"].heads == 0
    # The whole first priority goes; the second serves; one of the first comes back.
    for healthy, name in (
        (2, "b1.test"),
        (1, "b2.test"),
    ):  # at once, the two tries of a request could both meet a dead one
        origins[name].close()
        sluice.wait_metric(healthy, "sluice_upstream_endpoint_healthy", upstream="app")
    wait_for(lambda: answered_by(sluice, 5) == {"b3.test"}, what="failover")
    address, port = hosts["b2.test"][0], ports["b2.test"]
    start.origin(lambda c, r: c.send(ok(b"b2.test")), address=(address, port))
    wait_for(lambda: answered_by(sluice, 5) == {"b2.test"}, what="back to the first priority")
    settled(load)
    # Another target and weight by a change of the records.
    server.set_services(service, ("b3.test", ports["b3.test"], 10, 1))
    wait_for(lambda: answered_by(sluice, 5) == {"b3.test"}, timeout=TIMEOUT * 2, what="the new records are taken")
    load.stop()
    load.check()


def test_service_that_is_not_there(start, dns, site):
    server = dns()
    server.set_services("_http._tcp.app.test")
    server.services = [("_http._tcp.app.test", "", 0, 0, 0)]  # target "." (RFC 2782)
    server.restart()
    sluice = start.sluice(config(server.address, 'srv = "_http._tcp.app.test"'))
    assert sluice.request().reason == "no_endpoint"


def test_chain_of_aliases(start, site, dns):
    one, two = site.addresses
    server = dns(real_test=[one], other_test=[one])
    server.aliases = [("app.test", "middle.test"), ("middle.test", "real.test")]
    server.restart()
    sluice = start.sluice(config(server.address, f'dns = "{NAME}:{site.port}"'))
    load = loaded(start, sluice)
    settled(load)
    assert site.asked(two) == 0
    server.set("real.test", two)  # the end of the chain moves
    sluice.wait_metric(1, "sluice_dns_propagation_seconds_count", upstream="app")
    before = site.asked(one)
    settled(load)
    assert site.asked(one) == before and site.asked(two) > 0
    server.aliases[1] = ("middle.test", "other.test")  # a link of it is changed
    server.restart()
    sluice.wait_metric(2, "sluice_dns_propagation_seconds_count", upstream="app")
    before = site.asked(two)
    settled(load)
    assert site.asked(two) == before
    load.stop()
    load.check()
    assert [n["name"] for n in sluice.status()["dns"]] == [NAME]


def test_ttl_0_asks_once_a_second_and_changes_nothing(start, site, dns):
    one, two = site.addresses
    server = dns(0, app_test=[one, two])
    sluice = start.sluice(config(server.address, f'dns = "{NAME}:{site.port}"'))
    load = loaded(start, sluice)
    settled(load)
    began, asked = time.monotonic(), server.queries(NAME)
    opened = sluice.metric("sluice_upstream_connections_opened_total", upstream="app")
    wait_for(lambda: server.queries(NAME) >= asked + 3, what="three more lookups")
    assert time.monotonic() - began > 1.5  # query_gap
    settled(load)
    assert sluice.metric("sluice_upstream_connections_closed_total", upstream="app", cause="dns_removed") == 0
    assert sluice.metric("sluice_upstream_connections_opened_total", upstream="app") - opened < 20
    server.set(NAME, two)
    before = site.asked(one)
    sluice.wait_metric(1, "sluice_dns_propagation_seconds_count", upstream="app")
    before = site.asked(one)
    settled(load)
    assert site.asked(one) == before
    load.stop()
    load.check()


def test_names_and_addresses_in_endpoints(start, site, dns):
    one, two = site.addresses
    server = dns(app_test=[two])
    third = start.origin(lambda c, r: c.send(ok(r.header("host").encode())))
    source = f'endpoints = ["{one}:{site.port}", {{ address = "{NAME}:{site.port}", weight = 2 }}]'
    sluice = start.sluice(
        config(
            server.address,
            source,
            extra=f'[[upstream]]\nname = "named"\ndns = "third.test:{third.address.rsplit(":", 1)[1]}"\n'
            f'host = "endpoint"\n'
            '[[route]]\nname = "named"\nhosts = ["named.test"]\nupstream = "named"',
        )
    )
    assert answered_by(sluice, 40) == {one, two}
    assert weights(sluice) == {f"{one}:{site.port}": 1, f"{two}:{site.port}": 2}
    server.set(NAME)  # the name vanishes, the address stays
    server.set("third.test", "127.0.0.1")
    answer = wait_for(
        lambda: (lambda a: a if a.status == 200 else None)(sluice.request(host="named.test")), what="third.test"
    )
    assert answer.body.decode() == f"third.test:{third.address.rsplit(':', 1)[1]}"  # asked for by its name
    line = sluice.wait_log(lambda entry: entry["upstream"] == "named" and entry["status"] == 200)[-1]
    assert line["endpoint"] == third.address  # and named by its address


def test_a_reload_keeps_what_is_known(start, site, dns):
    one, two = site.addresses
    server = dns(3, app_test=[one, two])
    text = config(server.address, f'dns = "{NAME}:{site.port}"')
    sluice = start.sluice(text)
    load = loaded(start, sluice)
    settled(load)
    server.stop()  # nothing can be asked anew
    sluice.reload(text.replace('upstream = "app"', 'upstream = "app"\ntimeout = "20s"'))
    settled(load)
    assert endpoints(sluice) == at(site, one, two)
    assert name_of(sluice)["state"] in ("fresh", "stale")
    load.stop()
    load.check()
    server.start()
    sluice.reload(text.replace(f'"{NAME}:', '"other.test:'))
    assert [n["name"] for n in sluice.status()["dns"]] == ["other.test"]
    assert not sluice.metrics().series("sluice_dns_lookups_total", name=NAME)


def test_status_shows_what_is_known(start, site, dns):
    server = dns(60, app_test=site.addresses)
    sluice = start.sluice(config(server.address, f'dns = "{NAME}:{site.port}"'))
    name = name_of(sluice)
    assert (name["kind"], name["state"], name["followed"]) == ("address", "fresh", True)
    a = next(r for r in name["records"] if r["type"] == "A")
    assert (
        a["records"] == sorted(site.addresses, key=socket.inet_aton)
        and 0 < a["ttl_left_seconds"] <= 60
        and not a["stale"]
    ), a
    assert a["last_error"] == "" and a["lookups"] >= 1
    assert sorted(name["history"][0]["added"]) == sorted(site.addresses)
    assert sluice.metric("sluice_dns_lookups_total", name=NAME, outcome="ok") >= 1
    assert sluice.metric("sluice_dns_lookup_seconds_count") >= 1
    assert sluice.metric("sluice_dns_stale_seconds", name=NAME) == 0
    endpoint = sluice.status()["upstreams"][0]["endpoints"][0]
    assert endpoint["host"] == f"{NAME}:{site.port}"


def test_an_address_that_is_dead_costs_no_request(start, site, dns):
    """A wrong record: one of two addresses refuses. Connects are tried again elsewhere."""
    one, two = site.addresses
    site.backends[two].close()
    server = dns(app_test=[one, two])
    sluice = start.sluice(config(server.address, f'dns = "{NAME}:{site.port}"'))
    load = loaded(start, sluice)
    settled(load, 300)
    load.stop()
    load.check()


def test_the_fleet_is_counted_by_a_name(start, dns):
    server = dns(app_test=["127.0.0.1"], fleet_test=["10.0.0.1", "10.0.0.2"])
    text = config(server.address, f'dns = "{NAME}:80"', upstream="server_limit = 300", pool="max_connections = 100")
    text = text.replace("[runtime]", '[runtime]\nreplicas_dns = "fleet.test"')
    sluice = start.sluice(text)
    sluice.wait_metric(2, "sluice_fleet_replicas")
    sluice.wait_metric(200, "sluice_upstream_fleet_connections", upstream="app")
    assert sluice.metric("sluice_upstream_server_limit_connections", upstream="app") == 300
    server.set("fleet.test", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
    sluice.wait_metric(4, "sluice_fleet_replicas")
    told = "event=server_limit_exceeded upstream=app replicas=4 endpoints=1 max_connections=100 connections=400"
    sluice.wait_stderr(told)
    sluice.wait_stderr("set max_connections to 75")
