"""Chaotic HTTP/2 origins: limits that sink below what is open, refusals, GOAWAY, answers before their time or against
the rules."""

import asyncio
import struct

import http2
import parts
from harness.h2 import PREFACE
from http2 import DATA, END_STREAM, GOAWAY, MAX_STREAMS, RST_STREAM, SETTINGS, frame
from wire import Over, let_go

BODY_MOST = 200_000


def open_stream(peer):
    live = [n for n, s in peer.streams.items() if not s.over and not s.ended]
    return peer.dice.one(*live) if live else None


def head(dice):
    pairs = [(":status", dice.one("200", "200", "200", "404", "500", "204", "304", "301", "206"))]
    more = [(n, v) for n, v in parts.fields(dice) if n not in ("te",)]
    if dice.rude():
        pairs = dice.one(
            pairs,
            [],
            [(":status", "20")],
            [(":status", "2000")],
            [(":status", "abc")],
            pairs * 2,
            [(":path", "/")],
            [("x", "y"), *pairs],
            [(":status", "101")],
        )
        more = parts.bad_fields(dice)
    return pairs + more


# --- acts on one stream -----------------------------------------------------------------------------------
async def answer(peer):
    number, dice = open_stream(peer), peer.dice
    if number is None:
        return await http2.stall(peer) if dice.chance(0.1) else await asyncio.sleep(0.02)
    pairs, body = head(dice), dice.bytes(dice.size(BODY_MOST)) if dice.chance(0.8) else b""
    if dict(pairs).get(":status") in ("204", "304") and not dice.rude():
        body = b""
    if body and dice.chance(0.4):
        pairs.append(("content-length", str(dice.one(0, len(body) + 5, len(body) - 1) if dice.rude() else len(body))))
    for _ in range(dice.one(0, 0, 0, 1, 3)):
        await peer.wire.send(peer.headers_bytes(number, [(":status", dice.one("100", "103")), *parts.fields(dice, 2)]))
    trailers = parts.trailers(dice) if dice.chance(0.2) else []
    stream = peer.streams[number]
    stream.ended = not body and not trailers
    await peer.wire.send(peer.headers_bytes(number, pairs, end=stream.ended))
    for _ in range(50):
        body = await peer.data(number, body, end=not trailers)
        if not body or stream.over or peer.gone:
            break
        await asyncio.sleep(0.02)
    if not body and trailers and not stream.over:
        await peer.wire.send(peer.headers_bytes(number, trailers, end=True))
    stream.ended = stream.ended or not body


async def answer_some(peer):
    for _ in range(peer.dice.between(1, 10)):
        await answer(peer)


async def refuse(peer):
    number = open_stream(peer)
    if number is not None:
        peer.streams[number].over = True
        await peer.put(RST_STREAM, 0, number, struct.pack(">I", 7))


async def lower_and_refuse(peer):
    """The limit sinks below what is open, and streams are refused, in one write."""
    out = frame(SETTINGS, 0, 0, struct.pack(">HI", MAX_STREAMS, peer.dice.one(0, 1, 2)))
    live = [n for n, s in peer.streams.items() if not s.over and not s.ended]
    for number in live[: peer.dice.between(0, len(live))]:
        peer.streams[number].over = True
        out += frame(RST_STREAM, 0, number, struct.pack(">I", 7))
    await peer.wire.send(out)


async def gather(peer):
    """Lets streams pile up before it does anything."""
    wanted = peer.dice.between(2, 30)
    for _ in range(40):
        if sum(not s.over and not s.ended for s in peer.streams.values()) >= wanted:
            break
        await asyncio.sleep(0.02)


async def raise_again(peer):
    await peer.put(SETTINGS, 0, 0, struct.pack(">HI", MAX_STREAMS, peer.dice.one(1, 10, 100)))


async def leave(peer):
    """GOAWAY in good order: a warning, the true last one, or all at once; streams are still served."""
    highest = max(peer.streams, default=0)
    if peer.dice.chance(0.5):
        await peer.put(GOAWAY, 0, 0, struct.pack(">II", http2.WINDOW_MAX, 0))
        await peer.wire.stall(0.3)
    await peer.put(GOAWAY, 0, 0, struct.pack(">II", peer.dice.one(highest, max(peer.streams, default=0)), 0))
    for _ in range(10):
        await answer(peer)


