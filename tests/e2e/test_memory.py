"""Back-pressure as memory: large bodies between fast senders and slow receivers never pile up in the proxy.

The receiver stops until the sender is stuck (its count no longer moves), the proxy is weighed, then the body
goes on in spurts and must arrive whole.
"""

import os
import threading

import pytest

from harness.base import TIMEOUT, sanitized, scale, wait_for
from harness.certs import certificate_lines
from harness.client import build
from harness.origin import ok
from harness.proxy import config

SIZE = int((100 << 20) * (1 if scale() >= 1 else 0.4))
GROWTH_MAX = (16 << 20) * (4 if sanitized() else 1)


class Scales:
    """Weighs a process against what it weighed when this was made."""

    def __init__(self, sluice):
        self.sluice = sluice
        self.before = sluice.rss()
        self.most = 0

    def weigh(self):
        self.most = max(self.most, self.sluice.rss() - self.before)
        assert self.most < GROWTH_MAX, f"grew by {self.most >> 20} MiB"


def stuck(count):
    """Waits until count() stops moving: the sender is blocked, all buffers on the way are full."""
    last = [-1, 0]

    def still():
        now = count()
        last[1] = last[1] + 1 if now == last[0] else 0
        last[0] = now
        return now > 0 and last[1] >= 10

    wait_for(still, what="the sender is blocked")
    return last[0]


