"""What chaotic HTTP/2 clients and origins share: frames as they like, and a light idea of the other side's windows, so
that what is meant to be legal is."""

import struct

import hpack

from harness.h2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,  # noqa: F401
    WINDOW_UPDATE,
    frame,
)
from wire import Over

PRIORITY_UPDATE = 0x10
TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, MAX_HEADER_LIST, CONNECT_PROTOCOL = 1, 2, 3, 4, 5, 6, 8
WINDOW_MAX = (1 << 31) - 1


class Stream:
    def __init__(self, window):
        self.window = window  # what we may send
        self.ended = False  # by us
        self.over = False  # by them, or reset


class Peer:
    """Frames in and out over a wire. on_headers, on_end: upcalls of the reader, may be None."""

    def __init__(self, wire, client_side):
        self.wire, self.dice, self.client_side = wire, wire.dice, client_side
        self.encoder = hpack.Encoder()
        self.streams = {}
        self.window = 65535
        self.initial = 65535
        self.max_frame = 16384
        self.max_streams = 100
        self.acks_settings = not self.dice.rude() or self.dice.chance(0.5)
        self.gives_credit = self.dice.chance(0.85)
        self.gone = False  # they sent GOAWAY, or left
        self.goaway_code = None
        self.on_headers = None
        self.next_id = 1 if client_side else 2

    # --- sending ---------------------------------------------------------------------------------
    async def put(self, kind, flags=0, stream=0, payload=b""):
        await self.wire.send(frame(kind, flags, stream, payload))

    def settings_payload(self):
        dice = self.dice
        pairs = [
            (MAX_STREAMS, dice.one(0, 1, 1, 2, 10, 100, 1000, 0xFFFFFFFF)),
            (INITIAL_WINDOW, dice.one(0, 1, 100, 65535, 65535, 1 << 20, WINDOW_MAX)),
            (TABLE_SIZE, dice.one(0, 1, 64, 4096, 65536)),
            (MAX_FRAME, dice.one(16384, 16385, 1 << 20, (1 << 24) - 1)),
            (MAX_HEADER_LIST, dice.one(0, 100, 8192, 65536, 0xFFFFFFFF)),
            (0x77, dice.between(0, 1000)),
        ]
        if not self.client_side:
            pairs.append((CONNECT_PROTOCOL, 1))
        dice.random.shuffle(pairs)
        pairs = pairs[: dice.between(0, 3)]
        if dice.rude():
            pairs.append(
                dice.one(
                    (INITIAL_WINDOW, 1 << 31),
                    (ENABLE_PUSH, 2),
                    (MAX_FRAME, 1),
                    (MAX_FRAME, 1 << 24),
                    (CONNECT_PROTOCOL, 7),
                    (ENABLE_PUSH, 1),
                )
            )
        dice.say(f"  SETTINGS {pairs}")
        return b"".join(struct.pack(">HI", code, value) for code, value in pairs)

    async def settings(self):
        await self.put(SETTINGS, 0, 0, self.settings_payload())

    def headers_bytes(self, stream, pairs, end=False):
        """HEADERS, sometimes with CONTINUATIONs and padding."""
        dice = self.dice
        block = self.encoder.encode(
            [(n.encode("utf-8", "replace"), v.encode("utf-8", "replace")) for n, v in pairs], huffman=dice.chance(0.5)
        )
        flags = END_STREAM if end else 0
        limit = min(self.max_frame, 16384)
        if len(block) <= limit - 300 and dice.chance(0.85):
            pad = dice.between(0, 255) if dice.chance(0.1) else None
            payload = block if pad is None else bytes([pad]) + block + bytes(pad)
            return frame(HEADERS, flags | END_HEADERS | (0 if pad is None else PADDED), stream, payload)
        cuts = [block[i : i + limit] for i in range(0, len(block), limit)] or [b""]
        if len(block) < 1000 and dice.chance(0.7):
            cut = dice.between(0, len(block))
            cuts = [block[:cut], block[cut:]]
        out = frame(HEADERS, flags | (END_HEADERS if len(cuts) == 1 else 0), stream, cuts[0])
        for i, cut in enumerate(cuts[1:], 2):
            out += frame(CONTINUATION, END_HEADERS if i == len(cuts) else 0, stream, cut)
        return out

    async def data(self, number, data, end):
        """As much as the windows allow right now; returns what is left."""
        stream = self.streams.get(number)
        while data and stream and not stream.over and not self.gone:
            n = min(len(data), self.max_frame, self.window, stream.window, 16384)
            if n <= 0:
                return data
            last = end and n == len(data)
            stream.window -= n
            self.window -= n
            pad = self.dice.between(0, 255) if self.dice.chance(0.05) else None
            if pad is not None and min(self.window, stream.window) > pad + 1 and n + pad < 16383:
                stream.window -= pad + 1
                self.window -= pad + 1
                await self.put(DATA, PADDED | (END_STREAM if last else 0), number, bytes([pad]) + data[:n] + bytes(pad))
            else:
                await self.put(DATA, END_STREAM if last else 0, number, data[:n])
            stream.ended = stream.ended or last
            data = data[n:]
        return data

    # --- receiving -------------------------------------------------------------------------------
    async def read_frames(self):
        """Reads for ever; what comes changes the state. Raises Over at the end."""
        held = b""
        while True:
            while len(held) >= 9:
                size = int.from_bytes(held[:3], "big")
                if len(held) < 9 + size:
                    break
                kind, flags, number = held[3], held[4], int.from_bytes(held[5:9], "big") & WINDOW_MAX
                payload, held = held[9 : 9 + size], held[9 + size :]
                await self.take(kind, flags, number, payload)
            data = await self.wire.recv(patience=8.0)
            if not data:
                self.gone = True
                raise Over("they left")
            held += data

    async def take(self, kind, flags, number, payload):
        if kind == SETTINGS and not flags & ACK:
            for i in range(0, len(payload) - 5, 6):
                self.take_setting(*struct.unpack(">HI", payload[i : i + 6]))
            if self.acks_settings:
                await self.put(SETTINGS, ACK)
        elif kind == PING and not flags & ACK:
            if not self.dice.rude():
                await self.put(PING, ACK, 0, payload)
        elif kind == WINDOW_UPDATE:
            n = int.from_bytes(payload[:4], "big") & WINDOW_MAX
            if not number:
                self.window += n
            elif number in self.streams:
                self.streams[number].window += n
        elif kind == DATA:
            if payload and self.gives_credit:
                await self.put(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(payload)))
                if not flags & END_STREAM:
                    await self.put(WINDOW_UPDATE, 0, number, struct.pack(">I", len(payload)))
        elif kind == RST_STREAM and number in self.streams:
            self.streams[number].over = True
        elif kind == GOAWAY:
            self.gone, self.goaway_code = True, int.from_bytes(payload[4:8], "big")
            self.dice.say(f"  got GOAWAY {self.goaway_code} {payload[8:80]!r}")
        if kind == HEADERS and self.on_headers:
            self.on_headers(number, flags, payload)
        if kind in (HEADERS, DATA) and flags & END_STREAM and number in self.streams:
            self.streams[number].over = self.client_side

    def take_setting(self, code, value):
        if code == INITIAL_WINDOW:
            for stream in self.streams.values():
                stream.window += value - self.initial
            self.initial = value
        elif code == MAX_FRAME:
            self.max_frame = value
        elif code == MAX_STREAMS:
            self.max_streams = value
        elif code == TABLE_SIZE:
            self.encoder.header_table_size = min(value, 4096)


