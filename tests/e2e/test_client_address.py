"""Who the client is: forwarded fields of trusted proxies, and the PROXY protocol in and out."""

import socket
import struct

import pytest

from harness.base import wait_for
from harness.certs import certificate_lines
from harness.client import build
from harness.origin import ok
from harness.proxy import config


def trusted(start, origin, cidrs='["127.0.0.1/32"]', extra="", **options):
    return start.sluice(config(origin.address, listener=f"trusted_proxies = {cidrs}\n{extra}", **options))


@pytest.mark.parametrize(
    "headers,client,forwarded_for",
    [
        ([("X-Forwarded-For", "9.9.9.9")], "9.9.9.9", "9.9.9.9, 127.0.0.1"),
        ([("X-Forwarded-For", "8.8.8.8, 9.9.9.9")], "9.9.9.9", "8.8.8.8, 9.9.9.9, 127.0.0.1"),
        ([("X-Forwarded-For", "8.8.8.8"), ("X-Forwarded-For", "9.9.9.9")], "9.9.9.9", "8.8.8.8, 9.9.9.9, 127.0.0.1"),
        ([("X-Forwarded-For", "9.9.9.9, 10.1.2.3")], "9.9.9.9", "9.9.9.9, 10.1.2.3, 127.0.0.1"),
        ([("X-Forwarded-For", "10.0.0.1, 10.1.2.3")], "10.0.0.1", "10.0.0.1, 10.1.2.3, 127.0.0.1"),
        ([("Forwarded", "for=9.9.9.9")], "127.0.0.1", "127.0.0.1"),
        ([("Forwarded", "for=9.9.9.9"), ("X-Forwarded-For", "8.8.8.8")], "8.8.8.8", "8.8.8.8, 127.0.0.1"),
        ([("X-Forwarded-For", '"'), ("X-Forwarded-For", "9.9.9.9")], "9.9.9.9", None),
        ([("X-Forwarded-For", '", 9.9.9.9')], "9.9.9.9", None),
        ([("X-Forwarded-For", "2001:db8::7")], "2001:db8::7", "2001:db8::7, 127.0.0.1"),
        ([], "127.0.0.1", "127.0.0.1"),
    ],
)
def test_trusted_proxies(start, headers, client, forwarded_for):
    origin = start.origin()
    sluice = trusted(start, origin, '["127.0.0.1/32", "10.0.0.0/8"]')
    assert sluice.request(path="/who", headers=headers).status == 200
    (line,) = sluice.wait_log_path("/who")
    assert line["client"] == client
    if forwarded_for:
        assert (
            ", ".join(origin.requests[0].all("x-forwarded-for")).replace(",", ", ").replace(",  ", ", ")
            == forwarded_for
        )


@pytest.mark.parametrize(
    "headers,client,forwarded_for",
    [
        ([("Forwarded", "for=9.9.9.9;proto=https")], "9.9.9.9", "9.9.9.9, 127.0.0.1"),
        ([("Forwarded", 'for="[2001:db8::1]:4711"')], "2001:db8::1", "2001:db8::1, 127.0.0.1"),
        ([("Forwarded", "for=9.9.9.9"), ("X-Forwarded-For", "8.8.8.8")], "9.9.9.9", "9.9.9.9, 127.0.0.1"),
        ([("X-Forwarded-For", "8.8.8.8")], "127.0.0.1", "127.0.0.1"),
        ([("Forwarded", 'for=", for=9.9.9.9')], "9.9.9.9", "9.9.9.9, 127.0.0.1"),
        ([("Forwarded", "for=_hidden")], "unknown", "unknown, 127.0.0.1"),
    ],
)
def test_forwarded_by_forwarded(start, headers, client, forwarded_for):
    origin = start.origin()
    sluice = trusted(start, origin, extra='forwarded_by = "forwarded"')
    assert sluice.request(path="/who", headers=headers).status == 200
    assert sluice.wait_log_path("/who")[0]["client"] == client
    assert origin.requests[0].all("x-forwarded-for") == [forwarded_for]


def test_forwarded_by_is_taken_by_a_reload(start):
    origin = start.origin()
    sluice = trusted(start, origin)
    headers = [("Forwarded", "for=9.9.9.9"), ("X-Forwarded-For", "8.8.8.8")]
    assert sluice.request(path="/before", headers=headers).status == 200
    sluice.write_config(
        config(origin.address, listener='trusted_proxies = ["127.0.0.1/32"]\nforwarded_by = "forwarded"')
    )
    sluice.reload()
    assert sluice.request(path="/after", headers=headers).status == 200
    assert [sluice.wait_log_path(path)[0]["client"] for path in ("/before", "/after")] == ["8.8.8.8", "9.9.9.9"]