async def reset_after_answer(peer):
    number = open_stream(peer)
    if number is not None:
        peer.streams[number].ended = True
        await peer.wire.send(
            peer.headers_bytes(number, [(":status", "200")], end=True) + frame(RST_STREAM, 0, number, bytes(4))
        )


# --- against the rules ------------------------------------------------------------------------------------
async def data_first(peer):
    number = open_stream(peer)
    if number is not None:
        await peer.put(DATA, peer.dice.one(0, END_STREAM), number, b"no head")


async def interim_flood(peer):
    number = open_stream(peer)
    if number is not None:
        for _ in range(peer.dice.between(10, 500)):
            await peer.wire.send(peer.headers_bytes(number, [(":status", "103"), ("link", "x")]))


async def too_much(peer):
    number = open_stream(peer)
    if number is not None:
        await peer.wire.send(
            peer.headers_bytes(number, [(":status", "200")])
            + frame(DATA, 0, number, bytes(16384)) * peer.dice.between(1, 300)
        )


async def body_where_none_is(peer):
    number = open_stream(peer)
    if number is not None:
        await peer.wire.send(
            peer.headers_bytes(number, [(":status", peer.dice.one("204", "304", "205"))])
            + frame(DATA, END_STREAM, number, b"x" * peer.dice.size(5000))
        )
        peer.streams[number].ended = True


async def head_twice(peer):
    number = open_stream(peer)
    if number is not None:
        await peer.wire.send(
            peer.headers_bytes(number, [(":status", "200")])
            + peer.headers_bytes(number, head(peer.dice), end=peer.dice.chance(0.5))
        )


async def ended_twice(peer):
    number = open_stream(peer)
    if number is not None:
        await peer.wire.send(
            peer.headers_bytes(number, [(":status", "200")], end=True) + frame(DATA, END_STREAM, number, b"again")
        )


async def other_stream(peer):
    await peer.wire.send(
        peer.headers_bytes(
            peer.dice.one(2, 0x7FFFFFFE, 0x7FFFFFFF, max(peer.streams, default=1) + 2), [(":status", "200")], end=True
        )
    )


LEGAL = (
    [answer] * 8
    + [answer_some] * 4
    + [gather] * 3
    + [
        refuse,
        lower_and_refuse,
        lower_and_refuse,
        raise_again,
        raise_again,
        leave,
        reset_after_answer,
        *http2.SHARED_LEGAL,
    ]
)
ILLEGAL = [
    data_first,
    interim_flood,
    too_much,
    body_where_none_is,
    head_twice,
    ended_twice,
    other_stream,
    *http2.SHARED_ILLEGAL,
]


async def script(wire, context=None):
    dice = wire.dice
    if context:
        protocol = await wire.handshake(context, server_side=True)
        if protocol != "h2":
            import origins_h1

            return await origins_h1.script(wire)
    peer = http2.Peer(wire, client_side=False)

    def on_headers(number, flags, _):
        if number not in peer.streams:
            dice.count("origin requests")
            peer.streams[number] = http2.Stream(peer.initial)

    peer.on_headers = on_headers
    if dice.chance(0.2):
        await wire.stall(0.5)
    if not dice.rude():
        await wire.send(frame(SETTINGS, 0, 0, peer.settings_payload()))
    held = b""
    while len(held) < len(PREFACE):
        data = await wire.recv(len(PREFACE) - len(held), patience=8.0)
        if not data:
            raise Over("they left")
        held += data
    reader = asyncio.get_running_loop().create_task(peer.read_frames())
    try:
        for _ in range(dice.between(1, 200)):
            if reader.done():
                break
            await dice.act(LEGAL, ILLEGAL)(peer)
            await asyncio.sleep(dice.seconds(0.02))
        await wire.end()
    finally:
        await let_go(reader)
