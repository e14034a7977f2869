"""WebSocket over HTTP/2 (RFC 8441): extended CONNECT by python3-h2, frames and a server by python3-websockets."""

import asyncio
import os
import signal
import threading

import h2.settings
import pytest
import websockets
from websockets.frames import Opcode

from harness.base import TIMEOUT, limit
from harness.h2 import CANCEL, H2Client
from harness.origin import ok
from harness.proxy import config

try:
    from websockets.protocol import OPEN, Protocol, Side
except ImportError:  # before websockets 11 (Debian 12)
    from websockets.connection import OPEN, Side
    from websockets.connection import Connection as Protocol

BOTH = ("h2", "http/1.1")
CONNECT = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL
UPGRADE_H1 = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"


class Tunnel:
    """A WebSocket on a stream of an HTTP/2 connection."""

    def __init__(self, client, path="/chat", protocol="websocket", more=()):
        self.client = client
        self.stream = client.start(
            path, "CONNECT", [(":protocol", protocol), ("sec-websocket-version", "13"), *more], end=False
        )
        self.seen = client.streams[self.stream]
        self.frames = Protocol(Side.CLIENT, state=OPEN, max_size=1 << 22)
        self.read = 0

    def open(self):
        self.client.until(lambda: self.seen.status or self.seen.over, "an answer to CONNECT")
        return self.seen.status

    def flush(self):
        for data in self.frames.data_to_send():
            if data:
                self.client.send_body(self.stream, data, end=False)

    def receive(self):
        """The next frame."""
        got = []

        def news():
            new = bytes(self.seen.body[self.read :])
            self.read += len(new)
            if new:
                self.frames.receive_data(new)
            got.extend(self.frames.events_received())
            return got

        self.client.until(news, "a frame")
        self.flush()  # a pong, or the answer to a close
        assert len(got) == 1, got
        return got[0]

    def message(self):
        """The next message, put together."""
        frame = self.receive()
        data = frame.data
        while not frame.fin:
            frame = self.receive()
            data += frame.data
        return data

    def close(self):
        """Our close frame, the server's, and the end of both directions."""
        self.frames.send_close(1000, "done")
        self.flush()
        assert self.receive().opcode is Opcode.CLOSE
        self.client.send_body(self.stream, b"", end=True)
        self.client.until(lambda: self.seen.over, "the end of the stream")
        assert self.seen.ended and self.seen.code is None


