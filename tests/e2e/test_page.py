"""The status page in a real Chromium: what is wrong stands on top, with what to do; at 390 px, in the dark, without
scripts, when the proxy does not answer, and with names that would like to be markup."""

import functools
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from harness.base import TIMEOUT, free_address, refused_address, sanitized, slowness, wait_for
from harness.browser import Browser
from harness.certs import certificate_lines
from harness.client import held_clients
from harness.dns import ScriptedDns
from harness.origin import ok
from harness.proxy import config

pytestmark = [
    pytest.mark.skipif("SLUICE_CHECK" not in os.environ, reason="heavy: scripts/check runs it"),
    pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium (scripts/deps --check)"),
    pytest.mark.skipif(sanitized(), reason="a browser's limits of time are not for a sanitizer"),
]

AXE = "axe-core@4.10.3"
WIDE, NARROW = (1280, 1000), (390, 844)
HOSTILE = "<img/src=x/onerror=pwned=1>"


@pytest.fixture
def browser(tmp_path):
    with Browser(tmp_path) as one:
        yield one
        assert one.spoken == [], "an exception, or something that the page's policy refused"


def show(browser, sluice):
    """The page, live."""
    browser.open(f"http://{sluice.address('admin')}/")
    wait_for(lambda: browser.run("document.getElementById('live').textContent") == "live", what="a live page")


def text(browser, id_):
    return browser.run(f"document.getElementById('{id_}').innerText")


def cells(browser, id_):
    """Rows of a table, as texts."""
    rows = f"[...document.getElementById('{id_}').tBodies[0].rows]"
    return browser.run(f"{rows}.map(row => [...row.cells].map(cell => cell.textContent.trim()))")


def has_table(browser, id_):
    return browser.run(f"document.getElementById('{id_}').tBodies.length") == 1