# --- acts of either side: each gets the peer ------------------------------------------------------------
def some_stream(peer):
    live = [n for n, s in peer.streams.items() if not s.over]
    return peer.dice.one(*live) if live else 1


async def change_settings(peer):
    await peer.settings()


async def settings_back_and_forth(peer):
    for _ in range(peer.dice.between(2, 6)):
        await peer.put(
            SETTINGS,
            0,
            0,
            struct.pack(">HI", INITIAL_WINDOW, peer.dice.one(0, 1, 65535, 1 << 20))
            + struct.pack(">HI", TABLE_SIZE, peer.dice.one(0, 100, 4096)),
        )


async def credit(peer):
    number = some_stream(peer)
    await peer.put(
        WINDOW_UPDATE,
        0,
        peer.dice.one(0, number if number in peer.streams else 0),
        struct.pack(">I", peer.dice.one(1, 100, 65535, 1 << 20)),
    )


async def ping(peer):
    await peer.put(PING, 0, 0, peer.dice.bytes(8))


async def cancel(peer):
    number = some_stream(peer)
    if number in peer.streams:
        peer.streams[number].over = True
        await peer.put(RST_STREAM, 0, number, struct.pack(">I", peer.dice.one(0, 2, 5, 7, 8, 11, 13, 99)))


async def stall(peer):
    await peer.wire.stall()


async def unknown(peer):
    await peer.put(
        peer.dice.between(0x20, 0xFF),
        peer.dice.between(0, 255),
        peer.dice.one(0, some_stream(peer), 77),
        peer.dice.bytes(peer.dice.size(16384)),
    )


async def priority(peer):
    await peer.put(
        PRIORITY,
        0,
        some_stream(peer) + peer.dice.one(0, 2, 100),
        struct.pack(">IB", peer.dice.between(0, 50) * 2 + 1, 7),
    )


