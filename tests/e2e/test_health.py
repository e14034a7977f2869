"""Active health checks, what a dead endpoint loses, and panic (row 46)."""

from harness.base import TIMEOUT, free_address, wait_for
from harness.origin import Origin, ok
from harness.proxy import config

HEALTH = 'interval = "100ms"\ntimeout = "2s"\nhealthy_after = 2\nunhealthy_after = 2\n'


class Patient:
    """Answers /healthz as it feels, anything else with its name."""

    def __init__(self, name):
        self.name = name
        self.status = "200 OK"
        self.hosts = []

    def __call__(self, connection, request):
        if request.target == "/healthz":
            self.hosts.append(request.header("host"))
            connection.send(ok(b"", status=self.status))
        else:
            connection.send(ok(self.name.encode()))


def test_http_health(start):
    first, second = Patient("first"), Patient("second")
    origins = [start.origin(first), start.origin(second)]
    sluice = start.sluice(
        config(
            *(o.address for o in origins),
            upstream='balance = "round_robin"',
            health='kind = "http"\nhost = "probe.test"\n' + HEALTH,
        )
    )
    sick, name = origins[0].address, "sluice_upstream_endpoint_healthy"
    with sluice.client() as client:
        assert {client.request().body for _ in range(4)} == {b"first", b"second"}
        first.status = "500 Oops"
        sluice.wait_metric(0, name, upstream="app", endpoint=sick)
        assert {client.request().body for _ in range(10)} == {b"second"}
        first.status = "200 OK"
        sluice.wait_metric(1, name, upstream="app", endpoint=sick)
        assert {client.request().body for _ in range(4)} == {b"first", b"second"}
    assert set(first.hosts) == {"probe.test"}
    assert all(line["path"] != "/healthz" for line in sluice.access_log())
    assert sluice.readyz()[0] == 200


def test_health_expect_and_path(start):
    patient = Patient("x")

    def on_request(connection, request):
        patient.hosts.append(request.target)
        connection.send(ok(b"", status="404 Not Found" if request.target == "/alive" else "200 OK"))

    origin = start.origin(on_request)
    sluice = start.sluice(config(origin.address, health='kind = "http"\npath = "/alive"\nexpect = "404"\n' + HEALTH))
    wait_for(lambda: patient.hosts.count("/alive") >= 4)
    assert sluice.metric("sluice_upstream_endpoint_healthy", upstream="app") == 1
    assert sluice.request().status == 200


def test_tcp_health_and_the_end_of_idle_connections(start):
    """The address goes away: its endpoint is found down and idle connections to it close."""
    host, port = free_address()
    sleepy = Origin(address=(host, port))
    other = start.origin()
    sluice = start.sluice(
        config(f"{host}:{port}", other.address, upstream='balance = "round_robin"', health='kind = "tcp"\n' + HEALTH)
    )
    with sluice.client() as client:
        assert all(client.request().status == 200 for _ in range(4))
        used = next(c for c in sleepy.connections if c.requests)
        sleepy.listener.shutdown(2)  # no new connections, the old ones stay
        sleepy.listener.close()
        sluice.wait_metric(0, "sluice_upstream_endpoint_healthy", upstream="app", endpoint=f"{host}:{port}")
        assert used.eof.wait(TIMEOUT), "an idle connection to a dead endpoint was kept"
        sluice.wait_metric(lambda v: v >= 1, "sluice_upstream_connections_closed_total", upstream="app", cause="health")
        assert all(client.request().status == 200 for _ in range(6))
        sleepy.close(check=False)
        with Origin(address=(host, port)) as again:
            sluice.wait_metric(1, "sluice_upstream_endpoint_healthy", upstream="app", endpoint=f"{host}:{port}")
            assert all(client.request().status == 200 for _ in range(4))
            assert again.heads >= 1


def test_below_the_panic_threshold_health_is_ignored(start):
    patients = [Patient(str(i)) for i in range(3)]
    origins = [start.origin(p) for p in patients]
    sluice = start.sluice(
        config(*(o.address for o in origins), upstream='balance = "round_robin"', health='kind = "http"\n' + HEALTH)
    )
    for patient in patients:
        patient.status = "500 Oops"
    sluice.wait_metric(0, "sluice_upstream_endpoint_healthy", upstream="app")
    sluice.wait_metric(1, "sluice_upstream_panic", upstream="app")
    assert {sluice.request().body for _ in range(12)} == {b"0", b"1", b"2"}
    assert sluice.readyz()[0] == 200
    for patient in patients:
        patient.status = "200 OK"
    sluice.wait_metric(0, "sluice_upstream_panic", upstream="app")