@pytest.mark.parametrize(
    "value,client",
    [
        *[
            (value, "unknown")
            for value in (
                "nonsense",
                "unknown",
                "_hidden",
                "999.1.1.1",
                "9.9.9.9, nonsense",
                "127.0.0.1:x",
                '"9.9.9.9"',
                "a" * 5000,
            )
        ],
        ("", "127.0.0.1"),
        (",", "127.0.0.1"),
        ("," * 5000, "127.0.0.1"),
        ("8.8.8.8," * 5000 + "9.9.9.9", "9.9.9.9"),
    ],
)
def test_nonsense_from_a_trusted_proxy_is_nobodys_address(start, value, client):
    """What cannot be read names nobody: never the proxy itself, which stands in allow lists."""
    origin = start.origin()
    sluice = trusted(
        start,
        origin,
        before='[[route]]\npath = "/allowed"\nallow = ["0.0.0.0/0", "::/0"]\nupstream = "app"\n'
        '[[route]]\npath = "/denied"\ndeny = ["192.0.2.0/24"]\nupstream = "app"\n',
    )
    headers = {"X-Forwarded-For": value}
    assert sluice.request(path="/who", headers=headers).status == 200
    for path in ("/allowed", "/denied"):
        assert sluice.request(path=path, headers=headers).status == (403 if client == "unknown" else 200)
    assert {sluice.wait_log_path(path)[0]["client"] for path in ("/who", "/allowed", "/denied")} == {client}
    if client == "unknown":
        assert sluice.metrics().sum("sluice_protocol_errors_total", side="downstream", detail="forwarded") == 3
        assert origin.requests[-1].header("x-forwarded-for") == f"{value}, 127.0.0.1"
        assert origin.requests[-1].header("forwarded").startswith("for=unknown, for=127.0.0.1;")


def test_request_id_and_proto_are_kept_from_trusted_peers_only(start):
    origin = start.origin()
    headers = {"X-Request-Id": "from-outside", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "first.test"}
    sluice = trusted(start, origin)
    assert sluice.request(path="/id", headers=headers).status == 200
    request = origin.requests[-1]
    assert (
        request.header("x-request-id") == "from-outside"
        and request.header("x-forwarded-proto") == "https"
        and request.header("x-forwarded-host") == "first.test"
    )
    assert sluice.wait_log_path("/id")[0]["request_id"] == "from-outside"
    plain = start.sluice(config(origin.address))
    assert plain.request(headers=headers).status == 200
    request = origin.requests[-1]
    assert request.header("x-request-id") != "from-outside" and request.header("x-forwarded-proto") == "http"


def test_lists_use_the_clients_address(start):
    origin = start.origin()
    sluice = trusted(start, origin, route='deny = ["9.9.9.0/24"]')
    assert sluice.request(headers={"X-Forwarded-For": "9.9.9.9"}).status == 403
    assert sluice.request(headers={"X-Forwarded-For": "9.9.8.9"}).status == 200


# PROXY protocol
def v2(family, payload, command=1, length=None):
    return (
        b"\r\n\r\n\0\r\nQUIT\n"
        + bytes([0x20 | command, family])
        + struct.pack(">H", len(payload) if length is None else length)
        + payload
    )


def v2_inet(source="9.9.9.9", port=4711, tail=b""):
    return v2(0x11, socket.inet_aton(source) + socket.inet_aton("127.0.0.1") + struct.pack(">HH", port, 80) + tail)


V6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + socket.inet_pton(socket.AF_INET6, "::1")
    + struct.pack(">HH", 1, 2)
)