class Server:
    """A server of Debian's python3-websockets in a loop of its own: echoes; "close me" is answered by a close."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.closed = []
        self.server = self.run(self.serve())

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(TIMEOUT)

    async def serve(self):
        return await websockets.serve(self.handle, "127.0.0.1", 0, max_size=1 << 22, compression=None)

    async def handle(self, socket, *_):
        try:
            async for message in socket:
                if message == "close me":
                    await socket.close(1001, "going")
                    break
                await socket.send(message)
        except websockets.ConnectionClosed:
            pass
        self.closed.append(socket.close_code)

    @property
    def address(self):
        return "127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        async def end():
            self.server.close()
            await self.server.wait_closed()

        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(TIMEOUT)
        self.loop.close()


@pytest.fixture(scope="module")
def echo():
    with Server() as server:
        yield server


def echo_h2(connection, stream, seen):
    """An origin of HTTP/2: agrees to the CONNECT and echoes messages."""
    assert seen.header(":method") == "CONNECT" and seen.header(":protocol") == "websocket", seen.headers
    assert seen.header("sec-websocket-key") is None
    frames = Protocol(Side.SERVER, state=OPEN, max_size=1 << 22)
    read = [0]
    connection.respond(stream, 200, b"", end=False)
    before = connection.handle

    def handle(event):
        before(event)
        new = bytes(seen.body[read[0] :])
        read[0] += len(new)
        if new:
            frames.receive_data(new)
        for frame in frames.events_received():
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                (frames.send_text if frame.opcode is Opcode.TEXT else frames.send_binary)(frame.data, frame.fin)
        for data in frames.data_to_send():
            connection.send_body(stream, data, end=data == b"")

    connection.handle = handle


def talk(tunnel):
    assert tunnel.open() == 200
    frames = tunnel.frames
    for text in (b"hello", "größer".encode()):
        frames.send_text(text)
        tunnel.flush()
        assert tunnel.message() == text
    frames.send_binary(bytes(range(256)))
    tunnel.flush()
    assert tunnel.message() == bytes(range(256))
    big = os.urandom(1 << 20)
    frames.send_binary(big)
    tunnel.flush()
    assert tunnel.message() == big
    frames.send_ping(b"are you there")
    tunnel.flush()
    pong = tunnel.receive()
    assert (pong.opcode, pong.data) == (Opcode.PONG, b"are you there")


def test_messages_to_a_server_of_http1(start, echo):
    sluice = start.sluice(config(echo.address, protocols=BOTH))
    with H2Client(sluice.address()) as client:
        assert client.h2.remote_settings.enable_connect_protocol == 1
        tunnel = Tunnel(client)
        talk(tunnel)
        tunnel.frames.send_text(b"in ", fin=False)
        tunnel.frames.send_continuation(b"three ", fin=False)
        tunnel.flush()
        tunnel.frames.send_continuation(b"parts", fin=True)
        tunnel.flush()
        assert tunnel.message() == b"in three parts"
        tunnel.close()
    (line,) = sluice.wait_log_path("/chat")
    assert line["bytes_in"] > 1 << 20 and line["bytes_out"] > 1 << 20


def test_many_tunnels_on_one_connection(start, echo):
    sluice = start.sluice(config(echo.address, protocols=BOTH))
    with H2Client(sluice.address()) as client:
        tunnels = [Tunnel(client) for _ in range(20)]
        assert [t.open() for t in tunnels] == [200] * 20
        for i, tunnel in enumerate(tunnels):
            tunnel.frames.send_text(b"%d" % i)
            tunnel.flush()
        assert [t.message() for t in tunnels] == [b"%d" % i for i in range(20)]
        for tunnel in tunnels:
            tunnel.close()


def test_tunnels_with_large_heads_which_are_not_kept(start, echo):
    """A connection holds 1 MiB of heads at once: these are more."""
    sluice = start.sluice(config(echo.address, protocols=BOTH))
    with H2Client(sluice.address()) as client:
        tunnels = []
        for _ in range(60):
            tunnels.append(Tunnel(client, more=[(f"x-{i}", "v" * 3500) for i in range(8)]))
            assert tunnels[-1].open() == 200
        for tunnel in (tunnels[0], tunnels[-1]):
            talk(tunnel)
            tunnel.close()


def test_the_server_closes(start, echo):
    sluice = start.sluice(config(echo.address, protocols=BOTH))
    with H2Client(sluice.address()) as client:
        tunnel = Tunnel(client)
        assert tunnel.open() == 200
        tunnel.frames.send_text(b"close me")
        tunnel.flush()
        close = tunnel.receive()
        assert close.opcode is Opcode.CLOSE and close.data[:2] == (1001).to_bytes(2, "big")
        client.until(lambda: tunnel.seen.over, "the end of the stream")
        assert tunnel.seen.ended


def test_a_client_that_resets_the_stream_takes_the_server_along(start):
    with Server() as server:
        sluice = start.sluice(config(server.address, protocols=BOTH))
        with H2Client(sluice.address()) as client:
            tunnel = Tunnel(client)
            assert tunnel.open() == 200
            client.rst(tunnel.stream, CANCEL)
            sluice.wait_metric(0, "sluice_upstream_connections", state="tunnel")
            other = Tunnel(client)  # the connection is of use
            talk(other)
            other.close()


@pytest.mark.parametrize("client_speaks", ["h1", "h2"])
def test_an_origin_of_http2(start, client_speaks):
    origin = start.h2_origin(on_head=echo_h2, settings={CONNECT: 1})
    sluice = start.sluice(config(origin.address, protocols=BOTH, upstream='protocol = "h2"'))
    if client_speaks == "h2":
        with H2Client(sluice.address()) as client:
            tunnel = Tunnel(client)
            talk(tunnel)
            tunnel.close()
        return

    async def exchange():
        async with websockets.connect(f"ws://{sluice.address()}/chat", max_size=1 << 22, compression=None) as socket:
            for message in ("hello", b"\0\1\2", os.urandom(1 << 20)):
                await socket.send(message)
                assert await asyncio.wait_for(socket.recv(), TIMEOUT) == message
            await asyncio.wait_for(await socket.ping(), TIMEOUT)
        assert socket.close_code == 1000

    asyncio.run(exchange())


@pytest.mark.parametrize("side", ["client", "origin"])
def test_half_close(start, side):
    done = threading.Event()

    def script(connection):
        request = connection.read_head()
        connection.send(UPGRADE_H1 + accept_line(request) + b"\r\n")
        if side == "client":
            connection.wait_eof()
            connection.send(b"after")
            connection.close()
        else:
            connection.finish()
            assert connection.read(5) == b"after"
            done.set()

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address, protocols=BOTH))
    with H2Client(sluice.address()) as client:
        tunnel = Tunnel(client)
        assert tunnel.open() == 200
        if side == "client":
            client.send_body(tunnel.stream, b"", end=True)
            client.until(lambda: tunnel.seen.over, "the end")
            assert tunnel.seen.body == b"after" and tunnel.seen.ended
        else:
            client.until(lambda: tunnel.seen.ended, "the origin's end")
            client.send_body(tunnel.stream, b"after", end=True)
            assert done.wait(TIMEOUT)


def accept_line(request):
    from websockets.utils import accept_key

    return b"Sec-WebSocket-Accept: " + accept_key(request.header("sec-websocket-key")).encode() + b"\r\n"


def test_a_tunnel_goes_on_through_drain(start, echo):
    sluice = start.sluice(config(echo.address, protocols=BOTH, deadline="30s"))
    with H2Client(sluice.address()) as client:
        tunnel = Tunnel(client)
        assert tunnel.open() == 200
        sluice.signal(signal.SIGTERM)
        client.until(lambda: client.goaways, "GOAWAY")
        tunnel.frames.send_text(b"still here")
        tunnel.flush()
        assert tunnel.message() == b"still here"
        tunnel.close()
        assert client.ended()
    assert sluice.wait_exit() == 0


def test_tunnels_leave_the_pool_count_up_to_max_tunnels(start):
    def script(connection):
        while True:
            request = connection.read_request()
            if request.all("upgrade"):
                connection.send(UPGRADE_H1 + accept_line(request) + b"\r\n")
                connection.wait_eof()
                return
            connection.send(ok())

    origin = start.origin(on_connection=script)
    sluice = start.sluice(
        config(
            origin.address,
            protocols=BOTH,
            pool=f'max_connections = 1\nmax_tunnels = 2\nacquire_timeout = "{limit(0.5)}"',
        )
    )
    with H2Client(sluice.address()) as client:
        for _ in range(2):
            assert Tunnel(client).open() == 200
        assert client.request().status == 200
        assert Tunnel(client).open() == 200
        answer = client.request()
        assert (answer.status, answer.header("x-sluice-reason")) == (503, "pool_timeout")


@pytest.mark.parametrize("route,protocol", [("upgrade = []", "websocket"), ("", "other")])
def test_a_protocol_that_is_not_offered(start, route, protocol):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, route=route, protocols=BOTH))
    with H2Client(sluice.address()) as client:
        tunnel = Tunnel(client, protocol=protocol)
        assert tunnel.open() == 501
        assert not origin.requests
        assert client.request().status == 200
