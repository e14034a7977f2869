"""`sluice top` and GET /status as text: what an engineer sees in a terminal."""

import os
import pty
import re
import subprocess

from harness.base import TIMEOUT, binary, free_address, refused_address, wait_for
from harness.origin import ok
from harness.proxy import config


def top(sluice, *options):
    return subprocess.run(
        [binary(), "top", "--admin", sluice.address("admin"), *options],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def test_once_prints_what_is_asked_for_what_fails_and_who_does_it(start):
    """Rates and times by route, endpoints with their state and who decided it, and the advice on top."""
    good = start.origin(lambda c, r: c.send(ok(status="500 Internal Server Error" if r.target == "/bad" else "200 OK")))
    dead = refused_address()
    extra = f'[[upstream]]\nname = "half"\nendpoints = ["{good.address}", "{dead}"]\n'
    before = '[[route]]\nname = "half"\npath_prefix = "/half"\nupstream = "half"\n'
    sluice = start.sluice(config(good.address, before=before, extra=extra, workers=2))

    def shown():
        assert sluice.request().status == 200
        sluice.request(path="/bad")
        sluice.request(path="/half")
        text = top(sluice, "--once").stdout
        route = re.search(r"^app +([0-9.]+) +([0-9.]+)% +0\.0% +[0-9.]+ ms +[0-9.]+ ms$", text, re.M)
        rated = route and float(route[1]) > 0 and 40 < float(route[2]) < 60
        return rated and "SET ASIDE (a connect failed)" in text and text

    text = wait_for(shown, what="a rate, failures and who is set aside")
    top_lines = r"sluice \S+  up \d+ s  serving\n! endpoints_out \(for \d+ s\): 1 of 2 endpoints of half"
    assert re.match(top_lines, text), text
    assert re.search(rf"^  {re.escape(good.address)} +in use, unchecked", text, re.M), text
    sums = r"^[0-9.]+ requests/s  5xx [0-9.]+%  clients left 0.0%  p50 .* connections \d+ of \d+$"
    assert re.search(sums, text, re.M)
    status, page = sluice.admin("/status", headers={"accept": "text/plain"})[:2]
    assert status == 200 and page.splitlines()[0].startswith("sluice ")


def test_who_cannot_be_reached_is_told(start):
    sluice = start.sluice(config(start.origin().address))
    host, port = free_address()
    asked = subprocess.run(
        [binary(), "top", "--once", "--admin", f"{host}:{port}"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert asked.returncode == 1
    assert f"admin at {host}:{port}: " in asked.stderr and "is sluice running" in asked.stderr
    wrong = top(sluice, "--onse")
    assert wrong.returncode == 2 and "did you mean --once?" in wrong.stderr


def test_a_terminal_is_drawn_anew_until_q(start):
    sluice = start.sluice(config(start.origin().address))
    ours, theirs = pty.openpty()
    process = subprocess.Popen([binary(), "top", "--admin", sluice.address("admin")], stdin=theirs, stdout=theirs)
    os.close(theirs)
    try:
        seen = b""
        while seen.count(b"nothing to do") < 2:
            seen += os.read(ours, 65536)
        assert seen.startswith(b"\x1b[H")
        os.write(ours, b"q")
        assert process.wait(TIMEOUT) == 0
    finally:
        os.close(ours)
        if process.poll() is None:
            process.kill()
            process.wait()
