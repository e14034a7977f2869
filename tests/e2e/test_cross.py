"""The same answers whatever versions are spoken: curl over HTTP/1.1 and HTTP/2, origins of both."""

import itertools
import subprocess

import pytest

from harness.base import TIMEOUT
from harness.proxy import config

CURL = {"h1": ["--http1.1"], "h2": ["--http2-prior-knowledge"]}
BIG = bytes(range(256)) * 4096  # 1 MiB
FIELDS = [("content-type", "text/x-test"), ("x-one", "1"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]
PATHS = ["/plain", "/none", "/missing", "/big", "/unknown", "/trailers", "/echo"]


def h1_answer(connection, request):
    lines = [f"{n}: {v}" for n, v in FIELDS]
    head = ("\r\n".join(["HTTP/1.1 200 OK", *lines]) + "\r\n").encode()
    path = request.target
    if path == "/none":
        connection.send(("HTTP/1.1 204 No Content\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode())
    elif path == "/missing":
        connection.send(
            head.replace(b"200 OK", b"404 Not Found")
            + b"Content-Length: 9\r\n\r\n"
            + (b"" if request.method == "HEAD" else b"not here\n")
        )
    elif path == "/unknown":
        connection.send(head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n there\r\n0\r\n\r\n")
    elif path == "/trailers":
        connection.send(head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n")
    else:
        body = {"/plain": b"hello\n", "/big": BIG}.get(path, request.body)
        connection.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + (b"" if request.method == "HEAD" else body))


def h2_answer(connection, stream, seen):
    path = seen.path
    head = seen.header(":method") == "HEAD"  # no DATA then
    if path == "/none":
        connection.respond(stream, 204, b"", FIELDS)
    elif path == "/missing":
        connection.respond(stream, 404, b"" if head else b"not here\n", [*FIELDS, ("content-length", "9")])
    elif path == "/unknown":
        connection.respond(stream, 200, b"hello", FIELDS, end=False)
        connection.send_body(stream, b" there", end=True)
    elif path == "/trailers":
        connection.respond(stream, 200, b"hello", FIELDS, trailers=[("x-sum", "1"), ("x-more", "2")])
    else:
        body = {"/plain": b"hello\n", "/big": BIG}.get(path, bytes(seen.body))
        connection.respond(stream, 200, b"" if head else body, [*FIELDS, ("content-length", str(len(body)))])


@pytest.fixture(scope="module")
def proxies(shared):
    """By the version of the origin."""
    h1, h2 = shared.origin(h1_answer), shared.h2_origin(h2_answer)
    return {
        "h1": shared.sluice(config(h1.address, protocols=("h2", "http/1.1"))),
        "h2": shared.sluice(config(h2.address, protocols=("h2", "http/1.1"), upstream='protocol = "h2"')),
    }


def ask(sluice, client, path, *more):
    """Exit code, head lines (trailers too) in their order without what a version adds, and the body. Where a length
    stands among the fields is its version's business, whether curl waits for a 100 is curl's, and Date the moment's."""
    command = ["curl", "-sS", "-D", "/dev/stderr", *CURL[client], *more, f"http://{sluice.address()}{path}"]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT * 3, check=False)
    lines, lengths = [], []
    for line in done.stderr.decode().split("\n"):
        line = line.strip()
        if line.startswith("HTTP/"):
            if line.split()[1] != "100":
                lines.append("status " + line.split()[1])
        elif line and not line.lower().startswith(("transfer-encoding:", "connection:", "keep-alive:", "date:")):
            name, _, value = line.partition(":")
            (lengths if name.lower() == "content-length" else lines).append(name.lower() + ":" + value)
    return done.returncode, lines, lengths, done.stdout


CASES = [
    (method, path)
    for method in ("get", "head", "post", "upload")
    for path in PATHS
    if method != "head" or path not in ("/unknown", "/trailers")
]  # an answer to HEAD has no body to be chunked


@pytest.mark.parametrize("method,path", CASES)
def test_equal_answers(proxies, tmp_path, method, path):
    file = tmp_path / "body"
    file.write_bytes(BIG)
    more = {
        "get": [],
        "head": ["-I", "-o", "/dev/null"],
        "post": ["-d", "some=form"],
        "upload": ["-T", str(file), "-H", "Expect: 100-continue"],
    }[method]
    answers = {
        f"{client} to {origin}": ask(proxies[origin], client, path, *more)
        for client, origin in itertools.product(CURL, proxies)
    }
    first = answers["h1 to h1"]
    assert first[0] == 0, first
    assert f"status {404 if path == '/missing' else 204 if path == '/none' else 200}" in first[1]
    assert "set-cookie: a=1" in first[1] and "set-cookie: b=2" in first[1]
    if path == "/trailers":
        assert first[1][-2:] == ["x-sum: 1", "x-more: 2"]
    if path == "/echo" and method == "upload":
        assert first[3] == BIG
    for pair, answer in answers.items():
        assert answer[:3] == first[:3], pair
        assert answer[3] == first[3], pair
