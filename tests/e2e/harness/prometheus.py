"""A real Prometheus that scrapes one sluice each second, with rules if there are any."""

import json
import math
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from .base import TIMEOUT, free_address

SETTINGS = """
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
{rules}
scrape_configs:
  - job_name: sluice
    static_configs:
      - targets: ["{admin}"]
"""


class Prometheus:
    """Use with `with`. rules: a file; its groups are evaluated each second, whatever interval they name."""

    def __init__(self, directory, admin, rules=None):
        self.address = "%s:%d" % free_address()
        settings = directory / "prometheus.yml"
        if rules:
            quick = rules.read_text(encoding="utf-8").replace("interval: 30s", "interval: 1s")
            (directory / "rules.yml").write_text(quick, encoding="utf-8")
        text = SETTINGS.format(admin=admin, rules="rule_files: [rules.yml]" if rules else "")
        settings.write_text(text, encoding="ascii")
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

    def ask(self, path, **parameters):
        """What the API answers (`data`); None while it does not. A query that it does not take fails the test."""
        url = f"http://{self.address}/api/v1/{path}?" + urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            assert error.code == 503, f"{parameters}: {error.read().decode()}"  # 503: it is not ready yet
            return None
        except OSError:
            return None

    def query(self, expression):
        """[(labels, value)] as of now; [] while it does not answer."""
        found = self.ask("query", query=expression)
        return [(one["metric"], float(one["value"][1])) for one in found["result"]] if found else []

    def figures(self, expression):
        """The values that are numbers: a quantile of nothing is none."""
        return [value for _, value in self.query(expression) if not math.isnan(value)]
