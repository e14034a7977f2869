"""HTTP/2 with the clients and servers that people use: curl, nghttp, h2load; nghttpd, nginx; another sluice."""

import os
import re
import shutil
import subprocess

import pytest

from harness.base import TIMEOUT, free_address, scale, wait_for
from harness.certs import certificate_lines
from harness.origin import ok
from harness.proxy import config

BODY = bytes(range(256)) * 1024  # 256 KiB
BOTH = ("h2", "http/1.1")


def run(*args, timeout=None):
    return subprocess.run([str(a) for a in args], capture_output=True, timeout=timeout or TIMEOUT * 3, check=False)


def answer(connection, request):
    connection.send(ok(BODY if request.target.startswith("/big") else b"%d" % len(request.body)))


@pytest.fixture(scope="module")
def ca(shared):
    return shared.authority()


@pytest.fixture(scope="module")
def proxy(shared, ca):
    """One listener in the clear, one with TLS, in front of an origin of HTTP/1.1."""
    origin = shared.origin(answer)
    tls = (
        f'[[listener]]\nname = "tls"\naddress = "127.0.0.1:0"\n[listener.tls]\n'
        f'{certificate_lines(ca.issue("localhost", "127.0.0.1"))}'
    )
    return shared.sluice(
        config(origin.address, protocols=BOTH, pool='acquire_timeout = "20s"\nmax_connections = 32', extra=tls)
    )


def url(sluice, kind, path):
    return f"https://{sluice.address('tls')}{path}" if kind == "tls" else f"http://{sluice.address()}{path}"


@pytest.mark.parametrize("kind", ["clear", "tls"])
def test_curl_with_50_parallel_transfers(proxy, ca, tmp_path, kind):
    """50 at once; each file is whole. Debian 12's curl cannot share a connection of prior knowledge among parallel
    transfers (nor with nghttpd: `Error in the HTTP2 framing layer`), so there each has its own."""
    before = proxy.metrics().sum("sluice_downstream_connections_total", listener="tls" if kind == "tls" else "main")
    how = ["--http2", "--cacert", ca.cert] if kind == "tls" else ["--http2-prior-knowledge", "--parallel-immediate"]
    files = [tmp_path / f"{i}" for i in range(50)]
    targets = [word for i, file in enumerate(files) for word in ("-o", str(file), url(proxy, kind, f"/big{i}"))]
    done = run("curl", "-sS", "--fail", "-Z", "--parallel-max", "50", "-w", "%{http_version}\\n", *how, *targets)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().split() == ["2"] * 50
    assert all(file.read_bytes() == BODY for file in files)
    opened = (
        proxy.metrics().sum("sluice_downstream_connections_total", listener="tls" if kind == "tls" else "main") - before
    )
    assert opened == 50 if kind == "clear" else opened <= 3


def test_curl_uploads(proxy, ca, tmp_path):
    big = tmp_path / "big"
    big.write_bytes(os.urandom(3 << 20))
    for kind, how in (("tls", ["--http2", "--cacert", ca.cert]), ("clear", ["--http2-prior-knowledge"])):
        done = run("curl", "-sS", "--fail", *how, "-T", big, url(proxy, kind, "/up"))
        assert (done.returncode, done.stdout) == (0, b"%d" % (3 << 20)), done.stderr


def test_curl_without_http2_still_gets_http1(proxy, ca):
    done = run("curl", "-sS", "--http1.1", "--cacert", ca.cert, "-w", " %{http_version}", url(proxy, "tls", "/"))
    assert done.stdout == b"0 1.1", done.stderr


def test_nghttp_asks_and_sees_graceful_settings(proxy, tmp_path):
    data = tmp_path / "data"
    data.write_bytes(b"x" * 100_000)
    done = run("nghttp", "-nv", url(proxy, "clear", "/big1"), url(proxy, "clear", "/big2"))
    out = done.stdout.decode(errors="replace")
    assert done.returncode == 0, done.stderr
    assert out.count(":status: 200") == 2, out[-3000:]
    assert "SETTINGS_MAX_CONCURRENT_STREAMS(0x03):128" in out, out[:2000]
    assert re.search(r"SETTINGS_INITIAL_WINDOW_SIZE\(0x04\):262144", out), out[:2000]
    done = run("nghttp", "-d", data, url(proxy, "clear", "/up"))
    assert done.stdout == b"100000", done.stderr


@pytest.mark.parametrize("kind", ["clear", "tls"])
def test_h2load_loses_nothing(proxy, kind):
    n = int(10_000 * scale())
    done = run("h2load", "-n", n, "-c", "8", "-m", "32", url(proxy, kind, "/"))
    out = done.stdout.decode()
    assert re.search(
        rf"requests: {n} total, {n} started, {n} done, {n} succeeded, 0 failed, 0 errored, 0 timeout", out
    ), out
    assert f"status codes: {n} 2xx" in out, out


