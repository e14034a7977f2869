"""Every query of deploy/grafana/sluice.json finds something in a real Prometheus, of a sluice among faults."""

import contextlib
import itertools
import json
import re
import shutil
import threading

import pytest

from harness.base import ROOT, Timeout, free_address, refused_address, wait_for
from harness.certs import certificate_lines
from harness.client import Closed
from harness.dns import Dnsmasq
from harness.origin import ok
from harness.prometheus import Prometheus
from harness.proxy import preamble

pytestmark = pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")

DASHBOARD = json.loads((ROOT / "deploy/grafana/sluice.json").read_text(encoding="utf-8"))
NAME = "moves.test"
SITE = """
[dns]
servers = ["{dns}"]
[[listener]]
name = "main"
address = "127.0.0.1:0"
  [listener.tls]
  {certificates}
[[upstream]]
name = "app"
endpoints = ["{good}", "{half}", "{refused}"]
  [upstream.health]
  path = "/check"
  timeout = "1s"
  interval = "1s"
  [upstream.outlier]
  enabled = false  # two of three away would be a panic, in which all are in use
[[upstream]]
name = "small"
endpoints = ["{slow}"]
  [upstream.pool]
  max_connections = 1
  acquire_timeout = "150ms"
[[upstream]]
name = "moves"
dns = "{name}:{port}"
[[route]]
name = "small"
path_prefix = "/small"
upstream = "small"
slow_after = "50ms"
[[route]]
name = "moves"
path_prefix = "/moves"
upstream = "moves"
[[route]]
name = "app"
upstream = "app"
"""


def half():
    """Answers every other request with 500, breaks off at /cut, says nothing at /reset; checks are answered well."""
    turn = itertools.cycle((True, False))

    def on_request(connection, request):
        if request.target == "/cut":
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
            connection.close()
        elif request.target == "/reset":
            connection.close()
        elif request.target != "/check" and next(turn):
            connection.send(ok(status="500 Internal Server Error"))
        else:
            connection.send(ok())

    return on_request


@contextlib.contextmanager
def visitors(sluice, tls, paths):
    """One for each path: asks, whatever comes of it, until the end; 20 times a second at most."""
    over = threading.Event()

    def visit(path):
        while not over.wait(0.05):
            with contextlib.suppress(OSError, Closed, AssertionError):
                sluice.request(path=path, tls=tls, server_name="a.test")

    threads = [threading.Thread(target=visit, args=(path,), daemon=True) for path in paths]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(30)


def plain(expression):
    """With what Grafana puts in for variables, "All" chosen."""
    expression = expression.replace("$__rate_interval", "1m")
    return re.sub(r"\$\w+", ".*", expression)


def queries():
    """(where, expression) of every panel and annotation."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", plain(target["expr"])
    for annotation in DASHBOARD["annotations"]["list"]:
        if annotation["name"] != "drains":  # nothing drains here
            yield annotation["name"], plain(annotation["expr"])


@pytest.fixture
def troubled(start):
    """A sluice with a bad endpoint of each kind, a pool that is too small, a name, and a certificate near its end."""
    authority = start.authority()
    host, port = free_address()
    addresses = [host, host.rsplit(".", 1)[0] + ".1"]
    for address in addresses:
        start.origin(address=(address, port))
    dns = Dnsmasq(start.directory(), ttl=1)
    dns.hosts = {NAME: (addresses[0],)}
    start.stack.enter_context(dns)
    slowly = threading.Event()

    def slow(connection, request):
        slowly.wait(0.06)
        connection.send(ok())

    sluice = start.sluice(
        preamble(2)
        + SITE.format(
            dns=dns.address,
            certificates=certificate_lines(authority.issue("a.test", lived=9)),
            good=start.origin().address,
            half=start.origin(half()).address,
            refused=refused_address(),
            slow=start.origin(slow).address,
            name=NAME,
            port=port,
        )
    )
    sluice.tls = authority.client_context()
    with visitors(sluice, sluice.tls, ["/", "/", "/cut", "/reset", "/moves", *["/small"] * 5]):
        wait_for(lambda: sluice.request(path="/moves", tls=sluice.tls, server_name="a.test").status == 200)
        sluice.move_name = lambda: dns.set(NAME, addresses[1])
        yield sluice


def test_no_query_of_the_dashboard_is_empty(troubled, tmp_path):
    with Prometheus(tmp_path, troubled.address("admin"), ROOT / "deploy/prometheus/rules.yml") as prometheus:
        wait_for(lambda: prometheus.figures('sluice_upstream_tries_total{upstream="moves"}'), what="a scrape")
        troubled.move_name()
        empty = dict(queries())

        def all_found():
            for where, expression in list(empty.items()):
                if prometheus.figures(expression):
                    del empty[where]
            return not empty

        try:
            wait_for(all_found, what="a figure for each query")
        except Timeout:
            raise AssertionError("\n".join(f"{where}: {expression}" for where, expression in empty.items())) from None
        variables = [v for v in DASHBOARD["templating"]["list"] if v["type"] == "query"]
        for variable in variables:
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
            assert all(label in labels for labels, _ in prometheus.query(plain(series))), variable
            assert prometheus.query(plain(series)), variable
        # What the faults were shows in the figures that it should show in.
        told = [
            'job_route:sluice_requests_bad:ratio_rate5m{route="app"} > 0.1',
            'job_route:sluice_responses_cut_by_upstream:ratio_rate5m{route="app"} > 0',
            'job_upstream:sluice_pool_wait_over_100ms:ratio_rate5m{upstream="small"} > 0',
            'job_upstream:sluice_endpoints_usable:ratio{upstream="app"} < 0.9',
            'job_route_side:sluice_request_seconds:share_rate5m{route="small",side="queue"} > 0.2',
            'sluice_advice{code="certificate_ends"} == 1',
            "instance_resource:sluice_limit_used:ratio{resource='descriptors'} > 0",
            'ALERTS{alertname="SluiceErrorBudgetFast",route="app"}',
            'ALERTS{alertname="SluicePoolTimeouts",upstream="small"}',
            'ALERTS{alertname="SluiceCertificateEnds",name="a.test"}',
        ]
        for expression in told:
            wait_for(lambda: prometheus.query(expression), what=expression)
        sides = prometheus.query("sum by (route) (job_route_side:sluice_request_seconds:share_rate5m)")
        assert sides and all(0.99 < share < 1.01 for _, share in sides if share == share), sides
        for alert in prometheus.ask("alerts")["alerts"]:
            assert "error expanding" not in json.dumps(alert), alert
