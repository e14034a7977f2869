"""TLS on both sides: names, keys, versions, ALPN, resumption, 421, bad and expired files, swaps, upstream TLS."""

import os
import re
import shutil
import ssl
import subprocess
import threading

import pytest

from harness.base import TIMEOUT, wait_for
from harness.certs import Authority, blind_context, certificate_lines, openssl, server_context
from harness.client import Client, build
from harness.origin import ok
from harness.proxy import command, config


@pytest.fixture(scope="module")
def ca(shared):
    return shared.authority()


@pytest.fixture(scope="module")
def pair(shared, ca):
    """a.test with two kinds of key (the default), *.b.test, and one for c.test and d.test."""
    origin = shared.origin()
    certificates = certificate_lines(
        ca.issue("a.test"),
        ca.issue("a.test", kind="rsa"),
        ca.issue("*.b.test", label="b"),
        ca.issue("c.test", "d.test", label="cd"),
    )
    return shared.sluice(config(origin.address, tls=certificates)), origin


def peer_names(client):
    return {value for kind, value in client.sock.getpeercert()["subjectAltName"] if kind == "DNS"}


@pytest.mark.parametrize(
    "name,names",
    [
        ("a.test", {"a.test"}),
        ("A.TEST", {"a.test"}),
        ("x.b.test", {"*.b.test"}),
        ("c.test", {"c.test", "d.test"}),
        ("d.test", {"c.test", "d.test"}),
    ],
)
def test_certificate_by_sni(pair, ca, name, names):
    sluice, _ = pair
    with sluice.client(tls=ca.client_context(), server_name=name) as client:
        assert peer_names(client) == names
        assert client.sock.version() == "TLSv1.3"
        assert client.request(host=name).status == 200


def test_what_was_agreed_on_is_logged(pair, ca):
    sluice, _ = pair
    with sluice.client(tls=ca.client_context(), server_name="c.test") as client:
        assert client.request("GET", "/logged", host="c.test").status == 200
    line = sluice.wait_log_path("/logged")[0]
    assert (line["tls"], line["sni"], line["alpn"]) == ("1.3", "c.test", "")


@pytest.mark.parametrize("name", [None, "unknown.test", "b.test", "x.y.b.test"])
def test_first_certificate_is_the_default(pair, ca, name):
    sluice, _ = pair
    context = ca.client_context()
    context.check_hostname = False
    with sluice.client(tls=context, server_name=name) as client:
        assert peer_names(client) == {"a.test"}


def s_client(address, *args, data=b"", check=True):
    """openssl s_client; data keeps it open until the answer has come (Connection: close in it)."""
    return subprocess.run(
        ["openssl", "s_client", "-connect", address, *args],
        input=data,
        capture_output=True,
        timeout=TIMEOUT,
        check=check,
    ).stdout.decode(errors="replace")


CLOSE = build(headers={"Connection": "close"})


@pytest.mark.parametrize(
    "sigalgs,kind", [("RSA-PSS+SHA256", "RSA-PSS"), ("ECDSA+SHA256", "ECDSA"), ("ECDSA+SHA256:RSA-PSS+SHA256", "ECDSA")]
)
def test_key_by_what_the_client_can_verify(pair, sigalgs, kind):
    sluice, _ = pair
    out = s_client(sluice.address(), "-servername", "a.test", "-sigalgs", sigalgs, "-ign_eof", data=CLOSE)
    kinds = {
        "RSA-PSS": "RSA-PSS|rsa_pss_rsae_sha256",
        "ECDSA": "ECDSA|ecdsa_secp256r1_sha256",
    }  # the latter: openssl 3.5
    assert re.search(f"Peer signature type: ({kinds[kind]})", out), out
    assert "HTTP/1.1 200" in out


