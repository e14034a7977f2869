"""Chaotic HTTP/1 clients: requests one after the other or pipelined, bodies that lie, upgrades, PROXY headers, answers
read slowly or never."""

import asyncio
import contextlib
import struct

import http1
import parts
from wire import Over, let_go

BODY_MOST = 200_000


def request(dice):
    """The bytes of one request, (head, body) apart, so that a client can wait between them."""
    method = dice.one(*parts.METHODS)
    host, target = parts.where(dice)
    pairs = [("host", host), *(parts.bad_fields(dice) if dice.rude() else parts.fields(dice))]
    version = "HTTP/1.1" if dice.chance(0.9) else "HTTP/1.0"
    body = b""
    if dice.rude():
        version = dice.one("HTTP/1.1", "HTTP/2.0", "HTTP/0.9", "HTTP/1.10", "http/1.1", "")
        target = dice.one(
            target, "*", "", "http://one.test/", "https://one.test/x", "one.test:80", "/a b", "/\x00", "/" + "z" * 20000
        )
        method = dice.one(method, "CONNECT", "get", "G@T", "", "PRI", "M" * 5000)
    if dice.chance(0.1):
        pairs.append(("expect", "100-continue"))
    if dice.chance(0.1):
        pairs += [("connection", dice.one("close", "keep-alive", "close, x-a"))]
    if method in ("POST", "PUT", "PATCH") or dice.rude():
        body = dice.bytes(dice.size(BODY_MOST))
        pairs, body = http1.framed(dice, pairs, body)
    return http1.head(dice, f"{method} {target} {version}", pairs), body


def upgrade(dice):
    key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    host, target = parts.where(dice)
    pairs = [
        ("host", host),
        ("connection", "upgrade"),
        ("upgrade", dice.one("websocket", "websocket", "h2c", "other, websocket")),
        ("sec-websocket-version", "13"),
        key,
    ]
    return http1.head(dice, f"GET {target} HTTP/1.1", pairs), dice.bytes(dice.size(2000)) if dice.rude() else b""


def proxy_header(dice):
    """What HAProxy puts in front, v1 or v2; rude: none of it is true."""
    if dice.rude():
        return dice.one(
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n",
            b"PROXY " + b"x" * 200,
            b"PROXY UNKNOWN\n",
            b"\r\n\r\n\0\r\nQUIT\n" + dice.bytes(20),
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff" + dice.bytes(2000),
            dice.bytes(40),
            b"",
            b"PROXY TCP4 1.2.3.4",
        )
    v2 = b"\r\n\r\n\0\r\nQUIT\n"
    tlv = b"\x04" + struct.pack(">H", 30) + b"\0" * 30 if dice.chance(0.3) else b""
    return dice.one(
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1000 80\r\n",
        b"PROXY TCP6 ::1 ::2 1000 80\r\n",
        b"PROXY UNKNOWN\r\n",
        v2 + b"\x21\x11" + struct.pack(">H", 12 + len(tlv)) + bytes([10, 0, 0, 1, 10, 0, 0, 2, 4, 0, 0, 80]) + tlv,
        v2 + b"\x20\x00\0\0",
    )


async def read(wire, manner):
    """Takes answers as this client does: at once, by drops, or not at all."""
    if manner == "never":
        return
    with contextlib.suppress(Over):
        while await wire.recv(1 << 16 if manner == "eager" else 200):
            if manner == "slow":
                await asyncio.sleep(0.01)


async def script(wire):
    dice = wire.dice
    manner = dice.one("eager", "eager", "eager", "slow", "never")
    dice.say(f"reads: {manner}, rudeness {dice.rudeness}")
    reader = asyncio.get_running_loop().create_task(read(wire, manner))
    try:
        for _ in range(dice.between(1, 12)):
            head, body = upgrade(dice) if dice.chance(0.08) else request(dice)
            dice.say(f"{head[:90]!r} + {len(body)}")
            dice.count("requests")
            if dice.rude():
                await wire.send((head + body)[: dice.between(0, len(head) + len(body))])
                await wire.stall(3)
                break
            if dice.chance(0.6):
                await wire.send(head + body)
            else:
                await wire.send(head)
                await wire.stall(0.3)
                await wire.send(body)
            if dice.chance(0.7):
                before = wire.received
                for _ in range(20):  # an answer begins, or does not
                    await asyncio.sleep(0.01)
                    if wire.received > before or reader.done():
                        break
            if dice.chance(0.1):
                wire.fin()
                await wire.stall()
                break
            if reader.done() and manner != "never":
                break
        await wire.stall(0.5)
        await wire.end()
    finally:
        await let_go(reader)
