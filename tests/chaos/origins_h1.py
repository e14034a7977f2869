"""Chaotic HTTP/1 origins: every way to answer, answer wrongly, answer twice, or not to answer."""

import asyncio

import http1
import parts
from wire import Over

BODY_MOST = 300_000
STATUSES = ["200 OK"] * 6 + [
    "404 Not Found",
    "500 Oops",
    "503 Busy",
    "301 Moved",
    "206 Part",
    "426 Upgrade",
    "299 ",
    "599 x",
    "401 Who",
]


def answer(dice, status=None, body=None):
    body = dice.bytes(dice.size(BODY_MOST)) if body is None else body
    pairs = parts.bad_fields(dice) if dice.rude() else parts.fields(dice)
    pairs = [(n, v) for n, v in pairs if dice.rude() or n != "te"]
    pairs, body = http1.framed(dice, pairs, body)
    return http1.head(dice, f"HTTP/1.1 {status or dice.one(*STATUSES)}", pairs) + body


# --- what an origin may do: each gets the wire, True = the connection goes on --------------------------
async def plain(wire):
    await wire.send(answer(wire.dice))
    return True


async def interim(wire):
    dice = wire.dice
    for _ in range(dice.one(1, 2, 5)):
        await wire.send(
            http1.head(
                dice, f"HTTP/1.1 {dice.one('100 Continue', '103 Early Hints', '102 Wait')}", parts.fields(dice, 3)
            )
        )
    return await plain(wire)


async def until_close(wire):
    await wire.send(b"HTTP/1.1 200 OK\r\n\r\n" + wire.dice.bytes(wire.dice.size(BODY_MOST)))
    return False


async def bodiless(wire):
    await wire.send(http1.head(wire.dice, f"HTTP/1.1 {wire.dice.one('204 No', '304 Same')}", parts.fields(wire.dice)))
    return True


async def close_after(wire):
    dice = wire.dice
    await wire.send(answer(dice))
    await asyncio.sleep(dice.one(0, 0.0005, 0.001, 0.002))
    wire.reset() if dice.chance(0.2) else wire.close()
    return False


async def announced_close(wire):
    body = wire.dice.bytes(wire.dice.size(5000))
    await wire.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return False


async def old_version(wire):
    await wire.send(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
    return wire.dice.chance(0.5)


async def stalled(wire):
    data = answer(wire.dice)
    cut = wire.dice.between(0, len(data))
    await wire.send(data[:cut])
    await wire.stall(3)
    await wire.send(data[cut:])
    return True


async def dripped(wire):
    data = answer(wire.dice, body=wire.dice.bytes(wire.dice.size(600)))
    for i in range(0, len(data), 40):
        await wire.send(data[i : i + 40])
        await asyncio.sleep(0.01)
    return True


async def switch(wire):
    """101, asked for or not, then an echo or noise."""
    await wire.send(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )
    for _ in range(wire.dice.between(0, 8)):
        await wire.send(wire.dice.bytes(wire.dice.size(3000)))
        await wire.recv(patience=1.0)
    return False


async def never(wire):
    await wire.stall(6)
    return False


async def broken_off(wire):
    data = answer(wire.dice)
    await wire.send(data[: wire.dice.between(0, len(data))])
    wire.reset() if wire.dice.chance(0.5) else wire.close()
    return False


async def interim_flood(wire):
    one = http1.head(wire.dice, "HTTP/1.1 103 Early Hints", parts.fields(wire.dice, 8))
    for _ in range(wire.dice.between(10, 60)):
        await wire.send_raw(one * 20) if not wire.tls else await wire.send(one * 20)
    return await plain(wire)


async def twice(wire):
    await wire.send(answer(wire.dice) + answer(wire.dice))
    return True


async def stray(wire):
    """Bytes behind an answer that can have none."""
    await wire.send(
        http1.head(wire.dice, f"HTTP/1.1 {wire.dice.one('204 No', '304 Same')}", [("content-length", "5")])
        + wire.dice.bytes(wire.dice.size(50))
    )
    return True


async def noise(wire):
    await wire.send(
        wire.dice.one(
            wire.dice.bytes(wire.dice.size(3000)),
            b"HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 20 x\r\n\r\n",
            b"HTTP/1.1 1000 x\r\n\r\n",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"ICY 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 300,
            b"HTTP/1.1 200 OK\r\nx: " + b"z" * 100_000,
            b"\r\n" * 2000,
            b"HTTP/1.1 200 OK\r\nx:" + b"\r\n " * 20_000,
            b"HTTP/1.1 099 x\r\n\r\n",
            b"HTTP/1.1 101 x\r\n\r\n",
            b"HTTP/1.1 199 x\r\n\r\n" * 3,
        )
    )
    return wire.dice.chance(0.5)


LEGAL = [plain] * 8 + [
    interim,
    until_close,
    bodiless,
    close_after,
    close_after,
    announced_close,
    old_version,
    stalled,
    dripped,
    switch,
    never,
]
ILLEGAL = [broken_off, interim_flood, twice, stray, noise, noise, plain, switch]


class Heads:
    """Finds the ends of request heads, crudely: it need not be right about bodies."""

    def __init__(self, wire):
        self.wire, self.held = wire, b""

    async def next(self, patience):
        while b"\r\n\r\n" not in self.held:
            data = await self.wire.recv(patience=patience)
            if not data:
                raise Over("the proxy left")
            self.held += data
        head, self.held = self.held.split(b"\r\n\r\n", 1)
        return head

    async def rest(self):
        """Reads what comes of a body for a moment, or lets it be (an early answer)."""
        try:
            self.held += await self.wire.recv(patience=0.2)
        except Over as over:
            if str(over) != "patience":
                raise
        self.held = self.held[-100_000:]


async def script(wire, context=None):
    dice = wire.dice
    if context:
        protocol = await wire.handshake(context, server_side=True)
        dice.say(f"tls {protocol}")
    if dice.rude() and dice.chance(0.3):
        dice.say("speaks first")
        await wire.send(answer(dice))
    if dice.rude() and dice.chance(0.3):
        return await wire.end()
    heads = Heads(wire)
    for _ in range(dice.between(1, 40)):
        head = await heads.next(patience=10.0)
        dice.count("origin requests")
        dice.say(f"got {head[:60]!r}")
        if (
            b"content-length: 0" not in head.lower()
            and (b"content-length" in head.lower() or b"chunked" in head.lower())
            and dice.chance(0.8)
        ):
            await heads.rest()
            if b"chunked" in head.lower():
                heads.held = b""
        if not await dice.act(LEGAL, ILLEGAL)(wire):
            break
    await wire.end()
