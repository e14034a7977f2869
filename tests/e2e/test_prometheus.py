"""A real Prometheus scrapes sluice, as it would in production, and finds what was done."""

import shutil

import pytest

from harness.base import TIMEOUT, wait_for
from harness.prometheus import Prometheus
from harness.proxy import config

pytestmark = pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")


def test_prometheus_scrapes_what_was_done(start, tmp_path):
    sluice = start.sluice(config(start.origin().address, workers=2))
    for _ in range(20):
        assert sluice.request().status == 200
    with Prometheus(tmp_path, sluice.address("admin")) as prometheus:
        wait_for(lambda: prometheus.query("up") == [] or prometheus.query("up")[0][1] == 1, what="a scrape")
        wait_for(
            lambda: [v for _, v in prometheus.query('sum(sluice_requests_total{route="app",code="200"})')] == [20],
            what="the requests in Prometheus",
        )
        # As OpenMetrics, histograms and their buckets, too.
        quantile = 'histogram_quantile(0.99, sum by (le) (sluice_request_duration_seconds_bucket{route="app"}))'
        ((_, p99),) = prometheus.query(quantile)
        assert 0 < p99 < TIMEOUT
        ((labels, one),) = prometheus.query("sluice_config_info")
        assert one == 1 and labels["generation"] == "1" and len(labels["hash"]) == 16
