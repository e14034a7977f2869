"""The table of clients: a name, what it needs, and the command that runs it. A client is right if it exits 0 and the
proxy has nothing to say about it."""

import importlib.util
import pathlib
import re
import shutil
import sys
from dataclasses import dataclass

HERE = pathlib.Path(__file__).resolve().parent
MESSAGE = "small"


@dataclass
class Client:
    name: str
    needs: str  # commands, or go, or httpx
    command: object  # (world, addresses by listener, bytes, messages) -> argv
    listener: str = "tls"
    connections: int = 1
    environment: dict = None
    check: object = None  # (output, bytes, messages) -> what is wrong, or ""
    share: float = 1.0  # of the messages and bytes: what is slow of itself does less in the same time


def url(port, path, scheme="https"):
    return f"{scheme}://localhost:{port}{path}"


def go(name, command, **options):
    return Client(
        f"go {name}", "go", lambda w, p, size, count: [w.go_binary, *map(str, command(w, p, size, count))], **options
    )


def go_http(prefix, name, **options):
    """net/http to nginx ("") or to a Go server over HTTP/2 ("/go-h2")."""
    large = (lambda size: f"/large?bytes={size}") if prefix else (lambda size: "/large.bin")
    rows = [
        go(
            f"{name} large", lambda w, p, size, _: ["get-large", url(p, prefix + large(size)), size, 1 << 17], **options
        ),
        go(
            f"{name} large, small reads",
            lambda w, p, size, _: ["get-large", url(p, prefix + large(size)), size, 512],
            **options,
        ),
        go(
            f"{name} messages",
            lambda w, p, _, count: ["get-messages", url(p, prefix + "/small"), MESSAGE, count, 50],
            **options,
        ),
    ]
    if prefix:
        rows.append(
            go(f"{name} upload", lambda w, p, size, _: ["post-large", url(p, prefix + "/upload"), size], **options)
        )
    else:
        rows.append(
            go(
                f"{name} gzip",
                lambda w, p, size, _: ["get-gzip", url(p, "/gzip"), w.gzip_sum, max(1, size // 25_000_000)],
                **options,
            )
        )
    return rows


GRPC = [
    go("grpc unary", lambda w, p, _, count: ["grpc-unary", f"localhost:{p}", count]),
    go("grpc chat", lambda w, p, _, count: ["grpc-chat", f"localhost:{p}", count]),
    go("grpc down", lambda w, p, size, _: ["grpc-down", f"localhost:{p}", size >> 20]),
    go("grpc up", lambda w, p, size, _: ["grpc-up", f"localhost:{p}", size >> 20]),
]


def h2load_output(out, size, count):
    """h2load exits 0 whatever happened."""
    line = re.search(r"requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded", out)
    return "" if line and line[1] == line[2] != "0" else out[-800:]


def curl_output(out, size, count):
    """--write-out gives a line each: status, bytes."""
    bad = [line for line in out.split() if line != f"200,{size}"]
    return f"{bad[:3]}" if bad else ""


CURL = ["curl", "-sS", "--max-time", "280", "--write-out", "%{http_code},%{size_download}\\n"]
TOOLS = [
    Client(
        "curl h2",
        "curl",
        lambda w, p, size, _: [*CURL, "--cacert", w.ca.cert, "-o", "/dev/null", url(p, "/large.bin")],
        check=curl_output,
    ),
    Client(
        "curl http/1.1",
        "curl",
        lambda w, p, size, _: [*CURL, "--http1.1", "--cacert", w.ca.cert, "-o", "/dev/null", url(p, "/large.bin")],
        check=curl_output,
    ),
    Client(
        "curl h2c",
        "curl",
        lambda w, p, size, _: [*CURL, "--http2-prior-knowledge", "-o", "/dev/null", url(p, "/large.bin", "http")],
        listener="clear",
        check=curl_output,
    ),
    Client(
        "curl gzip",
        "curl",
        lambda w, p, size, _: [
            "curl",
            "-sS",
            "--fail",
            "--compressed",
            "--cacert",
            w.ca.cert,
            *(["-o", "/dev/null", url(p, "/gzip")] * max(1, size // 25_000_000)),
        ],
    ),
    Client(
        "h2load large",
        "h2load",
        lambda w, p, size, _: ["h2load", "-n1", "-c1", "-m1", url(p, "/large.bin")],
        check=h2load_output,
    ),
    Client(
        "h2load messages",
        "h2load",
        lambda w, p, _, count: ["h2load", f"-n{count}", "-c1", "-m100", url(p, "/small")],
        check=h2load_output,
    ),
    Client(
        "h2load messages, one at a time",
        "h2load",
        lambda w, p, _, count: ["h2load", f"-n{count}", "-c1", "-m1", url(p, "/small")],
        check=h2load_output,
        share=0.5,
    ),
    Client("nghttp large", "nghttp", lambda w, p, size, _: ["nghttp", "-n", "--no-verify-peer", url(p, "/large.bin")]),
    Client(
        "nghttp messages",
        "nghttp",
        lambda w, p, _, count: ["nghttp", "-n", "--no-verify-peer", f"-m{count}", url(p, "/small")],
        share=0.1,
    ),
]

PYTHON = [
    Client(
        f"httpx {name}",
        "httpx",
        lambda w, p, size, count, http=http, what=what: [
            sys.executable,
            "-B",
            str(HERE / "httpx_client.py"),
            http,
            what,
            url(p, ""),
            w.ca.cert,
            str(size),
            str(count),
        ],
        share=share,
    )
    for name, http, what, share in (
        ("h2 large", "2", "large", 0.5),
        ("h2 messages", "2", "messages", 0.1),
        ("http/1.1 large", "1", "large", 1.0),
        ("http/1.1 messages", "1", "messages", 0.1),
    )
]

NODE = [
    Client(
        f"node {name}",
        "node",
        lambda w, p, size, count, way=way, what=what: [
            "node",
            str(HERE / "node_client.mjs"),
            way,
            what,
            url(p, ""),
            str(size),
            str(count),
        ],
        connections=connections,
        share=share,
    )
    for name, way, what, connections, share in (
        ("fetch large", "fetch", "large", 1, 1.0),
        ("fetch messages", "fetch", "messages", 60, 0.1),  # undici drops idle ones soon
        ("http2 large", "http2", "large", 1, 1.0),
        ("http2 messages", "http2", "messages", 1, 0.5),
        ("http2 upload", "http2", "upload", 1, 1.0),
    )
]

ALL = [
    *go_http("", "net/http"),
    *go_http("/go-h2", "net/http to net/http"),
    *go_http("", "net/http 1.1", environment={"GODEBUG": "http2client=0"})[:2],
    *GRPC,
    *TOOLS,
    *PYTHON,
    *NODE,
]


def missing(client, world):
    """Why it cannot run here, or nothing."""
    for need in (client.needs,) if isinstance(client.needs, str) else client.needs:
        if need == "go":
            if not world.go_binary:
                return "no Go, or its modules could not be had"
        elif need == "httpx":
            if not importlib.util.find_spec("httpx") or not importlib.util.find_spec("h2"):
                return "no python3-httpx or python3-h2"
        elif not shutil.which(need):
            return f"no {need}"
    return ""