@pytest.mark.parametrize(
    "header,client",
    [
        (b"PROXY TCP4 9.9.9.9 127.0.0.1 4711 80\r\n", "9.9.9.9"),
        (b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n", "2001:db8::1"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (b"PROXY UNKNOWN whatever it is\r\n", "127.0.0.1"),
        (v2_inet(), "9.9.9.9"),
        (v2_inet(tail=b"\x04\0\x03abc"), "9.9.9.9"),
        (v2(0x21, V6), "2001:db8::1"),
        (v2(0x00, b"", command=0), "127.0.0.1"),
        (v2(0x11, b"\1\2\3\4" * 3, command=0), "127.0.0.1"),
        (v2(0x31, b"\0" * 216), "127.0.0.1"),
    ],
    ids=["v1", "v1-6", "v1-unknown", "v1-unknown-text", "v2", "v2-tlv", "v2-6", "v2-local", "v2-local-data", "v2-unix"],
)
@pytest.mark.parametrize("torn", [False, True])
def test_proxy_protocol_in(start_proxied, header, client, torn):
    sluice, origin = start_proxied
    with sluice.client() as connection:
        raw = header + build(path="/proxied")
        lines = len([line for line in sluice.access_log() if line["path"] == "/proxied"])
        if torn:
            for byte in raw:
                connection.send(bytes([byte]))
        else:
            connection.send(raw)
        assert connection.response().status == 200
    assert sluice.wait_log_path("/proxied", lines + 1)[-1]["client"] == client
    assert origin.requests[-1].header("x-forwarded-for") == client


@pytest.fixture(scope="module")
def start_proxied(shared):
    origin = shared.origin()
    return shared.sluice(config(origin.address, listener='proxy_protocol = "required"\nheader_timeout = "2s"')), origin


@pytest.mark.parametrize(
    "header",
    [
        build(),
        b"PROXY TCP4 9.9.9.9 127.0.0.1 4711\r\n" + build(),
        b"PROXY TCP4 9.9.9.999 127.0.0.1 4711 80\r\n" + build(),
        b"PROXY TCP4 9.9.9.9 127.0.0.1 4711 80\n" + build(),
        b"PROXY TCP5 9.9.9.9 127.0.0.1 1 2\r\n" + build(),
        b"PROXY TCP4 " + b"9" * 200 + b"\r\n" + build(),
        b"PROXY TCP4 9.9.9.9 127.0.0.1 99999 80\r\n" + build(),
        v2(0x11, b"1234") + build(),
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c" + b"\0" * 12 + build(),
        b"\r\n\r\n\0\r\nQUIX\n" + b"\0" * 16,
        v2_inet()[:-1],
        v2(0x11, b"\0" * 12, command=2) + build(),
        v2(0x21, b"\0" * 12) + build(),
    ],
    ids=[
        "none",
        "short",
        "address",
        "lf",
        "family",
        "long",
        "port",
        "v2-short",
        "v2-version",
        "v2-signature",
        "v2-cut",
        "v2-command",
        "v2-family",
    ],
)
def test_proxy_protocol_must_be_right(start_proxied, header):
    """No header, no service: the connection closes, nothing reaches the origin."""
    sluice, origin = start_proxied
    heads = origin.heads
    with sluice.client() as client:
        client.send(header)
        try:
            assert client.response().status in (400, 408)
        except Exception:  # noqa: BLE001 - or it just closes
            pass
        wait_for(lambda: client.at_end or client.ended())
    assert origin.heads == heads
    with sluice.client() as client:
        client.send(v2_inet() + build())
        assert client.response().status == 200


def read_proxy_header(connection, version):
    if version == "v1":
        words = connection.read_until(b"\r\n").split()
        return words[1].decode(), words[2].decode(), int(words[4])
    head = connection.read(16)
    assert head[:12] == b"\r\n\r\n\0\r\nQUIT\n" and head[12] == 0x21, head
    payload = connection.read(struct.unpack(">H", head[14:])[0])
    return {0x11: "TCP4", 0x21: "TCP6"}[head[13]], socket.inet_ntoa(payload[:4]), struct.unpack(">H", payload[8:10])[0]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_proxy_protocol_out(start, version):
    """The upstream learns the client's own address: one connection per client then."""
    seen = []

    def script(connection):
        seen.append(read_proxy_header(connection, version))
        while True:
            connection.read_request()
            connection.send(ok())

    origin = start.origin(on_connection=script)
    sluice = start.sluice(config(origin.address, upstream=f'proxy_protocol = "{version}"'))
    for source in ("127.0.0.1", "127.0.0.2"):
        with sluice.client(source=source) as client:
            assert client.request().status == 200
            assert seen[-1] == ("TCP4", source, client.sock.getsockname()[1])


def test_proxy_protocol_and_tls(start):
    ca = start.authority()
    origin = start.origin()
    sluice = start.sluice(
        config(origin.address, listener='proxy_protocol = "required"', tls=certificate_lines(ca.issue("a.test")))
    )
    with sluice.client(before_tls=v2_inet(), tls=ca.client_context(), server_name="a.test") as client:
        assert client.request(path="/tls").status == 200
    assert sluice.wait_log_path("/tls")[0]["client"] == "9.9.9.9"
    assert origin.requests[0].header("x-forwarded-proto") == "https"


def test_reason_header_is_for_trusted_peers_only(start):
    """configuration.md: x-sluice-reason goes to trusted peers and loopback; a client behind a proxy that is not trusted
    sees none."""
    sluice = start.sluice(
        config(listener='proxy_protocol = "required"', extra='[[route]]\npath = "/x"\nrespond = { status = 200 }')
    )
    for header, shown in ((v2_inet(), None), (v2_inet("127.0.0.9"), "no_route")):
        with sluice.client() as client:
            client.send(header + build(path="/nowhere"))
            answer = client.response()
            assert answer.status == 404 and answer.reason == shown