def down(connection, request):
    if request.target == "/big":
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        connection.send_large(SIZE)
    elif request.target == "/chunked":
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        block = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        for _ in range(SIZE // 65536):
            connection.send(block)
        connection.send(b"0\r\n\r\n")
    else:
        connection.send(ok())


def read_slowly(client, size, scales):
    """Reads size bytes; the proxy is weighed on the way."""
    got, step = 0, 0
    while got < size:
        data = client.sock.recv(1 << 18)
        assert data, f"ended after {got} of {size}"
        got += len(data)
        step += 1
        if step % 100 == 0:
            scales.weigh()
    return got


@pytest.mark.parametrize("kind", ["clear", "tls"])
def test_download_to_a_slow_client(start, kind):
    ca = start.authority()
    origin = start.origin(down)
    sluice = start.sluice(
        config(
            origin.address,
            listener='write_timeout = "120s"\nmin_rate = 0',
            route='stream_idle_timeout = "5m"',
            tls=certificate_lines(ca.issue("a.test")) if kind == "tls" else "",
        )
    )
    options = dict(tls=ca.client_context(), server_name="a.test") if kind == "tls" else {}
    assert sluice.request(**options).status == 200
    scales = Scales(sluice)
    with sluice.client(rcvbuf=65536, **options) as client:
        client.send(build(path="/big"))
        head = client.head()
        origin.wait_heads(2)
        big = next(c for c in origin.connections if any(r.target == "/big" for r in c.requests))
        sent = stuck(lambda: big.sent)
        assert sent < SIZE, "nothing was held back: the body is too small to show anything"
        scales.weigh()
        assert int(head.header("content-length")) == SIZE
        read_slowly(client, SIZE - len(client.buffer), scales)
        client.buffer = b""
        assert client.request().status == 200


def test_chunked_download_to_a_slow_client(start):
    origin = start.origin(down)
    sluice = start.sluice(config(origin.address, listener='write_timeout = "120s"\nmin_rate = 0'))
    assert sluice.request().status == 200
    scales = Scales(sluice)
    with sluice.client(rcvbuf=65536) as client:
        client.send(build(path="/chunked"))
        head = client.head()
        origin.wait_heads(2)
        big = next(c for c in origin.connections if any(r.target == "/chunked" for r in c.requests))
        stuck(lambda: big.sent)
        scales.weigh()
        tail = client.buffer[-16:]
        while not tail.endswith(b"\r\n0\r\n\r\n"):
            data = client.sock.recv(1 << 18)
            assert data
            tail = (tail + data)[-16:]
        scales.weigh()
        assert head.header("transfer-encoding") == "chunked"


@pytest.mark.parametrize("kind", ["clear", "tls"])
def test_upload_to_a_slow_backend(start, kind):
    ca = start.authority()
    go, got = threading.Event(), []

    def script(connection):
        request = connection.read_head()
        if request.method == "GET":
            connection.send(ok())
            request = connection.read_head()
        assert go.wait(TIMEOUT * 3)
        size = [0]

        def count(piece):
            size[0] += len(piece)
            connection.forget()

        connection.read_body(request, count)
        got.append(size[0])
        connection.send(ok(b"%d" % size[0]))
        connection.wait_eof()

    origin = start.origin(on_connection=script, rcvbuf=65536)
    sluice = start.sluice(
        config(
            origin.address,
            listener='body_timeout = "120s"\nmin_rate = 0',
            tls=certificate_lines(ca.issue("a.test")) if kind == "tls" else "",
        )
    )
    options = dict(tls=ca.client_context(), server_name="a.test") if kind == "tls" else {}
    assert sluice.request(**options).status == 200
    scales = Scales(sluice)
    with sluice.client(**options) as client:
        sent = [0]

        def upload():
            client.send(build("POST", "/up", {"Content-Length": str(SIZE)}))
            block = b"x" * 65536
            for _ in range(SIZE // 65536):
                client.sock.sendall(block)
                sent[0] += 65536

        client.sock.settimeout(TIMEOUT * 6)
        thread = threading.Thread(target=upload, daemon=True)
        thread.start()
        assert stuck(lambda: sent[0]) < SIZE, "nothing was held back"
        scales.weigh()
        go.set()
        while thread.is_alive():
            thread.join(0.2)
            scales.weigh()
        answer = client.response("POST")
        assert (answer.status, answer.body) == (200, b"%d" % SIZE)
    assert got == [SIZE]


def test_one_byte_pieces_pin_no_memory(start):
    """A body that comes one byte a segment must not pin a read buffer a byte."""
    release = threading.Event()

    def script(connection):
        request = connection.read_head()
        assert release.wait(TIMEOUT * 3)
        connection.read_body(request)
        connection.send(ok(b"%d" % len(request.body)))
        connection.wait_eof()

    origin = start.origin(on_connection=script, rcvbuf=4096)
    sluice = start.sluice(config(origin.address))
    scales = Scales(sluice)
    with sluice.client() as client:
        client.send(build("POST", "/", {"Transfer-Encoding": "chunked"}))
        for _ in range(20000):
            client.send(b"1\r\nx\r\n")
        scales.weigh()
        release.set()
        client.send(b"0\r\n\r\n")
        assert client.response("POST").body == b"20000"


def test_many_idle_connections_are_small(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, pool='acquire_timeout = "60s"'))
    assert sluice.request().status == 200
    before = sluice.rss()
    clients = [sluice.client() for _ in range(500)]
    for client in clients:
        client.send(build())
    assert all(c.response().status == 200 for c in clients)
    grown = sluice.rss() - before
    assert sanitized() or grown < 500 * 128 * 1024, f"{grown / 500 / 1024:.0f} KiB a connection"
    for client in clients:
        client.close()


def test_heads_that_never_end_are_bounded(start):
    """128 KiB a connection at most, however long the client goes on."""
    origin = start.origin()
    sluice = start.sluice(config(origin.address))
    assert sluice.request().status == 200
    scales = Scales(sluice)
    clients = [sluice.client() for _ in range(100)]
    for client in clients:
        client.send(
            b"GET / HTTP/1.1\r\nHost: a.test\r\n" + b"".join(b"X%d: %s\r\n" % (i, b"a" * 8000) for i in range(7))
        )
    grown = sluice.rss() - scales.before
    assert sanitized() or grown < 100 * 128 * 1024, f"{grown / 100 / 1024:.0f} KiB a connection"
    for client in clients:
        client.close()


# ---- bursts ---------------------------------------------------------------------------------------------------------

HEAVY = b"v" * 3900  # a byte each on the wire, once it is in the table of HPACK
STREAMS, REFERENCES = 100, 15


def h2_frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def references():
    """6.9 KB on the wire: 100 requests of 15 references to one field of 3,900 bytes; no window for an answer."""
    rest = len(HEAVY) - 127
    literal = b"\x40\x01x\x7f" + bytes([rest & 127 | 128, rest >> 7]) + HEAVY
    out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + h2_frame(4, 0, 0, b"\x00\x04" + (0).to_bytes(4, "big"))
    for i in range(STREAMS):
        block = b"\x82\x86\x84\x01\x06a.test" + (literal if i == 0 else b"\xbe") + b"\xbe" * (REFERENCES - 1)
        out += h2_frame(1, 5, 2 * i + 1, block)
    return out


def half_a_head():
    return b"GET / HTTP/1.1\r\nHost: a.test\r\n" + b"".join(b"X%d: %s\r\n" % (i, b"a" * 8000) for i in range(7))


def upload():
    return b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n" + b"b" * 200_000


def silent(connection):
    """An origin that reads its request's head, and neither more nor answers."""
    connection.read_head()
    connection.wait_eof()


def send_what_fits(sock, data):
    sock.setblocking(False)
    while data:
        try:
            data = data[sock.send(data) :]
        except BlockingIOError:
            return
        except OSError:  # it was refused
            return


@pytest.mark.skipif(sanitized(), reason="the sanitizer keeps what is freed")
def test_what_a_burst_took_goes_back(start):
    origin = start.origin(on_connection=silent)
    sluice = start.sluice(config(origin.address, protocols=("h2", "http/1.1"), pool='acquire_timeout = "60s"'))
    with sluice.client() as client:  # what is made once is there
        send_what_fits(client.sock, upload())
        origin.wait_heads(1)
    before = sluice.rss()
    clients = [sluice.client() for _ in range(240)]
    kinds = [references(), half_a_head(), upload()]
    for i, client in enumerate(clients):
        send_what_fits(client.sock, kinds[0] if i % 24 == 0 else kinds[1 + i % 2])
    wait_for(lambda: sluice.rss() - before > 20 << 20, what="the burst has come")
    for client in clients:
        client.close()
    wait_for(lambda: sluice.rss() - before < 6 << 20, timeout=TIMEOUT * 2, what="what it took goes back")


def test_many_connections_at_every_limit_stay_near_max_memory_and_go_back(start):
    """All of them are there before the first byte: nobody is turned away at the door."""
    limit = int(os.environ.get("SLUICE_BURST_MIB", "16")) << 20
    count = int(os.environ.get("SLUICE_BURST_CONNECTIONS", "150"))
    origin = start.origin(on_connection=silent)
    text = config(origin.address, protocols=("h2", "http/1.1"), pool='acquire_timeout = "60s"', workers=2)
    sluice = start.sluice(text.replace("[runtime]", f'[runtime]\nmax_memory = "{limit >> 20}MiB"'))
    assert sluice.metric("sluice_memory_limit_bytes") == limit
    before, most = sluice.rss(), 0
    clients = [sluice.client() for _ in range(count)]
    kinds = [half_a_head(), references(), upload()]
    for i, client in enumerate(clients):
        send_what_fits(client.sock, kinds[i % len(kinds)])
        if i % 25 == 0:
            most = max(most, sluice.metric("sluice_memory_held_bytes"))

    def overload():
        nonlocal most
        most = max(most, sluice.metric("sluice_memory_held_bytes"))
        return sluice.metric("sluice_local_replies_total", reason="overloaded")

    wait_for(overload, what="requests are refused")
    grown = sluice.rss() - before
    print(f"held at most {most / (1 << 20):.1f} of {limit >> 20} MiB, the process grew by {grown / (1 << 20):.1f} MiB")
    refused = count * (20 << 10)  # who is refused keeps the chunk it was read into until it is closed
    assert most < limit * 5 / 4 + refused, f"held {most / (1 << 20):.1f} MiB of {limit >> 20}"
    for client in clients:
        client.close()
    sluice.wait_metric(lambda held: held < 8 << 20, "sluice_memory_held_bytes")
    if not sanitized():
        wait_for(lambda: sluice.rss() - before < 16 << 20, timeout=60, what="within 16 MB of its start")


def test_max_memory_is_taken_at_a_reload(start):
    sluice = start.sluice(config(start.origin().address))
    assert sluice.metric("sluice_memory_limit_bytes") > 64 << 20  # auto
    text = config(start.origin().address).replace("[runtime]", '[runtime]\nmax_memory = "64MiB"')
    sluice.reload(text)
    sluice.wait_metric(64 << 20, "sluice_memory_limit_bytes")