# illegal, or legal in small numbers only
async def flood(peer):
    """Many frames of one kind in one write."""
    number, dice = some_stream(peer), peer.dice
    one = dice.one(
        frame(PING, 0, 0, bytes(8)),
        frame(SETTINGS),
        frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 65535)),
        frame(DATA, 0, number),
        frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)),
        frame(WINDOW_UPDATE, 0, number, struct.pack(">I", 1)),
        frame(PRIORITY, 0, number, bytes(4) + b"\1"),
        frame(SETTINGS, ACK),
        frame(PING, ACK, 0, bytes(8)),
        frame(CONTINUATION, 0, number),
        frame(0x55, 0, 0, b"x"),
        frame(DATA, PADDED, number, b"\xff" + bytes(255)),
    )
    await peer.wire.send(one * dice.one(10, 300, 2000, 12000))


async def bad_frame(peer):
    dice, number = peer.dice, some_stream(peer)
    idle = number + 1000
    await peer.wire.send(
        dice.one(
            frame(DATA, 0, 0, b"x"),
            frame(HEADERS, END_HEADERS, 0, b""),
            frame(SETTINGS, 0, 1),
            frame(SETTINGS, 0, 0, b"12345"),
            frame(PING, 0, 0, b"1"),
            frame(PING, 0, 3, bytes(8)),
            frame(WINDOW_UPDATE, 0, 0, bytes(4)),
            frame(WINDOW_UPDATE, 0, number, bytes(4)),
            frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"),
            frame(WINDOW_UPDATE, 0, number, b"\x7f\xff\xff\xff"),
            frame(WINDOW_UPDATE, 0, idle, b"\0\0\0\1"),
            frame(RST_STREAM, 0, idle, bytes(4)),
            frame(RST_STREAM, 0, 0, bytes(4)),
            frame(RST_STREAM, 0, number, bytes(3)),
            frame(DATA, 0, idle, b"x"),
            frame(DATA, PADDED, number, b"\xff"),
            frame(CONTINUATION, END_HEADERS, number, b""),
            frame(GOAWAY, 0, 0, b"1"),
            frame(GOAWAY, 0, 1, bytes(8)),
            frame(PUSH_PROMISE, END_HEADERS, number, struct.pack(">I", 2)),
            frame(HEADERS, END_HEADERS, number, dice.bytes(30)),
            frame(HEADERS, 0, idle, b"") + frame(PING, 0, 0, bytes(8)),
            frame(HEADERS, END_HEADERS, idle + dice.one(0, 1), b"\x3f\xe1\xff\xff\x7f"),
            frame(PRIORITY, 0, number, struct.pack(">IB", number, 1)),
            frame(PRIORITY, 0, 0, bytes(5)),
            b"\xff\xff\xff\0\0\0\0\0\1",
            dice.bytes(dice.size(500)),
            frame(DATA, 0, number, bytes(dice.one(16384, 16385, 30000))),
            frame(SETTINGS, ACK, 0, bytes(6)),
            frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", number) + b"u=9"),
            frame(PRIORITY_UPDATE, 0, 1, b""),
        )
    )


async def torn_frame(peer):
    whole = frame(
        peer.dice.one(DATA, HEADERS, SETTINGS, PING),
        0,
        peer.dice.one(0, some_stream(peer)),
        bytes(peer.dice.between(1, 2000)),
    )
    await peer.wire.send(whole[: peer.dice.between(1, len(whole) - 1)])
    await peer.wire.stall(3)
    raise Over("in the middle of a frame")


async def continuation_flood(peer):
    number = some_stream(peer) if not peer.client_side else peer.next_id
    await peer.wire.send(
        frame(HEADERS, 0, number, peer.encoder.encode([("x", "y")]))
        + frame(CONTINUATION, 0, number, bytes(peer.dice.one(0, 0, 100))) * peer.dice.one(5, 500, 10000)
    )


async def goaway(peer):
    last = peer.dice.one(0, 1, some_stream(peer), WINDOW_MAX)
    for _ in range(peer.dice.one(1, 2)):
        await peer.put(
            GOAWAY, 0, 0, struct.pack(">II", last, peer.dice.one(0, 0, 0, 2, 11)) + b"why" * peer.dice.one(0, 1, 1000)
        )
        if peer.dice.chance(0.5):
            await peer.wire.stall(0.2)
        last = peer.dice.one(last, max(0, last - 2), 0)


SHARED_LEGAL = [
    change_settings,
    settings_back_and_forth,
    credit,
    credit,
    ping,
    cancel,
    cancel,
    stall,
    unknown,
    priority,
]
SHARED_ILLEGAL = [flood, flood, bad_frame, bad_frame, torn_frame, continuation_flood, goaway]