def faulty(start, gate):
    """Five faults at once, but for the reload: (sluice, its configuration, what stands on top by then)."""
    dead = refused_address()
    cert, key = start.authority().issue("shop.test", lived=9.5)
    extra = f"""[[upstream]]
name = "half"
endpoints = ["{start.origin().address}", "{dead}"]
[upstream.health]
kind = "tcp"
interval = "100ms"
unhealthy_after = 1
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
    before = "".join(f'[[route]]\nname = "{n}"\npath_prefix = "/{n}"\nupstream = "{n}"\n' for n in ("half", "named"))
    made = config(
        start.origin(gate).address, pool='max_connections = 2\nacquire_timeout = "60s"', before=before, extra=extra
    )
    said = {
        "pool_small": "set pool.max_connections = ",
        "endpoints_out": f"1 of 2 endpoints of half get no requests: {dead} down",
        "name_unresolved": "app.internal has never been resolved: ",
        "certificate_ends": f"of 10 d: renew {cert} and reload",
        "reload_refused": "nonsense",
    }
    return start.sluice(made), made, said


def break_all(sluice, made):
    """The clients that wait for the small pool."""
    clients = held_clients(sluice, 8)
    sluice.reload(made + "\nnonsense = 1\n", outcome="failed")
    return clients


def some_traffic(sluice):
    for path in ("/", "/half", "/named", "/half/a", "/half/b"):
        with sluice.client() as client:
            client.send(f"GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
            if path.startswith("/half"):
                client.response()


def test_five_faults_stand_on_top_each_with_what_to_do(start, gate, browser):
    sluice, made, said = faulty(start, gate)
    show(browser, sluice)
    assert not any(code in text(browser, "advice") for code in ("pool_small", "reload_refused"))
    clients = break_all(sluice, made)

    def all_said():
        now = text(browser, "advice")
        return all(code in now and words in now for code, words in said.items())

    wait_for(all_said, timeout=10 * slowness(), what="all five")
    first = browser.run("document.querySelector('main h2').textContent")
    assert first == "To do now" and browser.run("document.getElementById('advice').getAttribute('aria-live')")
    above = "document.getElementById('advice').getBoundingClientRect().bottom"
    assert browser.run(above) < browser.run("document.getElementById('tiles').getBoundingClientRect().top")
    assert "REFUSED" in text(browser, "configuration") and "nonsense" in text(browser, "configuration")
    upstream = next(row for row in cells(browser, "upstreams") if row[0] == "app")
    assert upstream[1] == "2 of 2" and int(upstream[2]) == 6 and upstream[4] == "all connections are in use"
    states = {row[0]: row[2] for row in cells(browser, "endpoints")}
    assert sorted(states.values()) == ["UNHEALTHY", "in use", "in use, UNCHECKED"]
    assert any(row[0].startswith("certificate shop.test") and "of 10 d" in row[3] for row in cells(browser, "limits"))
    assert cells(browser, "names")[0][1] == "nothing"
    gate.open()
    assert all(client.response().status == 200 for client in clients)
    sluice.reload(made)
    wait_for(lambda: "reload_refused" not in text(browser, "advice"), what="a cause that is gone")


def test_no_green_without_evidence(start, browser):
    """Who is not checked is never green, and each state is said in a word, too."""
    checked = start.origin()
    other = f'[[upstream]]\nname = "other"\nendpoints = ["{checked.address}"]\n[upstream.health]\nkind = "tcp"\n'
    sluice = start.sluice(config(start.origin().address, extra=other + 'interval = "100ms"\n'))
    show(browser, sluice)
    rows = "[...document.getElementById('endpoints').tBodies[0].rows]"
    tones = f"Object.fromEntries({rows}.map(r => [r.cells[1].textContent, r.cells[2].className + ':' + "
    tones += "r.cells[2].textContent]))"
    wait_for(
        lambda: browser.run(tones) == {"app": "soft:in use, UNCHECKED", "other": "good:in use"},
        what="the states of both",
    )


def test_a_name_that_moves(start, gate, browser):
    """Where it points, where it pointed, and who still talks to the old address."""
    dns = start.stack.enter_context(ScriptedDns())
    old = start.origin(gate)
    host, port = old.address.rsplit(":", 1)
    dns.set("app.test", host)
    made = config(extra=f"""[[upstream]]
