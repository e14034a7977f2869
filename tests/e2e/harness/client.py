"""A raw HTTP/1 client: sends exactly the bytes it is told to and reads answers by a strict parser.

The parser accepts less than RFC 9112 allows: what a careful proxy writes and nothing else
(no obs-fold, no chunk extensions, one framing). A deviation is a failure of the test.
"""

import re
import socket
import struct
from dataclasses import dataclass, field

from .base import TIMEOUT

STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9]) ([\t \x21-\x7e\x80-\xff]*)")
FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t \x21-\x7e\x80-\xff]*?)[ \t]*")
CHUNK_LINE = re.compile(rb"[0-9a-fA-F]{1,16}")


class ProtocolError(AssertionError):
    """The answer is not what a proxy may write."""


class Closed(Exception):
    """The connection ended before the message did. reset: by RST; partial: what had come."""

    def __init__(self, reset, partial=None):
        super().__init__("reset" if reset else "closed")
        self.reset = reset
        self.partial = partial


@dataclass
class Response:
    version: int = 1
    status: int = 0
    phrase: str = ""
    headers: list = field(default_factory=list)  # (lower-case name, value) in order
    body: bytes = b""
    trailers: list = field(default_factory=list)
    framing: str = "none"  # none, length, chunked, close
    interim: list = field(default_factory=list)  # 1xx answers that came before

    def all(self, name):
        return [v for n, v in self.headers if n == name.lower()]

    def header(self, name, default=None):
        values = self.all(name)
        if len(values) > 1:
            raise ProtocolError(f"{name} came {len(values)} times")
        return values[0] if values else default

    @property
    def reason(self):
        """The reason word of an answer the proxy made itself, None for a forwarded one."""
        return self.header("x-sluice-reason")

    @property
    def closes(self):
        """True if the answer says that the connection ends."""
        words = [w.strip().lower() for v in self.all("connection") for w in v.split(",")]
        return "close" in words or (self.version == 0 and "keep-alive" not in words)


def parse_fields(lines):
    out = []
    for line in lines:
        m = FIELD_LINE.fullmatch(line)
        if not m:
            raise ProtocolError(f"bad field line {line!r}")
        out.append((m[1].decode().lower(), m[2].decode("latin-1")))
    return out


def dial(address, timeout=None, rcvbuf=None, source=None):
    """A connected socket. address: (host, port), "host:port", "[::1]:port" or "unix:/path"."""
    if isinstance(address, str) and address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        target = address[5:]
    else:
        if isinstance(address, str):
            host, port = address.rsplit(":", 1)
            address = (host.strip("[]"), int(port))
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        target = address
    try:
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source:
            sock.bind(source if isinstance(source, tuple) else (source, 0))
        sock.settimeout(TIMEOUT if timeout is None else timeout)
        sock.connect(target)
    except OSError:
        sock.close()
        raise
    return sock