def test_tls_1_2_is_refused_by_default(pair):
    sluice, _ = pair
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        sluice.client(tls=context, server_name="a.test")
    sluice.wait_metric(lambda v: v >= 1, "sluice_tls_handshake_errors_total")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_tls_1_2_when_asked_for(start, ca, kind):
    origin = start.origin()
    sluice = start.sluice(
        config(
            origin.address,
            tls=certificate_lines(ca.issue("a.test", kind=kind, label=f"12-{kind}")) + '\nmin_version = "1.2"',
        )
    )
    for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        with sluice.client(tls=ca.client_context(maximum=version), server_name="a.test") as client:
            assert client.sock.version() == name
            assert client.request().status == 200
    with pytest.raises((ssl.SSLError, OSError)):
        sluice.client(
            tls=ca.client_context(minimum=ssl.TLSVersion.TLSv1_1, maximum=ssl.TLSVersion.TLSv1_1), server_name="a.test"
        )


@pytest.mark.parametrize(
    "offered,chosen", [((), None), (("http/1.1",), "http/1.1"), (("unknown", "http/1.1"), "http/1.1")]
)
def test_alpn(pair, ca, offered, chosen):
    sluice, _ = pair
    with sluice.client(tls=ca.client_context(alpn=offered), server_name="a.test") as client:
        assert client.sock.selected_alpn_protocol() == chosen
        assert client.request().status == 200


def test_alpn_with_only_unknown_protocols_is_refused(pair, ca):
    sluice, _ = pair
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        sluice.client(tls=ca.client_context(alpn=("unknown", "spdy/3")), server_name="a.test")
    sluice.wait_metric(lambda v: v >= 1, "sluice_tls_handshake_errors_total")


def test_resumption_with_s_client(pair, tmp_path):
    sluice, _ = pair
    session = str(tmp_path / "session")
    out = s_client(sluice.address(), "-servername", "a.test", "-sess_out", session, "-ign_eof", data=CLOSE)
    assert "HTTP/1.1 200" in out and os.path.getsize(session)
    before = sluice.metrics()
    out = s_client(sluice.address(), "-servername", "a.test", "-sess_in", session, "-ign_eof", data=CLOSE)
    assert "Reused, TLSv1.3" in out and "HTTP/1.1 200" in out, out
    resumed = ("sluice_tls_handshakes_total",)
    assert sluice.metrics().sum(*resumed, resumed="true") - before.sum(*resumed, resumed="true") == 1


def test_resumption_across_workers(start, ca):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, tls=certificate_lines(ca.issue("a.test")), workers=2))
    context = ca.client_context()
    with sluice.client(tls=context, server_name="a.test") as client:
        assert client.request().status == 200
        session = client.sock.session
    for _ in range(20):  # whichever worker accepts
        with sluice.client(tls=context, server_name="a.test", session=session) as client:
            assert client.sock.session_reused
            assert client.request().status == 200
            session = client.sock.session


def test_many_requests_and_large_bodies(start, ca):
    def on_request(connection, request):
        connection.send(ok(request.body or b"x" * 300000))

    origin = start.origin(on_request)
    sluice = start.sluice(config(origin.address, tls=certificate_lines(ca.issue("a.test"))))
    with sluice.client(tls=ca.client_context(), server_name="a.test") as client:
        for size in (1, 16383, 16384, 16385, 1 << 20):
            body = bytes(i % 251 for i in range(size))
            assert client.request("POST", body=body).body == body
        client.send(build() * 20)
        assert all(len(client.response().body) == 300000 for _ in range(20))


def test_tls_records_torn(pair, ca):
    """A request that comes in one-byte records."""
    sluice, _ = pair
    with sluice.client(tls=ca.client_context(), server_name="a.test") as client:
        for byte in build(path="/torn"):
            client.send(bytes([byte]))
        assert client.response().status == 200


def test_close_notify_after_connection_close(pair, ca):
    """ended() raises if the stream ends without one: the context does not hide it."""
    sluice, _ = pair
    with sluice.client(tls=ca.client_context(), server_name="a.test") as client:
        client.send(CLOSE)
        assert client.response().status == 200
        assert client.ended()


def test_plain_http_on_a_tls_port_is_harmless(pair, ca):
    sluice, origin = pair
    heads = origin.heads
    with sluice.client() as client:
        client.send(build())
        try:
            client.read_some()  # an alert, or
        except Exception:  # noqa: BLE001 - the end
            pass
    assert origin.heads == heads
    assert sluice.request(tls=ca.client_context(), server_name="a.test").status == 200


