"""config/quickstart.toml: what its console shows."""

from harness.base import ROOT, wait_for
from harness.certs import certificate_lines


def test_the_console_shows_requests_of_visitors_and_no_health_checks(start):
    """The demo backends are listeners of the same process: neither the checks nor the second hop have a line."""
    text = (ROOT / "config" / "quickstart.toml").read_text(encoding="utf-8")
    for number in (1, 2, 3):
        text = text.replace(f"127.0.0.1:991{number}", f"unix:@DIR@/{number}")
    for port in (8443, 8080):
        text = text.replace(f'address = "0.0.0.0:{port}"', 'address = "127.0.0.1:0"')
    lines = text.splitlines()
    own = [i for i, line in enumerate(lines) if line.strip().startswith("certificates = ")]
    lines[own[0]] = certificate_lines(start.authority().issue("localhost"))
    text = "\n".join(lines).replace('format = "common"', 'output = "@DIR@/access.log"')
    sluice = start.sluice('[admin]\naddress = "127.0.0.1:0"\n' + text)
    for number in (1, 2, 3):
        seen = {"listener": f"backend-{number}", "route": "backend-health"}
        wait_for(lambda seen=seen: sluice.metric("sluice_requests_total", **seen), what="every backend was checked")
    assert sluice.request(listener="http").body.startswith(b"hello from backend ")
    assert sluice.request(path="/secure/x", listener="http").status == 308
    sluice.wait_log_path("/secure/x")
    assert [line["path"] for line in sluice.access_log()] == ["/", "/secure/x"]