name = "app"
dns = "app.test:{port}"
[[route]]
name = "app"
upstream = "app"
[dns]
servers = ["{dns.address}"]
""")
    sluice = start.sluice(made)
    show(browser, sluice)
    clients = held_clients(sluice, 1)
    dns.set("app.test", "127.0.0.99")
    wait_for(lambda: cells(browser, "names")[0][1] == "127.0.0.99", what="the new address")
    name = cells(browser, "names")[0]
    assert name[0] == "app.test" and name[3].endswith(" ago") and name[4] == host
    leaving = {row[0]: row[2:5] for row in cells(browser, "endpoints")}[old.address]
    assert leaving[0] == "LEAVING" and leaving[2] == "dns"
    browser.run("document.querySelector('details').open = true")
    assert "name app.test: 127.0.0.99" in text(browser, "changes")
    gate.open()
    assert clients[0].response().status == 200


def test_figures_move(start, browser):
    good = start.origin(lambda c, r: c.send(ok(status="500 Internal Server Error" if r.target == "/bad" else "200 OK")))
    sluice = start.sluice(config(good.address))
    show(browser, sluice)

    def counted():
        sluice.request()
        sluice.request(path="/bad")
        routes, endpoints = cells(browser, "routes"), cells(browser, "endpoints")
        rated = routes and float(routes[0][1]) > 0 and 30 < float(routes[0][2].split()[0]) < 70
        return rated and endpoints[0][7].endswith("%") and float(endpoints[0][6]) > 0

    wait_for(counted, what="rates of the route and of its endpoint")
    assert browser.run("document.querySelector('#t-rps svg polyline').getAttribute('points').split(' ').length") > 1
    assert "%" in text(browser, "sides") and "generation 1" in text(browser, "config")
    wait_for(lambda: has_table(browser, "recent") and cells(browser, "recent"), what="the failed ones")
    assert {row[3] for row in cells(browser, "recent")} == {"500"}
    browser.run("document.getElementById('fine').click()")
    wait_for(lambda: {row[3] for row in cells(browser, "recent")} == {"500", "200"}, what="the good ones, too")
    browser.run("filter = document.getElementById('filter'); filter.value = 'status=200'; "
                "filter.dispatchEvent(new Event('input'))")
    wait_for(lambda: {row[3] for row in cells(browser, "recent")} == {"200"}, what="what the filter leaves")
    browser.run("filter.value = 'status=abc'; filter.dispatchEvent(new Event('input'))")
    wait_for(lambda: "status is a status as 404" in text(browser, "recent-note"), what="what is wrong with a filter")


def test_hostile_names_stay_text(start, browser):
    """Of a route and an upstream, and a path that a client asked for."""
    made = config(start.origin(lambda c, r: c.send(ok(status="500 Internal Server Error"))).address)
    made = made.replace('name = "app"', f'name = "{HOSTILE}"').replace('upstream = "app"', f'upstream = "{HOSTILE}"')
    sluice = start.sluice(made)
    show(browser, sluice)

    def shown():
        sluice.request()
        sluice.request(path="/path" + HOSTILE)
        asked = has_table(browser, "recent") and any("/path" + HOSTILE in row[2] for row in cells(browser, "recent"))
        return asked and all(HOSTILE in text(browser, id_) for id_ in ("routes", "upstreams", "endpoints", "recent"))

    wait_for(shown, what="the path and the route's name, as text")
    assert browser.run("document.querySelectorAll('main img').length") == 0
    assert browser.run("typeof pwned") == "undefined"
    html = sluice.admin("/")[1]
    assert "<img" not in html.replace(sluice_script(html), "") and "&lt;img/src=x" in html


def sluice_script(html):
    return html[html.index("<script>") : html.index("</script>")]


def test_the_policy_lets_nothing_else_run(start, browser):
    sluice = start.sluice(config(start.origin().address))
    show(browser, sluice)
    inject = "s = document.createElement('script'); s.textContent = 'pwned = 1'; document.body.append(s); typeof pwned"
    assert browser.run(inject) == "undefined"
    assert any("Content Security Policy" in str(one) for one in browser.spoken)
    browser.spoken.clear()


def test_without_scripts_the_figures_are_there(start, browser):
    sluice = start.sluice(config(start.origin().address))
    assert sluice.request().status == 200
    browser.scripts(on=False)
    browser.open(f"http://{sluice.address('admin')}/")
    shown = text(browser, "as-text")
    for figure in ("nothing to do", "requests/s", "in use, unchecked", "(generation 1)", "RUNS OUT NEXT"):
        assert figure in shown, shown
    browser.scripts(on=True)


def test_old_figures_are_told_to_be_old(start, browser):
    sluice = start.sluice(config(start.origin().address))
    show(browser, sluice)
    assert browser.run("document.body.className") == ""
    sluice.signal(signal.SIGSTOP)
    try:
        wait_for(lambda: browser.run("document.body.className") == "stale", what="grey")
        assert "no data for " in text(browser, "live")
        assert float(browser.run("getComputedStyle(document.querySelector('main')).opacity")) < 1
    finally:
        sluice.signal(signal.SIGCONT)
    wait_for(lambda: browser.run("document.body.className") == "", what="live again")


def test_where_no_event_stream_is_to_be_had_it_asks(start, browser):
    sluice = start.sluice(config(start.origin().address))
    streams = [sluice.client("admin") for _ in range(16)]
    for one in streams:
        one.send(b"GET /status HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
        assert one.head().status == 200
    browser.open(f"http://{sluice.address('admin')}/")
    wait_for(lambda: text(browser, "live") == "asks each second", what="figures without events")
    assert "SERVING" in text(browser, "phase")
    for one in streams:
        one.close()
    browser.spoken.clear()


def test_a_drain_shows_what_holds_it_up(start, gate, browser):
    sluice = start.sluice(config(start.origin(gate).address, deadline="60s"))
    show(browser, sluice)
    assert not browser.run("document.getElementById('drain-panel').checkVisibility()")
    clients = held_clients(sluice, 1)
    sluice.admin("/drain", "POST")
    wait_for(lambda: "1 request" in text(browser, "drain-sum"), what="the drain's holder")
    assert cells(browser, "drain")[0][1:4] == ["request", "app", "/held"] and "DRAINING" in text(browser, "phase")
    gate.open()
    assert clients[0].response().status == 200
    clients[0].close()
    sluice.wait_exit()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_scrolls_sideways(start, gate, browser, scheme):
    sluice, made, _ = faulty(start, gate)
    browser.show_as(*NARROW, scheme)
    show(browser, sluice)
    clients = break_all(sluice, made)
    some_traffic(sluice)
    wait_for(lambda: "reload_refused" in text(browser, "advice") and has_table(browser, "recent"), what="the faults")
    over = "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
    for width in (NARROW[0], 320, 700, 1089, WIDE[0]):
        browser.show_as(width, 844, scheme)
        assert browser.run("document.scrollingElement.scrollWidth") <= width
        assert browser.run(f"{over}.map(e => e.outerHTML.slice(0, 100))") == [], width
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    gate.open()
    for client in clients:
        client.close()


@functools.lru_cache(maxsize=None)
def axe_source():
    """Its script, from the npm registry into a cache outside of the tree."""
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "sluice" / AXE
    script = home / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        if not shutil.which("npm"):
            pytest.skip(f"no npm to get {AXE} with")
        home.mkdir(parents=True, exist_ok=True)
        got = subprocess.run(
            ["npm", "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(home), AXE],
            capture_output=True,
            text=True,
            timeout=TIMEOUT * 3,
            check=False,
        )
        if got.returncode != 0:
            pytest.skip(f"{AXE} cannot be had from the npm registry: {got.stderr.strip()[-300:]}")
    return script.read_text(encoding="utf-8")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(start, gate, browser, size, scheme):
    source = axe_source()
    sluice, made, _ = faulty(start, gate)
    browser.show_as(*size, scheme)
    show(browser, sluice)
    clients = break_all(sluice, made)
    some_traffic(sluice)
    wait_for(lambda: "pool_small" in text(browser, "advice"), what="all the faults")
    wait_for(lambda: has_table(browser, "recent") and cells(browser, "recent"), what="recent ends")
    browser.run(source)
    found = browser.run(
        "axe.run(document, {resultTypes: ['violations']}).then(r => ({passes: r.passes.length, violations: "
        "r.violations.map(v => [v.id, v.help, v.nodes.slice(0, 3).map(n => n.html + ' ' + n.failureSummary)])}))"
    )
    assert found["passes"] > 20 and found["violations"] == []
    gate.open()
    for client in clients:
        client.close()


@pytest.mark.skipif("SLUICE_PICTURES" not in os.environ, reason="makes docs/images: SLUICE_PICTURES=docs/images")
def test_pictures_for_the_documentation(start, gate, browser):
    sluice, made, said = faulty(start, gate)
    browser.show_as(1180, 1100)
    show(browser, sluice)
    clients = break_all(sluice, made)

    def looks():
        for _ in range(20):
            some_traffic(sluice)
        return browser.run("past.length") >= 15 and all(code in text(browser, "advice") for code in said)

    wait_for(looks, timeout=60, what="some figures")
    folder = os.environ["SLUICE_PICTURES"]
    browser.screenshot(os.path.join(folder, "status-page.png"))
    browser.show_as(*NARROW, "dark")
    browser.screenshot(os.path.join(folder, "status-page-phone.png"))
    gate.open()
    for client in clients:
        client.close()
