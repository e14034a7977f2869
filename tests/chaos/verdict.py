"""What must be true when the peers have gone: the process lives, its gauges are where they began, and SIGTERM ends it
in good order."""

import signal

from harness.base import wait_for
from harness.proxy import SANITIZER

SETTLE_S = 60
GROWTH_MOST = 400 << 20  # resident bytes above the start, sanitizers included
TO_ZERO = [
    "sluice_requests_in_flight",
    "sluice_downstream_connections",
    "sluice_upstream_connections",
    "sluice_upstream_pool_waiting",
    "sluice_upstream_endpoint_in_flight",
]


def spoken(sluice):
    """What a sanitizer or a CHECK said, or nothing."""
    text = sluice.stderr()
    found = SANITIZER.search(text)
    return text[max(0, found.start() - 300) : found.start() + 8000] if found else ""


def ended(sluice):
    return sluice.process.poll() is not None


def settle(sluice):
    """Waits until nothing is open or under way. The admin's own connection is not counted by these."""
    problems = []
    for name in TO_ZERO:
        try:
            wait_for(lambda: sluice.metric(name) == 0, SETTLE_S, name)
        except (AssertionError, OSError) as error:
            series = sluice.metrics().series(name) if not ended(sluice) else {}
            problems.append(
                f"{name} does not come back to 0 ({error}): {[(dict(k), v) for k, v in series.items() if v]}"
            )
    if ended(sluice):
        return problems
    metrics = sluice.metrics()
    problems += [
        f"a gauge below zero: {name} {dict(labels)} {value}"
        for (name, labels), value in metrics.samples.items()
        if metrics.types.get(name) == "gauge" and value < 0
    ]
    return problems


def memory(sluice, at_start):
    grown = sluice.rss() - at_start
    return [f"resident memory grew by {grown >> 20} MiB"] if grown > GROWTH_MOST else []


def drain(sluice):
    """SIGTERM: exit 0 within the deadline, whatever the peers do meanwhile."""
    if ended(sluice):
        return [f"the process ended with {sluice.process.returncode}"]
    sluice.signal(signal.SIGTERM)
    try:
        code = sluice.wait_exit(40)
    except AssertionError as error:
        return [str(error)]
    return [f"exit code {code} after SIGTERM"] if code else []
