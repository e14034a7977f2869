"""One connection of a chaotic peer: bytes that may be torn, halves that may be closed, TLS by hand so that its records
can be torn too.

Every wait is bounded: a peer that waits for what never comes gives up (Over) and its next life begins.
"""

import asyncio
import contextlib
import socket
import ssl
import struct

PATIENCE = 4.0
TEAR_PAUSE = 0.002


class Over(Exception):
    """This life has ended: the other side left, or patience did."""


class Wire:
    """A non-blocking socket. Belongs to one task that sends and one that reads."""

    def __init__(self, sock, dice):
        self.sock, self.dice, self.tls = sock, dice, None
        self.loop = asyncio.get_running_loop()
        self.sent = self.received = 0
        self.turn = asyncio.Lock()  # what is sent is torn, but never mixed with what the reader answers

    # --- bytes -----------------------------------------------------------------------------------
    async def _bounded(self, what, patience=PATIENCE):
        try:
            async with asyncio.timeout(patience):
                return await what
        except TimeoutError:
            raise Over("patience") from None
        except OSError as error:
            raise Over(type(error).__name__) from None

    async def send_raw(self, data):
        async with self.turn:
            await self._send_pieces(data)

    async def _send_pieces(self, data):
        pieces = self.dice.pieces(data)
        for piece in pieces:
            await self._bounded(self.loop.sock_sendall(self.sock, piece))
            self.sent += len(piece)
            if len(pieces) > 1:
                await asyncio.sleep(self.dice.seconds(TEAR_PAUSE))

    async def send(self, data):
        async with self.turn:
            if self.tls and data:
                try:
                    self.tls.write(data)
                except ssl.SSLError as error:
                    raise Over(str(error)) from None
                data = self.outgoing.read()
            await self._send_pieces(data)

    async def recv_raw(self, size=65536, patience=PATIENCE):
        data = await self._bounded(self.loop.sock_recv(self.sock, size), patience)
        self.received += len(data)
        return data

    async def recv(self, size=65536, patience=PATIENCE):
        """b"" at the end."""
        if not self.tls:
            return await self.recv_raw(size, patience)
        while True:
            try:
                return self.tls.read(size)
            except ssl.SSLWantReadError:
                data = await self.recv_raw(patience=patience)
                if not data:
                    return b""
                self.incoming.write(data)
            except ssl.SSLError as error:
                raise Over(str(error)) from None

    # --- TLS -------------------------------------------------------------------------------------
    async def handshake(self, context, server_side=False, name=None):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(self.incoming, self.outgoing, server_side=server_side, server_hostname=name)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                if self.outgoing.pending:
                    await self.send_raw(self.outgoing.read())
                data = await self.recv_raw()
                if not data:
                    raise Over("the end in the handshake") from None
                self.incoming.write(data)
            except (ssl.SSLError, ValueError) as error:
                raise Over(str(error)) from None
        if self.outgoing.pending:
            await self.send_raw(self.outgoing.read())
        self.tls = tls
        return tls.selected_alpn_protocol()

    # --- ends ------------------------------------------------------------------------------------
    def fin(self):
        self.dice.say("FIN")
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.dice.say("RST")
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.close()

    async def end(self):
        """One of the ways in which connections end."""
        way = self.dice.one("close", "close", "fin", "reset", "stall")
        if self.sock.fileno() < 0:
            return
        if way == "reset":
            self.reset()
        elif way == "fin":
            self.fin()
            with contextlib.suppress(Over):
                while await self.recv(patience=1.0):
                    pass
        elif way == "stall":
            await asyncio.sleep(self.dice.seconds(2))
        self.close()

    async def stall(self, most=1.5):
        pause = self.dice.seconds(most)
        self.dice.say(f"stall {pause:.3f}")
        await asyncio.sleep(pause)


async def connect(address, dice):
    """A connection to HOST:PORT; small buffers now and then, so that writes stall."""
    host, port = address.rsplit(":", 1)
    sock = socket.socket()
    sock.setblocking(False)
    if dice.chance(0.3):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
    except OSError as error:  # TimeoutError is one
        sock.close()
        raise Over(f"connect: {error}") from None
    return Wire(sock, dice)


class Listener:
    """Accepts for a chaotic origin: each connection is a life of its own. script(wire) plays it."""

    def __init__(self, journal, kind, number, script, address="127.0.0.1"):
        self.journal, self.kind, self.number, self.script = journal, kind, number, script
        self.sock = socket.create_server((address, 0), backlog=256)
        self.sock.setblocking(False)
        self.accepted = 0
        self.lives = set()

    @property
    def address(self):
        return "%s:%d" % self.sock.getsockname()[:2]

    async def serve(self):
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self.sock)
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            wire = Wire(sock, self.journal.dice(self.kind, self.number, self.accepted))
            life = loop.create_task(live(wire, self.script))
            self.lives.add(life)
            life.add_done_callback(self.lives.discard)


LIFE_LIMIT = 12.0


async def let_go(reader):
    """Ends the task that reads; unlike awaiting it, this passes on a cancellation of our own."""
    reader.cancel()
    await asyncio.wait([reader])
    if not reader.cancelled():
        reader.exception()  # its end is no news


async def live(wire, script):
    """Plays a script to its end, whatever that is; the socket is closed after it."""
    try:
        async with asyncio.timeout(LIFE_LIMIT):
            await script(wire)
    except Over as over:
        wire.dice.say(f"over: {over}")
    except TimeoutError:
        wire.dice.say("over: lived long enough")
    except OSError as error:
        wire.dice.say(f"over: {error}")
    finally:
        wire.close()
