"""Back-pressure over HTTP/2: a stream, or a client, that is not read holds its window and nothing more, and nobody
else."""

import os
import subprocess
import time

import pytest

from harness.base import sanitized
from harness.h2 import INITIAL_WINDOW, MAX_STREAMS, H2Client
from harness.proxy import config

BOTH = ("h2", "http/1.1")
SIZE = 4 << 20
BLOCK = os.urandom(1 << 16)
heavy = pytest.mark.skipif(sanitized(), reason="memory says little under a sanitizer")


def big_h1(connection, request):
    size = int(request.target.rsplit("/", 1)[1])
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    connection.send_large(size, BLOCK)


def big_h2(made, stream, seen):
    made.respond(stream, body=(BLOCK * (int(seen.path.rsplit("/", 1)[1]) // len(BLOCK))))


def behind(start, version, **options):
    """A proxy in front of an origin of that version; limits of time that stall no test."""
    options.setdefault("listener", "")
    options["listener"] += '\nwrite_timeout = "120s"\nmin_rate = 0'
    options.setdefault("route", 'timeout = "120s"')
    pool = options.pop("pool", 'acquire_timeout = "60s"\nmax_connections = 128')
    if version == "h1":
        return start.sluice(config(start.origin(big_h1).address, protocols=BOTH, pool=pool, **options))
    origin = start.h2_origin(big_h2, settings={MAX_STREAMS: 1000})
    return start.sluice(config(origin.address, protocols=BOTH, upstream='protocol = "h2"', pool=pool, **options))


@pytest.mark.parametrize("version", ["h1", "h2"])
def test_one_stalled_stream_leaves_the_other_nine_alone(start, version):
    """On one connection: nobody gives credit to the first stream."""
    sluice = behind(start, version)
    with H2Client(sluice.address(), auto_credit=False) as client:
        client.h2.increment_flow_control_window((1 << 30))
        streams = [client.start(f"/{SIZE}") for _ in range(10)]
        given = dict.fromkeys(streams, 0)

        def read_on():
            for stream in streams[1:]:
                new = len(client.streams[stream].body) - given[stream]
                if new:
                    given[stream] += new
                    if not client.streams[stream].ended:
                        client.h2.increment_flow_control_window(new, stream)
            client.flush()
            return all(client.streams[s].over for s in streams[1:])

        client.until(read_on, "the other nine")
        assert all(len(client.streams[s].body) == SIZE and client.streams[s].ended for s in streams[1:])
        stalled = client.streams[streams[0]]
        assert not stalled.over and len(stalled.body) <= 65535
        while not stalled.over:  # and it goes on from where it stood
            client.h2.increment_flow_control_window(1 << 20, streams[0])
            client.flush()
            client.pump()
        assert len(stalled.body) == SIZE


def test_a_client_that_reads_nothing_does_not_stall_those_that_share_its_upstream_connection(start):
    """120 streams of one client hold their windows on the one connection there is; another client's download goes
    on."""
    sluice = behind(start, "h2", pool='max_connections = 1\nacquire_timeout = "60s"')
    with H2Client(sluice.address()) as warm:
        assert warm.request("/65536").status == 200
    with H2Client(sluice.address(), settings={INITIAL_WINDOW: 0}) as silent, H2Client(sluice.address()) as other:
        before = sluice.rss()
        streams = [silent.start(f"/{SIZE}") for _ in range(120)]
        silent.until(lambda: all(silent.streams[s].status == 200 for s in streams), "heads")
        seen = other.request(f"/{SIZE}")
        assert (seen.status, len(seen.body)) == (200, SIZE)
        assert sanitized() or sluice.rss() - before < 16 << 20, f"{(sluice.rss() - before) >> 10} KiB"
        for stream in streams:
            silent.rst(stream)


@heavy
def test_1000_streams_and_clients_that_read_nothing(start):
    """10 connections of 100 streams, 10 MB each: nine clients never read, the tenth takes all of its own. What the
    proxy holds stays under the sum of what it may: 64 KiB of an answer, and what is being read and kept besides."""
    if "SLUICE_CHECK" not in os.environ:
        pytest.skip("heavy: scripts/check runs it")
    size, silent_clients, readers, per = 10 << 20, 9, 1, 100
    backend = start.nginx(files={"big": b"x" * size})
    sluice = start.sluice(
        config(
            backend.address,
            protocols=BOTH,
            listener='write_timeout = "300s"\nmin_rate = 0',
            route='timeout = "120s"',
            pool='acquire_timeout = "60s"\nmax_connections = 1000',
        )
    )
    with H2Client(sluice.address()) as warm:
        assert warm.request("/").status == 200
    before = sluice.rss()
    silent = [H2Client(sluice.address(), settings={INITIAL_WINDOW: 0}) for _ in range(silent_clients)]
    for client in silent:
        streams = [client.start("/big") for _ in range(per)]
        client.until(lambda c=client, o=streams: all(c.streams[s].status == 200 for s in o), "heads")
    load = subprocess.Popen(
        ["h2load", "-n", str(readers * per), "-c", str(readers), "-m", str(per), f"http://{sluice.address()}/big"],
        stdout=subprocess.PIPE,
        text=True,
    )
    most = 0
    while load.poll() is None:
        most = max(most, sluice.rss() - before)
        time.sleep(0.02)
    out = load.stdout.read()
    assert f"status codes: {readers * per} 2xx" in out and " 0 failed" in out, out
    stated = (silent_clients + readers) * per * 128 * 1024
    print(f"held {most >> 20} MiB, the windows are {stated >> 20} MiB")
    assert most < stated, f"{most >> 20} MiB, the windows are {stated >> 20} MiB"
    for client in silent:
        client.close()
    sluice.wait_metric(0, "sluice_requests_in_flight")


@heavy
def test_an_idle_event_stream_costs_6_kib(start):
    """2,000 Server-Sent-Events streams that are silent, over 20 connections: to an origin of HTTP/2, so that no socket
    is counted twice."""
    count, per = 2000, 100
    streams_open = []

    def on_request(made, stream, _):
        made.respond(stream, body=b"data: 1\n\n", headers=[("content-type", "text/event-stream")], end=False)
        streams_open.append((made, stream))

    origin = start.h2_origin(on_request, settings={MAX_STREAMS: 100})
    sluice = start.sluice(
        config(origin.address, protocols=BOTH, upstream='protocol = "h2"', pool='acquire_timeout = "60s"')
    )
    with H2Client(sluice.address()) as warm:
        first = warm.start("/warm")
        warm.until(lambda: warm.streams[first].body)
        warm.rst(first)
        clients = [H2Client(sluice.address()) for _ in range(count // per)]
        before = sluice.rss()
        for client in clients:
            opened = [client.start("/events") for _ in range(per)]
            client.until(
                lambda c=client, o=opened: all(c.streams[s].body == b"data: 1\n\n" for s in o), "the first event"
            )
        grown = (sluice.rss() - before) / count
        print(f"an idle event stream costs {grown:.0f} bytes")
        # An event passes at once on any of them.
        made, stream = streams_open[-1]
        made.send_body(stream, b"data: 2\n\n", end=False)
        last = clients[-1]
        last.until(lambda: any(s.body.endswith(b"data: 2\n\n") for s in last.streams.values()), "the second event")
        assert grown < 6 * 1024, f"{grown:.0f} bytes a stream"
        for client in clients:
            client.close()
