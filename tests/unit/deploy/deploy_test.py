"""deploy/prometheus and deploy/grafana against lib/metrics/names.h, docs/runbook.md and promtool; no sluice runs here.

That each query finds something in a running Prometheus is shown by tests/e2e/test_dashboard.py.
"""

import json
import pathlib
import re
import shutil
import subprocess
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
RULES = ROOT / "deploy/prometheus/rules.yml"
TESTS = ROOT / "deploy/prometheus/rules_test.yml"
DASHBOARD = ROOT / "deploy/grafana/sluice.json"
OTHERS = {"up", "ALERTS", "process_open_fds", "process_max_fds", "process_resident_memory_bytes"}
TARGET = {"job", "instance"}  # Prometheus' own labels
UNITS = {"none", "short", "s", "percentunit", "reqps", "ops", "cps", "Bps", "bytes"}
NAME = re.compile(r"\b(sluice_\w+|process_\w+|up|ALERTS|[a-z_]+:sluice_\w+:\w+|sluice:\w+:\w+)(\{[^}]*\})?(?![\w(])")
STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
GROUPED = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


def table():
    """{series: labels} of names.h; a histogram's three."""
    text = (ROOT / "lib/metrics/names.h").read_text(encoding="utf-8")
    rows = re.findall(r"SLUICE_METRIC\((\w+)\),\s*Type::(\w+),\s*\{([^}]*)\}", text)
    found = {}
    for name, kind, labels in rows:
        words = set(re.findall(r'"(\w+)"', labels))
        if kind == "histogram":
            found |= {f"sluice_{name}_{end}": words for end in ("sum", "count")}
            found[f"sluice_{name}_bucket"] = words | {"le"}
        else:
            found[f"sluice_{name}"] = words
    return found


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def series():
    """{name: labels} of all that may be asked for: the table's, what is recorded, and what others write."""
    known = {name: labels | TARGET for name, labels in table().items()} | dict.fromkeys(OTHERS, TARGET)
    for rule in rules():
        if "record" in rule:
            known[rule["record"]] = labels_of(rule["expr"], known)
    return known


def labels_of(expression, known):
    """All labels that its series have; those that label_replace makes, too."""
    found = {label for name, _ in NAME.findall(STRINGS.sub('""', expression)) for label in known.get(name, ())}
    return found | set(re.findall(r'"(\w+)",\s*"[^"]*",\s*"\w*",\s*"[^"]*"\)', expression))


def faults(expression, known):
    """What it asks for that does not exist."""
    words = []
    asked = NAME.findall(expression)
    if not asked:
        words.append("no series is asked for")
    for name, matchers in asked:
        if name not in known:
            words.append(f"no such series: {name}")
            continue
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", STRINGS.sub('""', matchers)):
            if label not in known[name]:
                words.append(f"{name} has no label {label}")
    there = labels_of(expression, known)
    for group in GROUPED.findall(expression):
        words += [f"no label {label}" for label in re.findall(r"\w+", group) if label not in there]
    return words


class TheCheckItself(unittest.TestCase):
    KNOWN = {"sluice_a": {"x", "job"}, "sluice_b_bucket": {"le"}, "up": {"job"}}

    def test_it_finds_what_does_not_exist(self):
        for expression, wrong in (
            ('sum by (x) (rate(sluice_a{x="1"}[5m]))', []),
            ("sluice_c > 0", ["no such series: sluice_c"]),
            ('sluice_a{y=~"1"}', ["sluice_a has no label y"]),
            ("sum by (z) (sluice_a)", ["no label z"]),
            ("sluice_b", ["no such series: sluice_b"]),
            ("vector(1)", ["no series is asked for"]),
            ('label_replace(sluice_a, "z", "$1", "x", "(.*)") * on (z) up', []),
        ):
            self.assertEqual(faults(expression, self.KNOWN), wrong, expression)

    def test_the_table_is_read(self):
        found = table()
        self.assertEqual(found["sluice_requests_total"], {"listener", "route", "method", "code"})
        self.assertEqual(found["sluice_request_duration_seconds_bucket"], {"route", "le"})
        self.assertEqual(found["sluice_drain_phase"], set())
        names = (ROOT / "lib/metrics/names.h").read_text(encoding="utf-8")
        told = [name for name in found if not name.endswith(("_count", "_bucket"))]
        self.assertEqual(len(told), names.count("{SLUICE_METRIC("))


