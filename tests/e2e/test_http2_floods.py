"""Floods over HTTP/2 against the real binary (threats.md rows 33 to 38): the offender gets GOAWAY ENHANCE_YOUR_CALM,
its detail is counted, everybody else goes on, and memory stays."""

import contextlib
import socket
import struct

import pytest

from harness.base import limit, sanitized
from harness.h2 import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW,
    PADDED,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    H2Client,
    frame,
)
from harness.proxy import config

GROWTH_MAX = 16 << 20
HEAD = b"\x82\x86\x84\x41\x01a"  # GET http / :authority a, from the static table
POST = b"\x83\x86\x84\x41\x01a"


def ids():
    return range(1, 1 << 20, 2)


def get(stream):
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, HEAD)


def post(stream):
    return frame(HEADERS, END_HEADERS, stream, POST)


def literal(name, value):
    """A field without indexing (RFC 7541 6.2.2), short ones only."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def stored(name, value):
    """With incremental indexing: into the table."""
    size = len(value) - 127
    number = bytes([len(value)]) if size < 0 else b"\x7f" + bytes([size & 127 | 128, size >> 7])
    return b"\x40" + bytes([len(name)]) + name + number + value


def rapid_reset():
    for stream in ids():
        yield get(stream) + frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))


def made_you_reset():
    """Each makes the proxy reset it: a window above 2^31-1 on a stream that is open (CVE-2025-8671)."""
    for stream in ids():
        yield post(stream) + frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 0x7FFFFFFF))


def endless_headers():
    yield frame(HEADERS, END_STREAM, 1, HEAD)
    while True:
        yield frame(CONTINUATION, 0, 1, b"")


def hpack_bomb():
    """One field of 4,000 bytes, then one byte for each time it comes again."""
    for stream in ids():
        yield frame(HEADERS, END_HEADERS | END_STREAM, stream, HEAD + stored(b"x", b"y" * 4000) + b"\xbe" * 12000)


def one_octet_fields():
    """12,000 of the smallest fields there are: 36 KB on the wire, 400 KB as they count."""
    for stream in ids():
        yield frame(HEADERS, END_STREAM, stream, HEAD + literal(b"a", b"") * 4000) + frame(
            CONTINUATION, 0, stream, literal(b"a", b"") * 4000
        )
        yield frame(CONTINUATION, END_HEADERS, stream, literal(b"a", b"") * 4000)


def repeat(piece):
    while True:
        yield piece * 50


def pings():
    yield from repeat(frame(PING, 0, 0, b"12345678"))


def settings():
    yield from repeat(frame(SETTINGS, 0, 0, b""))


def empty_data():
    yield post(1)
    yield from repeat(frame(DATA, 0, 1, b""))


def padding_only():
    yield post(1)
    yield from repeat(frame(DATA, PADDED, 1, b"\x0a" + bytes(10)))


def priorities():
    yield from repeat(frame(PRIORITY, 0, 1, struct.pack(">IB", 3, 16)))


def window_updates():
    yield from repeat(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)))


def unknown_frames():
    yield from repeat(frame(0x42, 0, 0, b"?"))


def stray_ping_answers():
    yield from repeat(frame(PING, ACK, 0, b"12345678"))


FLOODS = {
    "rapid_reset": (rapid_reset, "reset_flood"),
    "made_you_reset": (made_you_reset, "own_reset_flood"),
    "endless_headers": (endless_headers, "continuation_flood"),
    "hpack_bomb": (hpack_bomb, "hpack"),
    "one_octet_fields": (one_octet_fields, "hpack"),
    "pings": (pings, "control_flood"),
    "settings": (settings, "control_flood"),
    "empty_data": (empty_data, "control_flood"),
    "padding_only": (padding_only, "control_flood"),
    "priorities": (priorities, "control_flood"),
    "window_updates": (window_updates, "control_flood"),
    "unknown_frames": (unknown_frames, "control_flood"),
    "stray_ping_answers": (stray_ping_answers, "control_flood"),
}


def last_goaway(client):
    """Reads to the end; the code of the GOAWAY. By hand: python3-h2 knows nothing of the streams that were sent raw."""
    data = b""
    with contextlib.suppress(OSError):
        while piece := client.sock.recv(1 << 16):
            data += piece
    code = None
    while len(data) >= 9:
        size = int.from_bytes(data[:3], "big")
        if data[3] == GOAWAY:
            code = int.from_bytes(data[13:17], "big")
        data = data[9 + size :]
    return code


@pytest.fixture(scope="module")
def proxy(shared):
    return shared.sluice(config(shared.origin().address, protocols=("h2", "http/1.1"), pool='acquire_timeout = "20s"'))


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood(proxy, name):
    flood, detail = FLOODS[name]

    def counted():
        return proxy.metric("sluice_protocol_errors_total", side="downstream", detail=detail)

    with H2Client(proxy.address()) as other:
        assert other.request().status == 200
        before, errors = proxy.rss(), counted()
        with H2Client(proxy.address()) as offender:
            # What the proxy does not read any more must not pile up here: megabytes fit in a buffer, which looks like a
            # flood that goes on.
            offender.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
            with contextlib.suppress(OSError):
                for i, piece in enumerate(flood()):
                    offender.sock.sendall(piece)
                    assert i < 100_000, "nobody stopped it"
                    if i % 50 == 0:  # in step with the proxy: fewer than max_streams at a time
                        assert other.request().status == 200
            assert last_goaway(offender) == ENHANCE_YOUR_CALM
        assert other.request().status == 200, "everybody else goes on, on the connection they have"
        assert counted() == errors + 1
        assert sanitized() or proxy.rss() - before < GROWTH_MAX, f"{(proxy.rss() - before) >> 10} KiB"


def test_ten_offenders_at_once_cost_little(proxy):
    """Each with its own flood that is not read: answers pile up nowhere."""
    before = proxy.rss()
    with H2Client(proxy.address()) as other:
        offenders = [H2Client(proxy.address(), rcvbuf=4096) for _ in range(10)]
        for offender in offenders:
            with contextlib.suppress(OSError):
                for i, piece in enumerate(pings()):
                    if i == 2000:
                        break
                    offender.sock.sendall(piece)
            assert other.request().status == 200
        assert sanitized() or proxy.rss() - before < GROWTH_MAX, f"{(proxy.rss() - before) >> 10} KiB"
        for offender in offenders:
            offender.close()


def test_a_head_that_stops_in_the_middle_is_late(start):
    """Row 22, in HTTP/2: it blocks the connection, so the connection ends."""
    sluice = start.sluice(
        config(start.origin().address, protocols=("h2", "http/1.1"), listener=f'header_timeout = "{limit(0.3)}"')
    )
    with H2Client(sluice.address()) as client:
        client.send_raw(frame(HEADERS, END_STREAM, 1, HEAD))
        assert client.ended()
        assert client.goaways[-1][1] == ENHANCE_YOUR_CALM
    sluice.wait_metric(1, "sluice_protocol_errors_total", side="downstream", detail="slow_head")


def test_a_zero_window_is_reset_at_write_timeout(start):
    """Row 38: never ended as if complete; what other streams of the connection do goes on."""
    sluice = start.sluice(
        config(start.origin().address, protocols=("h2", "http/1.1"), listener=f'write_timeout = "{limit(0.5)}"')
    )
    with H2Client(sluice.address(), settings={INITIAL_WINDOW: 0}) as client:
        stream = client.start("/stalled")
        seen = client.finish(stream)
        assert (seen.status, seen.ended, seen.code) == (200, False, CANCEL)
        assert client.goaways == []
        second = client.start("/second")
        client.until(lambda: client.streams[second].status == 200, "an answer on the same connection")
        client.h2.increment_flow_control_window(1000, second)
        client.flush()
        assert client.finish(second).ended
    assert sluice.wait_log_path("/stalled")[0]["detail"] == "slow_read"
