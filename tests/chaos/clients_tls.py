"""Chaotic TLS clients: handshakes that stop half way, records that are torn, bytes that are no TLS, tickets, and good
ones that go on as HTTP/1 or HTTP/2."""

import ssl
import struct

import clients_h1
import clients_h2
from wire import Over


def client_context(alpn, dice):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    if dice.chance(0.2):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


async def half_handshake(wire, context):
    """The hello, or a part of it, then silence, an alert or noise."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="one.test")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello, dice = outgoing.read(), wire.dice
    await wire.send_raw(
        dice.one(
            hello[: dice.between(1, len(hello))],
            hello + dice.bytes(100),
            hello + hello,
            hello + b"\x15\x03\x03\0\2\1\0",
            hello + b"\x14\x03\x03\0\1\1" * 50,
            dice.bytes(200),
            b"\x16\x03\x01\xff\xff" + bytes(500),
            b"\x16\x03\x01\0\1" + hello[5:6] + b"\x16\x03\x01" + struct.pack(">H", len(hello) - 6) + hello[6:],
            b"GET / HTTP/1.1\r\n\r\n",
        )
    )
    await wire.stall(3)
    return await wire.end()


async def script(wire):
    dice = wire.dice
    context = client_context(dice.one(["h2"], ["http/1.1"], ["h2", "http/1.1"], [], ["spdy"]), dice)
    if dice.rude() or dice.chance(0.1):
        return await half_handshake(wire, context)
    protocol = await wire.handshake(context, name=dice.one("one.test", "canary.test", "x.test"))
    dice.say(f"{wire.tls.version()} {protocol}")
    if dice.rude():
        await wire.send_raw(
            dice.one(
                dice.bytes(100),
                b"\x17\x03\x03\x40\x01" + bytes(16385),
                b"\x15\x03\x03\0\2\2\x50",
                b"\x17\x03\x03\0\0" * 200,
                b"\x17\x03\x03\0\x30" + bytes(20),
            )
        )
        await wire.stall(2)
        raise Over("a record torn or false")
    await (clients_h2 if protocol == "h2" else clients_h1).script(wire)