@pytest.mark.parametrize(
    "sni,host,status",
    [
        ("a.test", "a.test", 200),
        ("a.test", "a.test:8443", 200),
        ("a.test", "A.test.", 200),
        ("a.test", "c.test", 421),
        ("c.test", "d.test", 200),
        ("x.b.test", "y.b.test", 200),
        ("x.b.test", "b.test", 421),
        (None, "c.test", 200),
        ("a.test", "unknown.test", 421),
        ("unknown.test", "unknown.test", 200),
    ],
)
def test_misdirected(pair, ca, sni, host, status):
    sluice, origin = pair
    context = ca.client_context()
    context.check_hostname = False
    heads = origin.heads
    with sluice.client(tls=context, server_name=sni) as client:
        answer = client.request(host=host)
    assert answer.status == status
    if status == 421:
        assert answer.reason == "misdirected" and origin.heads == heads


def test_client_certificates(start, ca):
    origin = start.origin()
    clients = start.authority("clients")
    cert, key = clients.issue("client.test")
    text = config(
        origin.address,
        tls=certificate_lines(ca.issue("a.test")) + f'\nclient_ca = "{clients.cert}"\nclient_auth = "required"',
    )
    checked = tmp_check(start, text)
    if "not available yet" in checked.stdout + checked.stderr:
        assert checked.returncode == 2
        return
    sluice = start.sluice(text)
    good = ca.client_context()
    good.load_cert_chain(cert, key)
    assert sluice.request(tls=good, server_name="a.test").status == 200
    with pytest.raises((ssl.SSLError, OSError)):  # TLS 1.3: the refusal shows at the first read
        sluice.request(tls=ca.client_context(), server_name="a.test")


# Files
def tmp_check(start, text):
    path = start.directory() / "sluice.toml"
    path.write_text(text.replace("@DIR@", str(path.parent)))
    return command("check", path)


def test_expired_certificate_is_a_warning_and_is_served(start, ca):
    origin = start.origin()
    cert, key = ca.issue("old.test", expired=True)
    text = config(origin.address, tls=certificate_lines((cert, key)))
    checked = tmp_check(start, text)
    out = checked.stdout + checked.stderr
    assert checked.returncode == 0 and "warning:" in out and os.path.basename(cert) in out and "expired" in out, out
    sluice = start.sluice(text)
    assert sluice.request(tls=blind_context(), host="old.test").status == 200
    assert os.path.basename(cert) in sluice.stderr() and "expired" in sluice.stderr()
    expiry = sluice.metrics().series("sluice_certificate_expiry_timestamp_seconds")
    assert list(expiry.values()) == [1580515200]  # 2020-02-01


def test_a_certificate_that_left_leaves_the_scrape(start, ca):
    origin = start.origin()
    cert, key = ca.issue("left.test", label="left")
    tls = (
        f'[[listener]]\nname = "tls"\naddress = "127.0.0.1:0"\n[listener.tls]\n'
        f'certificates = [{{ cert = "{cert}", key = "{key}" }}]\n'
    )
    sluice = start.sluice(config(origin.address, extra=tls))
    assert len(sluice.metrics().series("sluice_certificate_expiry_timestamp_seconds")) == 1
    sluice.reload(config(origin.address))
    assert not sluice.metrics().series("sluice_certificate_expiry_timestamp_seconds")
    sluice.reload(config(origin.address, extra=tls))
    assert len(sluice.metrics().series("sluice_certificate_expiry_timestamp_seconds")) == 1


