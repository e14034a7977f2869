"""What sluice says of itself: several faults at once stand on top, each with its figures and what to do, in every place
alike; and they go when their cause goes."""

import json

from harness.base import free_address, refused_address, wait_for
from harness.certs import certificate_lines
from harness.client import held_clients
from harness.proxy import config


def said(sluice):
    """{(code, subject): text} of GET /advice."""
    status, body = sluice.admin("/advice", headers={"accept": "application/json"})[:2]
    assert status == 200
    return {(a["code"], a["subject"]): a["text"] for a in json.loads(body)}


def test_nothing_to_say(start):
    sluice = start.sluice(config(start.origin().address))
    assert sluice.request().status == 200
    assert sluice.admin("/advice")[:2] == (200, "nothing to do\n")
    assert sluice.status()["advice"] == []


def test_five_faults_at_once_stand_on_top_and_go_with_their_causes(start, gate):
    held = start.origin(gate)
    authority = start.authority()
    cert, key = authority.issue("shop.test", lived=9.5)
    dead = refused_address()
    extra = f"""[[upstream]]
name = "half"
endpoints = ["{start.origin().address}", "{dead}"]
[[upstream]]
name = "named"
dns = "app.internal:80"
[[listener]]
name = "tls"
address = "127.0.0.1:0"
[listener.tls]
{certificate_lines((cert, key))}
[dns]
servers = ["{':'.join(map(str, free_address()))}"]
timeout = "100ms"
"""
    before = "".join(f'[[route]]\npath_prefix = "/{name}"\nupstream = "{name}"\n' for name in ("half", "named"))
    text = config(held.address, pool='max_connections = 2\nacquire_timeout = "60s"', before=before, extra=extra)
    sluice = start.sluice(text)
    clients = held_clients(sluice, 8)
    sluice.reload(text + "\nnonsense = 1\n", outcome="failed")

    expected = {
        ("pool_small", "app"): "set pool.max_connections = ",
        ("endpoints_out", "half"): f"1 of 2 endpoints of half get no requests: {dead} set aside (a connect failed)",
        ("name_unresolved", "app.internal"): "app.internal has never been resolved: ",
        ("certificate_ends", "shop.test"): f"of 10 d: renew {cert} and reload",
        ("reload_refused", "configuration"): "nonsense",
    }

    def all_said():
        sluice.request(path="/half")  # what is set aside is tried again now and then, and fails again
        now = said(sluice)
        return all(words in now.get(key, "") for key, words in expected.items()) and now

    try:
        wait_for(all_said, what="all five")
    except AssertionError as late:
        raise AssertionError(f"{late}; said is {said(sluice)}") from None
    listed = [(a["code"], a["subject"]) for a in sluice.status()["advice"]]
    assert set(expected) <= set(listed)
    for code, subject in expected:
        assert sluice.metric("sluice_advice", code=code, subject=subject) == 1
        assert f"event=advice code={code} " in sluice.stderr()
    lines = sluice.admin("/advice")[1].splitlines()
    assert len(lines) == len(listed) and all(line[0] in "!-" for line in lines)

    gate.open()
    assert all(client.response().status == 200 for client in clients)
    sluice.reload(text)
    wait_for(lambda: ("reload_refused", "configuration") not in said(sluice), what="a cause that is gone")
    assert sluice.metric("sluice_advice", code="reload_refused") == 0
    sluice.wait_stderr("event=advice_over code=reload_refused subject=configuration ")