class Rules(unittest.TestCase):
    def promtool(self, *words):
        run = subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    @unittest.skipUnless(shutil.which("promtool"), "promtool is not installed")
    def test_promtool(self):
        self.promtool("check", "rules", RULES)
        self.promtool("test", "rules", TESTS)

    def test_every_series_exists(self):
        known = series()
        for rule in rules():
            if rule["expr"] != "vector(0.999)":
                self.assertEqual(faults(rule["expr"], known), [], rule)

    def test_every_alert_fires_in_a_test_and_does_not_in_another(self):
        fires, quiet = set(), set()
        for test in yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]:
            cases = test["alert_rule_test"]
            seen = any(case["exp_alerts"] for case in cases)
            (fires if seen else quiet).update(case["alertname"] for case in cases)
        alerts = {rule["alert"] for rule in rules() if "alert" in rule}
        self.assertEqual(fires, alerts)
        self.assertEqual(quiet, alerts)

    def test_every_alert_says_how_bad_it_is_and_what_to_do(self):
        headings = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
        keys = (ROOT / "config/full.toml").read_text(encoding="utf-8")
        names = [rule["alert"] for rule in rules() if "alert" in rule]
        self.assertEqual(len(names), len(set(names)))
        for rule in rules():
            if "alert" not in rule:
                continue
            name, told = rule["alert"], rule["annotations"]
            self.assertIn(rule["labels"]["severity"], ("page", "warn"), name)
            self.assertTrue(rule["for"], name)
            self.assertEqual(set(told), {"summary", "description", "runbook_url"}, name)
            self.assertEqual(told["runbook_url"], f"docs/runbook.md#{name.lower()}")
            self.assertIn(f"\n### {name}\n", headings)
            if name not in ("SluicePanic", "SluiceReloadRefused", "SluiceInstanceDown"):  # a yes or no
                self.assertIn("$value", told["summary"] + told["description"], name)
            for word in re.findall(r"`([a-z_]+)(?: = \w+)?`", told["description"]):
                known = word in series() or word in ("for", "by") or re.search(rf"\b{word} ?=|\[+\S*{word}\]", keys)
                self.assertTrue(known, f"{name}: {word}")


class Runbook(unittest.TestCase):
    def test_every_series_exists(self):
        known = series()
        text = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
        asked = [span for span in re.findall(r"`([^`]+)`", text) + re.findall(r"\n    (.*)", text) if "sluice_" in span]
        self.assertGreater(len(asked), 20)
        for expression in asked:
            self.assertEqual(faults(expression, known), [], expression)

    def test_every_alert_of_it_exists(self):
        text = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
        alerts = [rule["alert"] for rule in rules() if "alert" in rule]
        self.assertEqual(sorted(re.findall(r"\n### (Sluice\w+)", text)), sorted(alerts))
        for anchor in re.findall(r"\]\(#(\w+)\)", text):
            self.assertIn(anchor, [name.lower() for name in alerts])


class Dashboard(unittest.TestCase):
    def setUp(self):
        self.board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
        self.variables = {v["name"] for v in self.board["templating"]["list"]}

    def test_panels_do_not_overlap_and_are_all_told_apart(self):
        taken = {}
        for panel in self.board["panels"]:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    self.assertNotIn((x, y), taken, f"{panel['title']} lies on {taken.get((x, y))}")
                    taken[x, y] = panel["title"]
        for what in ("id", "title"):
            seen = [panel[what] for panel in self.board["panels"]]
            self.assertEqual(len(seen), len(set(seen)), what)

    def test_every_panel_asks_the_chosen_datasource_something(self):
        for panel in self.board["panels"]:
            if panel["type"] == "row":
                continue
            self.assertEqual(panel["datasource"], {"type": "prometheus", "uid": "${datasource}"}, panel["title"])
            self.assertIn(panel["fieldConfig"]["defaults"]["unit"], UNITS, panel["title"])
            self.assertTrue(panel["targets"], panel["title"])
            letters = [target["refId"] for target in panel["targets"]]
            self.assertEqual(len(letters), len(set(letters)), panel["title"])

    def test_every_series_and_variable_exists(self):
        known = series()
        asked = [t["expr"] for panel in self.board["panels"] for t in panel.get("targets", ())]
        asked += [annotation["expr"] for annotation in self.board["annotations"]["list"]]
        asked += [v["query"]["query"].split("(", 1)[1].rsplit(",", 1)[0]
                  for v in self.board["templating"]["list"] if v["type"] == "query"]
        for expression in asked:
            for variable in re.findall(r"\$\{?(\w+)", expression):
                self.assertIn(variable, self.variables | {"__rate_interval"}, expression)
            self.assertEqual(faults(expression.replace("[$__rate_interval]", "[1m]"), known), [], expression)

    def test_its_rows_are_the_questions(self):
        rows = [panel["title"].split(":")[0] for panel in self.board["panels"] if panel["type"] == "row"]
        questions = "Health, Whose time is it?, Pools, Endpoints, Retries, Connections, Names, Limits, Fleet"
        self.assertEqual(rows, questions.split(", "))


if __name__ == "__main__":
    unittest.main()
