"""Chaotic HTTP/2 clients: many streams, resets, floods, windows that open and close, heads that are lies, WebSockets
by extended CONNECT."""

import asyncio
import struct

import http2
import parts
from harness.h2 import PREFACE
from http2 import DATA, END_STREAM, HEADERS, PRIORITY_UPDATE, RST_STREAM, SETTINGS, frame
from wire import let_go

BODY_MOST = 150_000


def head(dice):
    scheme, method = dice.one("http", "https"), dice.one(*parts.METHODS)
    host, path = parts.where(dice)
    pairs = [(":method", method), (":scheme", scheme), (":authority", host), (":path", path)]
    if dice.chance(0.08):
        pairs[0] = (":method", "CONNECT")
        pairs.append((":protocol", dice.one("websocket", "websocket", "other")))
    more = [(n, v) for n, v in parts.fields(dice) if n != "te" or v == "trailers"]
    if dice.chance(0.1):
        more += [
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-timeout", dice.one("100m", "1S", "1n", "99999999H")),
        ]
    if dice.rude():
        dice.random.shuffle(pairs)
        pairs = pairs[dice.one(0, 0, 1) :] + dice.one(
            [],
            [(":path", "/twice")],
            [(":status", "200")],
            [(":bogus", "x")],
            [("Upper", "x")],
            [("host", "other.test")],
        )
        more = parts.bad_fields(dice) + dice.one([], [(":late", "x")])
        if dice.chance(0.2):
            more += [("cookie", "c" * 3900)] * dice.between(2, 60)  # one entry of the table, many times
    return method, pairs + more


async def request(peer):
    dice = peer.dice
    if sum(not s.over for s in peer.streams.values()) >= peer.max_streams and not dice.rude():
        return
    number, peer.next_id = peer.next_id, peer.next_id + dice.one(2, 2, 2, 4)
    method, pairs = head(dice)
    body = dice.bytes(dice.size(BODY_MOST)) if method in ("POST", "PUT", "PATCH") or dice.chance(0.1) else b""
    if body and dice.chance(0.5):
        pairs.append(
            ("content-length", str(dice.one(0, 1, len(body) - 1, len(body) + 1) if dice.rude() else len(body)))
        )
    peer.streams[number] = http2.Stream(peer.initial)
    dice.count("requests")
    dice.say(
        f"  stream {number} {dict(pairs).get(':method')} {dict(pairs).get(':authority')} "
        f"{dict(pairs).get(':path', '')[:40]} + {len(body)}"
    )
    trailers = parts.trailers(dice) if body and dice.chance(0.2) else []
    await peer.wire.send(peer.headers_bytes(number, pairs, end=not body))
    left = await peer.data(number, body, end=not trailers)
    if not left and trailers:
        await peer.wire.send(peer.headers_bytes(number, trailers, end=True))
    elif left and dice.chance(0.5):
        peer.unsent[number] = left


async def burst(peer):
    for _ in range(peer.dice.between(2, 20)):
        await request(peer)


async def more_body(peer):
    for number, left in list(peer.unsent.items()):
        peer.unsent[number] = await peer.data(number, left, end=True)
        if not peer.unsent[number]:
            del peer.unsent[number]


async def half_close(peer):
    number = http2.some_stream(peer)
    if number in peer.unsent:
        del peer.unsent[number]
        await peer.put(DATA, END_STREAM, number)


async def reprioritise(peer):
    await peer.put(
        PRIORITY_UPDATE,
        0,
        0,
        struct.pack(">I", http2.some_stream(peer)) + peer.dice.one(b"u=0", b"u=7, i", b"i", b"", b"u=3, i=?0"),
    )


async def patience(peer):
    for _ in range(20):
        await asyncio.sleep(0.02)
        if all(s.over for s in peer.streams.values()):
            break


async def rapid_reset(peer):
    dice = peer.dice
    host, path = parts.where(dice)
    for _ in range(dice.one(5, 50, 300)):
        number, peer.next_id = peer.next_id, peer.next_id + 2
        head_bytes = peer.headers_bytes(
            number, [(":method", "GET"), (":scheme", "http"), (":authority", host), (":path", path)], end=True
        )
        dice.count("requests")
        await peer.wire.send(head_bytes + frame(RST_STREAM, 0, number, struct.pack(">I", 8)))


async def over_the_limit(peer):
    """More DATA than the window, or on a stream that has ended."""
    await peer.put(DATA, 0, http2.some_stream(peer), bytes(16384))
    await peer.wire.send(frame(DATA, 0, http2.some_stream(peer), bytes(16384)) * peer.dice.between(1, 60))


async def again(peer):
    """HEADERS on a stream that is open, ended, even, or lower than one before."""
    number = peer.dice.one(1, 2, http2.some_stream(peer), max(1, peer.next_id - 4))
    await peer.wire.send(peer.headers_bytes(number, head(peer.dice)[1], end=peer.dice.chance(0.5)))


async def crowd(wire):
    """A client that breaks no rule and asks for much at once, so that limits bind behind the proxy: pools fill, queues
    form."""
    dice = wire.dice
    dice.rudeness = 0
    peer = http2.Peer(wire, client_side=True)
    peer.gives_credit = True
    await wire.send(PREFACE + frame(SETTINGS))
    reader = asyncio.get_running_loop().create_task(peer.read_frames())
    host, path = parts.where(dice)
    try:
        for _ in range(dice.between(1, 12)):
            room = peer.max_streams - sum(not s.over for s in peer.streams.values())
            out, asked = b"", max(0, min(room, dice.one(5, 20, 60)))
            for _ in range(asked):
                number, peer.next_id = peer.next_id, peer.next_id + 2
                peer.streams[number] = http2.Stream(peer.initial)
                out += peer.headers_bytes(
                    number, [(":method", "GET"), (":scheme", "http"), (":authority", host), (":path", path)], end=True
                )
            dice.count("requests", asked)
            dice.say(f"asks {host} for {asked}")
            await wire.send(out)
            await patience(peer)
            if peer.gone or reader.done():
                break
        await wire.end()
    finally:
        await let_go(reader)


LEGAL = [request] * 6 + [
    burst,
    burst,
    more_body,
    more_body,
    half_close,
    reprioritise,
    patience,
    patience,
    *http2.SHARED_LEGAL,
]
ILLEGAL = [rapid_reset, rapid_reset, over_the_limit, again, *http2.SHARED_ILLEGAL]


async def script(wire):
    dice = wire.dice
    peer = http2.Peer(wire, client_side=True)
    peer.unsent = {}
    if dice.rude():
        await wire.send(
            dice.one(
                PREFACE[: dice.between(0, 23)],
                b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
                PREFACE + frame(HEADERS, 5, 1, b"\x82"),
                PREFACE * 2,
            )
        )
        await wire.stall(2)
        return await wire.end()
    await wire.send(PREFACE + frame(SETTINGS, 0, 0, peer.settings_payload()))
    reader = asyncio.get_running_loop().create_task(peer.read_frames())
    try:
        for _ in range(dice.between(1, 60)):
            if reader.done() or peer.gone:
                break
            await dice.act(LEGAL, ILLEGAL)(peer)
            await asyncio.sleep(dice.seconds(0.05))
        await wire.end()
    finally:
        await let_go(reader)
