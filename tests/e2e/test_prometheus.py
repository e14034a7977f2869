"""A real Prometheus scrapes sluice, as it would in production, and finds what was done."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request

import pytest

from harness.base import TIMEOUT, free_address, wait_for
from harness.proxy import config

pytestmark = pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")

SETTINGS = """
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
  - job_name: sluice
    static_configs:
      - targets: ["{admin}"]
"""


class Prometheus:
    def __init__(self, directory, admin):
        self.address = "%s:%d" % free_address()
        settings = directory / "prometheus.yml"
        settings.write_text(SETTINGS.format(admin=admin), encoding="ascii")
        self.log = open(directory / "prometheus.log", "w", encoding="utf-8")
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={settings}",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address={self.address}",
            ],
            stdout=self.log,
            stderr=self.log,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(TIMEOUT)
        self.log.close()

    def query(self, expression):
        """[(labels, value)] as of now; [] while it does not answer."""
        url = f"http://{self.address}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                found = json.load(answer)["data"]["result"]
        except OSError:
            return []
        return [(one["metric"], float(one["value"][1])) for one in found]


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