def broken_files(ca, directory):
    cert, key = ca.issue("x.test")
    _, other = ca.issue("y.test")
    empty, garbage, cut = (os.path.join(directory, n) for n in ("empty.pem", "garbage.pem", "cut.pem"))
    open(empty, "w", encoding="ascii").close()
    with open(garbage, "wb") as f:
        f.write(os.urandom(2000))
    with open(cert, encoding="ascii") as f, open(cut, "w", encoding="ascii") as out:
        out.write(f.read()[:300])
    missing = os.path.join(directory, "missing.pem")
    return {
        "missing-cert": (missing, key, missing),
        "missing-key": (cert, missing, missing),
        "empty-cert": (empty, key, empty),
        "empty-key": (cert, empty, empty),
        "garbage-cert": (garbage, key, garbage),
        "garbage-key": (cert, garbage, garbage),
        "cut-cert": (cut, key, cut),
        "other-key": (cert, other, other),
        "swapped": (key, cert, key),
        "folder": (directory, key, directory),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "missing-cert",
        "missing-key",
        "empty-cert",
        "empty-key",
        "garbage-cert",
        "garbage-key",
        "cut-cert",
        "other-key",
        "swapped",
        "folder",
    ],
)
def test_bad_certificate_files_are_errors_with_the_files_name(start, ca, kind):
    cert, key, named = broken_files(ca, str(start.directory()))[kind]
    text = config("127.0.0.1:1", tls=certificate_lines((cert, key)))
    checked = tmp_check(start, text)
    out = checked.stdout + checked.stderr
    assert checked.returncode == 2 and "error:" in out and os.path.basename(named) in out, out
    assert re.search(r"sluice\.toml:\d+:\d+: error:", out), out


def write_pair(source, target):
    for a, b in zip(source, target):
        shutil.copyfile(a, b + ".new")
        os.replace(b + ".new", b)


def serial(client):
    return client.sock.getpeercert()["serialNumber"]


def test_certificates_are_swapped_on_sighup(start, ca):
    origin = start.origin()
    directory = str(start.directory())
    live = (os.path.join(directory, "live.pem"), os.path.join(directory, "live.key"))
    first, second = ca.issue("a.test", label="first"), ca.issue("a.test", label="second")
    write_pair(first, live)
    sluice = start.sluice(config(origin.address, tls=certificate_lines(live)))
    context = ca.client_context()
    with sluice.client(tls=context, server_name="a.test") as old:
        assert old.request().status == 200
        before = serial(old)
        write_pair(second, live)
        sluice.reload()
        with sluice.client(tls=context, server_name="a.test") as new:
            assert serial(new) != before
            assert new.request().status == 200
        assert old.request().status == 200  # an open connection goes on
    now = serial_of(sluice, context)
    write_pair((first[0], second[1]), live)  # does not fit: keeps what runs
    sluice.reload(outcome="failed")
    assert "live.key" in sluice.stderr() or "live.pem" in sluice.stderr()
    assert serial_of(sluice, context) == now
    assert sluice.metric("sluice_config_last_reload_success") == 0


def serial_of(sluice, context):
    with sluice.client(tls=context, server_name="a.test") as client:
        return serial(client)


def test_a_reload_never_replaces_a_valid_certificate_by_an_expired_one(start, ca):
    origin = start.origin()
    directory = str(start.directory())
    live = (os.path.join(directory, "live.pem"), os.path.join(directory, "live.key"))
    write_pair(ca.issue("a.test", label="valid"), live)
    sluice = start.sluice(config(origin.address, tls=certificate_lines(live)))
    context = ca.client_context()
    before = serial_of(sluice, context)
    write_pair(ca.issue("a.test", label="stale", expired=True), live)
    total = sluice.metric("sluice_config_reloads_total")
    sluice.signal(1)
    sluice.wait_metric(lambda v: v > total, "sluice_config_reloads_total")
    assert serial_of(sluice, context) == before
    assert "expired" in sluice.stderr()


# Upstream
@pytest.fixture(scope="module")
def secure(shared, ca):
    """A TLS origin for backend.test that notes the SNI it was sent."""
    names = []
    context = server_context(*ca.issue("backend.test"))
    context.sni_callback = lambda sock, name, ctx: names.append(name)
    origin = shared.origin(tls=context)
    origin.sni = names
    return origin


