"""POST /reload?confirm: a configuration that goes again by itself unless somebody says that it may stay."""

import signal

import pytest

from harness.base import refused_address, wait_for
from harness.proxy import config

ANSWER = '[[route]]\nname = "says"\npath = "/says"\nrespond = {{ status = 200, body = "{}" }}'


def text(origin, says):
    return config(origin.address, before=ANSWER.format(says), workers=2, deadline="30s")


def says(sluice):
    return sluice.request(path="/says").body


def reload_on_trial(sluice, new, confirm):
    sluice.write_config(new)
    status, answer = sluice.admin(f"/reload?confirm={confirm}", "POST")
    assert status == 200 and "it stays if POST /confirm comes within" in answer, answer


def outcome(sluice, which):
    return sluice.metric("sluice_config_reloads_total", outcome=which)


def test_confirmed(start):
    origin = start.origin()
    sluice = start.sluice(text(origin, "old"))
    assert sluice.status()["confirmation_awaited"] is None
    reload_on_trial(sluice, text(origin, "new"), "1h")
    assert says(sluice) == b"new"
    left = sluice.status()["confirmation_awaited"]["seconds_left"]
    assert 3000 < left <= 3600
    assert sluice.admin("/confirm", "POST") == (200, "confirmed\n")
    assert sluice.status()["confirmation_awaited"] is None and sluice.status()["file_in_force"] is True
    assert sluice.admin("/confirm", "POST")[0] == 409
    assert says(sluice) == b"new" and outcome(sluice, "rolled_back") == 0
    sluice.reload(text(origin, "newer"))  # nothing stands in the way of the next
    assert says(sluice) == b"newer"


def test_not_confirmed(start):
    """The former configuration comes back, and it is told that the file is not what runs."""
    origin = start.origin()
    sluice = start.sluice(text(origin, "old"))
    reload_on_trial(sluice, text(origin, "new"), "1s")
    assert says(sluice) == b"new" and sluice.status()["file_in_force"] is True
    wait_for(lambda: outcome(sluice, "rolled_back") == 1, what="the former configuration is back")
    assert says(sluice) == b"old"
    assert sluice.status()["file_in_force"] is False and sluice.status()["confirmation_awaited"] is None
    sluice.wait_stderr('why="not confirmed within 1 s" message="back to the configuration before the last reload"')
    sluice.wait_stderr("is not what runs: a reload or a restart takes it again")
    assert sluice.metric("sluice_config_last_reload_success") == 0
    assert sluice.admin("/confirm", "POST")[0] == 409
    sluice.reload(text(origin, "mended"))
    assert says(sluice) == b"mended" and sluice.status()["file_in_force"] is True


def test_a_file_that_was_put_back_meanwhile(start):
    origin = start.origin()
    sluice = start.sluice(text(origin, "old"))
    reload_on_trial(sluice, text(origin, "new"), "1s")
    sluice.write_config(text(origin, "old"))
    wait_for(lambda: outcome(sluice, "rolled_back") == 1, what="the former configuration is back")
    assert says(sluice) == b"old" and sluice.status()["file_in_force"] is True
    assert "is not what runs" not in sluice.stderr()


def test_answers_that_fail(start):
    """Long before the time is over."""
    origin = start.origin()
    sluice = start.sluice(text(origin, "old"))
    for _ in range(20):
        assert sluice.request().status == 200
    reload_on_trial(sluice, config(refused_address(), before=ANSWER.format("new"), workers=2), "1h")

    def asked():
        return sluice.request().status == 200

    wait_for(asked, what="the former configuration is back")
    assert outcome(sluice, "rolled_back") == 1 and says(sluice) == b"old"
    sluice.wait_stderr('0 of 20 in the minute before" message="back to the configuration before the last reload"')


@pytest.mark.parametrize("value", ["", "=", "=60", "=0s", "=999ms", "=3600001ms", "=2h", "=-1s", "=soon"])
def test_times_that_are_none(start, value):
    origin = start.origin()
    sluice = start.sluice(text(origin, "old"))
    sluice.write_config(text(origin, "new"))
    status, answer = sluice.admin(f"/reload?confirm{value}", "POST")
    assert status == 400 and "1s to 1h" in answer
    assert says(sluice) == b"old" and outcome(sluice, "ok") == 0


def test_another_reload_waits_for_the_word(start):
    origin = start.origin()
    sluice = start.sluice(text(origin, "old"))
    reload_on_trial(sluice, text(origin, "new"), "1h")
    sluice.write_config(text(origin, "newer"))
    for path in ("/reload", "/reload?confirm=60s"):
        status, answer = sluice.admin(path, "POST")
        assert status == 409 and "waits for POST /confirm" in answer
    sluice.signal(signal.SIGHUP)
    wait_for(lambda: sluice.stderr().count('event=reload_refused') == 3)
    assert says(sluice) == b"new" and outcome(sluice, "failed") == 0
    assert sluice.admin("/confirm", "POST")[0] == 200
    sluice.reload()
    assert says(sluice) == b"newer"


def test_a_drain_ends_the_waiting(start):
    origin = start.origin()
    sluice = start.sluice(
        config(origin.address, before=ANSWER.format("old"), deregister_wait="100s", deadline="200s"), ready=True
    )
    new = config(origin.address, before=ANSWER.format("new"), deregister_wait="100s", deadline="200s")
    reload_on_trial(sluice, new, "1s")
    sluice.signal(signal.SIGTERM)
    sluice.wait_stderr("no confirmation is awaited any more")
    assert sluice.admin("/confirm", "POST")[0] == 409 and sluice.status()["confirmation_awaited"] is None
    assert says(sluice) == b"new" and outcome(sluice, "rolled_back") == 0
    sluice.signal(signal.SIGTERM)
    assert sluice.wait_exit() == 0
