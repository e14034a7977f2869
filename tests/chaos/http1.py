"""HTTP/1 text of chaotic peers: heads, chunks, bodies whose lengths are true or not. Shared by clients and origins."""

import parts


def encode(text):
    return text.encode("utf-8", "surrogatepass") if not isinstance(text, bytes) else text


def head(dice, first, pairs):
    """The first line and the fields as bytes; folds and blanks and bare LF come in when the peer is rude."""
    lines = [first]
    for name, value in pairs:
        way = dice.random.random()
        if not dice.rude() or way < 0.5:
            lines.append(f"{name}: {value}")
        elif way < 0.7:
            lines.append(f"{name}:" + "\r\n ".join(["", *[value] * dice.one(1, 2, 300)]))  # obs-fold
        elif way < 0.8:
            lines.append(f"{name}:{' ' * dice.size(60000)}{value}")
        elif way < 0.9:
            lines.append(f"{name} : {value}")
        else:
            lines.append(name)
    ending = "\n" if dice.rude() and dice.chance(0.3) else "\r\n"
    return encode(ending.join(lines) + ending * 2)


def chunked(dice, body, trailers=()):
    """The body in chunks. Rude: sizes that lie or are none, endings that lack, extensions without end."""
    out = bytearray()
    at = 0
    while at < len(body):
        piece = body[at : at + dice.between(1, max(1, len(body) // dice.between(1, 8)))]
        at += len(piece)
        size = f"{len(piece):x}" if dice.chance(0.7) else f"{len(piece):0{dice.between(1, 15)}X}"
        extension = dice.one("", "", "", ";a=b", ";a=\"b;c\"")
        ending = "\r\n"
        if dice.rude():
            size = dice.one(
                size,
                "",
                "-1",
                "0x5",
                "ffffffffffffffff",
                "fffffffffffffffff",
                "g",
                f" {size}",
                f"{size} ",
                "7fffffffffffffff",
            )
            extension = dice.one("", ";" + "e" * dice.size(40000), ";\x00", "; a")
            ending = dice.one("\r\n", "\n", "\r", "", "\r\n\r\n")
        out += encode(f"{size}{extension}\r\n") + piece + encode(ending)
    if dice.rude() and dice.chance(0.3):
        return bytes(out)  # the last chunk never comes
    out += b"0\r\n"
    for name, value in trailers:
        out += encode(f"{name}: {value}\r\n")
    return bytes(out + b"\r\n")


def framed(dice, pairs, body, may_have_trailers=True):
    """(fields with the framing, bytes of the body): by length, in chunks, or with a lie."""
    if dice.rude():
        lie = dice.one(0, 1, len(body) - 1, len(body) + 1, len(body) * 2 + 10, 1 << 40)
        way = dice.random.random()
        if way < 0.4:
            return [*pairs, ("content-length", str(lie))], body
        if way < 0.6:
            return [*pairs, ("content-length", str(lie)), ("transfer-encoding", "chunked")], chunked(dice, body)
        if way < 0.8:
            return [*pairs, ("content-length", str(len(body))), ("content-length", str(lie))], body
        return [
            *pairs,
            (
                "transfer-encoding",
                dice.one("gzip, chunked", "chunked, gzip", "Chunked", "xchunked", "chunked, chunked", "identity"),
            ),
        ], chunked(dice, body)
    if dice.chance(0.5):
        return [*pairs, ("content-length", str(len(body)))], body
    return [*pairs, ("transfer-encoding", "chunked")], chunked(
        dice, body, parts.trailers(dice) if may_have_trailers and dice.chance(0.3) else ()
    )
