"""The drill, questions 6 and 9: which endpoint is bad, and who decided? Do retries make it worse? Endpoints that
refuse, answer 500, reset, are slow, and one that nobody checks: each is found by its own figures, and nothing is
green without evidence."""

import time

from harness.base import free_address, refused_address, wait_for
from harness.origin import ok
from harness.proxy import config

SLOW = 0.05


def codes(sluice):
    """{code: sentence} of what is advised now."""
    return {a["code"]: a["text"] for a in sluice.json("/advice")}


def figures(sluice, endpoint):
    """What is counted of one endpoint: answers by class, failures by reason, the mean time to a head."""
    metrics = sluice.metrics()
    labels = {"upstream": "app", "endpoint": endpoint}
    requests = "sluice_upstream_endpoint_requests_total"
    answers = {c: metrics.sum(requests, **labels, **{"class": c}) for c in ("2xx", "5xx")}
    seconds = metrics.sum("sluice_upstream_endpoint_head_seconds_total", **labels)
    errors = {
        dict(found)["reason"]: value
        for found, value in metrics.series("sluice_upstream_endpoint_errors_total").items()
        if dict(found)["endpoint"] == endpoint
    }
    return answers, errors, seconds / max(sum(answers.values()), 1)


def test_each_bad_endpoint_is_found_by_its_own_figures(start):
    def slowly(connection, _):
        time.sleep(SLOW)
        connection.send(ok())

    good, slow = start.origin(), start.origin(slowly)
    failing = start.origin(lambda connection, _: connection.send(ok(status="500 Internal Server Error")))
    resets = start.origin(lambda connection, _: connection.reset())
    dead = refused_address()
    addresses = [good.address, slow.address, failing.address, resets.address, dead]
    sluice = start.sluice(config(*addresses, upstream='balance = "round_robin"', outlier="enabled = false"))
    with sluice.client() as client:
        for _ in range(40):
            client.request()
    answers, errors, mean = figures(sluice, good.address)
    assert answers["2xx"] > 0 and answers["5xx"] == 0 and errors == {}
    assert figures(sluice, slow.address)[2] > SLOW > 2 * mean
    answers, errors, _ = figures(sluice, failing.address)
    assert answers["5xx"] > 0 and answers["2xx"] == 0 and errors == {}
    assert figures(sluice, resets.address)[1].keys() == {"reset"}
    assert figures(sluice, dead)[1].keys() == {"connect_failed"}
    told = {e["name"]: e for u in sluice.status()["upstreams"] if u["name"] == "app" for e in u["endpoints"]}
    assert told[dead]["state"] == "set_aside" and told[dead]["by"] == "traffic"
    # Nobody checks them: none is called well, whatever it answers.
    for name in set(addresses) - {dead}:
        assert (told[name]["state"], told[name]["by"]) == ("unchecked", "none")
    assert sluice.metric("sluice_upstream_endpoints", upstream="app", state="in_use") == 0
    assert sluice.metric("sluice_health_checks_total") == 0


def test_who_decided_is_told_with_the_state(start):
    """By its checks, by an operator; and back."""
    well, sick = start.origin(), free_address()
    checks = 'kind = "tcp"\ninterval = "100ms"\ntimeout = "100ms"\nunhealthy_after = 2\nhealthy_after = 1'
    text = config(well.address, "%s:%d" % sick, health=checks)
    sluice = start.sluice(text)
    sick = "%s:%d" % sick

    def state(endpoint):
        found = sluice.metrics().series("sluice_upstream_endpoint_state")
        here = (dict(labels) for labels, value in found.items() if value)
        return next((one["state"], one["by"]) for one in here if one["endpoint"] == endpoint)

    wait_for(lambda: state(sick) == ("unhealthy", "check"), what="its checks say so")
    wait_for(lambda: state(well.address) == ("in_use", "check"), what="its checks do well")
    assert sluice.metric("sluice_health_checks_total", endpoint=sick, result="failed") >= 2
    assert sluice.metric("sluice_health_checks_total", endpoint=sick, result="ok") == 0
    assert sluice.metric("sluice_health_checks_total", endpoint=well.address, result="ok") >= 1
    sluice.admin(f"/upstreams/app/endpoints/{well.address}/disable", method="POST")
    assert state(well.address) == ("disabled", "operator")
    sluice.admin(f"/upstreams/app/endpoints/{well.address}/enable", method="POST")
    wait_for(lambda: state(well.address) == ("in_use", "check"), what="it is back")


def test_retries_say_whether_they_help(start):
    """One endpoint of two resets: they help. Both do: they are load, and the budget and the count of tries end it."""
    good, resets = start.origin(), start.origin(lambda connection, _: connection.reset())
    sluice = start.sluice(config(good.address, resets.address, outlier="enabled = false", retry='backoff = "0s"'))

    def retries(outcome):
        return sluice.metric("sluice_upstream_retries_total", upstream="app", reason="reset", outcome=outcome)

    def tries(kind):
        return sluice.metric("sluice_upstream_tries_total", upstream="app", kind=kind)

    def helped():
        assert sluice.request(path="/helped").status == 200
        return retries("success")

    wait_for(helped, what="one is tried again")
    line = sluice.wait_log(lambda line: line["attempts"] == 2)[0]
    assert [(t["endpoint"], t["reason"]) for t in line["tries"]] == [(resets.address, "reset")]
    assert line["endpoint"] == good.address and line["status"] == 200 and line["ended"] == "complete"
    assert retries("failed") == 0 and tries("retry") == retries("success")

    both = start.origin(lambda connection, _: connection.reset())
    sluice = start.sluice(config(both.address, resets.address, outlier="enabled = false", retry='backoff = "0s"'))
    count = 120
    for _ in range(count):
        assert sluice.request(path="/lost").status == 502
    name = "sluice_upstream_retries_refused_total"
    refused = {why: sluice.metric(name, upstream="app", why=why) for why in ("budget", "attempts")}
    assert tries("first") == count and retries("success") == 0
    assert retries("failed") == tries("retry") == refused["attempts"] < count / 2
    assert refused["budget"] == count - refused["attempts"] > 0
    assert sluice.metric("sluice_upstream_retry_budget_used_ratio", upstream="app") > 0.5
    said = wait_for(lambda: (lambda text: "retries_useless" in text and text)(codes(sluice)), what="the advice")
    assert "retries_capped" in said
    sluice.request("POST", "/unsafe", body=b"x")
    sluice.wait_metric(1, name, upstream="app", why="unsafe")