def test_tls_to_an_upstream(start, ca, secure):
    sluice = start.sluice(config(secure.address, upstream_tls=f'ca = "{ca.cert}"\nserver_name = "backend.test"'))
    with sluice.client() as client:
        connections = len(secure.connections)
        for _ in range(5):
            assert client.request().status == 200
    assert len(secure.connections) == connections + 1
    assert secure.sni[-1] == "backend.test"
    line = sluice.wait_log(lambda line: True, 5)[0]
    assert line["tls_us"] > 0


@pytest.mark.parametrize(
    "lines",
    [
        'server_name = "other.test"\nca = "{ca}"',
        'server_name = "backend.test"',
        'server_name = "backend.test"\nca = "{other}"',
        'ca = "{ca}"',
    ],
    ids=["name", "system-ca", "other-ca", "endpoint-name"],
)
def test_verification_fails(start, ca, secure, lines):
    other = Authority(start.directory(), "other")
    heads = secure.heads
    sluice = start.sluice(config(secure.address, upstream_tls=lines.format(ca=ca.cert, other=other.cert)))
    answer = sluice.request(path="/insecure")
    assert (answer.status, answer.reason) == (502, "tls_failed")
    assert secure.heads == heads
    (line,) = sluice.wait_log_path("/insecure")
    assert line["reason"] == "tls_failed"
    assert sluice.metric("sluice_upstream_errors_total", upstream="app", reason="tls_failed") >= 1


def test_a_changed_bundle_of_the_system_is_seen_at_a_reload(start, ca, secure):
    other = Authority(start.directory(), "other")
    bundle = os.path.join(str(start.directory()), "bundle.pem")
    shutil.copyfile(other.cert, bundle)
    sluice = start.sluice(
        config(secure.address, upstream_tls='server_name = "backend.test"'), env={"SSL_CERT_FILE": bundle}
    )
    assert sluice.request().status == 502
    shutil.copyfile(ca.cert, bundle)
    assert sluice.request().status == 502  # not before
    sluice.reload()
    assert sluice.request().status == 200


def test_verification_off(start, secure):
    sluice = start.sluice(config(secure.address, upstream_tls="verify = false"))
    assert sluice.request().status == 200


def test_plain_origin_behind_tls_upstream(start):
    origin = start.origin(on_connection=lambda c: (c.read(1), c.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), c.close()))
    sluice = start.sluice(config(origin.address, upstream_tls="verify = false"))
    answer = sluice.request()
    assert (answer.status, answer.reason) == (502, "tls_failed")


def test_upstream_sessions_are_resumed(start, ca):
    reused = []
    context = server_context(*ca.issue("backend.test", label="resume"))

    def script(connection):
        reused.append(connection.sock.session_reused)
        connection.read_request()
        connection.send(ok(b"x", ["Connection: close"]))
        connection.wait_eof()

    origin = start.origin(on_connection=script, tls=context)
    sluice = start.sluice(config(origin.address, upstream_tls=f'ca = "{ca.cert}"\nserver_name = "backend.test"'))
    with sluice.client() as client:
        for _ in range(5):
            assert client.request().status == 200
    assert reused[0] is False and all(reused[1:]), reused


def test_truncated_tls_answer_never_looks_whole(start, ca):
    """A close-delimited body that ends without close_notify may be cut by anybody (RFC 9112 9.8)."""
    shown = threading.Event()
    context = server_context(*ca.issue("backend.test", label="cut"))

    def script(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\npart")
        assert shown.wait(TIMEOUT)
        connection.sock.shutdown(2)  # FIN without close_notify

    origin = start.origin(on_connection=script, tls=context)
    sluice = start.sluice(config(origin.address, upstream_tls="verify = false"))
    with sluice.client() as client:
        client.send(build())
        answer = client.head()
        wait_for(lambda: b"part" in client.buffer or client._more())  # pylint: disable=protected-access
        shown.set()
        with pytest.raises(Exception, match="closed|reset"):
            client.body(answer)


def test_client_connection_of_the_harness_verifies(pair, ca):
    """The tests above would show nothing if the client took any certificate."""
    sluice, _ = pair
    with pytest.raises(ssl.SSLCertVerificationError):
        Client(sluice.address(), tls=ca.client_context(), server_name="nobody.test")
    assert openssl("version").stdout.startswith(b"OpenSSL")
