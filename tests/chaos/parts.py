"""Pieces of messages that every chaotic peer draws from: paths, fields, values, legal and not."""

HOSTS = ["one.test", "two.test", "auto.test", "any.test"]
METHODS = ["GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "OPTIONS", "DELETE", "PATCH", "BREW"]
PATHS = [
    "/",
    "/a",
    "/a/b?c=d",
    "/limited",
    "/gone",
    "/fixed",
    "/cut/x",
    "/denied",
    "/%2e%2e/x",
    "/a//b",
    "/a/../b",
    "/a%00b",
    "/a;b",
    "/%zz",
    "/" + "x" * 3000,
    "/?" + "y" * 5000,
]
# The canary's upstreams: a peer that goes there must not cost the canary a request, and its nonsense must not arrive.
SHARED_HOST, SHARED_PATHS = "canary.test", ["/h1/x", "/h2/x", "/h2-tls/x"]
NAMES = [
    "x-a",
    "x-b",
    "x_c",
    "x.d",
    "cookie",
    "via",
    "forwarded",
    "x-forwarded-for",
    "accept-encoding",
    "accept",
    "user-agent",
    "range",
    "if-none-match",
    "priority",
    "max-forwards",
    "date",
    "etag",
    "vary",
    "cache-control",
    "te",
    "grpc-timeout",
    "content-type",
    "incremental",
    "early-data",
]
HOP = ["connection", "keep-alive", "proxy-connection", "te", "upgrade", "transfer-encoding", "trailer"]
VALUES = [
    "",
    "a",
    "b, c",
    "\"quoted\"",
    "close",
    "x-a, x-b",
    "keep-alive",
    "trailers",
    "gzip",
    "100-continue",
    "websocket",
    "h2c",
    "100m",
    "1H",
    "u=0, i",
    "for=1.2.3.4",
    "1.2.3.4, \"",
    "application/grpc",
    "bytes=0-10",
    "0",
    "-1",
    "99999999999999999999",
    "chunked, chunked",
]
BAD_NAMES = ["", " x", "x ", "x y", "\x00", "é", "a:b", "(x)", "X" * 70000]
BAD_VALUES = ["\x00", "a\x00b", "\x01", "a\rb", "x" * 70000, "\x7f"]
TRAILER_NAMES = ["x-t", "grpc-status", "grpc-message", "etag", "x-a", "server-timing"]
BAD_TRAILER_NAMES = [
    "content-length",
    "transfer-encoding",
    "host",
    "connection",
    "authorization",
    "content-encoding",
    "x-forwarded-for",
    "set-cookie",
    "te",
]


def where(dice):
    """A host and a path."""
    return (SHARED_HOST, dice.one(*SHARED_PATHS)) if dice.chance(0.2) else (dice.one(*HOSTS), dice.one(*PATHS))


def value(dice):
    kind = dice.random.random()
    if kind < 0.6:
        return dice.one(*VALUES)
    if kind < 0.97:
        return "v" * dice.size(400)
    return "w" * dice.size(20000)


def fields(dice, most=12):
    """(name, value) pairs without rules broken, though maybe many or fat."""
    n = dice.between(0, most) if not dice.chance(0.02) else dice.between(80, 130)
    return [(dice.one(*NAMES), value(dice)) for _ in range(n)]


def bad_fields(dice):
    """At least one that breaks a rule."""
    found = fields(dice, 4)
    for _ in range(dice.between(1, 3)):
        bad = dice.one(
            (dice.one(*BAD_NAMES), "x"),
            ("x-a", dice.one(*BAD_VALUES)),
            (dice.one(*HOP), value(dice)),
            ("content-length", dice.one(*VALUES)),
        )
        found.insert(dice.between(0, len(found)), bad)
    return found


def trailers(dice):
    names = TRAILER_NAMES if not dice.rude() else TRAILER_NAMES + BAD_TRAILER_NAMES
    n = dice.between(1, 4) if not dice.chance(0.1) else dice.between(20, 120)
    return [(dice.one(*names), value(dice)) for _ in range(n)]
