"""Upgrades and the tunnels they make (row 16): WebSocket by Debian's client and server, and raw bytes."""

import asyncio
import base64
import threading

import pytest
import websockets

from harness.base import TIMEOUT, limit
from harness.client import build
from harness.origin import ok
from harness.proxy import config


@pytest.fixture(scope="module")
def echo_websocket(shared):
    """A websockets server of Debian, in a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def handler(socket):
        async for message in socket:
            await socket.send(message)

    async def serve():
        return await websockets.serve(handler, "127.0.0.1", 0, max_size=1 << 22)

    server = asyncio.run_coroutine_threadsafe(serve(), loop).result(TIMEOUT)
    yield "127.0.0.1:%d" % server.sockets[0].getsockname()[1]

    async def end():
        server.close()
        await server.wait_closed()

    asyncio.run_coroutine_threadsafe(end(), loop).result(TIMEOUT)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(TIMEOUT)
    loop.close()


def test_websocket(start, echo_websocket):
    sluice = start.sluice(config(echo_websocket))

    async def talk():
        async with websockets.connect(f"ws://{sluice.address()}/chat", max_size=1 << 22, compression=None) as socket:
            for message in ("hello", b"\0\1\2", "x" * 100000, b"y" * (1 << 20)):
                await socket.send(message)
                assert await asyncio.wait_for(socket.recv(), TIMEOUT) == message
            await socket.ping()
            for i in range(200):
                await socket.send(str(i))
            assert [await asyncio.wait_for(socket.recv(), TIMEOUT) for _ in range(200)] == [str(i) for i in range(200)]

    asyncio.run(talk())
    (line,) = sluice.wait_log_path("/chat")
    assert line["status"] == 101 and line["bytes_in"] > 1 << 20 and line["bytes_out"] > 1 << 20


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(b"0" * 16).decode(),
}


def test_nothing_passes_before_the_101(start):
    """Bytes a client sends too early reach the origin after it agreed, and not before."""
    agreed = threading.Event()

    def script(connection):
        connection.read_head()
        connection.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.sock.recv(1)
        connection.sock.settimeout(TIMEOUT)
        agreed.set()
        connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nserver-first"
        )
        assert connection.read(5) == b"early"
        connection.send(b"bye")
        connection.close()

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        client.send(build(headers=UPGRADE) + b"early")
        answer = client.response()
        assert answer.status == 101 and agreed.is_set()
        assert answer.header("upgrade") == "websocket"
        assert client.read_bytes(15) == b"server-firstbye"
        assert client.ended()


def test_an_upgrade_that_is_refused_is_an_ordinary_answer(start):
    def script(connection):
        while True:
            connection.read_head()
            connection.send(ok(b"plain"))

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        client.send(build(headers=UPGRADE) + b"\x81\x05hello")
        answer = client.response()
        assert (answer.status, answer.body) == (200, b"plain")
    assert b"hello" not in origin.received
    assert sluice.request().status == 200  # in step again, whichever connection it takes


def test_101_for_another_protocol_is_502(start):
    def script(connection):
        connection.read_head()
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
        connection.wait_eof()

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address))
    answer = sluice.request(headers=UPGRADE)
    assert (answer.status, answer.reason) == (502, "bad_response")


@pytest.mark.parametrize(
    "route,headers",
    [
        ("upgrade = []", UPGRADE),
        ("", {**UPGRADE, "Upgrade": "h2c"}),
        ("", {**UPGRADE, "Upgrade": "other"}),
        ("", {"Upgrade": "websocket"}),
    ],
    ids=["route", "h2c", "not-listed", "not-nominated"],
)
def test_upgrades_that_are_not_offered(start, route, headers):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, route=route))
    assert sluice.request(headers=headers).status == 200
    assert not origin.requests[0].all("upgrade")
    assert "upgrade" not in (origin.requests[0].header("connection") or "").lower()


@pytest.mark.parametrize("side", ["client", "origin"])
def test_half_close_of_a_tunnel(start, side):
    done = threading.Event()

    def script(connection):
        connection.read_head()
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        if side == "client":
            connection.wait_eof()
            connection.send(b"after")
        else:
            connection.finish()
            assert connection.read(5) == b"after"
            done.set()

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        client.send(build(headers=UPGRADE))
        assert client.response().status == 101
        if side == "client":
            client.finish()
            assert client.read_bytes(5) == b"after"
        else:
            assert client.ended()
            client.send(b"after")
            assert done.wait(TIMEOUT)


def test_upgraded_connections_leave_the_pool_count(start):
    """After a 101 a connection counts for max_tunnels, not for max_connections; above that it keeps its place in the
    pool."""

    def script(connection):
        while True:
            request = connection.read_request()
            if request.all("upgrade"):
                connection.send(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                )
                connection.wait_eof()
                return
            connection.send(ok())

    origin = start.origin(on_connection=script)
    sluice = start.sluice(
        config(origin.address, pool=f'max_connections = 1\nmax_tunnels = 2\nacquire_timeout = "{limit(0.5)}"')
    )
    clients = [sluice.client() for _ in range(2)]
    for client in clients:
        client.send(build(headers=UPGRADE))
        assert client.response().status == 101
    assert sluice.request().status == 200
    clients.append(sluice.client())
    clients[2].send(build(headers=UPGRADE))
    assert clients[2].response().status == 101
    assert sluice.request().reason == "pool_timeout"
    for client in clients:
        client.close()