class Nghttpd:
    """Debian's nghttpd on an address of its own, files of one folder."""

    def __init__(self, folder, *options, tls=None):
        self.host, port = free_address()
        self.address = f"{self.host}:{port}"
        args = [
            "--address",
            self.host,
            "--htdocs",
            str(folder),
            *options,
            *([] if tls else ["--no-tls"]),
            str(port),
            *([tls[1], tls[0]] if tls else []),
        ]
        self.process = subprocess.Popen(
            ["nghttpd", *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def __enter__(self):
        def up():
            assert self.process.poll() is None, "nghttpd ended"
            return (
                subprocess.run(
                    ["nghttp", "-n", f"http://{self.address}/"], capture_output=True, timeout=TIMEOUT, check=False
                )
                is not None
            )

        wait_for(up)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(TIMEOUT)


@pytest.mark.skipif(not shutil.which("nghttpd"), reason="no nghttpd (Debian's nghttp2-server)")
@pytest.mark.parametrize("kind", ["clear", "tls"])
def test_nghttpd_as_the_backend(start, ca, tmp_path, kind):
    (tmp_path / "file").write_bytes(BODY)
    n = max(int(2000 * scale()), 300)
    tls = ca.issue("backend.test", label=f"nghttpd-{kind}") if kind == "tls" else None
    with Nghttpd(tmp_path, "-m", "10", tls=tls) as backend:
        sluice = start.sluice(
            config(
                backend.address,
                protocols=BOTH,
                upstream='protocol = "h2"',
                pool='acquire_timeout = "20s"\nconnect_timeout = "10s"',
                upstream_tls=f'ca = "{ca.cert}"\nserver_name = "backend.test"' if tls else "",
            )
        )
        done = run("h2load", "-n", n, "-c", "4", "-m", "32", f"http://{sluice.address()}/file")
        assert f"status codes: {n} 2xx" in done.stdout.decode(), done.stdout
        done = run("curl", "-sS", "--http2-prior-knowledge", f"http://{sluice.address()}/file")
        assert done.stdout == BODY
        metrics = sluice.metrics()
        opened = metrics.sum("sluice_upstream_connections_opened_total")
        first, further = (metrics.sum("sluice_upstream_requests_total", reused=word) for word in ("false", "true"))
        assert first + further == n + 1
        assert first <= opened <= 128, (
            "each of the 128 that h2load sends at once may wait for a connection of its own, if connecting takes its "
            "time"
        )
        assert metrics.sum("sluice_upstream_errors_total") == 0


@pytest.mark.parametrize("protocol", ["h2", "auto", "http/1.1"])
def test_nginx_with_tls_as_the_backend(start, ca, protocol):
    """`auto` takes what ALPN gives: h2 here."""
    cert, key = ca.issue("backend.test", label=f"nginx-{protocol.replace('/', '')}")
    host, port = free_address()
    extra = (
        f'}} server {{ listen {host}:{port} ssl http2; ssl_certificate {cert}; ssl_certificate_key {key}; '
        f'ssl_protocols TLSv1.3; root www; location = / {{ return 200 "$server_protocol"; }}'
    )
    backend = start.nginx(extra=extra, files={"file": BODY})
    sluice = start.sluice(
        config(
            f"{host}:{port}",
            protocols=BOTH,
            upstream=f'protocol = "{protocol}"',
            upstream_tls=f'ca = "{ca.cert}"\nserver_name = "backend.test"',
            pool='connect_timeout = "30s"\nacquire_timeout = "30s"',  # 40 handshakes at once
        )
    )
    assert backend.process.poll() is None
    wanted = "HTTP/1.1" if protocol == "http/1.1" else "HTTP/2.0"
    for _ in range(3):
        done = run("curl", "-sS", "--http2-prior-knowledge", f"http://{sluice.address()}/")
        assert done.stdout.decode() == wanted, done.stderr
    assert sluice.request().body.decode() == wanted
    n = int(500 * scale())
    done = run("h2load", "-n", n, "-c", "2", "-m", "20", f"http://{sluice.address()}/")
    assert f"status codes: {n} 2xx" in done.stdout.decode(), done.stdout


def test_auto_falls_back_to_http1_by_alpn(start, ca):
    cert, key = ca.issue("backend.test", label="plain-tls")
    host, port = free_address()
    extra = (
        f'}} server {{ listen {host}:{port} ssl; ssl_certificate {cert}; ssl_certificate_key {key}; location = / '
        f'{{ return 200 "$server_protocol"; }}'
    )
    start.nginx(extra=extra)
    tls = f'ca = "{ca.cert}"\nserver_name = "backend.test"'
    sluice = start.sluice(config(f"{host}:{port}", protocols=BOTH, upstream='protocol = "auto"', upstream_tls=tls))
    assert sluice.request().body == b"HTTP/1.1"
    strict = start.sluice(config(f"{host}:{port}", protocols=BOTH, upstream='protocol = "h2"', upstream_tls=tls))
    refused = strict.request()
    assert (refused.status, refused.reason) == (502, "tls_failed"), "h2 was asked for and is not spoken there"


def test_a_sluice_behind_a_sluice(start, proxy, ca):
    """h2 to h2 to HTTP/1.1, in the clear and by ALPN, with bodies both ways."""
    clear = start.sluice(config(proxy.address(), protocols=BOTH, upstream='protocol = "h2"'))
    tls = start.sluice(
        config(
            proxy.address("tls"),
            protocols=BOTH,
            upstream='protocol = "auto"\nhost = "localhost"',
            upstream_tls=f'ca = "{ca.cert}"\nserver_name = "localhost"',
        )
    )
    for sluice in (clear, tls):
        done = run("curl", "-sS", "--http2-prior-knowledge", f"http://{sluice.address()}/big")
        assert done.stdout == BODY, done.stderr
        done = run(
            "curl", "-sS", "--http2-prior-knowledge", "--data-binary", "x" * 100_000, f"http://{sluice.address()}/up"
        )
        assert done.stdout == b"100000", done.stderr
        n = int(1000 * scale())
        done = run("h2load", "-n", n, "-c", "4", "-m", "16", f"http://{sluice.address()}/")
        assert f"status codes: {n} 2xx" in done.stdout.decode(), done.stdout