def reset(sock):
    """Closes with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Client:
    """One client connection. tls: an ssl.SSLContext; before_tls: bytes sent before the handshake."""

    def __init__(
        self,
        address,
        *,
        tls=None,
        server_name=None,
        session=None,
        timeout=None,
        rcvbuf=None,
        source=None,
        before_tls=b"",
    ):
        self.sock = dial(address, timeout, rcvbuf, source)
        self.buffer = b""
        self.at_end = False
        if before_tls:
            self.sock.sendall(before_tls)
        if tls:
            try:
                self.sock = tls.wrap_socket(
                    self.sock, server_hostname=server_name, session=session, suppress_ragged_eofs=False
                )
            except Exception:
                self.sock.close()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        reset(self.sock)

    def finish(self):
        """Half-close: no more bytes will be sent."""
        self.sock.shutdown(socket.SHUT_WR)

    def send(self, data):
        self.sock.sendall(data)

    def send_torn(self, data, at):
        """Sends data in two segments, cut before byte `at`."""
        self.sock.sendall(data[:at])
        self.sock.sendall(data[at:])

    def _more(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            self.at_end = True
            raise Closed(reset=True) from None
        if not data:
            self.at_end = True
            raise Closed(reset=False)
        self.buffer += data

    def _line(self):
        while b"\n" not in self.buffer:
            if len(self.buffer) > 1 << 20:
                raise ProtocolError("endless line")
            self._more()
        line, self.buffer = self.buffer.split(b"\n", 1)
        if not line.endswith(b"\r"):
            raise ProtocolError(f"bare LF after {line[-60:]!r}")
        return line[:-1]

    def _exactly(self, n, response):
        while len(self.buffer) < n:
            try:
                self._more()
            except Closed:
                response.body += self.buffer
                raise
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def read_bytes(self, n):
        """Exactly n raw bytes (after an upgrade)."""
        return self._exactly(n, Response())

    def read_some(self):
        """At least one raw byte."""
        if not self.buffer:
            self._more()
        data, self.buffer = self.buffer, b""
        return data

    def head(self):
        """Reads one status line and its fields (interim or final)."""
        m = STATUS_LINE.fullmatch(self._line())
        if not m:
            raise ProtocolError("bad status line")
        lines = []
        while (line := self._line()) != b"":
            lines.append(line)
        return Response(version=int(m[1]), status=int(m[2]), phrase=m[3].decode("latin-1"), headers=parse_fields(lines))

    def body(self, response, method="GET"):
        """Reads the body that belongs to a final head."""
        lengths = response.all("content-length")
        codings = response.all("transfer-encoding")
        if len(lengths) > 1 or (lengths and codings):
            raise ProtocolError(f"ambiguous framing {lengths} {codings}")
        if codings and codings != ["chunked"]:
            raise ProtocolError(f"transfer-encoding {codings}")
        if lengths and not lengths[0].isdigit():
            raise ProtocolError(f"content-length {lengths}")
        try:
            if method == "HEAD" or response.status in (204, 304) or response.status < 200:
                response.framing = "none"
            elif codings:
                response.framing = "chunked"
                self._chunked(response)
            elif lengths:
                response.framing = "length"
                response.body = self._exactly(int(lengths[0]), response)
            else:
                response.framing = "close"
                self._until_close(response)
        except Closed as end:
            raise Closed(end.reset, response) from None
        return response

    def _chunked(self, response):
        while True:
            line = self._line()
            if not CHUNK_LINE.fullmatch(line):
                raise ProtocolError(f"chunk line {line[:60]!r}")
            size = int(line, 16)
            if size == 0:
                break
            response.body += self._exactly(size, response)
            if self._exactly(2, Response()) != b"\r\n":
                raise ProtocolError("no CRLF after chunk")
        lines = []
        while (line := self._line()) != b"":
            lines.append(line)
        response.trailers = parse_fields(lines)

    def _until_close(self, response):
        while True:
            try:
                self._more()
            except Closed as end:
                response.body, self.buffer = self.buffer, b""
                if end.reset:
                    raise
                return

    def response(self, method="GET"):
        """Reads interim answers and the final one with its body."""
        interim = []
        while True:
            got = self.head()
            if got.status >= 200 or got.status == 101:
                break
            interim.append(got)
        got.interim = interim
        return got if got.status == 101 else self.body(got, method)

    def request(self, method="GET", path="/", headers=(), body=None, host="a.test", version="1.1"):
        """Sends one well-formed request and reads its answer."""
        self.send(build(method, path, headers, body, host, version))
        return self.response(method)

    def ended(self):
        """Waits for the end of the connection; stray bytes are an error. Returns True."""
        if self.buffer:
            raise ProtocolError(f"stray bytes {self.buffer[:80]!r}")
        if self.at_end:
            return True
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            return True
        if data:
            raise ProtocolError(f"stray bytes {data[:80]!r}")
        return True


def build(method="GET", path="/", headers=(), body=None, host="a.test", version="1.1"):
    """The bytes of a plain request; a body gets Content-Length unless headers frame it."""
    lines = [f"{method} {path} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    items = list(headers.items()) if isinstance(headers, dict) else list(headers)
    lines += [f"{n}: {v}" for n, v in items]
    names = {n.lower() for n, _ in items}
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def chunked(*parts, trailers=b""):
    """A chunked body of these parts."""
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n" + trailers + b"\r\n"


def held_clients(sluice, count, path="/held"):
    """Clients that have asked and not been answered yet."""
    clients = [sluice.client() for _ in range(count)]
    for client in clients:
        client.send(build(path=path))
    return clients
